"""The servers that the tests run on, each a throw-away cluster."""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from ocr_guardrails.embedded import EmbeddedError, Server

from . import ROOT
from .processes import run

OLDEST_SUPPORTED = 15
INSTALLED = Path("/usr/lib/postgresql")
SHARED = Path("/usr/share/postgresql")
TEMPLATE = "ocr_template"
#: A cluster for tests does not outlive them, so nothing has to reach the disk.
SETTINGS = {
    "synchronous_commit": "off",
    "max_connections": "100",
    "log_line_prefix": "%m [%p] %d %a ",
    "lc_messages": "C",
}
#: The lines that a server writes when it, or one of its processes, has died.
CRASH = re.compile(r"was terminated by signal|PANIC:|TRAP:|was terminated by exception")


class SetupError(Exception):
    """The tests cannot begin; the message says why and what to do."""


def system_version() -> int | None:
    """The oldest supported PostgreSQL that this system has installed.

    The newest comes with the wheel, so the other end of the range tells more.
    """
    versions = [
        int(path.name)
        for path in INSTALLED.glob("*")
        if path.name.isdigit() and (path / "bin" / "postgres").is_file()
    ]
    return min((v for v in versions if v >= OLDEST_SUPPORTED), default=None)


def isolationtester() -> Path:
    """PostgreSQL's own program for races; Debian has it with the client."""
    found = sorted(INSTALLED.glob("*/lib/pgxs/src/test/isolation/isolationtester"))
    if not found:
        raise SetupError(
            "isolationtester is not installed: it is in Debian's postgresql-client-*."
        )
    return found[0]


def pgtap_sql() -> Path:
    """pgTAP as one SQL file. It loads into any server, installed there or not."""
    found = [
        path
        for path in SHARED.glob("*/extension/pgtap--*.sql")
        if path.name.count("--") == 1
    ]
    if not found:
        raise SetupError(
            "pgTAP is not installed: it is in Debian's postgresql-*-pgtap."
        )
    return max(found, key=lambda path: _numbers(path.stem))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


@dataclass(slots=True)
class TestServer:
    """A running throw-away server with a migrated template database."""

    server: Server
    label: str
    from_wheel: bool
    _count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def psql(self) -> Path:
        return self.server.command("psql")

    @property
    def isolationtester(self) -> Path:
        return isolationtester()

    def environment(self, database: str, *, search_path: str) -> dict[str, str]:
        """The PG* variables of a database for a program of PostgreSQL's."""
        parts = psycopg.conninfo.conninfo_to_dict(self.server.dsn(database))
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PG") and name != "DATABASE_URL"
        }
        return kept | {
            "PGHOST": str(parts["host"]),
            "PGPORT": str(parts["port"]),
            "PGUSER": str(parts["user"]),
            "PGDATABASE": database,
            "PGOPTIONS": f"-c search_path={search_path.replace(' ', '')}",
        }

    def make_template(self, logs: Path) -> None:
        """Migrate a database that all others are cloned from, the way a user does."""
        self._admin(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
        command = Path(sys.executable).with_name("ocr-guardrails")
        ended = run(
            [command, "--dsn", self.server.dsn(TEMPLATE), "migrate"],
            env={k: v for k, v in os.environ.items() if not k.startswith("PG")},
            limit=300,
            cwd=ROOT,
        )
        (logs / "migrate.log").write_text(ended.output)
        if ended.code != 0:
            raise SetupError(
                f"ocr-guardrails migrate failed with code {ended.code}:\n{ended.output}"
            )

    @contextmanager
    def database(self, purpose: str) -> Iterator[str]:
        """A fresh clone of the template, dropped at the end."""
        name = f"{purpose}_{next(self._count)}"
        self._admin(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(TEMPLATE)
            )
        )
        try:
            yield name
        finally:
            # A server that has crashed takes its databases along.
            with suppress(psycopg.OperationalError):
                self._admin(
                    sql.SQL("drop database if exists {} with (force)").format(
                        sql.Identifier(name)
                    )
                )

    def load_pgtap(self, database: str) -> None:
        """Put pgTAP into a schema of its own, so that ours holds only what is ours."""
        with psycopg.connect(self.server.dsn(database), autocommit=True) as connection:
            connection.execute("create schema tap")
        ended = run(
            [
                *(self.psql, "--no-psqlrc", "--quiet"),
                *("--set", "ON_ERROR_STOP=1", "--single-transaction"),
                *("--output", os.devnull, "--file", pgtap_sql()),
            ],
            env=self.environment(database, search_path="tap"),
            limit=120,
        )
        if ended.code != 0:
            raise SetupError(f"pgTAP could not be loaded:\n{ended.output}")

    def crashes(self) -> str:
        """What the server's log says about processes that died, '' if none did."""
        text = self.log_text().splitlines()
        return "\n".join(line for line in text if CRASH.search(line))

    def log_text(self) -> str:
        try:
            return (self.server.data_dir / "server.log").read_text(errors="replace")
        except OSError:
            return ""

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running(bin_dir: Path | None, logs: Path) -> Iterator[TestServer]:
    """A throw-away server of the programs in ``bin_dir``, None for the wheel's."""
    try:
        server = Server.temporary(bin_dir, SETTINGS)
    except EmbeddedError as error:
        raise SetupError(str(error)) from error
    try:
        with server:
            test_server = TestServer(
                server, f"PostgreSQL {server.version}", from_wheel=bin_dir is None
            )
            try:
                yield test_server
            finally:
                (logs / "server.log").write_text(test_server.log_text())
    except EmbeddedError as error:
        raise SetupError(str(error)) from error
