"""Give tables that were there before the package what they lack.

The first migration makes ``documents`` and ``ocr_queue``. Where the application has one
of them already, its section of that migration is not executed; it is executed in
``pg_temp`` instead, rolled back, and what the catalog says of it is compared with the
table that is there. So the definitions stand in one place.

Nothing that a statement of the application has to wait for lasts: no table is
rewritten, indexes are built concurrently, and a lock that is not there at once is given
up after ``lock_timeout`` and tried again (``with_retries``). Each step is listed in
``ocr_adoption`` with what takes it back.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[Any]
Report = Callable[[str], None]

TABLES = ("documents", "ocr_queue")
MIGRATION = "0001_schema"
#: Seconds; below deadlock_timeout, so that it is never the application that gives way.
LOCK_TIMEOUT = 0.5
PATIENCE = 600.0

_IDS = {
    "bigint",
    "character varying",
    "integer",
    "text",
    "uuid",
}
#: The types that a column may have, by the type that a fresh installation gives it.
_ACCEPTED = {
    "text": {"character varying", "text"},
    "real": {"double precision", "numeric", "real"},
    "bigint": {"bigint", "integer"},
}
_STATUS_LENGTH = len("processing")
#: Constant while rows are rewritten otherwise: a volatile default is set afterwards.
_FAST_DEFAULTS = {"clock_timestamp()": "now()"}


class MigrateError(Exception):
    """The database cannot be migrated as it is; the message says why."""


def with_retries(
    action: Callable[[], None],
    report: Report,
    what: str,
    *,
    patience: float = PATIENCE,
) -> None:
    """Do it again as long as it fails because of a lock that it did not get in time.

    Whatever it had done by then is rolled back, so nobody waits for it meanwhile.
    """
    deadline = time.monotonic() + patience
    told = False
    while True:
        try:
            action()
        except (
            psycopg.errors.LockNotAvailable,
            psycopg.errors.DeadlockDetected,
        ) as error:
            if time.monotonic() >= deadline:
                raise MigrateError(
                    f"{what}: a lock was not to be had for {patience:g} seconds "
                    f"({error}). See which transaction stays open in "
                    "pg_stat_activity, then migrate again."
                ) from error
            if not told:
                told = True
                report(f"{what}: waiting for a lock, without holding any")
            # jitter, not a rhythm that the application may happen to have, too
            time.sleep(random.uniform(0.05, 0.5))  # noqa: S311
        else:
            return


def sections(root: Path) -> dict[str, str]:
    """The text of the first migration, by what it makes; ``head`` comes before."""
    text = (root / "migrations" / f"{MIGRATION}.sql").read_text(encoding="utf-8")
    parts = re.split(r"(?m)^-- section: (\w+)\n", text)
    found = {
        "head": parts[0],
        **dict(zip(parts[1::2], parts[2::2], strict=True)),
    }
    if list(found) != ["head", *TABLES, "package"]:
        raise MigrateError(f"{MIGRATION} has other sections: {list(found)}")
    return found


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str
    length: int
    is_not_null: bool
    default: str | None
    has_value: bool
    comment: str | None


@dataclass(slots=True)
class _Table:
    name: str
    kind: str
    columns: dict[str, _Column] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, tuple[bool, str]] = field(default_factory=dict)
    """By name: whether it is unique, and its definition from USING on."""
    is_id_unique: bool = False


def _read(connection: Connection, namespace: str) -> dict[str, _Table]:
    """What the catalog says of the two tables; ``namespace`` is an SQL expression."""
    cursor = connection.cursor()
    tables: dict[str, _Table] = {}
    for oid, name, kind in cursor.execute(
        f"""
        select c.oid, c.relname, c.relkind::text
        from pg_class as c
        where
            c.relnamespace = {namespace}
            and c.relname = any(%s)
            and c.relkind <> 'i'
        """,  # noqa: S608
        [list(TABLES)],
    ).fetchall():
        table = tables[name] = _Table(name, kind)
        for column in cursor.execute(
            """
            select
                a.attname,
                format_type(a.atttypid, null) as type,
                greatest(a.atttypmod - 4, 0) as length,
                a.attnotnull,
                pg_get_expr(d.adbin, d.adrelid) as default,
                d.oid is not null or a.attidentity <> '' as has_value,
                col_description(a.attrelid, a.attnum) as comment
            from pg_attribute as a
            left join pg_attrdef as d
                on d.adrelid = a.attrelid and d.adnum = a.attnum
            where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
            order by a.attnum
            """,
            [oid],
        ):
            table.columns[column[0]] = _Column(*column)
        for check in cursor.execute(
            "select conname, pg_get_expr(conbin, conrelid) from pg_constraint"
            " where conrelid = %s and contype = 'c' order by conname",
            [oid],
        ):
            table.checks[check[0]] = check[1]
        for index in cursor.execute(
            """
            select
                c.relname,
                i.indisunique,
                substring(pg_get_indexdef(i.indexrelid) from ' (USING .*)$'),
                i.indisunique and i.indpred is null and i.indexprs is null
                and (
                    select a.attnum from pg_attribute as a
                    where a.attrelid = i.indrelid and a.attname = 'id'
                ) = any(i.indkey::smallint [])
            from pg_index as i
            inner join pg_class as c on c.oid = i.indexrelid
            where i.indrelid = %s and i.indisvalid
            order by c.relname
            """,
            [oid],
        ):
            table.indexes[index[0]] = (index[1], index[2])
            table.is_id_unique |= bool(index[3])
    return tables


_SCHEMA = "quote_ident(current_schema())::regnamespace"


def tables_there(connection: Connection) -> list[str]:
    """Which of the two tables the schema has: their names."""
    rows = connection.execute(
        f"""
        select c.relname
        from pg_class as c
        where c.relnamespace = {_SCHEMA} and c.relname = any(%s) and c.relkind <> 'i'
        order by c.relname
        """,  # noqa: S608
        [list(TABLES)],
    )
    return [row[0] for row in rows]


def _template(connection: Connection, root: Path) -> dict[str, _Table]:
    """The tables of a fresh installation."""
    parts = sections(root)
    with connection.transaction(force_rollback=True):
        connection.execute("set local search_path to pg_temp")
        connection.execute("".join(parts[name] for name in TABLES).encode())
        return _read(connection, "pg_my_temp_schema()")


def _needs(wanted: dict[str, _Table], there: dict[str, _Table]) -> Iterator[str]:
    """What stands in the way, in words."""
    for table in there.values():
        if table.kind != "r" and not (table.kind == "p" and table.name == "documents"):
            yield f"{table.name} is no table of the kind that can be adopted"
            continue
        template = wanted[table.name]
        if table.name == "documents" and not table.is_id_unique:
            yield "documents.id is in no unique index"
        for column in template.columns.values():
            name = f"{table.name}.{column.name}"
            found = table.columns.get(column.name)
            if found is None:
                if column.is_not_null and (
                    column.default is None or column.name == "id"
                ):
                    yield f"{name} is missing"
                continue
            if column.name in ("id", "document_id"):
                accepted = _IDS
            else:
                accepted = _ACCEPTED.get(column.type, {column.type})
            if found.type not in accepted:
                known = " or ".join(sorted(accepted))
                yield f"{name} is of type {found.type}, not {known}"
            if column.name in ("ocr_status", "status") and (
                0 < found.length < _STATUS_LENGTH
            ):
                yield f"{name} is too short for 'processing'"
            if found.is_not_null and not column.is_not_null:
                yield f"{name} is NOT NULL"
        if table.name == "ocr_queue":
            for found in table.columns.values():
                if found.name == "id":
                    must = found.type != "uuid"
                else:
                    must = found.is_not_null and found.name not in template.columns
                if must and not found.has_value:
                    yield f"ocr_queue.{found.name} has no default: no job could be made"
    if len(there) == len(TABLES):
        document = there["documents"].columns.get("id")
        job = there["ocr_queue"].columns.get("document_id")
        if document and job and document.type != job.type:
            yield (
                f"ocr_queue.document_id is of type {job.type}, and documents.id "
                f"of type {document.type}"
            )


def _taken_names(connection: Connection, root: Path) -> list[str]:
    """Names of the package's own tables and types that the schema has already."""
    text = sections(root)["package"]
    names = re.findall(r"(?m)^create (?:table|type|sequence) (\w+)", text)
    rows = connection.execute(
        f"select relname from pg_class where relnamespace = {_SCHEMA}"  # noqa: S608
        " and relname = any(%s) order by 1",
        [names],
    )
    return [row[0] for row in rows]


