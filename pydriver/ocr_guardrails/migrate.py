"""Install, update and remove the package's SQL in a database.

The migrations are yoyo's, and plain ``yoyo apply`` works on them, too. What is done
differently here:

- A migration and the note that it was applied commit together. yoyo makes that note in
  a second transaction, and a process that dies between the two leaves a database that
  can neither go on nor back.
- Concurrent runs wait for each other by an advisory lock, which ends with its
  connection. yoyo's row in ``yoyo_lock`` outlives a killed process.
- The repeatable SQL is loaded by every run. yoyo's hook runs only after a migration, so
  a release of changed functions alone would not arrive.
- The connection is made from the libpq connection string itself. yoyo's URLs cannot
  express all of it.
"""

from __future__ import annotations

import getpass
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.exceptions import BadMigration
from yoyo.migrations import (
    Migration,
    MigrationList,
    default_migration_table,
    read_migrations,
)

from ocr_guardrails import adopt, sqlfiles
from ocr_guardrails.adopt import MigrateError as MigrateError
from ocr_guardrails.connection import is_pooled, resolve_dsn

LOCK_TIMEOUT = 120.0
_FIRST = adopt.MIGRATION
_YOYO_TABLES = ("_yoyo_migration", "_yoyo_log", "_yoyo_version", "yoyo_lock")

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Changed:
    """What a run has done: migrations by id, in the order in which it went."""

    migrations: list[str]
    files: int = 0
    """Number of repeatable files that were loaded."""


@dataclass(frozen=True, slots=True)
class Status:
    """What is installed, compared with what this version of the package brings."""

    package_version: str
    schema: str
    applied: list[str]
    pending: list[str]
    unknown: list[str]
    """Applied, and not of this version: a newer one, or another application's."""
    outdated_files: list[str]
    """Repeatable files that were loaded in another wording, or not at all."""
    changed_objects: list[str]
    """Functions, triggers and views that were changed, disabled or dropped by hand."""

    @property
    def up_to_date(self) -> bool:
        return not (self.pending or self.outdated_files or self.changed_objects)


@dataclass(frozen=True, slots=True)
class _Target:
    """Stands where yoyo keeps a parsed URL."""

    dsn: str
    schema: str
    database: str


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    def connect(self, target: _Target) -> psycopg.Connection[Any]:
        self.schema = target.schema
        parameters = conninfo_to_dict(target.dsn)
        # yoyo sends BEGIN and COMMIT itself.
        return psycopg.connect(
            target.dsn,
            autocommit=True,
            application_name=parameters.get("application_name")
            or os.environ.get("PGAPPNAME")
            or "ocr-guardrails migrate",
        )

    def init_connection(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            sql.SQL("set search_path to {}, pg_temp").format(
                sql.Identifier(self.schema)
            )
        )

    def init_database(self) -> None:
        # yoyo finds out by trial and error whether DDL is transactional.
        found = self.execute(
            "select to_regclass(quote_ident(current_schema()) || '.yoyo_lock')"
        ).fetchone()
        if found[0] is None:
            self.create_lock_table()

    @contextmanager
    def lock(self, timeout: float = 10) -> Iterator[None]:  # noqa: ARG002
        # Every run holds the advisory lock.
        yield

    def get_log_data(
        self, migration: Migration | None = None, operation: str = "apply"
    ) -> dict[str, Any]:
        # The original fails for a user id without a name and may ask the DNS.
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = str(os.getuid())
        return {
            "id": str(uuid.uuid4()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": user,
            "hostname": socket.gethostname(),
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),
            "operation": operation,
        }

    def apply_one(
        self, migration: Migration, force: bool = False, mark: bool = True
    ) -> None:
        if not migration.use_transactions:
            super().apply_one(migration, force, mark)
            return
        with self.transaction():
            migration.process_steps(self, "apply", force)
            self.log_migration(migration, "apply")
            if mark:
                self.mark_one(migration, log=False)

    def rollback_one(self, migration: Migration, force: bool = False) -> None:
        if not migration.use_transactions:
            super().rollback_one(migration, force)
            return
        with self.transaction():
            migration.process_steps(self, "rollback", force)
            self.log_migration(migration, "rollback")
            self.unmark_one(migration, log=False)


def _quiet(_: str) -> None:
    pass


def _read(root: Path) -> MigrationList:
    migrations = read_migrations(escape(str(root / "migrations")))
    if not migrations:
        raise MigrateError(f"there are no migrations in {root / 'migrations'}")
    # yoyo leaves out what it cannot read, and goes on with the next one.
    for migration in [*migrations, *migrations.post_apply]:
        try:
            migration.load()
        except BadMigration as error:
            raise MigrateError(f"cannot read the migration {migration.path}") from error
    return migrations


