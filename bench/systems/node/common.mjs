// What the workers on Node.js have in common.
//
// A worker is started by bench/systems/peers.py with one argument, a JSON object. It
// connects, prints "ready", waits for a line on its standard input, works, and prints
// "count N" as its handlers have stored N results more. The next line on its input, or
// the end of it, ends the worker.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

export const options = JSON.parse(process.argv[2]);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Say that everything is connected, and wait for the start. */
export async function start() {
  process.stdout.write("ready\n");
  await lines.next();
}

/** Wait until the benchmark has seen enough. */
export async function stopped() {
  await lines.next();
  if (starts.length > 0) process.stdout.write(`starts ${JSON.stringify(starts)}\n`);
}

let stored = 0;
let scheduled = false;

/** Count results that are stored; told at most every 5 ms. */
export function count(results) {
  stored += results;
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    process.stdout.write(`count ${stored}\n`);
    stored = 0;
  }, 5);
}

const bodies = options.texts ? JSON.parse(readFileSync(options.texts, "utf8")) : [];
let number = options.first ?? 0;

/** The next text of this worker; no two alike, in any worker. */
export function nextText() {
  number += 1;
  return `${number} ${bodies[number % bodies.length]}`;
}

const starts = [];

/** Note that the handler of the job begins that was due then.
 *
 * In nanoseconds of the monotonic clock, which all processes of a machine share; a
 * double holds them exactly for a hundred days of uptime.
 */
export function started(due) {
  starts.push([due, Number(process.hrtime.bigint())]);
}
