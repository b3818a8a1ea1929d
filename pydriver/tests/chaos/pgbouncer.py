"""PgBouncer in transaction mode in front of a server of the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

__all__ = ["PgBouncer", "PgBouncerMissing"]


class PgBouncerMissing(Exception):
    """The program is not installed; in Debian it is the package ``pgbouncer``."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PgBouncer:
    """Runs inside a ``with`` block and listens on 127.0.0.1 for all databases.

    ``dsn`` names the server by the folder of its socket.

    The configuration is the one that Debian ships, in transaction mode: what it
    refuses there (startup options) it refuses here. ``settings`` are added to it.
    """

    def __init__(self, dsn: str, settings: dict[str, str] | None = None) -> None:
        found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH')}:/usr/sbin")
        if found is None:
            raise PgBouncerMissing("pgbouncer is not installed: apt install pgbouncer")
        self._program = found
        self._upstream = conninfo_to_dict(dsn)
        self._settings = settings or {}
        self.port = _free_port()

    def __enter__(self) -> PgBouncer:
        self._folder = Path(tempfile.mkdtemp(prefix="ocrg-pgbouncer-"))
        parts = self._upstream
        owner = Path(str(parts["host"])).stat()
        os.chown(self._folder, owner.st_uid, owner.st_gid)
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "max_client_conn": "200",
            "default_pool_size": "12",
            "server_login_retry": "1",
            "logfile": str(self._folder / "pgbouncer.log"),
            **self._settings,
        }
        config = self._folder / "pgbouncer.ini"
        config.write_text(
            "[databases]\n"
            f"* = host={parts['host']} port={parts['port']} user=postgres\n"
            "[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in settings.items())
        )
        config.chmod(0o644)
        # It refuses to run as root, as the server does.
        account = (
            {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
            if os.geteuid() == 0
            else {}
        )
        self._process = subprocess.Popen(
            [self._program, "-q", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **account,  # type: ignore[call-overload]
        )
        deadline = time.monotonic() + 15
        while True:
            try:
                psycopg.connect(self.dsn("postgres"), prepare_threshold=None).close()
                return self
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = self.log_text()
                    self.__exit__()
                    raise RuntimeError(f"PgBouncer did not start: {said}") from error
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def dsn(self, database: str) -> str:
        """The connection string of a database through it."""
        return make_conninfo(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            dbname=database,
            sslmode="disable",
            gssencmode="disable",
        )

    def log_text(self) -> str:
        try:
            return (self._folder / "pgbouncer.log").read_text(errors="replace")
        except OSError:
            return ""

    @property
    def version(self) -> str:
        """As in ``PgBouncer 1.18.0``."""
        said = subprocess.run(
            [self._program, "--version"], capture_output=True, text=True, check=False
        )
        return said.stdout.splitlines()[0] if said.stdout else "PgBouncer"
