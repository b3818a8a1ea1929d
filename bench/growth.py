"""What a call costs when there is much more in the tables.

Two databases of one server, one with little in it and one with much, take turns; each
call is compared with itself in the other database, in the same round. What counts is
the server's time inside the function (``track_functions``), not the round trip, which
would hide growth; for views and reports it is the server's time for the statement.

Reports over whole tables are compared with one sequential scan of the same tables that
tests every column that the report needs.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, LiteralString

import click
import psycopg
from psycopg import sql

from bench import harness
from bench.harness import Figure, Workload
from bench.systems.handwritten import CONFIDENCE, MILLISECONDS
from ocr_guardrails import Guardrails, Job, Outcome, Result
from ocr_guardrails.migrate import migrate

Connection = psycopg.Connection[Any]
#: Puts something into a new database.
Fill = Callable[[str, Connection], None]
#: Milliseconds of each repetition, by what was called.
Times = dict[str, list[float]]

BATCH = 100
FEW_PENDING = 1_000
FEW_FINISHED = 10_000
#: Pending beside the finished documents, and beside the jobs that wait.
PENDING = 2_000
#: In processing while a monitor polls.
HELD = 100
#: Documents that one transaction of the loading writes.
CHUNK = 100_000
PAGES = 200
#: A server process for each core loads documents.
LOADERS = 2

CLAIM_ONE, CLAIM_MANY = "claim of 1", f"claim of {BATCH}"
WRITE_ONE, WRITE_MANY = "write of 1", f"write of {BATCH}"
FAIL, EXTEND_ONE, EXTEND_MANY = (
    "failure of 1",
    "extension of 1",
    f"extension of {BATCH}",
)

#: What a monitor polls.
POLLED: Mapping[str, LiteralString] = {
    "ocr_queue_overview": "select * from ocr_queue_overview",
    "ocr_worker_activity": "select * from ocr_worker_activity",
    "ocr_processing_rate": "select * from ocr_processing_rate",
    "ocr_recent_failures": "select * from ocr_recent_failures",
    "ocr_recent_incidents": "select * from ocr_recent_incidents",
    "find_stuck_ocr_jobs()": "select * from find_stuck_ocr_jobs(30)",
}

#: Every column that the report needs, tested as cheaply as can be. All of it is true of
#: nearly every row: no test spares the scan the next one.
SCANS: Mapping[str, Sequence[LiteralString]] = {
    "validate_database_consistency()": (
        "select count(*) from documents as d where d.ocr_status is not null"
        " and d.ocr_text is not null and d.ocr_confidence is not null"
        " and d.ocr_word_count is not null and d.ocr_lease_token is null"
        " and d.ocr_source_hash is not distinct from d.file_hash"
        " and d.ocr_text_hash is not null and d.updated_at is not null"
        " and d.id is not null",
        "select count(*) from ocr_queue as q where q.document_id is not null"
        " and q.status is not null and q.attempts < q.max_attempts"
        " and q.created_at is not null and q.id is not null",
    ),
    "refresh_ocr_stats()": (
        "select count(*) from documents as d where d.ocr_status is not null"
        " and d.ocr_confidence is not null and d.ocr_word_count is not null"
        " and d.ocr_processing_time_ms is not null and d.created_at is not null"
        " and d.updated_at is not null",
    ),
}
REPORTS: Mapping[str, LiteralString] = {
    "validate_database_consistency()": "select * from validate_database_consistency()",
    "refresh_ocr_stats()": "select refresh_ocr_stats()",
}


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    #: Repetitions of a single call, and of a batch, in a round.
    singles: int
    batches: int
    #: Pending jobs, of which there are few in the other database.
    pending: int
    #: Jobs of a higher priority that wait out a backoff, against none.
    waiting: int
    #: Finished documents, against few.
    finished: int


QUICK = Size(3, 20, 5, 50_000, 20_000, 100_000)
FULL = Size(9, 40, 8, 1_000_000, 100_000, 5_000_000)


# --- what is in the tables ------------------------------------------------------------


def add_pending(connection: Connection, documents: int) -> None:
    """Documents that wait, and their jobs, in portions as an upload has them."""
    left = documents
    while left:
        portion = min(left, CHUNK)
        with connection.transaction():
            connection.execute(
                "insert into documents (filename, file_hash)"
                " select 'scan-' || g || '.pdf', encode(sha256(uuid_send("
                "     gen_random_uuid())), 'hex')"
                " from generate_series(1, %s) as g",
                [portion],
            )
            Guardrails(connection).enqueue_pending_documents(portion)
        left -= portion


def add_waiting(connection: Connection, jobs: int) -> None:
    """Jobs of a higher priority, each to be tried again within the coming hours."""
    add_pending(connection, jobs)
    connection.execute(
        "update ocr_queue as q set priority = 9, attempts = 1,"
        "     run_after = now() + interval '1 hour' + random() * interval '10 hours'"
        " where q.status = 'pending'"
    )


def add_finished(dsn: str, documents: int, workload: Workload) -> None:
    """Finished documents with texts and their history, of the last two years."""
    starts = iter(range(0, documents, CHUNK))
    lock = threading.Lock()

    def load() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("create temporary table page (n integer, body text)")
            with connection.cursor().copy("copy page from stdin") as copy:
                for number in range(PAGES):
                    # Without the number that it begins with.
                    body = workload.text(number).partition(" ")[2]
                    copy.write_row((number, body))
            while True:
                with lock:
                    start = next(starts, None)
                if start is None:
                    return
                connection.execute(
                    _FINISHED,
                    {
                        "first": start,
                        "last": min(start + CHUNK, documents) - 1,
                        "all": documents,
                        "pages": PAGES,
                        "words": workload.word_count,
                        "confidence": CONFIDENCE,
                        "milliseconds": MILLISECONDS,
                    },
                )

    with ThreadPoolExecutor(LOADERS) as pool:
        for future in [pool.submit(load) for _ in range(LOADERS)]:
            future.result()


_FINISHED = """
with
finished as (
    insert into documents (
        filename, file_hash, ocr_status, ocr_text, ocr_confidence, ocr_word_count,
        ocr_processing_time_ms, ocr_engine, ocr_source_hash, ocr_completed_at,
        ocr_result_token, ocr_claims, created_at, updated_at
    )
    select
        'scan-' || g.n || '.pdf', h.hash, 'completed', g.n || ' ' || p.body,
        %(confidence)s, %(words)s, %(milliseconds)s, 'bench 1', h.hash, t.at,
        gen_random_uuid(), 1, t.at, t.at
    from generate_series(%(first)s::integer, %(last)s) as g (n)
    inner join page as p on p.n = g.n %% %(pages)s
    cross join lateral (
        select encode(sha256(convert_to(g.n::text, 'UTF8')), 'hex')
    ) as h (hash)
    cross join lateral (
        -- the oldest two years, the newest two days ago
        select now() - interval '2 days'
            - (%(all)s - g.n) * (interval '728 days' / %(all)s)
    ) as t (at)
    returning id, ocr_completed_at, ocr_result_token
)
insert into ocr_job_history (
    document_id, job_id, outcome, worker_id, engine, attempt, priority, queued_at,
    started_at, finished_at, wait_ms, processing_time_ms, confidence, word_count,
    lease_token
)
select
    f.id, gen_random_uuid(), 'written', 'worker-1', 'bench 1', 1, 5,
    f.ocr_completed_at - interval '1 minute', f.ocr_completed_at - interval '2 seconds',
    f.ocr_completed_at, 58000, %(milliseconds)s, %(confidence)s, %(words)s,
    f.ocr_result_token
