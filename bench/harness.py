"""What every measurement shares: server, texts, workers, interleaved rounds, figures.

Nothing absolute is compared. A round runs every system once, one after the other, each
on a new database with a backlog of its own; a ratio is taken between two samples of the
same round, and the median of these ratios is what counts.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, LiteralString, Protocol, Self

import click
import psycopg
from psycopg import sql

from ocr_guardrails.embedded import Server

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
DEBIAN = Path("/usr/lib/postgresql")

#: Over PostgreSQL's defaults; the same for every system.
SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    # The checkpoint before each timed run is the only one near it.
    "checkpoint_timeout": "30min",
}

#: A worker that says nothing for so long has hung (seconds).
TIMEOUT = 900

Ready = Callable[[], None]


# --- what is processed --------------------------------------------------------------


@lru_cache(maxsize=4)
def _pages(words: int, seed: int) -> tuple[str, ...]:
    """Two hundred bodies of text; what makes each text its own stands before them."""
    # Random letters would not compress as a page does, one repeated word too well.
    # Five hundred words, some much more frequent than others, do as English prose does.
    chance = random.Random(seed)
    syllables = [
        "".join(chance.choices("abdegiklmnoprstu", k=length)) for length in (2, 3) * 100
    ]
    vocabulary = [
        "".join(chance.choices(syllables, k=chance.choice((2, 2, 2, 2, 3, 3))))
        for _ in range(500)
    ]
    weights = [1 / (rank + 3) ** 1.1 for rank in range(len(vocabulary))]
    return tuple(
        " ".join(chance.choices(vocabulary, weights, k=words)) for _ in range(200)
    )


@dataclass(frozen=True)
class Workload:
    """What is processed: texts of about 2.1 KB, no two alike.

    Like as much English prose, they compress to somewhat more than half and are stored
    in the row itself.
    """

    words: int = 300
    seed: int = 2026

    def text(self, number: int) -> str:
        """The OCR text with this number; another number, another text."""
        pages = _pages(self.words, self.seed)
        return f"{number} {pages[number % len(pages)]}"

    @property
    def word_count(self) -> int:
        """How many words each text has."""
        return self.words + 1


class System(Protocol):
    """A way to work off a backlog: claim, store the text, finish the job."""

    @property
    def name(self) -> str:
        """As in 'handwritten, batches of 100'."""

    @property
    def kind(self) -> str:
        """'baseline', 'guarded' or 'peer'."""

    @property
    def version(self) -> str:
        """Of the library; '' for SQL."""

    @property
    def note(self) -> str:
        """One sentence: the configuration and where it comes from."""

    def unavailable(self, server: Server) -> str | None:
        """Why it cannot run on this server; None if it can."""

    def install(self, dsn: str) -> None:
        """Make its schema, in a database of its own.

        It is called once; each run gets a copy of what it made (CREATE DATABASE …
        TEMPLATE), so nothing may stay connected and settings of the database are not
        carried over.
        """

    def fill(self, dsn: str, documents: int) -> None:
        """Make a backlog: documents and their jobs. Ends with ``vacuum_analyze``."""

    def drain(self, dsn: str, workers: int, workload: Workload) -> float:
        """Work off the backlog with as many worker processes; the seconds it took.

        From the moment at which all workers, connected and ready, are let go until the
        last result is committed and its job finished. See ``processes``.
        """

    def verify(self, dsn: str, documents: int) -> None:
        """Raise unless every document carries its text and no job is left."""


# --- documents, alike in all hand-written schemas and with all peers -----------------


def create_documents(connection: psycopg.Connection[Any], compression: str) -> None:
    """Make the table ``documents`` of an application that has no guards.

    The primary key's type, its default and the indexes are those that a guarded one has
    for the same questions: what is pending, what is in hand, is this file here already.
    ``compression`` is 'lz4' or 'pglz'.
    """
    uuid = "uuidv7()" if connection.info.server_version >= 180000 else None
    connection.execute(
        sql.SQL(
            """
            create table documents (
                id uuid primary key default {default},
                filename text not null,
                file_hash text,
                ocr_status text not null default 'pending',
                ocr_text text compression {compression},
                ocr_confidence real,
                ocr_word_count integer,
                ocr_processing_time_ms integer,
                ocr_completed_at timestamptz,
                created_at timestamptz not null default now(),
                updated_at timestamptz not null default now()
            );
            create index on documents (created_at) where ocr_status = 'pending';
            create index on documents (updated_at) where ocr_status = 'processing';
            create index on documents using hash (file_hash)
            """
        ).format(
            default=sql.SQL(uuid or "gen_random_uuid()"),
            compression=sql.SQL("lz4" if compression == "lz4" else "pglz"),
        )
    )


def fill_documents(connection: psycopg.Connection[Any], documents: int) -> None:
    """Insert documents that wait for OCR, each with a hash of its file."""
    connection.execute(
        "insert into documents (filename, file_hash)"
        " select 'scan-' || g || '.pdf',"
        "     encode(sha256(convert_to(g::text, 'UTF8')), 'hex')"
        " from generate_series(1, %s) as g",
        [documents],
    )


def verify_documents(connection: psycopg.Connection[Any], documents: int) -> None:
    """Raise unless as many documents are completed, each with a text of its own."""
    row = connection.execute(
        "select count(*), count(distinct md5(ocr_text)),"
        "     min(length(ocr_text)), min(ocr_word_count)"
        " from documents"
        " where ocr_status = 'completed' and ocr_completed_at is not null"
    ).fetchone()
    if row is None or row[:2] != (documents, documents):
        raise AssertionError(f"{documents} documents, completed and distinct: {row}")


def verify_empty(connection: psycopg.Connection[Any], query: LiteralString) -> None:
    """Raise unless the query, a count of the jobs left, answers 0."""
    row = connection.execute(query).fetchone()
    if row is None or row[0] != 0:
        raise AssertionError(f"jobs are left: {row} ({query})")


def vacuum_analyze(dsn: str) -> None:
    """So that no run pays for the rows that were loaded before it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("vacuum analyze")


