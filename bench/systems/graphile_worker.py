"""graphile-worker: a job queue for Node.js with a local queue and joint completions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, LiteralString

from bench.systems import peers

if TYPE_CHECKING:
    from bench.harness import Workload
    from ocr_guardrails.embedded import Server

# As many as its documentation's own configuration for throughput.
LOCAL_QUEUE = 500
LEFT: LiteralString = "select count(*) from graphile_worker._private_jobs"
_SPEC: LiteralString = (
    "('store_result', {}, null, null, null, null, null, null)::graphile_worker.job_spec"
)
# Its SQL interface, as its documentation has it for a large number of jobs.
FILL: LiteralString = (
    "select count(*) from graphile_worker.add_jobs(array(select "
    + _SPEC.format("json_build_object('document', id)")
    + " from documents))"
)
ENQUEUE: LiteralString = (
    "select graphile_worker.add_job('store_result',"
    " json_build_object('document', $1::uuid, 'due', $2::bigint))"
)


@dataclass(frozen=True)
class GraphileWorker:
    """One result stored at a time, in its handler."""

    name: str = "graphile-worker"
    kind: str = "peer"
    version: str = peers.node_version("graphile-worker")
    note: str = (
        f"localQueue of {LOCAL_QUEUE} and completeJobBatchDelay 0, from the page on "
        f"performance of its documentation; {peers.CONCURRENCY} handlers at a time in "
        "each worker, with the clients of its own pool."
    )

    def unavailable(self, server: Server) -> str | None:
        return peers.node_missing("graphile-worker")

    def install(self, dsn: str) -> None:
        peers.install(dsn)
        peers.node_run(
            "graphile_worker.mjs",
            {"mode": "install", "connection": peers.address(dsn), "concurrency": 1},
        )

    def fill(self, dsn: str, documents: int) -> None:
        peers.fill(dsn, documents, FILL)

    def drain(self, dsn: str, workers: int, workload: Workload) -> float:
        with peers.texts_file(workload) as texts:
            started = peers.node_workers(
                workers,
                "graphile_worker.mjs",
                dsn,
                texts,
                mode="drain",
                localQueue=LOCAL_QUEUE,
            )
            return peers.drain(dsn, started, LEFT)

    def verify(self, dsn: str, documents: int) -> None:
        peers.verify(dsn, documents, LEFT)
