"""Servers, databases and connections for the tests.

``make test`` starts the servers and runs pytest once for each. Run alone, pytest starts
a throw-away PostgreSQL 18 of its own.

The fixtures' types are imported for the type checker alone::

    if TYPE_CHECKING:
        from tests.conftest import ServerUnderTest
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ocr_guardrails.embedded import Server
from ocr_guardrails.migrate import migrate

_names = itertools.count(1)


@dataclass(frozen=True, slots=True)
class ServerUnderTest:
    """A server that tests may fill with databases, but not stop or restart.

    A test that stops its server makes its own: ``Server.temporary(server.bin_dir)``.
    """

    #: Connects to the maintenance database as superuser.
    admin_dsn: str
    #: The folder of the server's programs: pg_dump, psql and so on, of its version.
    bin_dir: Path
    #: A database that was migrated already, None if there is none yet.
    template: str | None = None

    def dsn(self, database: str) -> str:
        """The connection string of a database on this server."""
        return make_conninfo(self.admin_dsn, dbname=database)

    def create(self, template: str = "template1") -> str:
        """Make a database and return its name."""
        name = f"pytest_{os.getpid()}_{next(_names)}"
        self._run(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return name

    def drop(self, database: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._run(
            sql.SQL("drop database if exists {} with (force)").format(
                sql.Identifier(database)
            )
        )

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def server() -> Iterator[ServerUnderTest]:
    """The server of this run."""
    if dsn := os.environ.get("OCR_GUARDRAILS_TEST_DSN"):
        yield ServerUnderTest(
            dsn,
            Path(os.environ["OCR_GUARDRAILS_TEST_BIN"]),
            os.environ.get("OCR_GUARDRAILS_TEST_TEMPLATE"),
        )
        return
    with Server.temporary() as started:
        yield ServerUnderTest(started.dsn(), started.bin_dir)


@pytest.fixture(scope="session")
def template_database(server: ServerUnderTest) -> Iterator[str]:
    """The name of a migrated database that nobody is connected to."""
    if server.template is not None:
        yield server.template
        return
    name = server.create()
    migrate(server.dsn(name))
    yield name
    server.drop(name)


@pytest.fixture
def new_database(server: ServerUnderTest) -> Iterator[Callable[[], str]]:
    """Makes an empty database at each call and returns its DSN; drops them all."""
    made: list[str] = []

    def make() -> str:
        made.append(server.create())
        return server.dsn(made[-1])

    yield make
    for name in made:
        server.drop(name)


@pytest.fixture
def empty_database(new_database: Callable[[], str]) -> str:
    """The DSN of a fresh database with nothing in it."""
    return new_database()


@pytest.fixture
def database(server: ServerUnderTest, template_database: str) -> Iterator[str]:
    """The DSN of a fresh, migrated database; dropped afterwards."""
    name = server.create(template_database)
    yield server.dsn(name)
    server.drop(name)


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """A connection in autocommit mode to the fresh, migrated database."""
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened
