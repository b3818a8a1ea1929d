"""What the reference worker costs beside OCR itself, its heartbeats, its memory.

The engine reads nothing: it answers at once with the next text of the workload. What is
left is the worker's own share of a document: claim, read a tiny file, hash it, decode
it, offer the result. Beside it stand the same calls of the driver in a bare loop, with
the same batch size and the same texts, without files, events, leases to keep or
threads.

Runs have a process of their own, so that CPU time and memory are the client's alone.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import resource
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import psycopg
from PIL import Image

from bench import harness
from bench.systems import guarded, handwritten
from ocr_guardrails import Guardrails, Job
from ocr_guardrails.engines import PageText
from ocr_guardrails.pages import PageLimits, read_file
from ocr_guardrails.worker import Event, EventKind, Worker, WorkerOptions, recognise

Table = dict[str, Any]

FILES = 100
#: How many leases a worker holds at a time.
LEASES = (1, 16, 100)
#: The default of the setting, in seconds. A heartbeat comes after a third of it.
DEFAULT_LEASE = 300
#: The lease of the worker that holds leases, in seconds: a hundredth of the default.
SHORT_LEASE = 3
#: The memory after the last document against that after the first fifth.
FLAT = 1.05

CALLS = "calls alone"
#: How many threads of a worker; none for the calls in a loop.
WAYS = {CALLS: 0, "worker, 1 thread": 1, "worker, 4 threads": 4}


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    #: Documents of a run by batch size.
    documents: dict[int, int]
    #: Repetitions of a single call.
    calls: int
    #: Seconds for which leases are held.
    hold: float
    #: Documents over which the memory is watched.
    watched: int


QUICK = Size(2, {1: 400, 100: 3_000}, 300, 3, 5_000)
FULL = Size(5, {1: 4_000, 10: 8_000, 100: 20_000}, 5_000, 30, 100_000)


# -- what is worked on -----------------------------------------------------------------


class NoOp:
    """An engine that knows the text of the next page, whatever the page."""

    name = "bench"
    version = "1"

    def __init__(self, workload: harness.Workload, numbers: Iterator[int]) -> None:
        self._workload = workload
        self._numbers = numbers

    def recognize(self, image: Image.Image) -> PageText:
        """The next text."""
        del image
        text = self._workload.text(next(self._numbers))
        return PageText(text, handwritten.CONFIDENCE)


class Held(NoOp):
    """One that stays in its first page until it is let go."""

    def __init__(self) -> None:
        super().__init__(harness.Workload(), itertools.count())
        self.reached = threading.Event()
        self.go = threading.Event()

    def recognize(self, image: Image.Image) -> PageText:
        """The next text, later."""
        self.reached.set()
        self.go.wait()
        return super().recognize(image)


@dataclass(frozen=True)
class Files:
    """Tiny images in a folder: 0.pgm, 1.pgm, …; their hashes in that order."""

    folder: Path
    hashes: tuple[str, ...]

    @classmethod
    def make(cls, folder: Path) -> Files:
        """Write them."""
        hashes = []
        for number in range(FILES):
            buffer = BytesIO()
            Image.new("L", (8, 8), number).save(buffer, "PPM")
            (folder / f"{number}.pgm").write_bytes(buffer.getvalue())
            hashes.append(hashlib.sha256(buffer.getvalue()).hexdigest())
        return cls(folder, tuple(hashes))

    def fill(self, dsn: str, documents: int) -> None:
        """Make a backlog of documents that share the files."""
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "insert into documents (filename, file_path, file_hash)"
                " select f.name, %(folder)s || '/' || f.name, f.hash"
                " from generate_series(1, %(documents)s) as g"
                " cross join lateral (select (g %% %(files)s) || '.pgm',"
                "     (%(hashes)s::text[])[g %% %(files)s + 1]) as f (name, hash)",
                {
                    "folder": str(self.folder),
                    "documents": documents,
                    "files": FILES,
                    "hashes": list(self.hashes),
                },
            )
            guard = Guardrails(connection)
            while guard.enqueue_pending_documents(10_000):
                pass
        harness.vacuum_analyze(dsn)


# -- in a process of its own -----------------------------------------------------------


def apart(target: Callable[..., Any], *args: Any) -> Any:
    """What a function of this module answers in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(target, *args).result()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _never_stops(_page: int, _pages: int) -> None:
    """The checkpoint of a worker that has nothing to check."""