def has_lz4(server: Server) -> bool:
    """Whether the server was built with lz4."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        row = connection.execute(
            "select 'lz4' = any(enumvals) from pg_settings"
            " where name = 'default_toast_compression'"
        ).fetchone()
    return bool(row and row[0])


def best_compression(connection: psycopg.Connection[Any]) -> str:
    """'lz4' where the server has it, as the package itself chooses; else 'pglz'."""
    row = connection.execute(
        "select 'lz4' = any(enumvals) from pg_settings"
        " where name = 'default_toast_compression'"
    ).fetchone()
    return "lz4" if row and row[0] else "pglz"


# --- workers ------------------------------------------------------------------------


def _worker(
    target: Callable[..., float | None], pipe: Pipe, number: int, args: Sequence[Any]
) -> None:
    def ready() -> None:
        pipe.send(("ready", None))
        pipe.recv()

    try:
        ended = target(number, ready, *args)
        pipe.send(("done", time.monotonic() if ended is None else ended))
    except BaseException:
        pipe.send(("failed", traceback.format_exc()))


def processes(
    workers: int, target: Callable[..., float | None], args: Sequence[Any] = ()
) -> float:
    """Let worker processes work off a backlog; the seconds from the start to the last.

    Each runs ``target(number, ready, *args)``, a function of a module: it connects,
    calls ``ready()``, which returns when all are, and works until nothing is left. If
    it returns a number, that is when its last document was finished, by
    ``time.monotonic()`` (for workers that notice late that nothing is left).
    """
    # Not forked from here: a child would share our connections.
    context = get_context("forkserver")
    context.set_forkserver_preload(["psycopg", "bench.harness"])
    pipes: list[Pipe] = []
    children = []
    try:
        for number in range(workers):
            ours, theirs = context.Pipe()
            child = context.Process(
                target=_worker, args=(target, theirs, number, args), daemon=True
            )
            child.start()
            theirs.close()
            pipes.append(ours)
            children.append(child)
        _gather(pipes, "ready")
        began = time.monotonic()
        for pipe in pipes:
            pipe.send("go")
        ended = _gather(pipes, "done")
        for child in children:
            child.join(TIMEOUT)
        return float(max(ended)) - began
    finally:
        for child in children:
            if child.is_alive():
                child.terminate()
        for pipe in pipes:
            pipe.close()


def _gather(pipes: Sequence[Pipe], expected: str) -> list[Any]:
    answers = []
    open_pipes = list(pipes)
    while open_pipes:
        heard = wait(open_pipes, TIMEOUT)
        if not heard:
            raise TimeoutError(f"{len(open_pipes)} workers hang before {expected!r}")
        for pipe in heard:
            assert isinstance(pipe, Pipe)
            try:
                word, value = pipe.recv()
            except EOFError:
                raise RuntimeError("a worker died without a word") from None
            if word != expected:
                raise RuntimeError(f"a worker: {word}, not {expected}:\n{value}")
            answers.append(value)
            open_pipes.remove(pipe)
    return answers


def programs(
    commands: Iterable[Sequence[str | Path]], env: Mapping[str, str] | None = None
) -> float:
    """The same for workers that are programs of another language; the seconds.

    Each writes the line ``ready`` when it is connected, waits for a line on its
    standard input, works until nothing is left and writes ``done``, optionally followed
    by how many milliseconds ago its last document was finished. Other lines are passed
    over.
    """
    children = [
        subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, **(env or {})},
        )
        for command in commands
    ]

    def hear(child: subprocess.Popen[str], word: str) -> list[str]:
        assert child.stdout is not None
        for line in child.stdout:
            if (words := line.split()) and words[0] == word:
                return words[1:]
        raise RuntimeError(f"{child.args!r} ended without the line {word!r}")

    try:
        for child in children:
            hear(child, "ready")
        began = time.monotonic()
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        ended = began
        for child in children:
            ago = hear(child, "done")
            ended = max(ended, time.monotonic() - float(ago[0] if ago else 0) / 1000)
        for child in children:
            child.wait(60)
        return ended - began
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


# --- what the server spends -----------------------------------------------------------


def postmaster(server: Server) -> int:
    """The process id of the server."""
    return int((server.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])


def server_cpu(server: Server) -> float:
    """Seconds of CPU that the server's processes have used, those that ended included.

    User and system time; the kernel counts in hundredths of a second.
    """
    parent = postmaster(server)
    ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # What follows the name, which may hold blanks and parentheses itself.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if int(entry.name) == parent:
            ticks += sum(int(value) for value in fields[11:15])
        elif int(fields[1]) == parent:
            ticks += sum(int(value) for value in fields[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def relation_sizes(dsn: str) -> dict[str, dict[str, int]]:
    """Bytes of each table, of its texts stored apart (TOAST) and of its indexes."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(
            "select c.oid::regclass::text, pg_relation_size(c.oid),"
            "     pg_table_size(c.oid) - pg_relation_size(c.oid),"
            "     pg_indexes_size(c.oid)"
            " from pg_class as c"
            " where c.relkind = 'r' and c.relpersistence = 'p'"
            "     and c.relnamespace::regnamespace::text"
            "         not in ('pg_catalog', 'information_schema')"
            " order by pg_total_relation_size(c.oid) desc, 1"
        ).fetchall()
    return {
        name: {"table": table, "toast": toast, "indexes": indexes}
        for name, table, toast, indexes in rows
        if table + toast + indexes > 128 * 1024
    }