def _list(
    connection: Connection,
    kind: str,
    name: str,
    undo: sql.Composable | None,
    statement: sql.Composable | None = None,
    condition: str | None = None,
) -> bool:
    """List a step, unless it is listed already: whether it was not."""
    done = connection.execute(
        """
        insert into ocr_adoption (kind, object, undo, statement, condition, is_in_force)
        values (%s, %s, %s, %s, %s, %s)
        on conflict (kind, object) do nothing
        """,
        [
            kind,
            name,
            undo.as_string(connection) if undo else None,
            statement.as_string(connection) if statement else None,
            condition,
            kind != "guard",
        ],
    )
    return done.rowcount == 1


def check(connection: Connection, root: Path) -> None:
    """Raise MigrateError, having changed nothing, where a table cannot be adopted."""
    there = _read(connection, _SCHEMA)
    if not there:
        return
    obstacles = list(_needs(_template(connection, root), there))
    if taken := _taken_names(connection, root):
        obstacles.append(
            f"the names of the package's own tables are taken: {', '.join(taken)}"
        )
    if obstacles:
        raise MigrateError(
            "the tables cannot be adopted as they are; nothing was changed. "
            + "; ".join(obstacles)
        )


def adopt(connection: Connection, root: Path, report: Report) -> list[str]:
    """Adopt what is there of the two tables: the names of those tables.

    Can be repeated, and goes on where it was interrupted. The connection is in
    autocommit mode, its search_path begins with the schema, and ``ocr_adoption`` is
    there.
    """
    check(connection, root)
    there = _read(connection, _SCHEMA)
    wanted = _template(connection, root)
    for table in there.values():
        with_retries(
            partial(_add_columns, connection, wanted[table.name], table),
            report,
            f"columns of {table.name}",
        )
        report(f"adopted the table {table.name}")
    # The columns that were added are needed from here on.
    there = _read(connection, _SCHEMA)
    for table in there.values():
        _add_indexes(connection, wanted[table.name], table, report)
        with connection.transaction():
            _list_guards(connection, wanted[table.name], table)
    return sorted(there)


