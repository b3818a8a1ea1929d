"""PgQ: an event log that a consumer reads in batches between two ticks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString

import psycopg

from bench.systems import peers

if TYPE_CHECKING:
    from bench.harness import Workload
    from ocr_guardrails.embedded import Server

# Its ticker's own default (ticker_max_count): a tick, and so a batch, every 500 events.
BATCH = 500
# A consumer has a position, not jobs: at the last tick, nothing is left.
LEFT: LiteralString = (
    "select pending_events from pgq.get_consumer_info('ocr', 'worker')"
)
# Debian's package has the same functions in PL/pgSQL alone, for any server.
SHARE = Path("/usr/share/postgresql")
PL_ONLY = sorted(SHARE.glob("*/contrib/pgq_pl_only.sql"))


def _version() -> str:
    for control in sorted(SHARE.glob("*/extension/pgq.control"), reverse=True):
        for line in control.read_text("utf-8").splitlines():
            if line.startswith("default_version"):
                return line.partition("=")[2].strip(" '")
    return ""


async def work(session: peers.Session) -> None:
    """Be the one consumer; workers after the first have nothing to do."""
    with psycopg.connect(
        session.dsn, autocommit=True, prepare_threshold=0
    ) as connection:
        cursor = psycopg.RawCursor(connection)
        cursor.execute("select 1")
        await session.start()
        while session.number == 0:
            with connection.transaction():
                row = cursor.execute(
                    "select pgq.next_batch('ocr', 'worker')"
                ).fetchone()
                if row is None or row[0] is None:
                    break
                events = cursor.execute(
                    "select ev_data from pgq.get_batch_events($1)", row
                ).fetchall()
                cursor.execute(
                    peers.STORE_MANY,
                    [
                        [document for (document,) in events],
                        [session.text() for _ in events],
                    ],
                )
                cursor.execute("select pgq.finish_batch($1)", row)
            session.count(len(events))
        await session.stopped()


@dataclass(frozen=True)
class PgQ:
    """Whole batches, stored in the transaction that finishes them."""

    name: str = f"PgQ, one consumer, batches of {BATCH}"
    kind: str = "peer"
    version: str = _version()
    note: str = (
        f"One consumer, as PgQ has it, whatever the number of workers; {BATCH} events "
        "between two ticks (ticker_max_count); the results in the transaction of "
        "finish_batch(). The extension on Debian's server, elsewhere its functions in "
        "PL/pgSQL (pgq_pl_only.sql of the same package)."
    )

    def unavailable(self, server: Server) -> str | None:
        if _has_extension(server.dsn()) or PL_ONLY:
            return None
        return "Debian's package postgresql-15-pgq3 is not installed"

    def install(self, dsn: str) -> None:
        peers.install(dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            if _has_extension(dsn):
                connection.execute("create extension pgq")
            else:
                connection.execute(PL_ONLY[-1].read_bytes())
            connection.execute("select pgq.create_queue('ocr')")
            connection.execute("select pgq.register_consumer('ocr', 'worker')")

    def fill(self, dsn: str, documents: int) -> None:
        peers.fill(dsn, documents)
        with psycopg.connect(dsn, autocommit=True) as connection:
            (ids,) = connection.execute(
                "select array_agg(id::text) from documents"
            ).fetchone() or ([],)
            for first in range(0, documents, BATCH):
                connection.execute(
                    "select pgq.insert_event('ocr', 'store_result', id)"
                    "  from unnest(%s::text[]) as id",
                    [ids[first : first + BATCH]],
                )
                connection.execute("select pgq.force_tick('ocr')")
                connection.execute("select pgq.ticker('ocr')")
            connection.execute("vacuum analyze")

    def drain(self, dsn: str, workers: int, workload: Workload) -> float:
        started = peers.python_workers(workers, work, dsn, workload)
        return peers.drain(dsn, started, LEFT)

    def verify(self, dsn: str, documents: int) -> None:
        peers.verify(dsn, documents, LEFT)


def _has_extension(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "select from pg_available_extensions where name = 'pgq'"
        ).fetchone()
    return found is not None
