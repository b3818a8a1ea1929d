"""Install, update and remove, by every way there is, and compare what is left."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ocr_guardrails import sqlfiles
from ocr_guardrails.embedded import Server
from ocr_guardrails.migrate import MigrateError, migrate, rollback, status

from .conftest import Dump, Psql, clean_environment, run_cli

SCHEMAS = ["public", "ocr", "Odd \"name\", with 'quotes' $do$ and \\ spaces"]


def url_for_yoyo(dsn: str, schema: str) -> str:
    parameters = conninfo_to_dict(dsn)
    database = parameters.pop("dbname")
    query = "&".join(
        f"{name}={quote(str(value), safe='')}"
        for name, value in {**parameters, "schema": schema}.items()
    )
    return f"postgresql+psycopg:///{database}?{query}"


def bare_yoyo(
    action: str, dsn: str, schema: str = "public", folder: Path | None = None
) -> None:
    # The package is made impossible to import, as it may be where yoyo runs.
    code = (
        "import sys; sys.modules['ocr_guardrails'] = None;"
        "from yoyo.scripts.main import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", code, action, "--batch", "--no-config-file"),
            *("--database", url_for_yoyo(dsn, schema)),
            *(("--all",) if action == "rollback" else ()),
            str(folder or sqlfiles.db_dir() / "migrations"),
        ],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr


def objects(dsn: str, schema: str = "public") -> set[tuple[str, str]]:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            sql.SQL("set search_path to {}").format(sql.Identifier(schema))
        )
        return set(connection.execute("select kind, identity from ocr_schema_objects"))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_migrate_twice_changes_nothing(
    empty_database: str, dump: Dump, schema: str
) -> None:
    first = migrate(empty_database, schema)
    before = dump(empty_database)
    second = migrate(empty_database, schema)
    assert first.migrations[0] == "0000_adoption"
    assert second.migrations == []
    assert dump(empty_database) == before
    assert status(empty_database, schema).up_to_date


@pytest.mark.parametrize("schema", SCHEMAS)
def test_rollback_of_everything_leaves_what_was_there(
    empty_database: str, dump: Dump, schema: str
) -> None:
    before = dump(empty_database)
    migrate(empty_database, schema)
    assert dump(empty_database) != before
    rollback(empty_database, schema)
    assert dump(empty_database) == before
    assert rollback(empty_database, schema).migrations == []
    migrate(empty_database, schema)
    assert status(empty_database, schema).up_to_date


def test_rollback_leaves_a_schema_that_was_there(
    empty_database: str, dump: Dump
) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("create schema ocr")
    before = dump(empty_database)
    migrate(empty_database, "ocr")
    rollback(empty_database, "ocr")
    assert dump(empty_database) == before


def test_rollback_keeps_a_schema_that_is_in_use(empty_database: str) -> None:
    migrate(empty_database, "ocr")
    with psycopg.connect(empty_database) as connection:
        connection.execute("create table ocr.mine (id integer)")
    rollback(empty_database, "ocr")
    with psycopg.connect(empty_database) as connection:
        rows = connection.execute(
            "select relname from pg_class"
            " where relnamespace = 'ocr'::regnamespace and relkind = 'r'"
        ).fetchall()
    assert rows == [("mine",)]


@pytest.mark.parametrize(
    "keep",
    [p.stem for p in sqlfiles.migration_files() if not p.stem.endswith(".rollback")],
)
def test_rollback_to_a_migration_and_forward_is_a_fresh_installation(
    empty_database: str, dump: Dump, keep: str
) -> None:
    migrate(empty_database)
    fresh = dump(empty_database)
    undone = rollback(empty_database, to=keep)
    assert keep not in undone.migrations
    migrate(empty_database)
    assert dump(empty_database) == fresh


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_script_gives_the_same_schema(
    new_database: Callable[[], str], dump: Dump, psql: Psql, schema: str
) -> None:
    migrated, scripted = new_database(), new_database()
    migrate(migrated, schema)
    psql(scripted, sqlfiles.install_script(schema))
    assert dump(scripted) == dump(migrated)
    assert objects(scripted, schema) == objects(migrated, schema)
    assert status(scripted, schema).up_to_date
    # and migrate goes on from there
    assert migrate(scripted, schema).migrations == []
    assert dump(scripted) == dump(migrated)
    rollback(scripted, schema)
    rollback(migrated, schema)
    assert dump(scripted) == dump(migrated)


def test_a_script_that_fails_leaves_nothing(
    empty_database: str, dump: Dump, psql: Psql
) -> None:
    before = dump(empty_database)
    script = sqlfiles.install_script("ocr").replace("commit;", "select 1 / 0;\ncommit;")
    with pytest.raises(AssertionError, match="division by zero"):
        psql(empty_database, script)
    assert dump(empty_database) == before


def test_plain_yoyo_gives_the_same_schema_and_removes_it(
    new_database: Callable[[], str], dump: Dump
) -> None:
    ours, theirs = new_database(), new_database()
    migrate(ours)
    bare_yoyo("apply", theirs)
    assert dump(theirs) == dump(ours)
    assert objects(theirs) == objects(ours)
    assert status(theirs).up_to_date
    # Each goes on where the other has stopped.
    assert migrate(theirs).migrations == []
    bare_yoyo("rollback", theirs)
    remaining = dump(theirs)
    assert "ocr_" not in remaining
    assert "create function" not in remaining.lower()
    rollback(theirs)
    rollback(ours)
    assert dump(theirs) == dump(ours)


def test_plain_yoyo_in_another_schema(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("create schema ocr")
    bare_yoyo("apply", empty_database, "ocr")
    assert status(empty_database, "ocr").up_to_date
    assert not status(empty_database, "public").applied


def test_released_migrations_are_not_edited() -> None:
    assert sqlfiles.edited_migrations() == []


def test_every_migration_is_recorded() -> None:
    # `make checksums` records it; from then on it is frozen.
    assert sqlfiles.recorded_checksums().keys() == sqlfiles.checksums().keys()


def test_every_migration_has_a_rollback() -> None:
    names = {path.name for path in sqlfiles.migration_files()}
    forward = {n for n in names if not n.endswith(".rollback.sql")}
    assert {n.replace(".sql", ".rollback.sql") for n in forward} == names - forward


def test_a_new_version_of_a_function_replaces_the_old_one(
    empty_database: str, db_copy: Path
) -> None:
    def function(arguments: str, result: str = "integer") -> None:
        (db_copy / "functions" / "internal" / "demo_function.sql").write_text(
            f"create or replace function demo_function({arguments})\n"
            f"returns {result} language sql as $$ select 1 $$;\n"
            "comment on function demo_function is 'A demonstration.';\n"
        )

    with psycopg.connect(empty_database) as connection:
        connection.execute(
            "create function demo_other(a text) returns text language sql"
            " as $$ select a $$"
        )
    function("p_a integer")
    migrate(empty_database, root=db_copy)
    assert ("routine", "demo_function(integer)") in objects(empty_database)
    for arguments, result, identity in (
        ("p_a integer, p_b integer", "integer", "demo_function(integer,integer)"),
        ("p_renamed integer, p_b integer", "integer", "demo_function(integer,integer)"),
        ("p_renamed integer, p_b integer", "bigint", "demo_function(integer,integer)"),
    ):
        function(arguments, result)
        before = status(empty_database, root=db_copy)
        assert before.outdated_files == ["functions/internal/demo_function.sql"]
        migrate(empty_database, root=db_copy)
        names = {i for _, i in objects(empty_database) if i.startswith("demo_")}
        assert names == {identity}
        with psycopg.connect(empty_database) as connection:
            found = connection.execute(
                "select oid::regprocedure::text from pg_proc where proname ~ '^demo_'"
            ).fetchall()
        assert {row[0] for row in found} == {identity, "demo_other(text)"}
    (db_copy / "functions" / "internal" / "demo_function.sql").unlink()
    migrate(empty_database, root=db_copy)
    assert not {i for _, i in objects(empty_database) if i.startswith("demo_")}


def test_an_old_function_that_is_in_use_is_kept(
    empty_database: str, db_copy: Path
) -> None:
    file = db_copy / "functions" / "internal" / "demo_function.sql"
    file.write_text(
        "create or replace function demo_function() returns integer\n"
        "language sql as $$ select 1 $$;\n"
    )
    migrate(empty_database, root=db_copy)
    with psycopg.connect(empty_database) as connection:
        connection.execute("create view mine as select demo_function()")
    file.unlink()
    said: list[str] = []
    migrate(empty_database, root=db_copy, report=said.append)
    assert any("demo_function()" in line for line in said)
    assert ("routine", "demo_function()") in objects(empty_database)
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as caught:
        rollback(empty_database, root=db_copy)
    assert "mine" in (caught.value.diag.message_detail or "")
    assert status(empty_database, root=db_copy).up_to_date


def test_functions_of_the_application_stay(empty_database: str, dump: Dump) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute(
            "create function claim_ocr_jobs(a point) returns point language sql"
            " as $$ select a $$"
        )
    before = dump(empty_database)
    migrate(empty_database)
    assert status(empty_database).up_to_date
    with psycopg.connect(empty_database) as connection:
        found = connection.execute("select object, undo from ocr_adoption").fetchall()
    assert found == [
        (
            "routine claim_ocr_jobs(point)",
            "alter routine ocr_set_aside_claim_ocr_jobs(a point)"
            " rename to claim_ocr_jobs",
        )
    ]
    rollback(empty_database)
    assert dump(empty_database) == before


def test_status_sees_what_was_changed_by_hand(empty_database: str) -> None:
    migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute(
            "alter table documents disable trigger trigger_validate_ocr_consistency"
        )
        connection.execute(
            "alter function claim_ocr_jobs(text, integer, interval, boolean)"
            " security invoker"
        )
        connection.execute(
            "alter function release_ocr_job(uuid, uuid) rename to release_something"
        )
    found = status(empty_database)
    assert not found.up_to_date
    assert found.changed_objects == [
        "routine claim_ocr_jobs(text,integer,interval,boolean) (changed)",
        "routine release_ocr_job(uuid,uuid) (missing)",
        "trigger trigger_validate_ocr_consistency on documents (changed)",
    ]


def test_migrations_of_another_application_stay(
    empty_database: str, tmp_path: Path, dump: Dump
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "0001_accounts.sql").write_text("create table accounts (id integer);\n")
    bare_yoyo("apply", empty_database, folder=theirs)
    before = dump(empty_database)
    migrate(empty_database)
    assert status(empty_database).unknown == ["0001_accounts"]
    rollback(empty_database)
    assert dump(empty_database) == before
    with psycopg.connect(empty_database) as connection:
        rows = connection.execute("select migration_id from _yoyo_migration").fetchall()
    assert rows == [("0001_accounts",)]


def test_a_migration_of_the_same_name_is_noticed(
    empty_database: str, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "0001_schema.sql").write_text("create table accounts (id integer);\n")
    bare_yoyo("apply", empty_database, folder=theirs)
    with pytest.raises(MigrateError, match="another application"):
        migrate(empty_database)


def test_a_migration_that_fails_can_be_repeated(
    empty_database: str, db_copy: Path, dump: Dump
) -> None:
    bad = db_copy / "migrations" / "0999_bad.sql"
    bad.write_text("create table demo (id integer);\nselect 1 / 0;\n")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_database, root=db_copy)
    assert status(empty_database, root=db_copy).pending == ["0999_bad"]
    assert "demo" not in dump(empty_database)
    bad.write_text("create table demo (id integer);\n")
    assert migrate(empty_database, root=db_copy).migrations == ["0999_bad"]


def test_every_libpq_parameter_arrives(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = tmp_path / "services.conf"
    lines = "\n".join(f"{k}={v}" for k, v in conninfo_to_dict(empty_database).items())
    service.write_text(f"[ours]\n{lines}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    migrate("service=ours application_name='it\\'s % me' sslmode=disable")
    assert status("service=ours").up_to_date


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_an_installer_with_few_rights_and_an_odd_password(server: Any) -> None:
    password = "it's 100% \\ odd/:?#[]@ & +=é"
    settings = {"listen_addresses": "127.0.0.1", "port": free_port()}
    with Server.temporary(server.bin_dir, settings) as own:
        hba = own.data_dir / "pg_hba.conf"
        hba.write_text("host all all 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        with psycopg.connect(own.dsn(), autocommit=True) as admin:
            admin.execute("select pg_reload_conf()")
            admin.execute(
                sql.SQL("create role installer login password {}").format(
                    sql.Literal(password)
                )
            )
            admin.execute("create database theirs")
            admin.execute("revoke temporary on database theirs from public")
        with psycopg.connect(own.dsn("theirs"), autocommit=True) as admin:
            admin.execute("create schema ocr authorization installer")
        parts = {
            "host": "127.0.0.1",
            "port": settings["port"],
            "user": "installer",
            "password": password,
            "dbname": "theirs",
        }
        dsn = make_conninfo(**parts)
        quoted = {name: quote(value, safe="") for name, value in parts.items()}
        url = "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**quoted)
        migrate(dsn, "ocr")
        assert status(url, "ocr").up_to_date
        rollback(url, "ocr")
        migrate(url, "ocr")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            migrate(dsn, "public")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            migrate(dsn, "other")


def test_the_command_line(empty_database: str) -> None:
    options = ("--dsn", empty_database, "--schema", "ocr")
    assert run_cli(*options, "status").returncode == 1
    done = run_cli(*options, "migrate")
    assert (done.returncode, done.stderr) == (0, "")
    assert run_cli(*options, "status").returncode == 0
    done = run_cli("status", "--json", *options)
    assert done.returncode == 0
    assert json.loads(done.stdout)["up_to_date"] is True
    assert run_cli(*options, "rollback").returncode == 2
    asked = run_cli(*options, "rollback", "--all", input="n\n")
    assert asked.returncode == 1
    done = run_cli(*options, "rollback", "--to", "0017", "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no migration '0017'")
    assert run_cli(*options, "rollback", "--all", "--yes").returncode == 0
    assert run_cli(*options, "status").returncode == 1


def test_errors_of_the_database_are_told_without_a_traceback(
    empty_database: str, db_copy: Path
) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("create table ocr_stats (id integer)")
    done = run_cli("--dsn", empty_database, "migrate")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the schema has a table ocr_stats")
    assert "\nHINT: " in done.stderr
    assert "Traceback" not in done.stderr