def _add_columns(connection: Connection, template: _Table, table: _Table) -> None:
    name = sql.Identifier(table.name)
    clauses: list[sql.Composable] = []
    later: list[sql.Composable] = []
    with connection.transaction():
        _list(connection, "table", table.name, None)
        for column in template.columns.values():
            found = table.columns.get(column.name)
            identifier = sql.Identifier(column.name)
            set_default = sql.SQL("alter column {} set default {}").format(
                identifier,
                sql.SQL(column.default or "null"),
            )
            if found is not None:
                if (
                    column.default is None
                    or found.has_value
                    or (column.name == "id" and found.type != "uuid")
                ):
                    continue
                clauses.append(set_default)
                undo = "alter table {} alter column {} drop default"
                kind = "default"
            else:
                clause = sql.SQL("add column {} {}").format(
                    identifier,
                    sql.SQL(column.type),
                )
                if column.default is not None:
                    fast = _FAST_DEFAULTS.get(column.default)
                    if fast is not None:
                        later.append(set_default)
                    clause += sql.SQL(" default " + (fast or column.default))
                if column.is_not_null:
                    clause += sql.SQL(" not null")
                clauses.append(clause)
                undo = "alter table {} drop column if exists {}"
                kind = "column"
            _list(
                connection,
                kind,
                f"{table.name}.{column.name}",
                sql.SQL(undo).format(name, identifier),
            )
        for each in (clauses, later):
            if each:
                connection.execute(
                    sql.SQL("alter table {} {}").format(name, sql.SQL(", ").join(each))
                )
        for column in template.columns.values():
            if column.name not in table.columns and column.comment:
                connection.execute(
                    sql.SQL("comment on column {}.{} is {}").format(
                        name, sql.Identifier(column.name), sql.Literal(column.comment)
                    )
                )


def _free_name(connection: Connection, wanted: str) -> str:
    """The name, or another one where the application has given it to something."""
    for name in (wanted, *(f"{wanted}_guard{n or ''}" for n in range(100))):
        found = connection.execute(
            f"""
            select
            where
                exists (
                    select from pg_class as c
                    where c.relnamespace = {_SCHEMA} and c.relname = %(name)s
                )
                or exists (
                    select from pg_constraint as c
                    where c.connamespace = {_SCHEMA} and c.conname = %(name)s
                )
            """,  # noqa: S608
            {"name": name},
        ).fetchone()
        if found is None:
            return name
    raise MigrateError(f"no name is left for {wanted}")


