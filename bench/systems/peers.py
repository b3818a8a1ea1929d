"""What the peers' modules share: their worker processes and their statements.

A peer's worker is a process that connects, says that it is ready, waits, works, and
counts the results that its handlers have stored. The clock stops when the queue itself
says that no job is left, which is asked only after the last handler has returned: a
peer is charged neither for its shutdown nor for questions on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, LiteralString, Protocol, cast
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench import harness
from bench.harness import Workload
from bench.systems.handwritten import APART

# Handlers that run at a time in one worker process on Node.js, and the connections that
# they share. Here and in the Python peers, chosen by trial: what was fastest with four
# workers on two cores.
CONCURRENCY = 8

# The plain statement of a handler: the primary key alone says what it may write.
_STORE: LiteralString = (
    "update documents set ocr_status = 'completed', ocr_text = {},"
    " ocr_confidence = 91.5, ocr_word_count = 301, ocr_processing_time_ms = 1200,"
    " ocr_completed_at = now(), updated_at = now()"
)
STORE_ONE: LiteralString = _STORE.format("$2::text") + " where id = $1::uuid"
STORE_MANY: LiteralString = (
    _STORE.format("result.ocr_text")
    + " from unnest($1::uuid[], $2::text[]) as result (id, ocr_text)"
    + " where documents.id = result.id"
)

# Seconds without a single result after which the workers are taken to hang.
PATIENCE = 60.0
# Seconds between two looks at the workers, and at a queue whose handlers are done.
LOOK = 0.002

NODE = Path(__file__).with_name("node")

Starts = list[tuple[int | str, int]]


class Stuck(Exception):
    """Workers died or made no progress; the message says how far they got."""


class Worker(Protocol):
    """A started worker process, seen from the benchmark."""

    @property
    def starts(self) -> Starts:
        """Once it has ended: the jobs, and when their handlers began (nanoseconds)."""

    def wait_ready(self) -> None:
        """Return when it is connected. Raises Stuck if it dies before."""

    def go(self) -> None:
        """Let it work."""

    def counted(self) -> int:
        """How many results its handlers have stored. Raises Stuck if it died."""

    def stop(self) -> None:
        """End it, and wait until it has ended."""


# --- workers in Python ----------------------------------------------------------------


@dataclass(slots=True)
class Session:
    """The conversation with the benchmark, seen from a worker process."""

    dsn: str
    number: int
    workload: Workload
    options: dict[str, Any]
    pipe: Connection
    counter: Any  # a shared integer that this process alone writes
    starts: Starts = field(default_factory=list)
    texts: int = 0

    @property
    def is_timed(self) -> bool:
        """Whether the time from a job's making to its start is what is measured.

        The worker is then to run before it says that it is ready.
        """
        return bool(self.options.get("timed"))

    async def start(self) -> None:
        """Say that everything is connected, and wait for the start."""
        self.pipe.send("ready")
        await asyncio.to_thread(self.pipe.recv)

    async def stopped(self) -> None:
        """Wait until the benchmark has seen enough."""
        await asyncio.to_thread(self.pipe.recv)

    def text(self) -> str:
        """The next text of this worker; no two alike, in any worker."""
        self.texts += 1
        return self.workload.text(self.number * APART + self.texts)

    def count(self, results: int = 1) -> None:
        """Count results that are stored."""
        self.counter.value += results

    def started(self, job: int | str) -> None:
        """Note that a job's handler begins; a job is known by when it was due."""
        self.starts.append((job, time.monotonic_ns()))


Target = Callable[[Session], Awaitable[None]]


def _serve(target: Target, session: Session) -> None:
    async def call() -> None:
        await target(session)

    if importlib.util.find_spec("uvloop") is None:
        asyncio.run(call())
    else:
        import uvloop

        uvloop.run(call())
    session.pipe.send(session.starts)