from finished as f
"""


# --- one database, measured -----------------------------------------------------------


class Database:
    """A database with the package and so much in it."""

    def __init__(self, dsn: str, workload: Workload, pending: int) -> None:
        self._workload = workload
        self._texts = 0
        self._pending = pending
        self.connection: Connection = psycopg.connect(dsn, autocommit=True)
        self._guard = Guardrails(self.connection)

    def cycle(self, size: Size) -> Times:
        """The calls of workers, each as often as ``size`` says; then as it was."""
        times: Times = defaultdict(list)
        for _ in range(size.singles):
            (job,) = self._timed(times, CLAIM_ONE, self._claim, 1)
            self._timed(times, EXTEND_ONE, self._extend, [job])
            self._timed(times, WRITE_ONE, self._write_one, job)
            (job,) = self._claim(1)
            self._timed(times, FAIL, self._fail, job)
        for _ in range(size.batches):
            jobs = self._timed(times, CLAIM_MANY, self._claim, BATCH)
            self._timed(times, EXTEND_MANY, self._extend, jobs)
            self._timed(times, WRITE_MANY, self._write_many, jobs)
        self._refill()
        return times

    def poll(self, repetitions: int) -> Times:
        """What a monitor polls, while some jobs are in hand."""
        held = self._guard.claim_ocr_jobs("worker", HELD)
        times: Times = defaultdict(list)
        for _ in range(repetitions):
            for name, query in POLLED.items():
                times[name].append(_statement_ms(self.connection, query))
        for job in held:
            self._guard.release_ocr_job(job.document_id, job.lease_token)
        return times

    def _timed(
        self, times: Times, name: str, call: Callable[..., Any], *args: Any
    ) -> Any:
        with self.connection.transaction():
            before = self._function_ms()
            answer = call(*args)
            times[name].append(self._function_ms() - before)
        return answer

    def _function_ms(self) -> float:
        # Of all functions, each without those that it calls. Not reported to the
        # statistics before the transaction ends, and so never reset between two looks.
        (milliseconds,) = _row(
            self.connection,
            "select coalesce(sum(self_time), 0) from pg_stat_xact_user_functions",
        )
        return float(milliseconds)

    def _claim(self, batch: int) -> list[Job]:
        jobs = self._guard.claim_ocr_jobs("worker", batch)
        if len(jobs) != batch:
            raise AssertionError(f"{batch} jobs were to be claimed, not {len(jobs)}")
        return jobs

    def _extend(self, jobs: Sequence[Job]) -> None:
        kept = self._guard.extend_ocr_leases(
            [job.document_id for job in jobs], [job.lease_token for job in jobs]
        )
        if len(kept) != len(jobs):
            raise AssertionError(f"{len(kept)} of {len(jobs)} leases were extended")

    def _fail(self, job: Job) -> None:
        self._guard.fail_ocr_job(job.document_id, job.lease_token, "unreadable")

    def _result(self, job: Job) -> Result:
        self._texts += 1
        return Result(
            document_id=job.document_id,
            expected_filename=job.filename,
            # Numbers that no finished document has.
            ocr_text=self._workload.text(1_000_000_000 + self._texts),
            confidence=CONFIDENCE,
            word_count=self._workload.word_count,
            processing_time_ms=MILLISECONDS,
            lease_token=job.lease_token,
            source_hash=job.file_hash,
            engine="bench 1",
        )

    def _write_one(self, job: Job) -> None:
        result = self._result(job)
        written = self._guard.update_ocr_safe(
            job.document_id,
            job.filename,
            result.ocr_text,
            CONFIDENCE,
            result.word_count,
            MILLISECONDS,
            lease_token=job.lease_token,
            source_hash=job.file_hash,
            engine="bench 1",
        )
        if not written:
            raise AssertionError(f"refused: {job}")

    def _write_many(self, jobs: Sequence[Job]) -> None:
        answers = self._guard.update_ocr_batch_safe([self._result(j) for j in jobs])
        if any(answer.outcome != Outcome.WRITTEN for answer in answers):
            raise AssertionError(f"refused: {answers}")

    def _refill(self) -> None:
        (due,) = _row(
            self.connection,
            "select count(*) from ocr_queue as q"
            " where q.status = 'pending' and q.priority = 5 and q.attempts = 0",
        )
        add_pending(self.connection, self._pending - due)


def _row(connection: Connection, query: LiteralString) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query).fetchone()
    assert row is not None
    return row


def _statement_ms(connection: Connection, query: LiteralString) -> float:
    """The server's time for a statement, without sending its rows."""
    (plans,) = _row(
        connection, "explain (analyze, timing off, summary on, format json) " + query
    )
    return float(plans[0]["Planning Time"] + plans[0]["Execution Time"])