def _add_indexes(
    connection: Connection, template: _Table, table: _Table, report: Report
) -> None:
    definitions = set(table.indexes.values())
    for name, (is_unique, definition) in template.indexes.items():
        # The key is there; what is unique comes with the guards.
        if is_unique or (is_unique, definition) in definitions:
            continue
        listed = connection.execute(
            "select from ocr_adoption where kind = 'index' and object = %s", [name]
        ).fetchone()
        if listed is not None:
            # An interrupted build leaves an index that is there and of no use.
            undo = connection.execute(
                "delete from ocr_adoption where kind = 'index' and object = %s"
                " returning undo",
                [name],
            ).fetchone()
            if undo is not None:
                connection.execute(undo[0])
        build_index(connection, table.name, name, definition, report)


def build_index(
    connection: Connection,
    table: str,
    name: str,
    definition: str,
    report: Report,
    *,
    is_unique: bool = False,
) -> str:
    """Build an index without locking writers out, part by part where there are parts.

    ``name`` is what it is listed under; returns the name that it was given.
    """
    given = _free_name(connection, name)
    _list(
        connection,
        "index",
        name,
        sql.SQL("drop index if exists {}").format(sql.Identifier(given)),
    )
    # The waits of a concurrent build are in nobody's way.
    connection.execute("set lock_timeout to 0")
    try:
        _build(connection, table, given, definition, is_unique)
    finally:
        connection.execute(f"set lock_timeout to '{LOCK_TIMEOUT * 1000:.0f}ms'")
    report(f"built the index {given} on {table}")
    return given


def _build(
    connection: Connection, table: str, name: str, definition: str, is_unique: bool
) -> None:
    create = "create unique index" if is_unique else "create index"
    kind = connection.execute(
        "select relkind = 'p' from pg_class where oid = %s::regclass", [table]
    ).fetchone()
    using = sql.SQL(definition)
    if kind != (True,):
        connection.execute(
            sql.SQL(create + " concurrently {} on {} {}").format(
                sql.Identifier(name), _relation(table), using
            )
        )
        return
    connection.execute(
        sql.SQL(create + " {} on only {} {}").format(
            sql.Identifier(name), _relation(table), using
        )
    )
    parts = connection.execute(
        """
        select i.inhrelid::regclass::text, n.nspname
        from pg_inherits as i
        inner join pg_class as c on c.oid = i.inhrelid
        inner join pg_namespace as n on n.oid = c.relnamespace
        where i.inhparent = %s::regclass
        order by 1
        """,
        [table],
    ).fetchall()
    for number, (part, namespace) in enumerate(parts, 1):
        part_name = f"{name[:50]}_{number}"
        # Until it hangs on its parent it is to be dropped by itself.
        drop = sql.SQL("drop index if exists {}").format(
            sql.Identifier(namespace, part_name)
        )
        if not _list(connection, "index", f"{name} of {part}", drop):
            connection.execute(drop)
        _build(connection, part, part_name, definition, is_unique)
        connection.execute(
            sql.SQL("alter index {} attach partition {}").format(
                sql.Identifier(name), sql.Identifier(namespace, part_name)
            )
        )
        connection.execute(
            "delete from ocr_adoption where kind = 'index' and object = %s",
            [f"{name} of {part}"],
        )


def _relation(name: str) -> sql.Composable:
    # As regclass writes it, quoted where it has to be.
    return sql.SQL(name)


