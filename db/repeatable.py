"""The repeatable SQL: which files there are, in which order, and how they are loaded.

This stands beside the SQL because plain ``yoyo apply`` must work where the Python
package is not installed: the hook ``migrations/post-apply.py`` finds it by its path,
and so does ``ocr_guardrails.sqlfiles``. It knows the DB-API only, as yoyo may have been
told to use another driver.

What a load creates is recorded in ``ocr_schema_objects``, read from the catalog rather
than from the files' text. So it is known exactly what is ours: a rollback drops that
and nothing to which the application has given a similar name, a function that a new
version no longer has is dropped, and ``ocr-guardrails status`` sees what was changed by
hand.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent

# The order of loading; within a folder, files go by name.
FOLDERS = (
    "functions/internal",
    "functions/producing",
    "functions/working",
    "functions/operating",
    "views",
    # From here to the end of the load the table of documents is locked.
    "triggers",
)
# Last, as it grants what the others have created.
PRIVILEGES = "privileges.sql"

# Every object of the schema that a repeatable file can create (see there).
OBJECTS = (
    (ROOT / "functions" / "internal" / "list_loaded_objects.sql")
    .read_text(encoding="utf-8")
    .split("$function$")[1]
)

# Functions pin their path with `set search_path from current`, hence the first setting:
# the schema of the installation, and nothing that a caller could put before it. Bodies
# name functions of files that come later, so they are not checked yet.
BEGIN_LOAD = """\
do $do$
begin
    if current_schema() is null then
        raise exception using
            errcode = 'invalid_schema_name',
            message = 'the schema to install into does not exist',
            hint = 'Create it, or put an existing one first in search_path.';
    end if;
    perform
        set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true),
        set_config('client_min_messages', 'warning', true),
        set_config('check_function_bodies', 'off', true);
end
$do$;
"""

# Objects of the application that have the name of one of ours get out of the way by
# another name, until a rollback gives them the old one back. What hangs on them stays
# with them. An object of ours is one that the register knows.
SET_ASIDE = """\
do $do$
declare
    v_object record;
begin
    for v_object in
        select
            o.kind,
            o.identity,
            o.name,
            'ocr_set_aside_' || o.name as aside,
            o.arguments,
            o.relkind
        from (
            select
                'routine' as kind,
                p.oid::regprocedure::text as identity,
                p.proname::text as name,
                format('(%s)', pg_get_function_identity_arguments(p.oid)) as arguments,
                null as relkind
            from pg_proc as p
            where
                p.pronamespace = quote_ident(current_schema())::regnamespace
                and p.proname = any({routines})
            union all
            select
                case c.relkind
                    when 'm' then 'materialized view'
                    when 'v' then 'view'
                    when 'i' then 'index'
                    else 'table'
                end,
                c.oid::regclass::text,
                c.relname::text,
                '',
                c.relkind::text
            from pg_class as c
            left join pg_index as i on i.indexrelid = c.oid
            where
                c.relnamespace = quote_ident(current_schema())::regnamespace
                and c.relname = any({relations})
                and not exists (
                    select from ocr_schema_objects as s
                    where s.identity = i.indrelid::regclass::text
                )
        ) as o
        where not exists (
            select from ocr_schema_objects as s
            where s.kind = o.kind and s.identity = o.identity
        )
    loop
        if v_object.kind = 'table' then
            raise exception using
                errcode = 'duplicate_table',
                message = format(
                    'the schema has a table %s, and the package a view of this name',
                    v_object.identity
                ),
                hint = 'Rename it, or install into another schema.';
        end if;
        execute format(
            'alter %s %s rename to %I', v_object.kind, v_object.identity, v_object.aside
        );
        insert into ocr_adoption (kind, object, undo)
        values (
            'set aside',
            v_object.kind || ' ' || v_object.identity,
            format(
                'alter %s %I%s rename to %I',
                v_object.kind, v_object.aside, v_object.arguments, v_object.name
            )
        );
    end loop;