# --- comparisons ----------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """One call in the small and in the large database; milliseconds."""

    comparison: str
    call: str
    limit: float | None
    small: Figure
    large: Figure
    #: Of each round, between the medians of its repetitions.
    ratio: Figure
    ratios: list[float]

    @property
    def met(self) -> bool:
        """By what is printed."""
        return self.limit is None or round(self.ratio.median, 2) <= self.limit


def compare(
    comparison: str,
    limits: Mapping[str, float | None],
    rounds: Sequence[tuple[Times, Times]],
) -> list[Compared]:
    """The rounds' times, small and large, as ratios of medians."""
    compared = []
    for call, limit in limits.items():
        small = [statistics.median(one[call]) for one, _ in rounds]
        large = [statistics.median(other[call]) for _, other in rounds]
        ratios = [a / b for a, b in zip(large, small, strict=True)]
        compared.append(
            Compared(
                comparison,
                call,
                limit,
                _figure(small),
                _figure(large),
                _figure(ratios),
                ratios,
            )
        )
    return compared


def _figure(values: Sequence[float]) -> Figure:
    figure = harness.figure(values)
    assert figure is not None
    return figure


def take_turns(
    databases: Sequence[Database],
    rounds: int,
    measure: Callable[[Database], Times],
) -> list[tuple[Times, Times]]:
    """Measure the two alternately; each round begins with the other one."""
    small, large = databases
    for database in databases:
        # Plans are cached, and pages are in memory.
        measure(database)
    taken = []
    for turn in range(rounds):
        if turn % 2:
            big, little = measure(large), measure(small)
        else:
            little, big = measure(small), measure(large)
        taken.append((little, big))
    return taken