@dataclass
class Spent:
    """What a stretch of work cost the server; complete once its block has ended."""

    wal_bytes: int = 0
    #: Of these, images of whole pages, written when one is first changed after a
    #: checkpoint; None where pg_walinspect is missing.
    wal_fpi_bytes: int | None = None
    cpu_seconds: float = 0.0


@contextlib.contextmanager
def spending(server: Server) -> Iterator[Spent]:
    """Measure what the server spends inside the block, after a checkpoint."""
    spent = Spent()
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("checkpoint")
        (start,) = _row(connection, "select pg_current_wal_insert_lsn()::text")
        cpu = server_cpu(server)
        yield spent
        spent.cpu_seconds = server_cpu(server) - cpu
        (end,) = _row(connection, "select pg_current_wal_insert_lsn()::text")
        (spent.wal_bytes,) = _row(
            connection,
            "select pg_wal_lsn_diff(%s::pg_lsn, %s::pg_lsn)::bigint",
            end,
            start,
        )
        with contextlib.suppress(psycopg.Error):
            connection.execute("set client_min_messages = error")
            connection.execute("create extension if not exists pg_walinspect")
            connection.execute("select pg_switch_wal()")
            (spent.wal_fpi_bytes,) = _row(
                connection,
                "select coalesce(sum(fpi_size), 0)::bigint"
                " from pg_get_wal_stats(%s::pg_lsn, %s::pg_lsn, false)",
                start,
                end,
            )


