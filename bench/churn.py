"""A queue at full rate while a transaction elsewhere is held open.

As long as some transaction keeps its snapshot (a forgotten session, a dump, a report),
nothing that is deleted goes away: a claim that looks for the oldest pending job meets
the index entries of all that were claimed since. The hand-written queue stands beside
ours, each in a database of its own with its own held transaction, and they work in
turns, a few seconds each. A producer adds as many documents as were finished, so that
the backlog stays as it is.

Before, while the transaction is open, after it has ended and VACUUM ran: what counts
is a phase's rate against the rate before. Every phase begins with a checkpoint, so that
none has more page images to write than another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from traceback import format_exc
from typing import Any, Protocol

import click
import psycopg

from bench import harness
from bench.harness import Figure, Workload
from bench.systems import guarded, handwritten
from bench.systems.handwritten import CONFIDENCE, MILLISECONDS
from ocr_guardrails import Guardrails, Outcome, Result

Connection = psycopg.Connection[Any]
#: Works off one batch: how many documents, and the seconds that its claim took.
Step = Callable[[], tuple[int, float]]
#: Adds so many documents with their jobs.
Produce = Callable[[int], None]

WORKERS = 4
#: How often the producer looks, in seconds, and the least and the most that it adds in
#: a transaction.
PRODUCER_PAUSE = 0.02
PRODUCER_LEAST = 20
PRODUCER_MOST = 1000
BEFORE, AFTER = "before", "after"
#: The first and the last fifth of the time for which the transaction is open.
HELD_EARLY, HELD_LATE = "held, early", "held, late"
PHASES = (BEFORE, HELD_EARLY, HELD_LATE, AFTER)
LIMITS = {HELD_LATE: 0.7, AFTER: 0.95}


class Counter(Protocol):
    """A number that processes share."""

    value: int

    def get_lock(self) -> Any:
        """A context manager."""


@dataclass(frozen=True)
class Size:
    """How long each system works in each phase; seconds."""

    #: A turn.
    turn: float
    before: float
    held: float
    after: float
    #: Jobs waiting at any time.
    backlog: int


QUICK = Size(1, 2, 5, 2, 20_000)
FULL = Size(5, 60, 600, 60, 20_000)


@dataclass(frozen=True)
class Turn:
    """What a system did in one turn."""

    phase: str
    #: Seconds for which it has worked in this phase, at the end of the turn.
    at: float
    documents: int
    seconds: float
    claims_ms: list[float] = field(repr=False)
    #: Index entries of the queue that were read, live and dead.
    entries: int

    @property
    def rate(self) -> float:
        """Documents per second."""
        return self.documents / self.seconds


# --- the two ways ---------------------------------------------------------------------


def handwritten_step(
    connection: Connection, name: str, batch: int, workload: Workload, first: int
) -> Step:
    """Two statements for the claim and two for the result, one by one or as arrays."""
    done = first

    def step() -> tuple[int, float]:
        nonlocal done
        began = time.perf_counter()
        with connection.transaction():
            jobs = connection.execute(handwritten.CLAIM_MANY, [name, batch]).fetchall()
            documents = [document for _, document in jobs]
            connection.execute(handwritten.MARK_MANY, [documents]).fetchall()
        claimed = time.perf_counter() - began
        texts = [workload.text(done + offset) for offset in range(len(jobs))]
        done += len(jobs)
        with connection.transaction():
            connection.execute(
                handwritten.STORE_MANY,
                [
                    documents,
                    texts,
                    [CONFIDENCE] * len(jobs),
                    [workload.word_count] * len(jobs),
                    [MILLISECONDS] * len(jobs),
                ],
            )
            connection.execute(handwritten.FINISH_MANY, [[job for job, _ in jobs]])
        return len(jobs), claimed

    def step_one() -> tuple[int, float]:
        nonlocal done
        began = time.perf_counter()
        with connection.transaction():
            job = connection.execute(handwritten.CLAIM_ONE, [name]).fetchone()
            if job is not None:
                connection.execute(handwritten.MARK_ONE, [job[1]]).fetchone()
        claimed = time.perf_counter() - began
        if job is None:
            return 0, claimed
        text = workload.text(done)
        done += 1
        with connection.transaction():
            connection.execute(
                handwritten.STORE_ONE,
                [text, CONFIDENCE, workload.word_count, MILLISECONDS, job[1]],
            )
            connection.execute(handwritten.FINISH_ONE, [job[0]])
        return 1, claimed

    return step_one if batch == 1 else step


def guarded_step(
    connection: Connection, name: str, batch: int, workload: Workload, first: int
) -> Step:
    """Through the driver: a claim and its results, alone or as a batch."""
    guard = Guardrails(connection)
    done = first

    def step() -> tuple[int, float]:
        nonlocal done
        began = time.perf_counter()
        jobs = guard.claim_ocr_jobs(name, batch)
        claimed = time.perf_counter() - began
        results = [
            Result(
                document_id=job.document_id,
                expected_filename=job.filename,
                ocr_text=workload.text(done + offset),
                confidence=CONFIDENCE,
                word_count=workload.word_count,
                processing_time_ms=MILLISECONDS,
                lease_token=job.lease_token,
                source_hash=job.file_hash,
                engine=guarded.ENGINE,
            )
            for offset, job in enumerate(jobs)
        ]
        done += len(jobs)
        if batch == 1:
            for result in results:
                write_one(result)
        elif results:
            for answer in guard.update_ocr_batch_safe(results):
                if answer.outcome != Outcome.WRITTEN:
                    raise AssertionError(f"refused: {answer}")
        return len(jobs), claimed

    def write_one(result: Result) -> None:
        written = guard.update_ocr_safe(
            result.document_id,
            result.expected_filename,
            result.ocr_text,
            result.confidence,
            result.word_count,
            result.processing_time_ms,
            lease_token=result.lease_token,
            source_hash=result.source_hash,
            engine=result.engine,
        )
        if not written:
            raise AssertionError(f"refused: {result.document_id}")

    return step


_UPLOAD = """
insert into documents (filename, file_hash)
select 'scan-' || g || '.pdf', encode(sha256(uuid_send(gen_random_uuid())), 'hex')
from generate_series(1, %s) as g
returning id
"""


def handwritten_produce(connection: Connection) -> Produce:
    """An upload: documents and their jobs in one transaction."""

    def produce(documents: int) -> None:
        with connection.transaction():
            rows = connection.execute(_UPLOAD, [documents]).fetchall()
            connection.execute(
                "insert into ocr_queue (document_id, created_at)"
                " select id, clock_timestamp() from unnest(%s::uuid[]) as d (id)",
                [[document for (document,) in rows]],
            )

    return produce


def guarded_produce(connection: Connection) -> Produce:
    """The same through the driver."""
    guard = Guardrails(connection)

    def produce(documents: int) -> None:
        with connection.transaction():
            rows = connection.execute(_UPLOAD, [documents]).fetchall()
            guard.enqueue_ocr_jobs([document for (document,) in rows])

    return produce


# --- processes ------------------------------------------------------------------------


def _serve(pipe: Pipe, take_turn: Callable[[float], Any]) -> None:
    """Take a turn of so many seconds whenever one is asked for; None is the end."""
    try:
        pipe.send(("ready", None))
        while (seconds := pipe.recv()) is not None:
            pipe.send(("done", take_turn(seconds)))
    except BaseException:
        pipe.send(("failed", format_exc()))


def _worker(
    pipe: Pipe,
    number: int,
    dsn: str,
    kind: str,
    batch: int,
    workload: Workload,
    finished: Counter,
) -> None:
    make = handwritten_step if kind == "baseline" else guarded_step
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
        step = make(
            connection,
            f"worker-{number}",
            batch,
            workload,
            number * handwritten.APART,
        )

        def take_turn(seconds: float) -> tuple[int, float, list[float]]:
            began = time.monotonic()
            documents, claims = 0, []
            while time.monotonic() < began + seconds:
                count, claimed = step()
                if not count:
                    time.sleep(PRODUCER_PAUSE)
                    continue
                documents += count
                claims.append(1000 * claimed)
                with finished.get_lock():
                    finished.value += count
            return documents, time.monotonic() - began, claims

        _serve(pipe, take_turn)


def _producer(pipe: Pipe, dsn: str, kind: str, finished: Counter) -> None:
    make = handwritten_produce if kind == "baseline" else guarded_produce
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
        produce = make(connection)
        added = 0

        def take_turn(seconds: float) -> None:
            nonlocal added
            end = time.monotonic() + seconds
            while True:
                missing = finished.value - added
                if missing >= PRODUCER_LEAST:
                    portion = min(missing, PRODUCER_MOST)
                    produce(portion)
                    added += portion
                elif time.monotonic() < end:
                    time.sleep(PRODUCER_PAUSE)
                else:
                    # The next turn begins with the whole backlog.
                    return

        _serve(pipe, take_turn)


class Crew:
    """A system at work: its database, its workers and its producer."""

    def __init__(self, server: harness.Server, kind: str, batch: int) -> None:
        self.kind = kind
        self.batch = batch
        how = "one at a time" if batch == 1 else f"batches of {batch}"
        who = "handwritten" if kind == "baseline" else "guarded"
        self.name = f"{who}, {how}"
        self.turns: list[Turn] = []
        self.sizes: dict[str, dict[str, dict[str, int]]] = {}
        self._dsn = harness.make_database(server, f"churn_{who}_{batch}")
        self._pipes: list[Pipe] = []
        self._children: list[Any] = []
        self._worked: dict[str, float] = {}
        self._holder: Connection | None = None

    def install(self, backlog: int) -> None:
        """The schema, and so many jobs that wait."""
        if self.kind == "baseline":
            handwritten.install(self._dsn, None)
            handwritten.fill(self._dsn, backlog)
        else:
            guarded.install(self._dsn, "record", None)
            guarded.fill(self._dsn, backlog)

    def start(self, workload: Workload) -> None:
        """Workers and producer connect; they do nothing yet."""
        context = get_context("forkserver")
        context.set_forkserver_preload(["psycopg", "bench.churn"])
        # Kept: its memory would be given to the next one.
        self._finished = finished = context.Value("q", 0)
        jobs: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (_producer, (self._dsn, self.kind, finished))
        ]
        for number in range(WORKERS):
            arguments = (number, self._dsn, self.kind, self.batch, workload, finished)
            jobs.append((_worker, arguments))
        for target, arguments in jobs:
            ours, theirs = context.Pipe()
            child = context.Process(
                target=target, args=(theirs, *arguments), daemon=True
            )
            child.start()
            theirs.close()
            self._pipes.append(ours)
            self._children.append(child)
        for pipe in self._pipes:
            _answer(pipe, "ready", harness.TIMEOUT)

    def stop(self) -> None:
        """End the processes and the held transaction."""
        for pipe, child in zip(self._pipes, self._children, strict=True):
            if child.is_alive():
                pipe.send(None)
            child.join(10)
            if child.is_alive():
                child.terminate()
            pipe.close()
        if self._holder is not None:
            self._holder.close()

    def work(self, phase: str, seconds: float) -> None:
        """One turn."""
        entries = self._entries()
        for pipe in self._pipes:
            pipe.send(seconds)
        answers = [_answer(p, "done", seconds + harness.TIMEOUT) for p in self._pipes]
        worked = [answer for answer in answers if answer is not None]
        longest = max(elapsed for _, elapsed, _ in worked)
        self._worked[phase] = self._worked.get(phase, 0) + longest
        self.turns.append(
            Turn(
                phase=phase,
                at=self._worked[phase],
                documents=sum(documents for documents, _, _ in worked),
                seconds=longest,
                claims_ms=[ms for _, _, claims in worked for ms in claims],
                entries=self._entries() - entries,
            )
        )

    def hold(self) -> None:
        """Open the transaction whose snapshot keeps everything that is dead."""
        self._holder = psycopg.connect(self._dsn)
        self._holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._holder.execute("select count(*) from ocr_queue")

    def let_go(self) -> None:
        """End it."""
        assert self._holder is not None
        self._holder.rollback()
        self._holder.close()
        self._holder = None

    def vacuum(self) -> None:
        """What autovacuum would do, now."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute("vacuum (analyze)")

    def measure(self, when: str) -> None:
        """Keep the sizes of tables and indexes."""
        self.sizes[when] = harness.relation_sizes(self._dsn)

    def _entries(self) -> int:
        # The sessions report their counts when they have been idle for a moment.
        time.sleep(0.05)
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            row = connection.execute(
                "select coalesce(sum(idx_tup_read), 0)::bigint"
                " from pg_stat_user_indexes where relname = 'ocr_queue'"
            ).fetchone()
        assert row is not None
        return int(row[0])

    # -- figures -----------------------------------------------------------------------

    def of(self, phase: str) -> list[Turn]:
        """The turns of a phase."""
        return [turn for turn in self.turns if turn.phase == phase]

    def rate(self, phase: str) -> Figure:
        """Documents per second, of the turns of a phase."""
        figure = harness.figure(turn.rate for turn in self.of(phase))
        assert figure is not None
        return figure

    def ratio(self, phase: str) -> Figure:
        """The rates of a phase against the median rate before."""
        before = self.rate(BEFORE).median
        figure = harness.figure(turn.rate / before for turn in self.of(phase))
        assert figure is not None
        return figure

    def claims(self, phase: str) -> list[float]:
        """Milliseconds of every claim of a phase."""
        return [ms for turn in self.of(phase) for ms in turn.claims_ms]

    def entries_per_claim(self, phase: str) -> float:
        """Index entries of the queue read per claim and its completion."""
        turns = self.of(phase)
        return sum(turn.entries for turn in turns) / max(1, len(self.claims(phase)))


