// graphile-worker: installs it, drains a backlog, or notes when handlers start.
//
// "Performance" in its documentation: a local queue, and completions that are written
// together (completeJobBatchDelay 0).

import { Logger, run, runMigrations } from "graphile-worker";
import pg from "pg";

import { count, nextText, options, start, started, stopped } from "./common.mjs";

const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});
const size = options.concurrency + 1; // one of them listens
const pgPool = new pg.Pool({ ...options.connection, max: size, min: size });

if (options.mode === "install") {
  await runMigrations({ pgPool, logger });
} else {
  const clients = await Promise.all(Array.from({ length: size }, () => pgPool.connect()));
  for (const client of clients) client.release();

  const taskList = {
    async store_result({ document, due }, { withPgClient }) {
      if (due !== undefined) started(due);
      await withPgClient((client) =>
        client.query({
          name: "store",
          text: options.storeOne,
          values: [document, nextText()],
        }),
      );
      count(1);
    },
  };
  const preset = {
    worker: {
      concurrentJobs: options.concurrency,
      maxPoolSize: size,
      ...(options.localQueue && {
        localQueue: { size: options.localQueue },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      }),
    },
  };
  const begin = () => run({ pgPool, taskList, preset, logger, noHandleSignals: true });

  let runner;
  if (options.timed) {
    runner = await begin();
    await start();
  } else {
    await start();
    runner = await begin();
  }
  await stopped();
  await runner.stop();
}
await pgPool.end();
process.exit(0);