def _row(
    connection: psycopg.Connection[Any], query: LiteralString, *args: Any
) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query, args or None).fetchone()
    assert row is not None
    return row


# --- rounds ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """One run of one system in one round."""

    round: int
    documents: int
    seconds: float
    wal_bytes: int
    wal_fpi_bytes: int | None
    cpu_seconds: float
    sizes: dict[str, dict[str, int]]

    @property
    def rate(self) -> float:
        """Documents per second."""
        return self.documents / self.seconds

    @property
    def wal_per_document(self) -> float:
        """Bytes of WAL per document."""
        return self.wal_bytes / self.documents

    @property
    def cpu_per_document(self) -> float:
        """Microseconds of the server's CPU per document."""
        return 1e6 * self.cpu_seconds / self.documents


@dataclass
class Measured:
    """What became of a system: its samples, or why there are none."""

    name: str
    kind: str
    version: str
    note: str
    unavailable: str | None = None
    samples: list[Sample] = field(default_factory=list)


class Installed:
    """Systems that are installed on a server, ready to be run.

    A context manager: what it installed is dropped at the end. A system that cannot run
    here, or fails, is listed with the reason and left out; the others go on.
    """

    def __init__(
        self,
        server: Server,
        systems: Sequence[System],
        *,
        workload: Workload | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.server = server
        self.systems = list(systems)
        self.reasons: dict[str, str] = {}
        self._workload = workload or Workload()
        self._say = say
        self._templates: dict[str, str] = {}

    def __enter__(self) -> Self:
        for number, system in enumerate(self.systems):
            reason = system.unavailable(self.server)
            if reason is None:
                template = f"bench_template_{number}"
                self._templates[system.name] = template
                try:
                    system.install(make_database(self.server, template))
                except Exception as error:
                    reason = describe(error)
            if reason is not None:
                self._leave_out(system, reason)
        return self

    def __exit__(self, *_: object) -> None:
        for template in self._templates.values():
            drop_database(self.server, template)

    def _leave_out(self, system: System, reason: str) -> None:
        self.reasons[system.name] = reason
        self._say(f"{system.name}: left out: {reason}")

    def rounds(
        self, runs: int, workers: int, documents: Callable[[System], int]
    ) -> list[Measured]:
        """Run A B C, A B C, …: each system once in a round, on a fresh backlog.

        ``documents`` says how large a system's backlog is.
        """
        measured = [Measured(s.name, s.kind, s.version, s.note) for s in self.systems]
        for turn in range(1, runs + 1):
            for system, result in zip(self.systems, measured, strict=True):
                if system.name in self.reasons:
                    continue
                try:
                    sample = self.run(system, turn, workers, documents(system))
                except Exception as error:
                    self._leave_out(system, describe(error))
                    continue
                result.samples.append(sample)
                self._say(
                    f"round {turn}/{runs}, {workers} workers, {system.name}:"
                    f" {sample.rate:,.0f} documents/s"
                )
        for result in measured:
            result.unavailable = self.reasons.get(result.name)
        return measured

    def run(self, system: System, turn: int, workers: int, documents: int) -> Sample:
        """Run a system once, on a copy of what it installed."""
        database = "bench_run"
        dsn = make_database(self.server, database, self._templates[system.name])
        try:
            system.fill(dsn, documents)
            with spending(self.server) as spent:
                seconds = system.drain(dsn, workers, self._workload)
            system.verify(dsn, documents)
            return Sample(
                round=turn,
                documents=documents,
                seconds=seconds,
                wal_bytes=spent.wal_bytes,
                wal_fpi_bytes=spent.wal_fpi_bytes,
                cpu_seconds=spent.cpu_seconds,
                sizes=relation_sizes(dsn),
            )
        finally:
            drop_database(self.server, database)


def rounds(
    systems: Sequence[System],
    runs: int,
    *,
    server: Server,
    workers: int,
    documents: Callable[[System], int],
    workload: Workload | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Measured]:
    """Install the systems, run them in rounds, drop them: see ``Installed``."""
    with Installed(server, systems, workload=workload, say=say) as installed:
        return installed.rounds(runs, workers, documents)


def describe(error: BaseException) -> str:
    """An error in a line: what the server said, or the last line of a traceback."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def make_database(server: Server, name: str, template: str = "template0") -> str:
    """Make a database anew and return its connection string."""
    drop_database(server, name)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    return server.dsn(name)


def drop_database(server: Server, name: str) -> None:
    """Drop a database, whoever is still connected to it."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("drop database if exists {} with (force)").format(
                sql.Identifier(name)
            )
        )


