"""pgmq: message queues as tables; a batch is read, and archived by its identifiers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, LiteralString

import psycopg

from bench.systems import peers

if TYPE_CHECKING:
    from bench.harness import Workload
    from ocr_guardrails.embedded import Server

VISIBLE_AFTER = 300  # seconds
LEFT: LiteralString = "select count(*) from pgmq.q_ocr"
READ: LiteralString = (
    f"select msg_id, message ->> 'document' from pgmq.read('ocr', {VISIBLE_AFTER}, $1)"
)
ARCHIVE: LiteralString = "select pgmq.archive('ocr', $1::bigint[])"
FILL: LiteralString = (
    "select count(*) from pgmq.send_batch('ocr', array("
    "select jsonb_build_object('document', id) from documents))"
)


async def work(session: peers.Session) -> None:
    """Read a batch, store its results and archive it, until nothing is left."""
    batch: int = session.options["batch"]
    with psycopg.connect(
        session.dsn, autocommit=True, prepare_threshold=0
    ) as connection:
        cursor = psycopg.RawCursor(connection)
        cursor.execute("select 1")
        await session.start()
        while messages := cursor.execute(READ, [batch]).fetchall():
            texts = [session.text() for _ in messages]
            with connection.transaction():
                cursor.execute(
                    peers.STORE_MANY, [[document for _, document in messages], texts]
                )
                cursor.execute(ARCHIVE, [[number for number, _ in messages]])
            session.count(len(messages))
        await session.stopped()


@dataclass(frozen=True)
class Pgmq:
    """A batch is read, then stored and archived in one transaction."""

    batch: int = 100
    kind: str = "peer"
    version: str = peers.version("pgmq")
    name: str = field(init=False)
    note: str = field(init=False)

    def __post_init__(self) -> None:
        many = f"batches of {self.batch}" if self.batch > 1 else "one at a time"
        object.__setattr__(self, "name", f"pgmq, {many}")
        object.__setattr__(
            self,
            "note",
            "Its SQL without the extension, as the Python client brings it; "
            f"read({self.batch}), then the update and archive() of the same messages "
            "in one transaction.",
        )

    def unavailable(self, server: Server) -> str | None:
        return peers.missing("pgmq")

    def install(self, dsn: str) -> None:
        from pgmq.install import install_pgmq_from_sql

        peers.install(dsn)
        install_pgmq_from_sql(dsn=dsn)
        with psycopg.connect(dsn) as connection:
            connection.execute("select pgmq.create('ocr')")

    def fill(self, dsn: str, documents: int) -> None:
        peers.fill(dsn, documents, FILL)

    def drain(self, dsn: str, workers: int, workload: Workload) -> float:
        started = peers.python_workers(workers, work, dsn, workload, batch=self.batch)
        return peers.drain(dsn, started, LEFT)

    def verify(self, dsn: str, documents: int) -> None:
        peers.verify(dsn, documents, LEFT)
