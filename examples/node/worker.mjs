// An OCR worker: claims jobs, reads their files, offers the results.
//
//   node worker.mjs [COMMAND [ARGUMENT…]]
//
// COMMAND reads a page as ../tesseract.sh does. The database is that of DATABASE_URL,
// or of PGHOST and the other PG* variables. SIGTERM gives back what is not finished.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import pg from "pg";

const BATCH = 4; // jobs that are read at the same time
const LEASE_SECONDS = Number(process.env.LEASE_SECONDS ?? 60);
const POLL_SECONDS = Number(process.env.POLL_SECONDS ?? 5);
const PAGE_LIMITS = { timeout: 600_000, maxBuffer: 64 * 1024 * 1024 };

const tesseract = fileURLToPath(new URL("../tesseract.sh", import.meta.url));
const [command = tesseract, ...commandArguments] = process.argv.slice(2);
const workerId = `node-${hostname()}-${process.pid}`;
const connection = {
  connectionString: process.env.DATABASE_URL,
  application_name: workerId, // so that an incident says who made the offer
};

const pool = new pg.Pool({ ...connection, max: BATCH + 1 });
pool.on("error", () => {}); // an idle connection was lost: the pool opens another

const stopping = new AbortController();
for (const name of ["SIGTERM", "SIGINT"]) {
  process.once(name, () => stopping.abort());
}

/** Whether the call may succeed later: no connection, no room, a lock, a restart. */
function isPassing(error) {
  return (
    !(error instanceof pg.DatabaseError) || /^(08|40|53|55P03|57)/.test(error.code)
  );
}

/** Calls a function of the database; again and again while the database is away.
 *
 * A connection that is lost may have been lost after the COMMIT. Repeating is safe:
 * under the same lease token a result that stands already is answered with
 * already_written, and every other call changes nothing a second time. What a repeated
 * claim does not know of goes back to the queue when its lease expires.
 */
async function call(sql, values) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return (await pool.query(sql, values)).rows;
    } catch (error) {
      if (!isPassing(error) || stopping.signal.aborted) throw error;
      console.error(`trying again: ${error.message || error.code}`);
      await sleep(Math.random() * Math.min(5000, 100 * 2 ** attempt));
    }
  }
}

/** Runs the OCR command on the bytes. */
async function recognise(bytes, signal) {
  const running = promisify(execFile)(command, commandArguments, {
    ...PAGE_LIMITS,
    signal,
    encoding: "buffer",
  });
  running.child.stdin?.on("error", () => {}); // it may end without reading everything
  running.child.stdin?.end(bytes);
  const { stdout } = await running;
  const output = new TextDecoder("utf-8", { fatal: true }).decode(stdout);
  const [, confidence, text] = /^(\d+(?:\.\d+)?)\n(.*?)\n?$/s.exec(output) ?? [];
  if (text === undefined) throw new Error("the OCR command did not say its confidence");
  return { confidence: Number(confidence), text };
}

const live = new Map(); // document id → the lease token, and how to say that it is lost

/** Reads one job's file and offers the result. */
async function work(job) {
  const lease = [job.document_id, job.lease_token];
  const lost = new AbortController();
  const signal = AbortSignal.any([stopping.signal, lost.signal]);
  live.set(job.document_id, { token: job.lease_token, lost });
  try {
    // The bytes that are hashed are those that are read, whatever becomes of the file.
    const bytes = await readFile(job.file_path, { signal });
    const started = performance.now();
    const { confidence, text } = await recognise(bytes, signal);
    const result = {
      document_id: job.document_id,
      expected_filename: job.filename,
      ocr_text: text,
      confidence,
      word_count: text.split(/\s+/).filter(Boolean).length,
      processing_time_ms: Math.round(performance.now() - started),
      lease_token: job.lease_token,
      source_hash: createHash("sha256").update(bytes).digest("hex"),
      engine: command.split("/").at(-1),
    };
    const [{ outcome, detail }] = await call("select * from update_ocr_batch_safe($1)", [
      JSON.stringify([result]),
    ]);
    if (!["written", "already_written"].includes(outcome)) {
      throw new Error(`refused: ${outcome}, ${detail}`);
    }
    console.log(`${job.filename}: ${outcome}`);
  } catch (error) {
    if (lost.signal.aborted) {
      console.log(`${job.filename}: the lease was lost`);
    } else if (stopping.signal.aborted) {
      await call("select release_ocr_job($1, $2)", lease);
      console.log(`${job.filename}: released`);
    } else {
      // Where the lease is not ours any more this answers stale_lease and does nothing.
      const said = `${error.stderr ?? ""}`.trim() || error.message;
      const [{ answer }] = await call(
        "select fail_ocr_job($1, $2, $3, $4) as answer",
        [
          ...lease,
          said.replaceAll("\0", "\\0").slice(-1000),
          error.syscall?.startsWith("spawn") ? "infrastructure" : "document",
        ],
      );
      console.log(`${job.filename}: ${answer}: ${said}`);
    }
  } finally {
    live.delete(job.document_id);
  }
}

/** Extends all leases; a document that is missing from the answer is not ours. */
async function beat() {
  const before = [...live];
  if (before.length === 0) return;
  const kept = await call("select * from extend_ocr_leases($1, $2, $3)", [
    before.map(([id]) => id),
    before.map(([, { token }]) => token),
    `${LEASE_SECONDS} seconds`,
  ]);
  const ours = new Set(kept.map((row) => row.document_id));
  for (const [id, { lost }] of before) {
    if (!ours.has(id)) lost.abort();
  }
}

let rung = false;
let wake = () => {};
function ring() {
  rung = true;
  wake();
}
stopping.signal.addEventListener("abort", ring);

/** Waits for a notification, or until it is time to look anyway: those can be lost. */
async function waitForWork() {
  if (rung) return;
  const timer = setTimeout(ring, POLL_SECONDS * 1000);
  await new Promise((resolve) => {
    wake = resolve;
  });
  clearTimeout(timer);
}

/** Listens on a connection of its own. Behind a transaction pooler leave this out. */
async function listen() {
  while (!stopping.signal.aborted) {
    const client = new pg.Client(connection);
    const ended = new Promise((resolve) => {
      client.on("error", resolve);
      client.on("end", resolve);
      stopping.signal.addEventListener("abort", resolve);
    });
    client.on("notification", ring);
    try {
      await client.connect();
      await client.query("listen ocr_jobs");
      ring(); // what came before is not notified again
      await ended;
    } catch {
      await sleep(1000); // polling goes on meanwhile, and says what is wrong
    }
    await client.end().catch(() => {});
  }
}

const heart = setInterval(() => beat().catch(console.error), LEASE_SECONDS * 333);
const listening = listen();
while (!stopping.signal.aborted) {
  rung = false;
  const jobs = await call("select * from claim_ocr_jobs($1, $2, $3)", [
    workerId,
    BATCH,
    `${LEASE_SECONDS} seconds`,
  ]).catch((error) => {
    if (!stopping.signal.aborted) throw error;
    return [];
  });
  if (jobs.length > 0) await Promise.all(jobs.map(work));
  else await waitForWork();
}
clearInterval(heart);
await listening;
await pool.end();