def _answer(pipe: Pipe, expected: str, patience: float) -> Any:
    if not pipe.poll(patience):
        raise TimeoutError(f"a process hangs before {expected!r}")
    word, value = pipe.recv()
    if word != expected:
        raise RuntimeError(f"a process: {word}, not {expected}:\n{value}")
    return value


# --- the run --------------------------------------------------------------------------


def run(
    server: harness.Server, crews: Sequence[Crew], size: Size, workload: Workload
) -> None:
    """All phases of all systems, in turns."""
    for crew in crews:
        crew.install(size.backlog)
        crew.start(workload)
        # Plans, caches and the first pages of every index.
        crew.work("warm-up", max(1.0, size.turn))
        crew.measure("before")

    def phase(name: str, seconds: float) -> None:
        harness.say(f"{name}: {seconds:g} s for each of {len(crews)}")
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("checkpoint")
        for turn in range(max(1, round(seconds / size.turn))):
            # Nobody always comes first.
            for crew in crews if turn % 2 == 0 else crews[::-1]:
                crew.work(name, size.turn)

    phase(BEFORE, size.before)
    for crew in crews:
        crew.hold()
    phase(HELD_EARLY, size.held / 5)
    phase("held", size.held * 3 / 5)
    phase(HELD_LATE, size.held / 5)
    for crew in crews:
        crew.measure("held")
        crew.let_go()
    for crew in crews:
        crew.vacuum()
    phase(AFTER, size.after)
    for crew in crews:
        crew.measure("after")


