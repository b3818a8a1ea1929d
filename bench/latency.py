"""From a job's making to the start of its handler, with hardly anything else to do.

A producer makes 50 jobs a second by a fixed timetable (an open loop: it never waits for
a worker), and the handler notes when it begins. The time runs from the moment at which
the job was due to be made, so it holds the enqueuing call and its commit, the
notification, the claim, and a producer's own delay. Handlers store a result, as in the
throughput runs, but the workers are idle most of the time: what is measured is how soon
they wake up, not how fast they work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, LiteralString, cast

import click
import psycopg

from bench import harness
from bench.harness import Server, System, Workload
from bench.systems import (
    awa,
    graphile_worker,
    peers,
    pg_boss,
    pgqueuer,
    procrastinate,
)
from ocr_guardrails import Job
from ocr_guardrails.engines import PageText
from ocr_guardrails.migrate import migrate
from ocr_guardrails.pages import PageLimits
from ocr_guardrails.worker import Recognition, Steps, Worker, WorkerOptions

#: Jobs per second, and worker processes.
RATE = 50
WORKERS = 4
#: Seconds at the same rate before those that count: plans, caches, just-in-time code.
WARM_UP = 2.0
#: Seconds after the last job was made in which all must have started.
PATIENCE = 30.0

Start = Callable[[str, int, Workload, Path], list[peers.Worker]]


# --- ours -----------------------------------------------------------------------------


class _NoEngine:
    """Reads nothing."""

    name = "bench"
    version = "1"

    def recognize(self, image: object) -> PageText:
        raise NotImplementedError


async def work(session: peers.Session) -> None:
    """Run the reference worker; only reading a file's text is put in its place."""

    def fetch(job: Job, _limits: PageLimits) -> bytes:
        session.started(str(job.document_id))
        return (job.file_hash or "").encode()

    def recognise(source_hash: bytes, *_: object) -> Recognition:
        session.count()
        return Recognition(
            text=session.text(),
            confidence=91.5,
            word_count=session.workload.word_count,
            pages=1,
            source_hash=source_hash.decode(),
            engine="bench 1",
            processing_time_ms=1200,
        )

    worker = Worker(
        lambda: psycopg.connect(session.dsn),
        _NoEngine,
        WorkerOptions(worker_id=f"worker-{session.number}"),
        steps=Steps(fetch=fetch, recognise=recognise),
    )
    running = asyncio.create_task(asyncio.to_thread(worker.run))
    await session.start()
    await session.stopped()
    worker.stop()
    await running


@dataclass(frozen=True)
class Ours:
    """The package and its reference worker."""

    name: str = "reference worker"
    kind: str = "guarded"
    version: str = ""
    note: str = (
        "One thread in each worker, one job a claim (the defaults); LISTEN on the "
        "channel that every enqueue notifies."
    )

    def unavailable(self, _server: Server) -> str | None:
        return None

    def install(self, dsn: str) -> None:
        migrate(dsn)


# --- candidates -----------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """A system, how a job is made ($1 document, $2 due), and its workers' start."""

    system: Any  # what a System has of name, kind, version, note, unavailable, install
    enqueue: Callable[[str], LiteralString]
    start: Start
    #: Whether the handler names the document, not the time it was due.
    by_document: bool = False


def _python(target: peers.Target) -> Start:
    def start(
        dsn: str, workers: int, workload: Workload, _texts: Path
    ) -> list[peers.Worker]:
        return peers.python_workers(workers, target, dsn, workload, timed=True)

    return start


def _node(script: str, **options: Any) -> Start:
    def start(
        dsn: str, workers: int, _workload: Workload, texts: Path
    ) -> list[peers.Worker]:
        return peers.node_workers(workers, script, dsn, texts, timed=True, **options)

    return start