end
$do$;
"""

# The same for triggers, which are switched off as well: ours take over.
SET_ASIDE_TRIGGERS = """\
do $do$
declare
    v_trigger record;
begin
    for v_trigger in
        select
            t.tgname as name,
            'ocr_set_aside_' || t.tgname as aside,
            t.tgrelid::regclass as of_table,
            case t.tgenabled
                when 'O' then 'enable'
                when 'A' then 'enable always'
                when 'R' then 'enable replica'
            end as enable
        from pg_trigger as t
        where
            t.tgrelid in (to_regclass('documents'), to_regclass('ocr_queue'))
            and not t.tgisinternal
            and t.tgname = any({triggers})
            and not exists (
                select from ocr_schema_objects as s
                where
                    s.kind = 'trigger'
                    and s.identity = format('%I on %s', t.tgname, t.tgrelid::regclass)
            )
    loop
        execute format(
            'alter trigger %I on %s rename to %I',
            v_trigger.name, v_trigger.of_table, v_trigger.aside
        );
        execute format(
            'alter table %s disable trigger %I', v_trigger.of_table, v_trigger.aside
        );
        insert into ocr_adoption (kind, object, undo)
        values (
            'set aside',
            format('trigger %I on %s', v_trigger.name, v_trigger.of_table),
            coalesce(
                format(
                    'alter table %s %s trigger %I;',
                    v_trigger.of_table, v_trigger.enable, v_trigger.aside
                ), ''
            ) || format(
                'alter trigger %I on %s rename to %I',
                v_trigger.aside, v_trigger.of_table, v_trigger.name
            )
        );
    end loop;
end
$do$;
"""

REMEMBER = f"""\
do $do$
begin
    -- What END_LOAD compares with. Kept in a setting of this transaction, because not
    -- everyone who may install may make temporary tables.
    perform set_config('ocr_guardrails.before_load', coalesce((
        select string_agg(o.version, ' ')
        from ({OBJECTS}) as o
    ), ''), true);
end
$do$;
"""

END_LOAD = f"""\
do $do$
declare
    v_object record;
begin
    insert into ocr_schema_objects as s (kind, identity, definition)
    select o.kind, o.identity, o.definition
    from ({OBJECTS}) as o
    where o.version <> all(
        string_to_array(current_setting('ocr_guardrails.before_load'), ' ')
    )
    on conflict (kind, identity)
    do update set definition = excluded.definition, loaded_at = now();

    -- Ours of an earlier load, and in no file any more. A materialized view that is
    -- there already may have been left as it is by its file.
    for v_object in
        select s.kind, s.identity
        from ocr_schema_objects as s
        where s.loaded_at <> now() and s.kind <> 'materialized view'
    loop
        begin
            execute format('drop %s if exists %s', v_object.kind, v_object.identity);
            delete from ocr_schema_objects as s
            where s.kind = v_object.kind and s.identity = v_object.identity;
        exception
            when dependent_objects_still_exist then
                raise warning using
                    message = format(
                        'kept the %s %s of an earlier version: %s',
                        v_object.kind, v_object.identity, sqlerrm
                    ),
                    hint = 'Drop what depends on it, then migrate again.';
        end;
    end loop;
end
$do$;
"""

# Whoever installs waits anyway, so the coming partitions of the history are made here.
FINISH_LOAD = """\
do $do$
begin
    if to_regproc('create_ocr_history_partitions') is not null then
        perform create_ocr_history_partitions();
    end if;
end
$do$;
"""


class LoadError(Exception):
    """The files are not as this module expects them."""


def files(root: Path = ROOT) -> list[Path]:
    """The repeatable files in the order of loading."""
    found = [
        path for folder in FOLDERS for path in sorted((root / folder).glob("*.sql"))
    ]
    if (root / PRIVILEGES).is_file():
        found.append(root / PRIVILEGES)
    # A file that is never loaded would be noticed late.
    stray = {
        path
        for path in root.rglob("*.sql")
        if path.relative_to(root).parts[0] not in ("migrations", "tests", "schema.sql")
    } - set(found)
    if stray:
        raise LoadError(f"no place in the order of loading: {sorted(map(str, stray))}")
    return found


def checksum(path: Path) -> str:
    """The SHA-256 of a file, whatever line endings it was checked out with."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def record_files(root: Path = ROOT) -> str:
    """The statement that notes which files were loaded, for `ocr-guardrails status`."""
    rows = ",\n".join(
        f"    ('{path.relative_to(root).as_posix()}', '{checksum(path)}')"
        for path in files(root)
    )
    insert = f"insert into ocr_schema_files (path, checksum)\nvalues\n{rows};\n"
    return "delete from ocr_schema_files;\n" + (insert if rows else "")