# --- figures --------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """A median with the least and the greatest."""

    median: float
    least: float
    greatest: float


def figure(values: Iterable[float]) -> Figure | None:
    """The median and the range; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Figure(statistics.median(ordered), ordered[0], ordered[-1])


def ratios(
    ours: Sequence[Mapping[str, Any]],
    theirs: Sequence[Mapping[str, Any]],
    value: Callable[[Mapping[str, Any]], float],
) -> list[float]:
    """Our value by theirs, for each round that both have a sample of."""
    other = {sample["round"]: value(sample) for sample in theirs}
    return [
        value(sample) / other[sample["round"]]
        for sample in ours
        if other.get(sample["round"])
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share (0 to 1) of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


# --- environment and results ----------------------------------------------------------


def system_bin_dir() -> Path | None:
    """The programs of the newest PostgreSQL that Debian has installed, if any."""
    found = sorted(
        (int(path.parents[1].name), path.parent)
        for path in DEBIAN.glob("*/bin/postgres")
        if path.parents[1].name.isdigit()
    )
    return found[-1][1] if found else None


@contextlib.contextmanager
def running_server(
    bin_dir: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A throw-away server with durable commits, on this machine.

    PostgreSQL 18 from the wheel where ``bin_dir`` is None. As an ordinary application
    would, clients reach it through its Unix socket.
    """
    with Server.temporary(bin_dir, {**SETTINGS, **(settings or {})}, fsync=True) as it:
        yield it