class Bench:
    """The comparisons, one after the other, on a running server."""

    def __init__(self, server: harness.Server, size: Size, workload: Workload) -> None:
        self.server = server
        self.size = size
        self.workload = workload
        self.sizes: dict[str, dict[str, dict[str, int]]] = {}

    @contextmanager
    def filled(self, name: str, pending: int, fill: Fill) -> Iterator[Database]:
        """A database with the package, filled, vacuumed; dropped in the end."""
        harness.say(f"  {name} …")
        dsn = harness.make_database(self.server, "growth_" + name)
        try:
            migrate(dsn)
            with psycopg.connect(dsn, autocommit=True) as connection:
                fill(dsn, connection)
                add_pending(connection, pending)
            harness.vacuum_analyze(dsn)
            self.sizes[name] = harness.relation_sizes(dsn)
            database = Database(dsn, self.workload, pending)
            with database.connection:
                yield database
        finally:
            harness.drop_database(self.server, "growth_" + name)

    @contextmanager
    def _pair(
        self, small: tuple[str, int, Fill], large: tuple[str, int, Fill]
    ) -> Iterator[list[Database]]:
        """The two that take turns; no page image is owed to what filled them."""
        with ExitStack() as stack:
            databases = [stack.enter_context(self.filled(*it)) for it in (small, large)]
            with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
                connection.execute("checkpoint")
            yield databases

    def pending(self) -> list[Compared]:
        """Few pending jobs against many."""

        def nothing(_: str, __: Connection) -> None:
            return

        few, many = FEW_PENDING, self.size.pending
        with self._pair(
            ("few_pending", few, nothing), ("many_pending", many, nothing)
        ) as databases:
            rounds = take_turns(
                databases, self.size.rounds, lambda it: it.cycle(self.size)
            )
        return compare(
            f"{many:,} pending jobs against {few:,}",
            dict.fromkeys(_hot(), 1.2),
            rounds,
        )

    def waiting(self) -> list[Compared]:
        """Nobody before the due jobs against many of a higher priority, not due."""

        def nobody(_: str, __: Connection) -> None:
            return

        def many(_: str, connection: Connection) -> None:
            add_waiting(connection, self.size.waiting)

        with self._pair(
            ("none_waiting", PENDING, nobody), ("many_waiting", PENDING, many)
        ) as databases:
            rounds = take_turns(
                databases, self.size.rounds, lambda it: it.cycle(self.size)
            )
        limits: dict[str, float | None] = dict.fromkeys(_hot())
        limits |= dict.fromkeys((CLAIM_ONE, CLAIM_MANY), 1.2)
        return compare(
            f"{self.size.waiting:,} jobs of a higher priority waiting out their"
            " backoff against none",
            limits,
            rounds,
        )

    def finished(self) -> tuple[list[Compared], list[Compared]]:
        """Few finished documents against many, and the reports over the many."""

        def fill(documents: int) -> Fill:
            return lambda dsn, _: add_finished(dsn, documents, self.workload)

        few, many = FEW_FINISHED, self.size.finished
        with self._pair(
            ("few_finished", PENDING, fill(few)), ("many_finished", PENDING, fill(many))
        ) as databases:
            rounds = take_turns(
                databases, self.size.rounds, lambda it: it.cycle(self.size)
            )
            polls = take_turns(
                databases, self.size.rounds, lambda it: it.poll(self.size.batches)
            )
            harness.say("  reports …")
            reports = self._reports(databases[1].connection)
        title = f"{many:,} finished documents against {few:,}"
        return (
            compare(title, dict.fromkeys(_hot(), 1.1), rounds)
            + compare(title, dict.fromkeys(POLLED, 1.1), polls),
            reports,
        )

    def _reports(self, connection: Connection) -> list[Compared]:
        compared = []
        for processes, limit in ((0, 1.5), (2, None)):
            connection.execute(
                sql.SQL("set max_parallel_workers_per_gather = {}").format(processes)
            )
            rounds = []
            # The first brings what fits into memory.
            for turn in range(1 + max(3, self.size.rounds // 2)):
                scan: Times = {}
                report: Times = {}
                for name, query in REPORTS.items():
                    scan[name] = [self._scan_ms(connection, SCANS[name])]
                    report[name] = [_elapsed_ms(connection, query)]
                if turn:
                    rounds.append((scan, report))
            how = "one process" if not processes else "up to 3 processes"
            compared += compare(
                f"{self.size.finished:,} documents, against one sequential scan, {how}",
                dict.fromkeys(REPORTS, limit),
                rounds,
            )
        connection.execute("reset max_parallel_workers_per_gather")
        return compared

    def _scan_ms(
        self, connection: Connection, queries: Sequence[LiteralString]
    ) -> float:
        with connection.transaction():
            for way in ("indexscan", "indexonlyscan", "bitmapscan"):
                connection.execute(
                    sql.SQL("set local {} = off").format(
                        sql.Identifier(f"enable_{way}")
                    )
                )
            connection.execute("set local jit = off")
            return sum(_elapsed_ms(connection, query) for query in queries)


def _elapsed_ms(connection: Connection, query: LiteralString) -> float:
    began = time.perf_counter()
    connection.execute(query)
    return 1000 * (time.perf_counter() - began)


def _hot() -> list[str]:
    return [
        CLAIM_ONE,
        CLAIM_MANY,
        WRITE_ONE,
        WRITE_MANY,
        FAIL,
        EXTEND_ONE,
        EXTEND_MANY,
    ]


# --- the result -----------------------------------------------------------------------


def _span(figure: Figure, digits: int) -> str:
    return (
        f"{figure.median:.{digits}f}"
        f" ({figure.least:.{digits}f}–{figure.greatest:.{digits}f})"
    )


def _table(compared: Sequence[Compared], columns: tuple[str, str]) -> dict[str, Any]:
    return {
        "title": compared[0].comparison.capitalize(),
        "columns": ["call", f"{columns[0]}, ms", f"{columns[1]}, ms", "ratio"],
        "rows": [
            [it.call, _span(it.small, 3), _span(it.large, 3), _span(it.ratio, 2)]
            for it in compared
        ],
    }


def _targets(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    return [
        {
            "what": f"{it.call}: {it.comparison}",
            "limit": f"≤ {it.limit}",
            "measured": _span(it.ratio, 2),
            "met": it.met,
        }
        for it in compared
        if it.limit is not None
    ]


def size_table(sizes: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, Any]:
    """Tables and their indexes in the databases that were compared."""
    rows = [
        [
            database.replace("_", " "),
            table,
            *(f"{parts[part] / 1e6:.1f}" for part in ("table", "toast", "indexes")),
        ]
        for database, tables in sizes.items()
        for table, parts in tables.items()
        if table in ("documents", "ocr_queue", "ocr_job_history_default")
    ]
    return {
        "title": "Sizes before the calls",
        "columns": ["database", "table", "rows, MB", "texts apart, MB", "indexes, MB"],
        "rows": rows,
    }


def measure(server: harness.Server, size: Size) -> dict[str, Any]:
    """All comparisons; the server needs ``track_functions`` = all."""
    bench = Bench(server, size, Workload())
    harness.say("pending")
    pending = bench.pending()
    harness.say("waiting")
    waiting = bench.waiting()
    harness.say("finished")
    finished, reports = bench.finished()
    groups = [pending, waiting, finished]
    parallel = [it for it in reports if it.limit is None]
    serial = [it for it in reports if it.limit is not None]
    return {
        "tables": [
            *(_table(group, ("with few", "with many")) for group in groups),
            _table(serial, ("scan", "report")),
            _table(parallel, ("scan", "report")),
            size_table(bench.sizes),
        ],
        "targets": [
            target for group in [*groups, serial] for target in _targets(group)
        ],
        "compared": [asdict(it) for group in [*groups, reports] for it in group],
        "sizes": bench.sizes,
    }


@click.command()
@harness.common_options
@click.option(
    "--documents", type=int, help="Finished documents, instead of the size's."
)
def command(
    quick: bool, output: Path | None, bin_dir: Path | None, documents: int | None
) -> None:
    """Hot calls, what a monitor polls and whole-table reports, on small and large."""
    size = QUICK if quick else FULL
    if documents is not None:
        size = replace(size, finished=documents)
    with harness.running_server(bin_dir, {"track_functions": "all"}) as server:
        environment = harness.environment(server)
        results = measure(server, size)
    options = {"quick": quick, **asdict(size)}
    harness.write_json(output, harness.result("growth", options, environment, results))
