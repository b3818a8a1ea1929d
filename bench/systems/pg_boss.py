"""pg-boss: a job queue for Node.js that hands whole batches to a handler."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, LiteralString

from bench import harness
from bench.systems import peers

if TYPE_CHECKING:
    from bench.harness import Workload
    from ocr_guardrails.embedded import Server

BATCH = 100
LEFT: LiteralString = (
    "select count(*) from pgboss.job where name = 'ocr' and state < 'completed'"
)


def install_listening(dsn: str) -> None:
    """Install it with a queue that notifies."""
    peers.install(dsn)
    peers.node_run(
        "pg_boss.mjs",
        {"mode": "install", "connection": peers.address(dsn), "timed": True},
    )


def enqueue(dsn: str) -> LiteralString:
    """The statement that its send() runs, with a job's data as two parameters."""
    sent = peers.node_run(
        "pg_boss.mjs", {"mode": "statement", "connection": peers.address(dsn)}
    )
    data = (
        "json_build_array(json_build_object('data',"
        " json_build_object('document', $1::uuid, 'due', $2::bigint)))"
    )
    statement: str = json.loads(sent)
    if statement.count("$1::text::json") != 1 or "$2" in statement:
        raise ValueError(f"pg-boss sends another statement than expected: {statement}")
    return statement.replace("$1::text::json", data)


@dataclass(frozen=True)
class PgBoss:
    """Its batch handler: together in one statement, or each result by itself."""

    together: bool = True
    kind: str = "peer"
    version: str = peers.node_version("pg-boss")
    name: str = field(init=False)
    note: str = field(init=False)

    def __post_init__(self) -> None:
        many = f"batches of {BATCH}" if self.together else "one result at a time"
        how = (
            "whose results one statement stores, in the transaction that completes "
            "them (transactional)"
            if self.together
            else f"whose results are stored one by one, over {peers.CONCURRENCY} "
            "connections, before the batch is completed"
        )
        object.__setattr__(self, "name", f"pg-boss, {many}")
        object.__setattr__(
            self,
            "note",
            f"A queue with a partition of its own, batchSize {BATCH}, "
            f"burstWhenBatchFull, localConcurrency {self.local}; batches {how}.",
        )

    @property
    def local(self) -> int:
        """Batches that one worker process has in hand at a time."""
        return 1 if self.together else 2

    def unavailable(self, server: Server) -> str | None:
        return peers.node_missing("pg-boss")

    def install(self, dsn: str) -> None:
        peers.install(dsn)
        peers.node_run(
            "pg_boss.mjs", {"mode": "install", "connection": peers.address(dsn)}
        )

    def fill(self, dsn: str, documents: int) -> None:
        peers.fill(dsn, documents)
        peers.node_run(
            "pg_boss.mjs", {"mode": "fill", "connection": peers.address(dsn)}
        )
        harness.vacuum_analyze(dsn)

    def drain(self, dsn: str, workers: int, workload: Workload) -> float:
        with peers.texts_file(workload) as texts:
            started = peers.node_workers(
                workers,
                "pg_boss.mjs",
                dsn,
                texts,
                mode="drain together" if self.together else "drain",
                batch=BATCH,
                local=self.local,
            )
            return peers.drain(dsn, started, LEFT)

    def verify(self, dsn: str, documents: int) -> None:
        peers.verify(dsn, documents, LEFT)
