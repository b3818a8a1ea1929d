"""procrastinate: a task queue for Python that takes its jobs one by one."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from bench.systems import peers

if TYPE_CHECKING:
    from bench.harness import Workload
    from ocr_guardrails.embedded import Server

# More tasks at a time in a worker make it slower: it fetches one job at a time.
CONCURRENCY = 4
LEFT: LiteralString = (
    "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"
)
_JOB: LiteralString = (
    "row('default', 'store_result', 0, null, null, {}, null)"
    "::procrastinate_job_to_defer_v1"
)
# Its own function, which every of its clients calls.
FILL: LiteralString = (
    "select procrastinate_defer_jobs_v1(array_agg("
    + _JOB.format("jsonb_build_object('document', id)")
    + ")) from documents"
)
ENQUEUE: LiteralString = (
    "select procrastinate_defer_jobs_v1(array["
    + _JOB.format("jsonb_build_object('document', $1::uuid, 'due', $2::bigint)")
    + "])"
)


async def _autocommit(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)


async def work(session: peers.Session) -> None:
    """Run its worker; the handlers and the queue share one pool, as it allows."""
    from procrastinate import App, PsycopgConnector
    from psycopg_pool import AsyncConnectionPool

    app = App(connector=PsycopgConnector())

    @app.task(name="store_result")
    async def store_result(document: str, due: int | None = None) -> None:
        if due is not None:
            session.started(due)
        async with pool.connection() as connection:
            cursor = psycopg.AsyncRawCursor(connection)
            await cursor.execute(peers.STORE_ONE, [document, session.text()])
        session.count()

    async with (
        AsyncConnectionPool(
            session.dsn,
            min_size=CONCURRENCY,
            max_size=CONCURRENCY,
            kwargs={"prepare_threshold": 0},
            configure=_autocommit,
            open=False,
        ) as pool,
        app.open_async(pool),
    ):
        await pool.wait()
        run = app.run_worker_async(
            concurrency=CONCURRENCY,
            delete_jobs="successful",
            install_signal_handlers=False,
        )
        if session.is_timed:
            worker = asyncio.create_task(run)
            await session.start()
        else:
            await session.start()
            worker = asyncio.create_task(run)
        await session.stopped()
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker


@dataclass(frozen=True)
class Procrastinate:
    """One result stored at a time, in its handler."""

    name: str = "procrastinate"
    kind: str = "peer"
    version: str = peers.version("procrastinate")
    note: str = (
        f"Asynchronous tasks, {CONCURRENCY} at a time in each worker, on one pool "
        "of connections in autocommit; finished jobs are deleted (delete_jobs)."
    )

    def unavailable(self, server: Server) -> str | None:
        return peers.missing("procrastinate", "uvloop")

    def install(self, dsn: str) -> None:
        from procrastinate import App, SyncPsycopgConnector

        peers.install(dsn)
        with App(connector=SyncPsycopgConnector(conninfo=dsn)).open() as app:
            app.schema_manager.apply_schema()

    def fill(self, dsn: str, documents: int) -> None:
        peers.fill(dsn, documents, FILL)

    def drain(self, dsn: str, workers: int, workload: Workload) -> float:
        started = peers.python_workers(workers, work, dsn, workload)
        return peers.drain(dsn, started, LEFT)

    def verify(self, dsn: str, documents: int) -> None:
        peers.verify(dsn, documents, LEFT)