def _schema_exists(connection: psycopg.Connection[Any], schema: str) -> bool:
    found = connection.execute(
        "select from pg_namespace where nspname = %s", [schema]
    ).fetchone()
    return found is not None


def _lock(
    connection: psycopg.Connection[Any], schema: str, timeout: float, report: Report
) -> None:
    key = f"ocr_guardrails migrations of schema {schema}"
    deadline = time.monotonic() + timeout
    waiting = False
    while True:
        got = connection.execute(
            "select pg_try_advisory_lock(hashtextextended(%s, 0))", [key]
        ).fetchone()
        if got == (True,):
            return
        holder = connection.execute(
            """
            select l.pid
            from pg_locks as l
            where
                l.locktype = 'advisory'
                and l.granted
                and l.objsubid = 1
                and l.database = (
                    select d.oid from pg_database as d
                    where d.datname = current_database()
                )
                and (l.classid::bigint << 32) | l.objid::bigint
                = hashtextextended(%s, 0)
            """,
            [key],
        ).fetchone()
        who = f" (server process {holder[0]})" if holder else ""
        if time.monotonic() >= deadline:
            raise MigrateError(
                f"another migration of schema {schema!r}{who} has not ended within "
                f"{timeout:g} seconds. Wait for it, or end its connection with "
                "pg_terminate_backend(), then try again."
            )
        if not waiting:
            waiting = True
            report(f"waiting for another migration of schema {schema!r}{who} to end")
        time.sleep(0.2)


@contextmanager
def _open(
    dsn: str | None, schema: str, timeout: float, report: Report
) -> Iterator[_Backend]:
    """A backend that holds the lock; the lock ends with its connection."""
    conninfo = resolve_dsn(dsn)
    database = str(conninfo_to_dict(conninfo).get("dbname") or "")
    backend = _Backend(_Target(conninfo, schema, database), default_migration_table)
    connection = backend.connection
    connection.add_notice_handler(lambda notice: report(_describe(notice)))
    with connection:
        _refuse_pooler(connection)
        connection.execute("set client_min_messages to warning")
        # Whoever waits behind us waits no longer than we do.
        connection.execute(f"set lock_timeout to '{adopt.LOCK_TIMEOUT * 1000:.0f}ms'")
        with suppress(psycopg.DatabaseError):  # not on every platform
            # The lock of a killed run ends as soon as the server notices, and not when
            # the statement that it was in the middle of does.
            connection.execute("set client_connection_check_interval to '1s'")
        _lock(connection, schema, timeout, report)
        yield backend


def _describe(notice: psycopg.errors.Diagnostic) -> str:
    lines = [f"{notice.severity}: {notice.message_primary}"]
    if notice.message_hint:
        lines.append(f"HINT: {notice.message_hint}")
    return "\n".join(lines)


def _refuse_pooler(connection: psycopg.Connection[Any]) -> None:
    # The lock and the settings belong to a session, which a pooler gives to others.
    if is_pooled(connection):
        raise MigrateError(
            "this is a connection pooler; migrations need the server itself: give its "
            "own host and port by --dsn"
        )


def _is_installed(backend: _Backend) -> bool:
    found = backend.execute(
        "select to_regclass(quote_ident(current_schema()) || '.ocr_schema_files')"
    ).fetchone()
    return found[0] is not None


def _check_foreign(backend: _Backend, applied: Sequence[str]) -> None:
    """Refuse to go on where a migration of this name was another application's."""
    if _FIRST in applied and not _is_installed(backend):
        raise MigrateError(
            f"yoyo's table in schema {backend.schema!r} says that {_FIRST} is applied, "
            "and the tables of OCR Guardrails are not there. It may be a migration of "
            "another application with the same name: install into another schema."
        )


def _applied_ids(backend: _Backend) -> list[str]:
    rows = backend.execute(
        f"select migration_id from {default_migration_table}"  # noqa: S608
        " order by applied_at_utc, migration_id"
    )
    return [row[0] for row in rows.fetchall()]


def _yoyo_is_there(connection: psycopg.Connection[Any], schema: str) -> bool:
    found = connection.execute(
        """
        select from pg_class as c
        inner join pg_namespace as n on c.relnamespace = n.oid
        where n.nspname = %s and c.relname = %s
        """,
        [schema, default_migration_table],
    ).fetchone()
    return found is not None