# --- the result -----------------------------------------------------------------------


def rate_table(crews: Sequence[Crew]) -> dict[str, Any]:
    """Rates of all phases against the one before."""
    rows = []
    for crew in crews:
        row: list[str] = [crew.name, f"{crew.rate(BEFORE).median:,.0f}"]
        for phase in PHASES[1:]:
            row.append(f"{crew.rate(phase).median:,.0f}")
            row.append(f"{crew.ratio(phase).median:.2f}")
        rows.append(row)
    return {
        "title": "Documents per second, and against before",
        "note": "Medians over turns. Early and late: the first and the last fifth of"
        " the time for which the transaction was open. After: it has ended and VACUUM"
        " ran. Finished documents stay, so every phase has more of them than the last.",
        "columns": [
            "system",
            "before",
            "held, early",
            "ratio",
            "held, late",
            "ratio",
            "after",
            "ratio",
        ],
        "rows": rows,
    }


def claim_table(crews: Sequence[Crew]) -> dict[str, Any]:
    """What a claim took, and how much it had to read."""
    rows = []
    for crew in crews:
        for phase in PHASES:
            claims = crew.claims(phase)
            if not claims:
                continue
            rows.append(
                [
                    crew.name,
                    phase,
                    *(f"{harness.percentile(claims, p):.2f}" for p in (0.5, 0.99)),
                    f"{max(claims):.1f}",
                    round(crew.entries_per_claim(phase)),
                ]
            )
    return {
        "title": "Claims",
        "note": "As the client sees them, in milliseconds. Entries: of the queue's"
        " indexes, live and dead, that the claim and the completion of its jobs read.",
        "columns": ["system", "phase", "p50", "p99", "longest", "entries"],
        "rows": rows,
    }


