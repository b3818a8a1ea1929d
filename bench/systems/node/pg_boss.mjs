// pg-boss: installs it, fills its queue, drains it, or notes when handlers start.
//
// "Workers" in its documentation: batches, fetched without a pause as long as they come
// back full, and completed in the transaction that stores their results.

import pg from "pg";
import { PgBoss } from "pg-boss";

import { count, nextText, options, start, started, stopped } from "./common.mjs";

const QUEUE = "ocr";

const boss = new PgBoss({
  ...options.connection,
  max: options.local ? 2 * options.local : 2,
  supervise: false,
  schedule: false,
  migrate: options.mode === "install",
  createSchema: options.mode === "install",
  useListenNotify: Boolean(options.timed),
});
boss.on("error", (error) => console.error(error));
await boss.start();

if (options.mode === "install") {
  await boss.createQueue(QUEUE, { partition: true, notify: Boolean(options.timed) });
} else if (options.mode === "statement") {
  const db = {
    async executeSql(text) {
      process.stdout.write(`said ${JSON.stringify(text)}\n`);
      return { rows: [] };
    },
  };
  await boss.send(QUEUE, {}, { db });
} else if (options.mode === "fill") {
  const client = new pg.Client(options.connection);
  await client.connect();
  const { rows } = await client.query("select id from documents");
  await client.end();
  for (let first = 0; first < rows.length; first += 1000) {
    await boss.insert(
      QUEUE,
      rows.slice(first, first + 1000).map(({ id }) => ({ data: { document: id } })),
    );
  }
} else {
  const work = {
    batchSize: options.batch,
    burstWhenBatchFull: true,
    pollingIntervalSeconds: 0.5,
    localConcurrency: options.local,
  };
  const size = options.concurrency;
  const pool = new pg.Pool({ ...options.connection, max: size, min: size });

  const storeEach = async (jobs) => {
    await Promise.all(
      jobs.map(async ({ data: { document, due } }) => {
        if (due !== undefined) started(due);
        await pool.query({
          name: "store",
          text: options.storeOne,
          values: [document, nextText()],
        });
      }),
    );
    count(jobs.length);
  };
  const storeTogether = async (jobs, transaction) => {
    await transaction.executeSql(options.storeMany, [
      jobs.map(({ data }) => data.document),
      jobs.map(() => nextText()),
    ]);
    count(jobs.length);
  };
  const begin = () =>
    options.mode === "drain together"
      ? boss.work(QUEUE, { ...work, transactional: true }, storeTogether)
      : boss.work(QUEUE, work, storeEach);

  if (options.mode === "drain") {
    const clients = await Promise.all(
      Array.from({ length: size }, () => pool.connect()),
    );
    for (const client of clients) client.release();
  }
  if (options.timed) {
    await begin();
    await start();
  } else {
    await start();
    await begin();
  }
  await stopped();
  await pool.end();
}
await boss.stop({ graceful: false, close: true });
process.exit(0);