class PythonWorker:
    """A worker process that runs an asynchronous function."""

    def __init__(
        self,
        target: Target,
        dsn: str,
        number: int,
        workload: Workload,
        options: dict[str, Any],
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        self._pipe, theirs = context.Pipe()
        self._counter = context.Value("q", 0, lock=False)
        session = Session(dsn, number, workload, options, theirs, self._counter)
        self.starts: Starts = []
        self._process = context.Process(
            target=_serve, args=(target, session), daemon=True
        )
        self._process.start()
        theirs.close()

    def wait_ready(self) -> None:
        if not self._pipe.poll(PATIENCE):
            raise Stuck("a worker did not connect")
        try:
            self._pipe.recv()
        except EOFError:
            raise Stuck("a worker died before it was ready") from None

    def go(self) -> None:
        self._pipe.send("go")

    def counted(self) -> int:
        if not self._process.is_alive():
            raise Stuck(f"a worker ended with exit code {self._process.exitcode}")
        return cast(int, self._counter.value)

    def stop(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._pipe.send("stop")
            if self._pipe.poll(20):
                self.starts = self._pipe.recv()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def python_workers(
    workers: int, target: Target, dsn: str, workload: Workload, **options: Any
) -> list[Worker]:
    """Start worker processes that run ``target``, a function of a module."""
    return [
        PythonWorker(target, dsn, number, workload, options)
        for number in range(workers)
    ]


# --- workers on Node.js ---------------------------------------------------------------


def node() -> Path | None:
    """The program: of this virtual environment, else of the system."""
    found = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which(
        "node"
    )
    return Path(found) if found else None


def node_missing(package: str) -> str | None:
    """What to install where this package of npm cannot run, or None."""
    program = node()
    if program is None:
        return "Node.js is not installed: pip install 'ocr-guardrails[bench]'"
    answer = subprocess.run([program, "--version"], capture_output=True, check=False)
    if tuple(map(int, answer.stdout.strip(b"v\n").split(b".")[:2])) < (22, 18):
        return f"Node.js {answer.stdout.decode().strip()} is too old: 22.18 is needed"
    if not (NODE / "node_modules" / package).is_dir():
        return f"{package} is not installed: npm ci --prefix bench/systems/node"
    return None


def node_version(package: str) -> str:
    """The version of a package that bench/systems/node/package.json asks for."""
    wanted = json.loads((NODE / "package.json").read_text("utf-8"))
    return str(wanted["dependencies"][package])


def node_run(script: str, options: dict[str, Any]) -> str:
    """Run a script of bench/systems/node to its end, and return what it said.

    Raises Stuck if it fails.
    """
    worker = NodeWorker(script, options)
    worker.wait_ended()
    return worker.said


class NodeWorker:
    """A worker process that runs a script of bench/systems/node."""

    def __init__(self, script: str, options: dict[str, Any]) -> None:
        program = node()
        assert program is not None
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self._process = subprocess.Popen(
            [program, NODE / script, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            bufsize=1,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("PG")},
                "NODE_ENV": "production",
            },
        )
        self._ready = threading.Event()
        self._counted = 0
        self.said = ""
        self.starts: Starts = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, rest = line.partition(" ")
            if word == "count":
                self._counted += int(rest)
            elif word == "starts":
                self.starts = [(due, began) for due, began in json.loads(rest)]
            elif word == "said":
                self.said = rest
            elif word.strip() == "ready":
                self._ready.set()

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()

    def _dead(self) -> Stuck:
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return Stuck(f"a worker ended with {self._process.returncode}: {lines[-3:]}")

    def wait_ready(self) -> None:
        until = time.monotonic() + PATIENCE
        while not self._ready.wait(0.05):
            if self._process.poll() is not None:
                raise self._dead()
            if time.monotonic() > until:
                raise Stuck("a worker did not connect")

    def wait_ended(self) -> None:
        """Return when it has done all it had to. Raises Stuck if it fails."""
        try:
            if self._process.wait(PATIENCE) != 0:
                raise self._dead()
        finally:
            self.stop()

    def go(self) -> None:
        self._say("go")

    def counted(self) -> int:
        if self._process.poll() is not None:
            raise self._dead()
        return self._counted

    def stop(self) -> None:
        self._say("stop")
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


@contextlib.contextmanager
def texts_file(workload: Workload) -> Iterator[Path]:
    """The bodies of the texts, for workers in another language.

    As in the Python workers, a text is its number, a blank, and the body that the
    number points to.
    """
    bodies = [workload.text(number).partition(" ")[2] for number in range(200)]
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(bodies, file)
        file.flush()
        yield Path(file.name)


def node_workers(
    workers: int, script: str, dsn: str, texts: Path, **options: Any
) -> list[Worker]:
    """Start worker processes that run a script of bench/systems/node."""
    return [
        NodeWorker(
            script,
            {
                "connection": address(dsn),
                "texts": str(texts),
                "first": number * APART,
                "concurrency": CONCURRENCY,
                "storeOne": STORE_ONE,
                "storeMany": STORE_MANY,
                **options,
            },
        )
        for number in range(workers)
    ]


# --- addresses ------------------------------------------------------------------------


def address(dsn: str) -> dict[str, Any]:
    """The connection string in the parts that asyncpg and node-postgres take."""
    parts = conninfo_to_dict(dsn)
    return {
        "host": str(parts.get("host") or "localhost"),
        "port": int(parts.get("port") or 5432),
        "user": str(parts.get("user") or "postgres"),
        "database": str(parts["dbname"]),
    }


def url(dsn: str) -> str:
    """The connection string as a URL."""
    parts = address(dsn)
    return (
        f"postgres://{parts['user']}@{quote(parts['host'], safe='')}:{parts['port']}"
        f"/{parts['database']}"
    )


# --- runs -----------------------------------------------------------------------------


@contextlib.contextmanager
def at_work(workers: Sequence[Worker]) -> Iterator[None]:
    """Wait until all are ready, and end them whatever happens."""
    try:
        for worker in workers:
            worker.wait_ready()
        yield
    finally:
        for worker in workers:
            worker.stop()


def drain(dsn: str, workers: Sequence[Worker], left: LiteralString) -> float:
    """Let the workers go, and return the seconds until no job is left.

    ``left`` is a query for the number of unfinished jobs, if need be bounded by 1.
    """
    with psycopg.connect(dsn, autocommit=True) as connection, at_work(workers):
        documents = _count(
            connection, "select count(*) from documents where ocr_status = 'pending'"
        )
        began = time.monotonic()
        for worker in workers:
            worker.go()
        seen, moved = 0, began
        while (stored := sum(worker.counted() for worker in workers)) < documents:
            now = time.monotonic()
            if stored != seen:
                seen, moved = stored, now
            elif now - moved > PATIENCE:
                raise Stuck(f"{stored} of {documents} results, then nothing")
            time.sleep(LOOK)
        moved = time.monotonic()
        while _count(connection, left):
            if time.monotonic() - moved > PATIENCE:
                raise Stuck("every result is stored, but jobs are left")
            time.sleep(LOOK)
        return time.monotonic() - began


def install(dsn: str) -> None:
    """Make the documents of an application."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        harness.create_documents(connection, harness.best_compression(connection))


def fill(dsn: str, documents: int, *enqueue: LiteralString) -> None:
    """Make documents, and their jobs by these statements."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        harness.fill_documents(connection, documents)
        for statement in enqueue:
            connection.execute(statement)
    harness.vacuum_analyze(dsn)


def verify(dsn: str, documents: int, left: LiteralString) -> None:
    """Raise AssertionError unless every document has a text and no job is left."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        harness.verify_documents(connection, documents)
        harness.verify_empty(connection, left)


def _count(connection: psycopg.Connection[Any], query: LiteralString) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return cast(int, row[0])


def missing(*modules: str) -> str | None:
    """What to install where one of these modules is not, or None."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed: pip install 'ocr-guardrails[bench]'"
    return None


def version(distribution: str) -> str:
    """The installed version of a distribution, or ''."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