def size_table(crews: Sequence[Crew]) -> dict[str, Any]:
    """Sizes of the two tables before, at the end of the held transaction, after."""
    rows = []
    for crew in crews:
        for table in ("ocr_queue", "documents"):
            cells = []
            for when in ("before", "held", "after"):
                parts = crew.sizes[when].get(table, {"table": 0, "indexes": 0})
                cells += [
                    f"{parts['table'] / 1e6:.1f}",
                    f"{parts['indexes'] / 1e6:.1f}",
                ]
            rows.append([crew.name, table, *cells])
    return {
        "title": "Sizes of tables and of their indexes, MB",
        "note": "The finished documents stay; the queue is as long as before.",
        "columns": [
            "system",
            "table",
            "before",
            "indexes",
            "held",
            "indexes",
            "after",
            "indexes",
        ],
        "rows": rows,
    }


def _targets(crews: Sequence[Crew]) -> list[dict[str, Any]]:
    targets = []
    for crew in crews:
        if crew.kind == "baseline":
            continue
        for phase, limit in LIMITS.items():
            ratio = crew.ratio(phase)
            beside = next(
                other.ratio(phase)
                for other in crews
                if other.kind == "baseline" and other.batch == crew.batch
            )
            targets.append(
                {
                    "what": f"{crew.name}: rate {phase} against before"
                    f" (handwritten: {beside.median:.2f})",
                    "limit": f"≥ {limit}",
                    "measured": f"{ratio.median:.2f}"
                    f" ({ratio.least:.2f}–{ratio.greatest:.2f})",
                    "met": round(ratio.median, 2) >= limit,
                }
            )
    return targets


