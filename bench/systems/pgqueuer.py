"""pgqueuer: a job queue for Python that fetches in batches and logs in batches."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, LiteralString

from bench.systems import peers

if TYPE_CHECKING:
    from bench.harness import Workload
    from ocr_guardrails.embedded import Server

BATCH = 500
CONNECTIONS = 4
LEFT: LiteralString = "select count(*) from pgqueuer"
# What its enqueue() sends; the payload is bytes.
_ENQUEUE: LiteralString = (
    "insert into pgqueuer (priority, entrypoint, payload, execute_after, status)"
    " select 0, 'store_result', convert_to({}::text, 'UTF8'), now(), 'queued'"
)
FILL: LiteralString = (
    _ENQUEUE.format("jsonb_build_object('document', id)") + " from documents"
)
ENQUEUE: LiteralString = _ENQUEUE.format(
    "jsonb_build_object('document', $1::uuid, 'due', $2::bigint)"
)


async def work(session: peers.Session) -> None:
    """Run its manager: a connection of its own, and a pool for the handlers."""
    import asyncpg
    from pgqueuer import PgQueuer
    from pgqueuer.models import Job

    connection = await asyncpg.connect(**peers.address(session.dsn))
    async with asyncpg.create_pool(
        **peers.address(session.dsn),
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
    ) as pool:
        queue = PgQueuer.from_asyncpg_connection(connection)

        @queue.entrypoint("store_result")
        async def store_result(job: Job) -> None:
            payload = json.loads(job.payload or b"{}")
            if "due" in payload:
                session.started(payload["due"])
            await pool.execute(peers.STORE_ONE, payload["document"], session.text())
            session.count()

        run = queue.qm.run(batch_size=BATCH)
        if session.is_timed:
            worker = asyncio.create_task(run)
            await session.start()
        else:
            await session.start()
            worker = asyncio.create_task(run)
        await session.stopped()
        queue.qm.shutdown.set()
        await worker
    await connection.close()


@dataclass(frozen=True)
class PgQueuer:
    """One result stored at a time, in its handler."""

    name: str = "pgqueuer"
    kind: str = "peer"
    version: str = peers.version("pgqueuer")
    note: str = (
        f"asyncpg and uvloop; batches of {BATCH}, finished jobs logged together, its "
        "autovacuum settings (pgq autovac); the handlers of a worker share "
        f"{CONNECTIONS} connections."
    )

    def unavailable(self, server: Server) -> str | None:
        return peers.missing("pgqueuer", "asyncpg", "uvloop")

    def install(self, dsn: str) -> None:
        peers.install(dsn)
        asyncio.run(_install(dsn))

    def fill(self, dsn: str, documents: int) -> None:
        peers.fill(dsn, documents, FILL)

    def drain(self, dsn: str, workers: int, workload: Workload) -> float:
        started = peers.python_workers(workers, work, dsn, workload)
        return peers.drain(dsn, started, LEFT)

    def verify(self, dsn: str, documents: int) -> None:
        peers.verify(dsn, documents, LEFT)


async def _install(dsn: str) -> None:
    import asyncpg
    from pgqueuer.queries import Queries

    connection = await asyncpg.connect(**peers.address(dsn))
    try:
        queries = Queries.from_asyncpg_connection(connection)
        await queries.install()
        await queries.optimize_autovacuum()
    finally:
        await connection.close()