def _adopt(backend: _Backend, migration: Migration, root: Path, report: Report) -> None:
    """The first migration where the application has one of its tables already."""
    there = adopt.adopt(backend.connection, root, report)

    def apply_remaining() -> None:
        with backend.transaction():
            backend.connection.execute(adopt.remaining(root, there).encode())
            backend.log_migration(migration, "apply")
            backend.mark_one(migration, log=False)

    adopt.with_retries(apply_remaining, report, migration.id)


def _tell_adopted(connection: psycopg.Connection[Any], report: Report) -> None:
    for row in connection.execute(
        "select object from ocr_adoption where kind = 'set aside' order by id"
    ):
        report(f"set aside until a rollback: {row[0]}")
    observed = connection.execute(
        "select from ocr_settings where guard_mode = 'observe'"
    ).fetchone()
    if observed is not None:
        report(
            "tables were adopted, and guard_mode is observe: see check, repair, "
            "adoption-report and guard-mode"
        )


def _post_apply(backend: _Backend, migrations: MigrationList) -> None:
    with backend.transaction():
        for hook in migrations.post_apply:
            hook.process_steps(backend, "apply")


def migrate(
    dsn: str | None = None,
    schema: str = "public",
    *,
    root: Path | None = None,
    lock_timeout: float = LOCK_TIMEOUT,
    report: Report = _quiet,
) -> Changed:
    """Bring the schema to this version of the package; makes the schema if missing.

    Applies what is pending, each migration in its own transaction, then loads all
    repeatable files in one. Run again, it changes nothing. ``lock_timeout`` is how many
    seconds it waits for another run. ``report`` gets a line for each thing done.

    Raises MigrateError, and psycopg's errors where a statement fails.
    """
    root = root or sqlfiles.db_dir()
    migrations = _read(root)
    files = sqlfiles.repeatable_files(root)
    with _open(dsn, schema, lock_timeout, report) as backend:
        connection = backend.connection
        if not _schema_exists(connection, schema):
            connection.execute(sqlfiles.create_schema_statement(schema))
            report(f"created schema {schema}")
        if not _is_installed(backend):
            adopt.check(connection, root)
        backend.init_database()
        pending = backend.to_apply(migrations)
        _check_foreign(backend, _applied_ids(backend))
        for migration in pending:
            if migration.id == _FIRST and adopt.tables_there(connection):
                _adopt(backend, migration, root, report)
            else:
                adopt.with_retries(
                    lambda migration=migration: backend.apply_one(migration),  # type: ignore[misc]
                    report,
                    migration.id,
                )
            report(f"applied {migration.id}")
        adopt.with_retries(
            lambda: _post_apply(backend, migrations), report, "functions and triggers"
        )
        _tell_adopted(connection, report)
        report(f"loaded {len(files)} files of functions, triggers and views")
        return Changed([m.id for m in pending], len(files))


def rollback(
    dsn: str | None = None,
    schema: str = "public",
    to: str | None = None,
    *,
    root: Path | None = None,
    lock_timeout: float = LOCK_TIMEOUT,
    report: Report = _quiet,
) -> Changed:
    """Undo the migrations after ``to`` (an id, or its number), or all of them.

    All functions, triggers and views go first: those of this version do not fit to
    older tables. The next ``migrate``, of this or an older version, loads its own.
    Without ``to`` nothing is left of the package, yoyo's tables and a schema that
    ``migrate`` has made included, unless something else uses them. THE DATA GOES WITH
    THE TABLES.

    Raises MigrateError, and psycopg's errors where something of the application
    depends on what is to be dropped; then nothing has changed.
    """
    root = root or sqlfiles.db_dir()
    migrations = _read(root)
    keep = _find(migrations, to) if to is not None else None
    with _open(dsn, schema, lock_timeout, report) as backend:
        if not _yoyo_is_there(backend.connection, schema):
            return Changed([])
        _check_foreign(backend, _applied_ids(backend))
        applied = list(backend.to_rollback(migrations))
        after = {m.id for m in migrations if keep is None or m.id > keep.id}
        undo = [m for m in applied if m.id in after]

        def roll_back() -> None:
            with _all_or_nothing(backend, undo):
                if undo and keep is not None:
                    _drop_objects(backend, root)
                for migration in undo:
                    backend.rollback_one(migration)

        adopt.with_retries(roll_back, report, "rollback")
        for migration in undo:
            report(f"rolled back {migration.id}")
        if keep is None:
            ours = [m.id for m in [*migrations, *migrations.post_apply]]
            _drop_yoyo_tables(backend, ours)
            _drop_schema(backend)
        return Changed([m.id for m in undo])