def chart(crews: Sequence[Crew]) -> dict[str, Any]:
    """The rate that is left at the end of the held transaction."""
    return {
        "name": "churn",
        "title": "Rate under a transaction held open, against before",
        "unit": "share of the rate before",
        "bars": [
            {"label": crew.name, "kind": crew.kind, **asdict(crew.ratio(HELD_LATE))}
            for crew in crews
        ],
    }


def _system(crew: Crew) -> dict[str, Any]:
    """Everything that was measured of a system, but for each single claim."""
    return {
        "name": crew.name,
        "kind": crew.kind,
        "sizes": crew.sizes,
        "turns": [
            {
                "phase": turn.phase,
                "at": round(turn.at, 1),
                "documents": turn.documents,
                "seconds": round(turn.seconds, 3),
                "claim_p50_ms": round(harness.percentile(turn.claims_ms, 0.5), 3),
                "claim_p99_ms": round(harness.percentile(turn.claims_ms, 0.99), 3),
                "entries": turn.entries,
            }
            for turn in crew.turns
            if turn.claims_ms
        ],
    }


def measure(
    server: harness.Server, size: Size, batches: Sequence[int]
) -> dict[str, Any]:
    """Both ways with each of the batches."""
    with ExitStack() as stack:
        crews = []
        for batch in batches:
            for kind in ("baseline", "guarded"):
                crew = Crew(server, kind, batch)
                stack.callback(crew.stop)
                crews.append(crew)
        run(server, crews, size, Workload())
    return {
        "tables": [rate_table(crews), claim_table(crews), size_table(crews)],
        "targets": _targets(crews),
        "charts": [chart(crews)],
        "systems": [_system(crew) for crew in crews],
    }


@click.command()
@harness.common_options
@click.option("--seconds", type=float, help="Of the held transaction, for each system.")
@click.option(
    "--batch",
    "batches",
    type=int,
    multiple=True,
    default=(1, 100),
    show_default=True,
    help="How many jobs a claim takes; repeatable.",
)
def command(
    quick: bool,
    output: Path | None,
    bin_dir: Path | None,
    seconds: float | None,
    batches: tuple[int, ...],
) -> None:
    """Full rate while a transaction elsewhere is held open."""
    size = QUICK if quick else FULL
    if seconds is not None:
        size = replace(size, held=seconds)
    with harness.running_server(bin_dir) as server:
        environment = harness.environment(server)
        results = measure(server, size, batches)
    options = {
        "quick": quick,
        "workers": WORKERS,
        "batches": list(batches),
        **asdict(size),
    }
    harness.write_json(output, harness.result("churn", options, environment, results))