def read_files(folder: Path, count: int) -> tuple[float, float]:
    """Seconds and CPU seconds of the part of a document that needs no database."""
    engine = NoOp(harness.Workload(), itertools.count())
    limits = PageLimits()
    began, cpu = time.monotonic(), _cpu()
    for number in range(-1, count):
        if number == 0:  # the first one has imported and made what all need
            began, cpu = time.monotonic(), _cpu()
        data = read_file(str(folder / f"{number % FILES}.pgm"), limits)
        recognise(data, engine, limits, _never_stops)
    return time.monotonic() - began, _cpu() - cpu


def run_calls(dsn: str, batch: int, _folder: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of claim and result, and nothing else."""
    workload = harness.Workload()
    workload.text(0)
    spent: list[float] = []

    def ready() -> None:
        spent.extend((time.monotonic(), _cpu()))

    guarded.work_many(0, ready, dsn, workload, batch)
    return time.monotonic() - spent[0], _cpu() - spent[1]


def run_worker(dsn: str, batch: int, folder: Path, threads: int) -> tuple[float, float]:
    """The same of the reference worker, until its last result was written."""
    read_files(folder, 0)
    numbers = itertools.count()
    last = 0.0

    def note(event: Event) -> None:
        nonlocal last
        if event.kind is EventKind.WRITTEN:
            last = time.monotonic()

    worker = Worker(
        lambda: psycopg.connect(dsn),
        lambda: NoOp(harness.Workload(), numbers),
        WorkerOptions(worker_id="bench", threads=threads, batch_size=batch, drain=True),
        on_event=note,
    )
    began, cpu = time.monotonic(), _cpu()
    worker.run()
    return last - began, _cpu() - cpu


def watch_memory(dsn: str, folder: Path, documents: int) -> list[tuple[int, int]]:
    """How many documents were written, and the resident bytes then; 100 times."""
    read_files(folder, 0)
    numbers = itertools.count()
    page = os.sysconf("SC_PAGE_SIZE")
    step = max(1, documents // 100)
    written = 0
    samples: list[tuple[int, int]] = []

    def note(event: Event) -> None:
        nonlocal written
        if event.kind is EventKind.WRITTEN:
            written += 1
            if written % step == 0:
                pages = Path("/proc/self/statm").read_text().split()[1]
                samples.append((written, int(pages) * page))

    Worker(
        lambda: psycopg.connect(dsn),
        lambda: NoOp(harness.Workload(), numbers),
        WorkerOptions(worker_id="bench", threads=4, batch_size=100, drain=True),
        on_event=note,
    ).run()
    return samples


def repeat_call(dsn: str, name: str, count: int) -> tuple[float, float]:
    """Seconds and CPU seconds of one call of the driver, or of the same without it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        guard = Guardrails(connection)
        wanted = int(name.rpartition(" ")[2]) if name.startswith("extend") else 1
        jobs = guard.claim_ocr_jobs("bench", wanted)
        if len(jobs) != wanted:
            raise AssertionError(f"{len(jobs)} jobs instead of {wanted}")
        call = _call(connection, guard, name, jobs)
        for _ in range(10):  # plans become generic after five executions
            call()
        began, cpu = time.monotonic(), _cpu()
        for _ in range(count):
            call()
        spent = time.monotonic() - began, _cpu() - cpu
        for job in jobs:
            guard.release_ocr_job(job.document_id, job.lease_token)
    return spent


def _call(
    connection: psycopg.Connection[Any],
    guard: Guardrails,
    name: str,
    jobs: Sequence[Job],
) -> Callable[[], object]:
    ids = [job.document_id for job in jobs]
    tokens = [job.lease_token for job in jobs]
    if name.startswith("extend_ocr_leases"):
        return lambda: guard.extend_ocr_leases(ids, tokens)
    if name == "report_ocr_progress":
        return lambda: guard.report_ocr_progress(ids[0], tokens[0], 1, 2)
    stranger = uuid.uuid4()
    if name == "refused call, through the driver":
        return lambda: guard.release_ocr_job(ids[0], stranger)
    return lambda: connection.execute(
        "select release_ocr_job(%s, %s)", [ids[0], stranger], prepare=True
    ).fetchone()


REFUSED = "refused call, psycopg alone"
DRIVEN = "refused call, through the driver"
PROGRESS = "report_ocr_progress"
EXTEND = "extend_ocr_leases of"


# -- measuring -------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """Of one document or one call: microseconds of time, and of CPU on both sides."""

    seconds: float
    client: float
    server: float

    @classmethod
    def of(cls, spent: tuple[float, float], server: float, count: int) -> Cost:
        """From the seconds of a whole run."""
        seconds, client = spent
        return cls(*(1e6 * part / count for part in (seconds, client, server)))


class Bench:
    """A server with the package installed, and the files of all documents."""

    def __init__(self, server: harness.Server, size: Size, folder: Path) -> None:
        self._server = server
        self._size = size
        self._files = Files.make(folder)
        guarded.install(harness.make_database(server, "bench_template"), "record", None)

    def _backlog(self, documents: int) -> str:
        dsn = harness.make_database(self._server, "bench_run", "bench_template")
        self._files.fill(dsn, documents)
        return dsn

    def documents(self) -> dict[int, dict[str, list[Cost]]]:
        """By batch size and way, a cost per document for each round."""
        costs: dict[int, dict[str, list[Cost]]] = {}
        for batch, documents in self._size.documents.items():
            costs[batch] = {way: [] for way in WAYS}
            for turn in range(1, self._size.rounds + 1):
                for way, threads in WAYS.items():
                    dsn = self._backlog(documents)
                    folder = self._files.folder
                    with harness.spending(self._server) as spent:
                        took = (
                            apart(run_worker, dsn, batch, folder, threads)
                            if threads
                            else apart(run_calls, dsn, batch, folder)
                        )
                    guarded.verify(dsn, documents)
                    cost = Cost.of(took, spent.cpu_seconds, documents)
                    costs[batch][way].append(cost)
                    harness.say(
                        f"round {turn}/{self._size.rounds}, batches of {batch}, {way}: "
                        f"{cost.seconds:,.0f} µs a document"
                    )
        return costs

    def files(self) -> Cost:
        """Of a document's part that needs no database."""
        count = self._size.calls
        return Cost.of(apart(read_files, self._files.folder, count), 0.0, count)

    def calls(self) -> dict[str, list[Cost]]:
        """Of single calls, for each round."""
        names = [REFUSED, DRIVEN, PROGRESS]
        names += [f"{EXTEND} {leases}" for leases in LEASES]
        costs: dict[str, list[Cost]] = {name: [] for name in names}
        dsn = self._backlog(max(LEASES))
        for _ in range(self._size.rounds):
            for name in names:
                leases = name.rpartition(" ")[2]
                count = self._size.calls
                if leases.isdigit():
                    count = max(20, count // int(leases))
                with harness.spending(self._server) as spent:
                    took = apart(repeat_call, dsn, name, count)
                costs[name].append(Cost.of(took, spent.cpu_seconds, count))
            harness.say(f"single calls: {len(costs[names[-1]])}/{self._size.rounds}")
        return costs

    def held(self) -> dict[int, dict[str, dict[str, float]]]:
        """CPU shares of client and server, in per cent of a core, by leases held."""
        shares: dict[int, dict[str, dict[str, float]]] = {}
        for leases in LEASES:
            shares[leases] = {}
            for heartbeats in (True, False):
                dsn = self._backlog(leases)
                shares[leases]["with" if heartbeats else "without"] = self._hold(
                    dsn, leases, heartbeats
                )
            harness.say(f"{leases} leases held for {self._size.hold:g} seconds")
        return shares

    def _hold(self, dsn: str, leases: int, heartbeats: bool) -> dict[str, float]:
        """The shares of a worker that holds leases and waits for a page.

        In this process, which does nothing else meanwhile.
        """
        engine = Held()
        worker = Worker(
            lambda: psycopg.connect(dsn),
            lambda: engine,
            WorkerOptions(
                worker_id="bench",
                batch_size=leases,
                # without heartbeats the short one would expire
                lease=timedelta(seconds=SHORT_LEASE if heartbeats else DEFAULT_LEASE),
                heartbeats=heartbeats,
            ),
        )
        running = threading.Thread(target=worker.run)
        running.start()
        try:
            if not engine.reached.wait(60):
                raise TimeoutError("the worker has not begun")
            with harness.spending(self._server) as spent:
                began, cpu = time.monotonic(), _cpu()
                time.sleep(self._size.hold)
                seconds, client = time.monotonic() - began, _cpu() - cpu
        finally:
            worker.stop()
            engine.go.set()
            running.join()
        done = worker.summary
        if done.lost or done.written + done.released != leases:
            raise AssertionError(f"{leases} leases were held: {done}")
        return {
            "client": 100 * client / seconds,
            "server": 100 * spent.cpu_seconds / seconds,
        }

    def memory(self) -> list[tuple[int, int]]:
        """Documents written, and the resident bytes then."""
        documents = self._size.watched
        dsn = self._backlog(documents)
        harness.say(f"memory: {documents:,} documents")
        samples: list[tuple[int, int]] = apart(
            watch_memory, dsn, self._files.folder, documents
        )
        guarded.verify(dsn, documents)
        return samples


# -- telling ---------------------------------------------------------------------------


def _median(costs: Sequence[Cost], part: str) -> float:
    return float(statistics.median(getattr(cost, part) for cost in costs))


def _range(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def document_table(costs: dict[int, dict[str, list[Cost]]], files: Cost) -> Table:
    """The cost of a document."""
    rows: list[list[object]] = []
    for batch, ways in costs.items():
        for way, samples in ways.items():
            pairs = zip(samples, ways[CALLS], strict=True)
            ratios = [sample.seconds / calls.seconds for sample, calls in pairs]
            rows.append(
                [
                    f"{way}, batches of {batch}" if batch > 1 else f"{way}, one job",
                    *(
                        round(_median(samples, part))
                        for part in ("seconds", "client", "server")
                    ),
                    "" if way == CALLS else _range(ratios),
                ]
            )
    return {
        "title": "Cost of a document beside OCR itself",
        "note": "Microseconds a document, medians; the engine answers at once. "
        f"“{CALLS}” is claim_ocr_jobs() and update_ocr_batch_safe() through the driver "
        "in a loop; the ratio is of the same round. The worker also reads, hashes and "
        "decodes each file, which for the tiny images used here takes "
        f"{files.seconds:.0f} µs without any database. Offers run beside the reading, "
        "and what is finished meanwhile is offered together: therefore it may take "
        "less time and less of the server than the calls one after the other.",
        "columns": ["", "time", "client CPU", "server CPU", "time ÷ calls alone"],
        "rows": rows,
    }


def call_table(costs: dict[str, list[Cost]]) -> Table:
    """The cost of single calls."""
    return {
        "title": "Cost of single calls",
        "note": "Microseconds a call, medians, one after the other on one connection. "
        "The refused call, release_ocr_job() under a lease token that is nobody's, "
        "shows what the driver adds to psycopg. report_ocr_progress() is called before "
        "each page but the first of a document with several; extend_ocr_leases() is "
        "the heartbeat, one call for all leases of a worker.",
        "columns": ["", "time", "client CPU", "server CPU"],
        "rows": [
            [
                name,
                *(
                    round(_median(samples, part))
                    for part in ("seconds", "client", "server")
                ),
            ]
            for name, samples in costs.items()
        ],
    }


def heartbeat_table(
    calls: dict[str, list[Cost]],
    held: dict[int, dict[str, dict[str, float]]],
) -> Table:
    """What heartbeats take of a core."""
    rows: list[list[object]] = []
    for leases, shares in held.items():
        samples = calls[f"{EXTEND} {leases}"]
        beat = _median(samples, "client") + _median(samples, "server")
        rows.append(
            [
                f"{leases} leases" if leases > 1 else "1 lease",
                f"{100 * beat / 1e6 / (DEFAULT_LEASE / 3):.5f} %",
                *(
                    f"{shares[way][side]:.2f} %"
                    for side in ("client", "server")
                    for way in ("with", "without")
                ),
            ]
        )
    return {
        "title": "Share of heartbeats",
        "note": "Of one core. With the default lease of "
        f"{DEFAULT_LEASE} s the share follows from the cost of a call, which comes "
        f"every {DEFAULT_LEASE // 3} s. Beside it a worker that held the leases and "
        f"waited, with a lease of only {SHORT_LEASE} s, and the same one without "
        "heartbeats: its threads, its listening connection and an idle server.",
        "columns": [
            "held",
            f"default lease, both sides, of {DEFAULT_LEASE // 3} s",
            f"client, lease of {SHORT_LEASE} s",
            "client, none",
            f"server, lease of {SHORT_LEASE} s",
            "server, none",
        ],
        "rows": rows,
    }


def slope(samples: Sequence[tuple[int, int]]) -> float:
    """Bytes that each document adds, by least squares."""
    documents, sizes = zip(*samples, strict=True)
    return float(statistics.linear_regression(documents, sizes).slope)


def memory_table(samples: Sequence[tuple[int, int]]) -> tuple[Table, dict[str, Any]]:
    """The worker's memory, and the target."""
    settled = samples[len(samples) // 5 - 1 :]
    first, last = settled[0][1], settled[-1][1]
    most = max(size for _, size in samples)
    documents = samples[-1][0]
    table = {
        "title": "Memory",
        "note": f"Resident memory of one worker with 4 threads over {documents:,} "
        "documents, in batches of 100, looked at 100 times; the slope by least squares "
        "after the first fifth.",
        "columns": [
            "documents",
            "after the first fifth, MB",
            "at the end, MB",
            "most, MB",
            "bytes per document",
        ],
        "rows": [
            [
                f"{documents:,}",
                *(f"{size / 1e6:.1f}" for size in (first, last, most)),
                f"{slope(settled):.2f}",
            ]
        ],
    }
    target = {
        "what": f"memory of the worker after {documents:,} documents, against after "
        "the first fifth",
        "limit": f"≤ {FLAT}",
        "measured": f"{last / first:.3f}",
        "met": last / first <= FLAT,
    }
    return table, target


def measure(server: harness.Server, size: Size, folder: Path) -> dict[str, Any]:
    """All of it; ``folder`` is where the files may lie."""
    bench = Bench(server, size, folder)
    files, documents = bench.files(), bench.documents()
    calls, held, samples = bench.calls(), bench.held(), bench.memory()
    memory, target = memory_table(samples)
    return {
        "tables": [
            document_table(documents, files),
            call_table(calls),
            heartbeat_table(calls, held),
            memory,
        ],
        "targets": [target],
        "documents": documents,
        "files": files,
        "calls": calls,
        "held": held,
        "memory": samples,
    }


@click.command()
@harness.common_options
def command(quick: bool, output: Path | None, bin_dir: Path | None) -> None:
    """The reference worker with an engine that does nothing."""
    size = QUICK if quick else FULL
    with (
        tempfile.TemporaryDirectory(prefix="bench-worker-") as folder,
        harness.running_server(bin_dir) as server,
    ):
        environment = harness.environment(server)
        results = measure(server, size, Path(folder))
    options = {"quick": quick, **asdict(size)}
    harness.write_json(output, harness.result("worker", options, environment, results))
