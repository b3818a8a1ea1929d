"""What the runs share: the throw-away server, its database, and worker processes."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from ocr_guardrails import Guardrails
from ocr_guardrails.embedded import Server
from ocr_guardrails.migrate import migrate
from ocr_guardrails.models import FileToIngest
from tests.chaos.texts import FILENAME, file_hash, file_path
from tests.chaos.worker_process import DATABASE_REFUSED, Spec

__all__ = [
    "DATABASE",
    "OPERATOR",
    "Cluster",
    "Fleet",
    "SmallDisk",
    "errors_in_log",
    "until",
]

DATABASE = "chaos"
OPERATOR = "chaos operator"
_PACKAGES = Path(__file__).resolve().parents[2]
_MB = 1024 * 1024

# Durable at every commit, as far as a crash of the server alone can tell: what was
# acknowledged has to be there afterwards.
_SETTINGS = {
    "max_connections": "60",
    "synchronous_commit": "on",
    "log_line_prefix": "%m [%p] %e %a ",
    "log_min_messages": "warning",
    "restart_after_crash": "on",
    "autovacuum_naptime": "5s",
    "checkpoint_timeout": "30s",
}
#: So that leases, backoff and the circuit turn over many times within one run.
_QUEUE_SETTINGS = {
    "backoff_base": "100 milliseconds",
    "backoff_cap": "1 second",
    "circuit_cooldown": "500 milliseconds",
    "expiry_sweep_interval": "500 milliseconds",
    "default_max_attempts": "6",
}


def until(condition: Any, seconds: float, pause: float = 0.1) -> bool:
    """Wait for something; False when it has not come about in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


class SmallDisk:
    """A small tmpfs for the database's tablespace, which can be filled up.

    The write-ahead log lies elsewhere: PostgreSQL cannot go on without it, while a
    table that cannot grow is an error of the statement.
    """

    def __init__(self, owner: Path, size: int) -> None:
        self.why_not: str | None = None
        self.path = Path(tempfile.mkdtemp(prefix="ocrg-disk-"))
        self.tablespace = self.path / "tablespace"
        self._ballast = self.path / "ballast"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self.path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode != 0:
            said = mounted.stderr.strip().splitlines()
            self.why_not = f"no tmpfs may be mounted: {said[-1] if said else ''}"
            self.path.rmdir()
            return
        found = owner.stat()
        self.tablespace.mkdir(mode=0o700)
        for path in (self.path, self.tablespace):
            os.chown(path, found.st_uid, found.st_gid)

    def fill(self) -> None:
        """Leave no room."""
        with self._ballast.open("wb", buffering=0) as ballast:
            size = 16 * _MB
            while size >= 4096:
                try:
                    os.posix_fallocate(ballast.fileno(), ballast.tell(), size)
                    ballast.seek(size, os.SEEK_CUR)
                except OSError:
                    size //= 2

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        if self.why_not is None:
            # A process of the server may still be on its way out.
            subprocess.run(["umount", "-l", str(self.path)], check=False)
            with contextlib.suppress(OSError):
                self.path.rmdir()