def _list_guards(connection: Connection, template: _Table, table: _Table) -> None:
    """List what will hold once plain SQL is refused: see set_guard_mode()."""
    name = sql.Identifier(table.name)
    checks = dict(template.checks)
    for column in template.columns.values():
        found = table.columns[column.name]
        if column.is_not_null and not found.is_not_null:
            key = f"check_{table.name}_{column.name}_not_null"
            checks[key] = f"({column.name} IS NOT NULL)"
    for key, condition in checks.items():
        _guard(
            connection,
            table,
            key,
            sql.SQL("check ({})").format(sql.SQL(condition)),
            condition,
        )
    if table.name != "ocr_queue":
        return
    for key, (is_unique, definition) in template.indexes.items():
        if is_unique and "_pkey" not in key:
            if (is_unique, definition) in table.indexes.values():
                continue
            free = _free_name(connection, key)
            given = sql.Identifier(free)
            _list(
                connection,
                "guard",
                f"{table.name}.{free}",
                sql.SQL("drop index if exists {}").format(given),
                sql.SQL("create unique index if not exists {} on {} {}").format(
                    given,
                    name,
                    sql.SQL(definition),
                ),
            )
    unique_id = connection.execute(
        """
        select from pg_index as i
        where
            i.indrelid = to_regclass('documents')
            and i.indisunique
            and i.indisvalid
            and i.indimmediate
            and i.indpred is null
            and i.indnkeyatts = 1
            and i.indkey[0] = (
                select a.attnum from pg_attribute as a
                where a.attrelid = i.indrelid and a.attname = 'id'
            )
        """
    ).fetchone()
    cascading = connection.execute(
        """
        select from pg_constraint as c
        where
            c.contype = 'f'
            and c.conrelid = 'ocr_queue'::regclass
            and c.confrelid = to_regclass('documents')
            and c.confdeltype = 'c'
            and c.convalidated
        """
    ).fetchone()
    if unique_id is not None and cascading is None:
        _guard(
            connection,
            table,
            "fk_ocr_queue_document_id",
            sql.SQL(
                "foreign key (document_id) references documents (id) on delete cascade"
            ),
        )


def _guard(
    connection: Connection,
    table: _Table,
    key: str,
    definition: sql.Composable,
    condition: str | None = None,
) -> None:
    name = sql.Identifier(table.name)
    free = _free_name(connection, key)
    given = sql.Identifier(free)
    _list(
        connection,
        "guard",
        f"{table.name}.{free}",
        sql.SQL("alter table {} drop constraint if exists {}").format(name, given),
        sql.SQL("alter table {} add constraint {} {} not valid").format(
            name, given, definition
        ),
        condition,
    )


def enforce(connection: Connection, report: Report) -> list[str]:
    """Switch to ``enforce``, with no lock that the application would notice.

    The unique index of live jobs is built concurrently; then ``set_guard_mode`` brings
    the constraints into force, which takes a moment; then they are validated for the
    rows that were there. Returns the names of those that some row still breaks. The
    connection is in autocommit mode, its search_path begins with the schema.
    """
    connection.execute(f"set lock_timeout to '{LOCK_TIMEOUT * 1000:.0f}ms'")
    waiting = connection.execute(
        "select id, statement, undo from ocr_adoption"
        " where kind = 'guard' and not is_in_force and condition is null"
        " and starts_with(statement, 'create unique index')"
    ).fetchall()
    for _, statement, undo in waiting:
        # What an interrupted build has left is of no use.
        connection.execute("set lock_timeout to 0")
        connection.execute(undo)
        connection.execute(
            statement.replace(
                "create unique index if not exists",
                "create unique index concurrently",
                1,
            ).encode()
        )
        connection.execute(f"set lock_timeout to '{LOCK_TIMEOUT * 1000:.0f}ms'")
        report("built the unique index of live jobs")
    with_retries(lambda: _set_mode(connection, "enforce"), report, "constraints")
    report("guard_mode is enforce")
    return validate(connection, report)


def _set_mode(connection: Connection, mode: str) -> None:
    connection.execute("select set_guard_mode(%s)", [mode])


def validate(connection: Connection, report: Report) -> list[str]:
    """Validate the constraints that are in force; the names of those that cannot be."""
    broken: list[str] = []
    connection.execute("set lock_timeout to 0")
    for table, name in connection.execute(
        """
        select c.conrelid::regclass::text, c.conname
        from pg_constraint as c
        inner join ocr_adoption as a
            on a.object = c.conrelid::regclass::text || '.' || c.conname
        where a.kind = 'guard' and a.is_in_force and not c.convalidated
        order by 1, 2
        """
    ).fetchall():
        try:
            connection.execute(
                sql.SQL("alter table {} validate constraint {}").format(
                    _relation(table), sql.Identifier(name)
                )
            )
        except psycopg.errors.IntegrityError as error:
            broken.append(name)
            report(f"{name} is not valid yet: {error.diag.message_primary}")
        else:
            report(f"validated {name}")
    return broken


def remaining(root: Path, there: Sequence[str]) -> str:
    """What of the first migration is to be executed where those tables are there."""
    return "".join(text for name, text in sections(root).items() if name not in there)
