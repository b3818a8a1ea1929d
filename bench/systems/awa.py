"""awa: a job queue in Rust, with handlers in Python and joint completions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from bench.harness import vacuum_analyze
from bench.systems import peers

if TYPE_CHECKING:
    from bench.harness import Workload
    from ocr_guardrails.embedded import Server

QUEUE = "ocr"
# Jobs in hand at a time in one runtime. It claims more than one only as far as there is
# room for them, so a small number costs it more than waiting handlers do.
MAX_WORKERS = 256
CONNECTIONS = 8
# Its view of all jobs answers the same in seconds instead of milliseconds.
LEFT: LiteralString = (
    "select (select count(*) from documents)::bigint"
    " - (select coalesce(sum(completed_count), 0) from awa.receipt_completion_batches)"
    " - (select count(*) from awa.done_entries where state = 'completed')"
    # what its maintenance has dropped of them by now
    " - (select coalesce(sum(pruned_completed_count), 0)"
    "      from awa.queue_terminal_rollups)"
)
# What its bridges for other drivers call.
ENQUEUE: LiteralString = (
    "select (awa.insert_job_compat('store_result', 'ocr',"
    " jsonb_build_object('document', $1::uuid, 'due', $2::bigint))).id"
)


@dataclass
class StoreResult:
    """The job's arguments."""

    document: str
    due: int | None = None


async def work(session: peers.Session) -> None:
    """Run its runtime; the handlers share a pool of asyncpg, as its guide has it."""
    import asyncpg
    from awa import AsyncClient

    async with asyncpg.create_pool(
        **peers.address(session.dsn),
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
    ) as pool:
        client = AsyncClient(peers.url(session.dsn), max_connections=10)

        @client.task(StoreResult, queue=QUEUE)
        async def store_result(job: Any) -> None:
            if job.args.due is not None:
                session.started(job.args.due)
            await pool.execute(peers.STORE_ONE, job.args.document, session.text())
            session.count()

        await client.start([(QUEUE, MAX_WORKERS)])
        await session.start()
        if session.number == 0 and not session.is_timed:
            await client.resume_queue(QUEUE)
        await session.stopped()
        await client.shutdown()
        await client.close()


@dataclass(frozen=True)
class Awa:
    """One result stored at a time, in its handler."""

    name: str = "awa"
    kind: str = "peer"
    version: str = peers.version("awa-pg")
    note: str = (
        f"Its queue storage, asynchronous handlers, max_workers {MAX_WORKERS}; "
        "its runtime writes completions together; the handlers of a worker share "
        f"{CONNECTIONS} connections of asyncpg."
    )

    def unavailable(self, server: Server) -> str | None:
        return peers.missing("awa", "asyncpg", "uvloop")

    def install(self, dsn: str) -> None:
        import awa

        peers.install(dsn)
        client = awa.Client(peers.url(dsn))
        client.migrate()
        client.install_queue_storage()
        client.close()

    def fill(self, dsn: str, documents: int) -> None:
        import awa

        peers.fill(dsn, documents)
        with psycopg.connect(dsn, autocommit=True) as connection:
            jobs = [
                StoreResult(document)
                for (document,) in connection.execute("select id::text from documents")
            ]
        client = awa.Client(peers.url(dsn))
        client.enqueue_many_copy(jobs, queue=QUEUE)
        # Its runtime takes a second to start; paused until then, it is not charged.
        client.pause_queue(QUEUE)
        client.close()
        vacuum_analyze(dsn)

    def drain(self, dsn: str, workers: int, workload: Workload) -> float:
        started = peers.python_workers(workers, work, dsn, workload)
        return peers.drain(dsn, started, LEFT)

    def verify(self, dsn: str, documents: int) -> None:
        peers.verify(dsn, documents, LEFT)
