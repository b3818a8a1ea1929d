"""The fixtures of the integration tests, with PgBouncer between them and the server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ocr_guardrails import Guardrails
from ocr_guardrails.connection import connect
from tests.chaos.pgbouncer import PgBouncer, PgBouncerMissing
from tests.integration.conftest import Bench, Connection

if TYPE_CHECKING:
    from tests.conftest import ServerUnderTest


class PooledBench(Bench):
    """A bench whose sessions are made as the package makes them."""

    def connect(self) -> Connection:
        return connect(self.dsn)


@pytest.fixture(scope="session")
def pgbouncer(server: ServerUnderTest) -> Iterator[PgBouncer]:
    settings = {}
    prepared = os.environ.get("OCR_GUARDRAILS_TEST_PREPARED", "0")
    if prepared != "0":
        settings["max_prepared_statements"] = prepared
    try:
        with PgBouncer(server.admin_dsn, settings) as started:
            yield started
    except PgBouncerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def database(
    server: ServerUnderTest, template_database: str, pgbouncer: PgBouncer
) -> Iterator[str]:
    """The DSN, through PgBouncer, of a fresh, migrated database."""
    name = server.create(template_database)
    yield pgbouncer.dsn(name)
    server.drop(name)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database, autocommit=True) as opened:
        yield opened


@pytest.fixture
def direct(server: ServerUnderTest, database: str) -> Iterator[Connection]:
    """A session past PgBouncer."""
    name = str(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(server.dsn(name), autocommit=True) as opened:
        yield opened


@pytest.fixture
def bench(database: str, connection: Connection, tmp_path: Path) -> Iterator[Bench]:
    folder = tmp_path / "scans"
    folder.mkdir()
    made = PooledBench(database, connection, folder, Guardrails(connection))
    yield made
    assert made.guardrails.find_inconsistencies() == []