@dataclass(frozen=True)
class _Listening:
    """A peer in the configuration that wakes up soonest, where that is another."""

    peer: System
    name: str
    note: str
    install: Callable[[str], None]

    @property
    def kind(self) -> str:
        return self.peer.kind

    @property
    def version(self) -> str:
        return self.peer.version

    def unavailable(self, server: Server) -> str | None:
        return self.peer.unavailable(server)


def candidates() -> list[Candidate]:
    """Ours, and every peer that can wake its workers up."""
    return [
        Candidate(
            Ours(),
            # No second parameter would leave its type unknown.
            lambda _: "select enqueue_ocr_job($1::uuid) where $2::bigint > 0",
            _python(work),
            by_document=True,
        ),
        Candidate(
            procrastinate.Procrastinate(),
            lambda _: procrastinate.ENQUEUE,
            _python(procrastinate.work),
        ),
        Candidate(
            pgqueuer.PgQueuer(), lambda _: pgqueuer.ENQUEUE, _python(pgqueuer.work)
        ),
        Candidate(awa.Awa(), lambda _: awa.ENQUEUE, _python(awa.work)),
        Candidate(
            _Listening(
                graphile_worker.GraphileWorker(),
                "graphile-worker",
                f"{peers.CONCURRENCY} handlers at a time in each worker; no local "
                "queue, which its documentation has for throughput.",
                graphile_worker.GraphileWorker().install,
            ),
            lambda _: graphile_worker.ENQUEUE,
            _node("graphile_worker.mjs"),
        ),
        Candidate(
            _Listening(
                pg_boss.PgBoss(together=False),
                "pg-boss",
                "useListenNotify, and a queue with notify; one job a batch.",
                pg_boss.install_listening,
            ),
            pg_boss.enqueue,
            _node("pg_boss.mjs", mode="drain", batch=1, local=peers.CONCURRENCY),
        ),
    ]


# --- one run --------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """One system in one round; milliseconds, of the jobs after the warm-up."""

    round: int
    jobs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    #: Of the enqueuing call alone, as the producer sees it.
    enqueue_p50_ms: float
    #: The server's CPU per job, microseconds; polling while idle is in it.
    cpu_per_job: float


@dataclass
class Measured:
    """What became of a system: its samples, or why there are none."""

    name: str
    kind: str
    version: str
    note: str
    unavailable: str | None = None
    samples: list[Sample] = field(default_factory=list)


@dataclass(frozen=True)
class _Made:
    """A job that the producer made; nanoseconds of the monotonic clock."""

    document: str
    due: int
    took: int


def _documents(dsn: str, number: int) -> list[str]:
    """Documents to make jobs for."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        harness.fill_documents(connection, number)
        ids = [
            cast(str, identifier)
            for (identifier,) in connection.execute("select id::text from documents")
        ]
    harness.vacuum_analyze(dsn)
    return ids


def _produce(
    dsn: str, statement: LiteralString, documents: Sequence[str]
) -> list[_Made]:
    """Make a job for each document, 50 a second by the timetable."""
    made = []
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
        cursor = psycopg.RawCursor(connection)
        began = time.monotonic_ns() + 100_000_000
        for number, document in enumerate(documents):
            due = began + number * 1_000_000_000 // RATE
            if (left := due - time.monotonic_ns()) > 0:
                time.sleep(left / 1e9)
            called = time.monotonic_ns()
            cursor.execute(statement, [document, due])
            made.append(_Made(document, due, time.monotonic_ns() - called))
    return made


def _await_all(workers: Sequence[peers.Worker], jobs: int) -> None:
    until = time.monotonic() + PATIENCE
    while (counted := sum(worker.counted() for worker in workers)) < jobs:
        if time.monotonic() > until:
            raise peers.Stuck(f"{counted} of {jobs} jobs were done")
        time.sleep(0.05)


def run(
    server: Server,
    candidate: Candidate,
    dsn: str,
    turn: int,
    seconds: float,
    workers: int = WORKERS,
) -> Sample:
    """Start the workers, make the jobs, and see when each began.

    Raises Stuck when workers die or jobs are not started.
    """
    warm_up = round(WARM_UP * RATE)
    jobs = warm_up + round(seconds * RATE)
    documents = _documents(dsn, jobs)
    workload = Workload()
    with peers.texts_file(workload) as texts:
        started = candidate.start(dsn, workers, workload, texts)
        with peers.at_work(started):
            for worker in started:
                worker.go()
            cpu = harness.server_cpu(server)
            made = _produce(dsn, candidate.enqueue(dsn), documents)
            _await_all(started, jobs)
            cpu = harness.server_cpu(server) - cpu
    begun = {key: began for worker in started for key, began in worker.starts}
    latencies = [
        (begun[job.document if candidate.by_document else job.due] - job.due) / 1e6
        for job in made[warm_up:]
    ]

    def share(value: float) -> float:
        return round(harness.percentile(latencies, value), 3)

    return Sample(
        round=turn,
        jobs=len(latencies),
        p50_ms=share(0.5),
        p90_ms=share(0.9),
        p99_ms=share(0.99),
        max_ms=share(1),
        enqueue_p50_ms=round(
            harness.percentile([job.took / 1e6 for job in made[warm_up:]], 0.5), 3
        ),
        cpu_per_job=round(1e6 * cpu / jobs, 1),
    )


def measure(
    server: Server, chosen: Sequence[Candidate], rounds: int, seconds: float
) -> list[Measured]:
    """Run A B C, A B C, …; a system that fails is left out from then on."""
    measured = []
    ready: list[tuple[Candidate, Measured, str]] = []
    for number, candidate in enumerate(chosen):
        system = candidate.system
        result = Measured(system.name, system.kind, system.version, system.note)
        result.unavailable = system.unavailable(server)
        if result.unavailable is None:
            template = f"bench_template_{number}"
            try:
                system.install(harness.make_database(server, template))
                ready.append((candidate, result, template))
            except Exception as error:
                result.unavailable = harness.describe(error)
        measured.append(result)
    for turn in range(1, rounds + 1):
        for candidate, result, template in ready:
            if result.unavailable is None:
                try:
                    dsn = harness.make_database(server, "bench_run", template)
                    sample = run(server, candidate, dsn, turn, seconds)
                except Exception as error:
                    result.unavailable = harness.describe(error)
                else:
                    result.samples.append(sample)
                    harness.say(
                        f"round {turn}/{rounds}, {result.name}: "
                        f"p50 {sample.p50_ms:.2f} ms, p99 {sample.p99_ms:.2f} ms, "
                        f"max {sample.max_ms:.2f} ms"
                    )
    for result in measured:
        if result.unavailable is not None:
            harness.say(f"{result.name}: left out: {result.unavailable}")
    harness.drop_database(server, "bench_run")
    return measured


@click.command()
@harness.common_options
@click.option("--rounds", type=int, help="Default: 3; quick: 1.")
@click.option("--seconds", type=float, help="Of each run; default: 20, quick: 7.")
@click.option("--only", multiple=True, metavar="TEXT", help="Names that begin so.")
def command(
    quick: bool,
    output: Path | None,
    bin_dir: Path | None,
    rounds: int | None,
    seconds: float | None,
    only: tuple[str, ...],
) -> None:
    """Time from a job's making to its start, at 50 jobs a second."""
    rounds = rounds or (1 if quick else 3)
    seconds = seconds or (7.0 if quick else 20.0)
    chosen = [
        candidate
        for candidate in candidates()
        if not only or candidate.system.name.startswith(only)
    ]
    with harness.running_server(bin_dir) as server:
        environment = harness.environment(server)
        measured = measure(server, chosen, rounds, seconds)
    harness.write_json(
        output,
        harness.result(
            "latency",
            {
                "quick": quick,
                "rate": RATE,
                "workers": WORKERS,
                "rounds": rounds,
                "seconds": seconds,
                "warm_up": WARM_UP,
            },
            environment,
            [asdict(each) for each in measured],
        ),
    )


if __name__ == "__main__":
    command()