def _find(migrations: MigrationList, wanted: str) -> Migration:
    found = [
        m for m in migrations if m.id == wanted or m.id.partition("_")[0] == wanted
    ]
    if len(found) != 1:
        known = ", ".join(m.id for m in migrations)
        raise MigrateError(f"there is no migration {wanted!r}; there are {known}")
    return found[0]


def _all_or_nothing(
    backend: _Backend, migrations: Sequence[Migration]
) -> AbstractContextManager[Any]:
    """One transaction around all, where each of them can run inside one."""
    if all(m.use_transactions for m in migrations):
        return backend.transaction()  # type: ignore[no-any-return]
    return nullcontext()


def _drop_objects(backend: _Backend, root: Path) -> None:
    found = backend.execute(
        "select to_regclass(quote_ident(current_schema()) || '.ocr_schema_objects')"
    ).fetchone()
    if found[0] is not None:
        with backend.transaction():
            backend.connection.execute(sqlfiles.drop_objects_statement(root))


def _drop_yoyo_tables(backend: _Backend, ours: list[str]) -> None:
    """Drop yoyo's tables, unless another application's migrations are in them."""
    connection = backend.connection
    others = connection.execute(
        """
        select exists (select from _yoyo_migration)
            or exists (select from _yoyo_log where migration_id <> all(%s))
        """,
        [ours],
    ).fetchone()
    if others == (False,):
        with backend.transaction():
            for table in _YOYO_TABLES:
                connection.execute(
                    sql.SQL("drop table if exists {}").format(sql.Identifier(table))
                )


def _drop_schema(backend: _Backend) -> None:
    """Drop the schema if it was made by `migrate` and nothing is left in it."""
    connection = backend.connection
    made_by_us = connection.execute(
        "select from pg_namespace as n where n.nspname = %s"
        " and obj_description(n.oid, 'pg_namespace') = %s",
        [backend.schema, sqlfiles.SCHEMA_COMMENT],
    ).fetchone()
    if made_by_us is not None:
        with suppress(psycopg.errors.DependentObjectsStillExist):
            connection.execute(
                sql.SQL("drop schema {}").format(sql.Identifier(backend.schema))
            )


def status(
    dsn: str | None = None, schema: str = "public", *, root: Path | None = None
) -> Status:
    """Compare what is installed with what this version of the package brings.

    Reads only, and waits for nobody.
    """
    root = root or sqlfiles.db_dir()
    ids = [m.id for m in _read(root)]
    conninfo = resolve_dsn(dsn)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        _refuse_pooler(connection)
        connection.execute("set default_transaction_read_only to on")
        connection.execute(
            sql.SQL("set search_path to {}, pg_temp").format(sql.Identifier(schema))
        )
        done: list[str] = []
        if _yoyo_is_there(connection, schema):
            rows = connection.execute(
                "select migration_id from _yoyo_migration"
                " order by applied_at_utc, migration_id"
            )
            done = [row[0] for row in rows]
        return Status(
            package_version=sqlfiles.package_version(),
            schema=schema,
            applied=[i for i in done if i in ids],
            pending=[i for i in ids if i not in done],
            unknown=[i for i in done if i not in ids],
            outdated_files=_outdated_files(connection, root),
            changed_objects=_changed_objects(connection, root),
        )


def _table_is_there(connection: psycopg.Connection[Any], name: str) -> bool:
    found = connection.execute(
        "select to_regclass(quote_ident(current_schema()) || '.' || quote_ident(%s))",
        [name],
    ).fetchone()
    return found is not None and found[0] is not None


def _outdated_files(connection: psycopg.Connection[Any], root: Path) -> list[str]:
    loaded: dict[str, str] = {}
    if _table_is_there(connection, "ocr_schema_files"):
        loaded = dict(connection.execute("select path, checksum from ocr_schema_files"))
    packaged = {file.path: file.checksum for file in sqlfiles.repeatable_files(root)}
    return sorted(
        path
        for path in packaged.keys() | loaded.keys()
        if packaged.get(path) != loaded.get(path)
    )


def _changed_objects(connection: psycopg.Connection[Any], root: Path) -> list[str]:
    if not _table_is_there(connection, "ocr_schema_objects"):
        return []
    query = f"""
        select
            s.kind || ' ' || s.identity
            || case when o.identity is null then ' (missing)' else ' (changed)' end
        from ocr_schema_objects as s
        left join ({sqlfiles.objects_query(root)}) as o
            on s.kind = o.kind and s.identity = o.identity
        where s.definition is distinct from o.definition
        order by 1
    """  # noqa: S608
    return [row[0] for row in connection.execute(query.encode())]