@dataclass(slots=True)
class Cluster:
    """A running server with a migrated database, and where everything is kept."""

    server: Server
    disk: SmallDisk | None
    logs: Path

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, bin_dir: Path | None, root: Path | None, *, disk_size: int = 0
    ) -> Iterator[Cluster]:
        """``root`` is the folder of the SQL, None for the package's own."""
        with tempfile.TemporaryDirectory(prefix="ocrg-chaos-") as logs:
            server = Server.temporary(bin_dir, _SETTINGS)
            with server:
                disk = None
                try:
                    disk = SmallDisk(server.data_dir, disk_size) if disk_size else None
                    cluster = cls(server, disk, Path(logs))
                    cluster._make_database(root)
                    yield cluster
                finally:
                    if disk is not None:
                        server.stop("immediate")
                        disk.close()

    def _make_database(self, root: Path | None) -> None:
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            where = ""
            if self.disk is not None and self.disk.why_not is None:
                place = self.disk.tablespace
                connection.execute(
                    f"create tablespace small location '{place}'".encode()
                )
                where = " tablespace small"
            connection.execute(f"create database {DATABASE}{where}".encode())
        migrate(self.server.dsn(DATABASE), root=root)
        with self.operator() as connection:
            for name, value in _QUEUE_SETTINGS.items():
                Guardrails(connection).set_ocr_setting(name, value)

    @property
    def socket(self) -> str:
        """The path of the server's socket."""
        parts = psycopg.conninfo.conninfo_to_dict(self.server.dsn())
        return f"{parts['host']}/.s.PGSQL.{parts['port']}"

    def operator(self, seconds: float = 60) -> psycopg.Connection[Any]:
        """A connection past the proxy; waits for a server that is being restarted."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return psycopg.connect(
                    self.server.dsn(DATABASE),
                    autocommit=True,
                    application_name=OPERATOR,
                )
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def ingest(self, numbers: Sequence[int]) -> None:
        """Add documents and their jobs; repeated until it is answered."""
        files = [
            FileToIngest(
                filename=FILENAME,
                file_path=file_path(number),
                file_hash=file_hash(file_path(number)),
                file_size=100,
                mime_type="application/pdf",
            )
            for number in numbers
        ]
        deadline = time.monotonic() + 60
        while True:
            try:
                with self.operator() as connection:
                    Guardrails(connection).ingest_ocr_documents(files)
                return
            except psycopg.Error:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def log_lines(self) -> list[str]:
        text = ""
        for name in ("server.log.1", "server.log"):
            with contextlib.suppress(OSError):
                text += (self.server.data_dir / name).read_text(errors="replace")
        return text.splitlines()


_ERROR = re.compile(
    r"^\S+ \S+ \S+ \[\d+\] (?P<state>\w{5}) (?P<name>.*?) ?(?:ERROR|FATAL|PANIC):  "
    r"(?P<message>.*)$"
)


def errors_in_log(lines: Sequence[str], application: str = "") -> Counter[str]:
    """The errors that a server logged, by SQLSTATE and message without its names."""
    found: Counter[str] = Counter()
    for line in lines:
        if (match := _ERROR.match(line)) and application in match["name"]:
            message = re.sub(
                r'"[^"]*"|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\d+', "…", match["message"]
            )
            found[f"{match['state']} {message}"] += 1
    return found


@dataclass(slots=True)
class _Member:
    spec: Spec
    process: subprocess.Popen[bytes]
    errors: Path


@dataclass(slots=True)
class Fleet:
    """Worker processes; one that has ended is started again until ``stop``."""

    logs: Path
    starts: int = 0
    kills: int = 0
    #: How workers ended by themselves, by what they said last.
    ends: Counter[str] = field(default_factory=Counter)
    #: What no worker may end with: the whole of what it said.
    unexpected: list[str] = field(default_factory=list)
    _members: list[_Member] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _watching: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self, specs: Sequence[Spec], *, restart: bool = True) -> None:
        with self._lock:
            self._members += [self._spawn(spec) for spec in specs]
        if restart:
            self._watching.set()
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()

    def pick(self, dice: random.Random, *, losers: bool | None = None) -> int | None:
        """The process id of a worker at random."""
        with self._lock:
            found = [
                m.process.pid
                for m in self._members
                if m.process.poll() is None and losers in (None, m.spec.is_loser)
            ]
        return dice.choice(found) if found else None

    def send(self, pid: int, number: signal.Signals) -> bool:
        """Send a signal to a worker that is still ours and running."""
        with self._lock:
            for member in self._members:
                if member.process.pid == pid and member.process.poll() is None:
                    member.process.send_signal(number)
                    self.kills += number == signal.SIGKILL
                    return True
        return False

    def stop(self, seconds: float = 30, *, kill: bool = False) -> bool:
        """Let all end, and kill who does not; True when none had to be killed."""
        self._watching.clear()
        if self._thread is not None:
            self._thread.join(10)
        with self._lock:
            for member in self._members:
                with contextlib.suppress(ProcessLookupError):
                    member.process.send_signal(signal.SIGCONT)
                    member.process.send_signal(
                        signal.SIGKILL if kill else signal.SIGTERM
                    )
        return self.join(seconds)

    def join(self, seconds: float) -> bool:
        """Wait until all have ended by themselves, else kill them."""
        deadline = time.monotonic() + seconds
        gentle = True
        with self._lock:
            for member in self._members:
                try:
                    member.process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    gentle = False
                    member.process.kill()
                    member.process.wait()
                self._note(member)
            self._members.clear()
        return gentle

    def _watch(self) -> None:
        while self._watching.is_set():
            with self._lock:
                for index, member in enumerate(self._members):
                    if member.process.poll() is not None:
                        self._note(member)
                        seed = member.spec.seed + 1000
                        self._members[index] = self._spawn(
                            replace(member.spec, seed=seed)
                        )
            time.sleep(0.2)

    def _spawn(self, spec: Spec) -> _Member:
        self.starts += 1
        errors = self.logs / f"{spec.name}.{self.starts}.stderr"
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.chaos.worker_process",
                    spec.to_argument(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                cwd=_PACKAGES,
                env={k: v for k, v in os.environ.items() if not k.startswith("PG")}
                | {"PYTHONPATH": str(_PACKAGES)},
            )
        return _Member(spec, process, errors)

    def _note(self, member: _Member) -> None:
        code = member.process.returncode
        said = member.errors.read_text(errors="replace").strip()
        if code == DATABASE_REFUSED:
            self.ends[re.sub(r"\d+", "…", said)[:70]] += 1
        elif code not in (0, -signal.SIGKILL, -signal.SIGTERM):
            self.unexpected.append(f"{member.spec.name} ended with {code}: {said}")