def _first(path: str, prefix: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(prefix):
                return line.partition(":")[2].strip()
    return ""


def _commit_milliseconds(folder: Path) -> float:
    """The median time of 8 KB written and flushed, the floor of a durable commit."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(100):
            began = time.perf_counter()
            os.pwrite(file.fileno(), b"\0" * 8192, 0)
            os.fdatasync(file.fileno())
            times.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(times), 3)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def environment(server: Server) -> dict[str, Any]:
    """The machine, the versions and the settings that the figures belong to."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        settings: dict[str, str] = dict(
            connection.execute(
                "select name, current_setting(name) from pg_settings"
                " where name = any(%s) or (source = 'configuration file' and name <>"
                "     all('{port,listen_addresses,unix_socket_directories,"
                "unix_socket_permissions,lc_messages,lc_monetary,lc_numeric,lc_time,"
                "log_timezone,TimeZone,DateStyle,default_text_search_config,"
                "dynamic_shared_memory_type,min_wal_size}'))"
                " order by 1",
                [[*SETTINGS, "wal_level", "jit", "autovacuum", "io_method"]],
            ).fetchall()
        )
        (version,) = _row(connection, "show server_version")
    model = _first("/proc/cpuinfo", "model name") or platform.processor()
    kilobytes = _first("/proc/meminfo", "MemTotal").split()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit,
        "machine": {
            "cpu": model,
            "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(int(kilobytes[0]) / 1024**2) if kilobytes else None,
            "system": f"{platform.system()} {platform.release()}",
            "flush_ms": _commit_milliseconds(server.data_dir.parent),
        },
        "server": {
            "version": version,
            "lz4": has_lz4(server),
            "settings": settings,
        },
        "client": {
            "python": platform.python_version(),
            "psycopg": f"{_version('psycopg')} ({psycopg.pq.__impl__})",
            "libpq": str(psycopg.pq.version()),
            "connection": "Unix socket, same machine",
        },
    }


def result(
    command: str,
    options: Mapping[str, Any],
    environment: Mapping[str, Any],
    results: Any,
) -> dict[str, Any]:
    """What a command writes: what was asked, where it ran, what came out."""
    return {
        "command": command,
        "options": dict(options),
        "environment": dict(environment),
        "results": results,
    }


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write a result to a file, or to standard output without one."""
    text = json.dumps(content, indent=1, default=_plain, ensure_ascii=False) + "\n"
    if path is None:
        sys.stdout.write(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _plain(value: object) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)  # type: ignore[call-overload]
    return str(value)


def say(text: str) -> None:
    """Progress, to standard error: standard output may be the result."""
    click.echo(text, err=True)


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--quick``, ``--output`` and ``--server``, as every command has them.

    The command gets ``quick: bool``, ``output: Path | None`` and ``bin_dir: Path |
    None`` (None is PostgreSQL 18 from the wheel).
    """

    @click.option("--quick", is_flag=True, help="About a minute.")
    @click.option(
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write the result here, as JSON.",
    )
    @click.option(
        "--server",
        "server",
        default="system",
        show_default=True,
        metavar="system|wheel|BIN_DIR",
        help="Debian's PostgreSQL (else the wheel's), the wheel's, or a folder.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, server: str, **kwargs: Any) -> Any:
        places = {"system": system_bin_dir(), "wheel": None}
        bin_dir = places[server] if server in places else Path(server)
        return command(*args, bin_dir=bin_dir, **kwargs)

    return wrapped


__all__ = [
    "DEBIAN",
    "RESULTS",
    "ROOT",
    "SETTINGS",
    "Figure",
    "Installed",
    "Measured",
    "Ready",
    "Sample",
    "Server",
    "Spent",
    "System",
    "Workload",
    "best_compression",
    "common_options",
    "create_documents",
    "describe",
    "drop_database",
    "environment",
    "figure",
    "fill_documents",
    "has_lz4",
    "make_database",
    "percentile",
    "postmaster",
    "processes",
    "programs",
    "ratios",
    "relation_sizes",
    "result",
    "rounds",
    "running_server",
    "say",
    "server_cpu",
    "spending",
    "system_bin_dir",
    "vacuum_analyze",
    "verify_documents",
    "verify_empty",
    "write_json",
]