def statements(root: Path = ROOT) -> list[tuple[Path | None, str]]:
    """What a load executes, in order and in one transaction; with the file it is from.

    ``search_path`` has to begin with the schema of the installation.
    """
    privileges = root / PRIVILEGES
    texts = [
        (path, path.read_text(encoding="utf-8"))
        for path in files(root)
        if path != privileges
    ]
    all_of_it = "".join(text for _, text in texts)
    loaded: list[tuple[Path | None, str]] = [
        (None, BEGIN_LOAD),
        (
            None,
            SET_ASIDE.format(
                routines=_names("create or replace (?:function|procedure)", all_of_it),
                relations=_names(
                    "create (?:or replace view|(?:materialized view|unique index|index)"
                    " if not exists)",
                    all_of_it,
                ),
            ),
        ),
        (None, REMEMBER),
    ]
    is_after = False
    for path, text in texts:
        if path.parent.name == "triggers" and not is_after:
            is_after = True
            triggers = _names("create or replace trigger", all_of_it)
            loaded.append((None, SET_ASIDE_TRIGGERS.format(triggers=triggers)))
        loaded.append((path, text))
    # Before the privileges, which write to everything that they are granted on.
    loaded.append((None, END_LOAD))
    if privileges.is_file():
        loaded.append((privileges, privileges.read_text(encoding="utf-8")))
    loaded.append((None, record_files(root)))
    loaded.append((None, FINISH_LOAD))
    return loaded


def _names(create: str, text: str) -> str:
    """The names that the statements which begin so create, as an array of SQL."""
    names = sorted(set(re.findall(rf"(?im)^{create}\s+(\w+)", text)))
    return "array[{}]::text []".format(", ".join(f"'{name}'" for name in names))


def load(connection: Any, root: Path = ROOT) -> None:
    """Load all files through a DB-API connection that is inside a transaction."""
    cursor = connection.cursor()
    try:
        for path, text in statements(root):
            cursor.execute("savepoint ocr_file")
            try:
                cursor.execute(text)
            except Exception as error:
                # A function whose result or arguments have changed: `create or replace`
                # refuses the one, and a `comment on function` without arguments the
                # other. Whatever depends on the old one still stops the load.
                changed = _sqlstate(error) in ("42P13", "42725")
                if path is None or not changed:
                    raise _with_file(error, path) from None
                cursor.execute("rollback to savepoint ocr_file")
                _drop_routines(cursor, text)
                try:
                    cursor.execute(text)
                except Exception as again:
                    raise _with_file(again, path) from None
            cursor.execute("release savepoint ocr_file")
    finally:
        cursor.close()


def _sqlstate(error: Exception) -> str | None:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def _with_file(error: Exception, path: Path | None) -> Exception:
    if path is not None:
        error.add_note(f"in {path}")
    return error


def _drop_routines(cursor: Any, text: str) -> None:
    """Drop the recorded routines that have the name of one that the file creates."""
    pattern = r'create\s+or\s+replace\s+(?:function|procedure)\s+("[^"]+"|\w+)\s*\('
    for name in set(re.findall(pattern, text, re.IGNORECASE)):
        cursor.execute(
            "select s.identity from ocr_schema_objects as s"
            " where s.kind = 'routine' and starts_with(s.identity, %s)",
            (f"{name}(",),
        )
        for (identity,) in cursor.fetchall():
            cursor.execute(f"drop routine if exists {identity}")
