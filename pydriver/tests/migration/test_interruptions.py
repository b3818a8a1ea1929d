"""Migrations that are killed, and migrations that run at the same time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from ocr_guardrails.migrate import MigrateError, migrate, rollback, status

from .conftest import Dump, clean_environment

CODE = (
    "import sys; from pathlib import Path; from ocr_guardrails.migrate import *;"
    "{call}(sys.argv[1], root=Path(sys.argv[2]), report=print)"
)


@contextmanager
def process(
    dsn: str, root: Path, call: str = "migrate"
) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-u", "-c", CODE.format(call=call), dsn, str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def wait_for(dsn: str, query: str) -> None:
    deadline = time.monotonic() + 60
    with psycopg.connect(dsn, autocommit=True) as connection:
        while connection.execute(query).fetchone() == (False,):
            assert time.monotonic() < deadline, query
            time.sleep(0.02)


ASLEEP = (
    "select exists (select from pg_stat_activity"
    " where datname = current_database() and wait_event = 'PgSleep')"
)
SLOW_PLACES = {
    "between two statements of a migration": (
        "migrations/0998_slow.sql",
        "create table demo (id integer);\nselect pg_sleep({seconds});\n"
        "create table demo2 (id integer);\n",
    ),
    "while functions are loaded": (
        "functions/working/zzz_slow.sql",
        "select pg_sleep({seconds});\n",
    ),
}


@pytest.mark.parametrize("place", SLOW_PLACES)
def test_a_killed_migration_can_be_repeated(
    empty_database: str, db_copy: Path, dump: Dump, place: str
) -> None:
    path, text = SLOW_PLACES[place]
    (db_copy / path).write_text(text.format(seconds=600))
    if place.startswith("between"):
        (db_copy / "migrations" / "0998_slow.rollback.sql").write_text(
            "drop table demo2;\ndrop table demo;\n"
        )
    with process(empty_database, db_copy) as killed:
        wait_for(empty_database, ASLEEP)
        killed.kill()
        killed.wait()
    (db_copy / path).write_text(text.format(seconds=0))
    migrate(empty_database, root=db_copy, lock_timeout=60)
    assert status(empty_database, root=db_copy).up_to_date
    after = dump(empty_database)
    rollback(empty_database, root=db_copy, to="0001")
    migrate(empty_database, root=db_copy)
    assert dump(empty_database) == after


def test_a_killed_rollback_can_be_repeated(
    empty_database: str, db_copy: Path, dump: Dump
) -> None:
    before = dump(empty_database)
    (db_copy / "migrations" / "0998_slow.sql").write_text("select 1;\n")
    slow = db_copy / "migrations" / "0001_schema.rollback.sql"
    text = slow.read_text()
    migrate(empty_database, root=db_copy)
    installed = dump(empty_database)
    slow.write_text(text.replace("drop table ocr_incidents;", "select pg_sleep(600);"))
    with process(empty_database, db_copy, "rollback") as killed:
        wait_for(empty_database, ASLEEP)
        killed.kill()
        killed.wait()
    slow.write_text(text)
    # wait until the server has noticed
    migrate(empty_database, root=db_copy, lock_timeout=60)
    assert dump(empty_database) == installed
    rollback(empty_database, root=db_copy)
    assert dump(empty_database) == before


def test_concurrent_migrations_wait_for_each_other(
    empty_database: str, db_copy: Path
) -> None:
    (db_copy / "migrations" / "0998_slow.sql").write_text("select pg_sleep(1);\n")
    with (
        process(empty_database, db_copy) as one,
        process(empty_database, db_copy) as two,
        process(empty_database, db_copy) as three,
    ):
        outputs = [p.communicate(timeout=120) for p in (one, two, three)]
        assert [p.returncode for p in (one, two, three)] == [0, 0, 0], outputs
    applied = [out.count("applied 0001_schema") for out, _ in outputs]
    assert sum(applied) == 1
    assert sum("waiting for another migration" in out for out, _ in outputs) == 2
    assert status(empty_database, root=db_copy).up_to_date


def test_waiting_has_an_end(empty_database: str, db_copy: Path) -> None:
    (db_copy / "migrations" / "0000_slow.sql").write_text("select pg_sleep(600);\n")
    with process(empty_database, db_copy):
        wait_for(empty_database, ASLEEP)
        said: list[str] = []
        with pytest.raises(MigrateError, match="has not ended within"):
            migrate(empty_database, lock_timeout=0.5, report=said.append)
        assert said[0].startswith("waiting for another migration")
        # another schema is none of its business
        migrate(empty_database, "other", lock_timeout=0.5)
