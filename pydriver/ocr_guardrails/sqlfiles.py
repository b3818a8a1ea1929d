"""The SQL files of the package: where they are, and all of them as one script.

``python -m ocr_guardrails.sqlfiles`` records the checksums of new migrations.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType

import sqlparse
from psycopg import sql
from yoyo.migrations import (
    get_migration_hash,
    parse_metadata_from_sql_comments,
    read_migrations,
    topological_sort,
)

CHECKSUMS = "checksums.txt"
SCHEMA_COMMENT = "Made by ocr-guardrails, which removes it with its last object."


def package_version() -> str:
    """The version of the installed distribution."""
    try:
        return metadata.version("ocr-guardrails")
    except metadata.PackageNotFoundError:  # a checkout that is on the path only
        return "unknown"


def db_dir() -> Path:
    """The folder of the SQL: inside the installed package, else the checkout's."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "db", package.parent.parent / "db"):
        if (candidate / "migrations").is_dir():
            return candidate
    raise FileNotFoundError("the package ocr_guardrails is installed without its SQL")


@cache
def _repeatable(root: Path) -> ModuleType:
    """The module that knows the repeatable files; it stands with them (see there)."""
    spec = importlib.util.spec_from_file_location(
        "ocr_guardrails_repeatable", root / "repeatable.py"
    )
    if spec is None or spec.loader is None:
        raise FileNotFoundError(root / "repeatable.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True, slots=True)
class RepeatableFile:
    """A file that every migration run loads again."""

    path: str
    """Path below db/, as in ``functions/working/claim_ocr_jobs.sql``."""
    text: str
    checksum: str


def repeatable_files(root: Path | None = None) -> list[RepeatableFile]:
    """The repeatable files in the order of loading."""
    root = root or db_dir()
    module = _repeatable(root)
    return [
        RepeatableFile(
            path.relative_to(root).as_posix(),
            path.read_text(encoding="utf-8"),
            module.checksum(path),
        )
        for path in module.files(root)
    ]


def objects_query(root: Path | None = None) -> str:
    """The query for everything in current_schema() that such a file can create."""
    return str(_repeatable(root or db_dir()).OBJECTS)


def migration_files(root: Path | None = None) -> list[Path]:
    """The migrations and their rollbacks, by name."""
    folder = (root or db_dir()) / "migrations"
    return sorted(
        path for path in folder.glob("[0-9]*") if path.suffix in {".sql", ".py"}
    )


def checksums(root: Path | None = None) -> dict[str, str]:
    """The SHA-256 of every migration and rollback as it is now, by file name."""
    root = root or db_dir()
    module = _repeatable(root)
    return {path.name: module.checksum(path) for path in migration_files(root)}


def recorded_checksums(root: Path | None = None) -> dict[str, str]:
    """The SHA-256 of every released migration, from ``migrations/checksums.txt``.

    The format is the one of ``sha256sum``.
    """
    path = (root or db_dir()) / "migrations" / CHECKSUMS
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def edited_migrations(root: Path | None = None) -> list[str]:
    """Names of released files that were edited or removed since."""
    now = checksums(root)
    recorded = recorded_checksums(root)
    return sorted(name for name, digest in recorded.items() if now.get(name) != digest)


def write_checksums(root: Path | None = None, *, overwrite: bool = False) -> list[str]:
    """Record the migrations that are not recorded yet; the names of these.

    A recorded file that reads otherwise now is a ValueError unless ``overwrite``: once
    released, a migration has run somewhere, and an edited one runs nowhere again.
    """
    edited = edited_migrations(root)
    if edited and not overwrite:
        raise ValueError(
            f"released migrations were edited: {', '.join(edited)}. Undo that and "
            "write a new migration; --force is for a file that was never released."
        )
    now = checksums(root)
    new = sorted(now.keys() - recorded_checksums(root).keys())
    path = (root or db_dir()) / "migrations" / CHECKSUMS
    path.write_text(
        "".join(f"{digest}  {name}\n" for name, digest in sorted(now.items())),
        encoding="utf-8",
    )
    return new


def drop_objects_statement(root: Path | None = None) -> str:
    """The statement that drops every function, trigger and view of ours.

    It is the first one of the rollback that drops their register, too.
    """
    path = (root or db_dir()) / "migrations" / "0002_repeatable_objects.rollback.sql"
    return str(sqlparse.split(path.read_text(encoding="utf-8"))[0])


def create_schema_statement(schema: str) -> str:
    """The statement that makes the schema where it is missing, and marks it as ours."""
    name = sql.Identifier(schema).as_string(None)
    literal = sql.Literal(schema).as_string(None)
    comment = sql.Literal(SCHEMA_COMMENT).as_string(None)
    # to_regnamespace() takes an identifier as SQL spells it, hence the catalog.
    return _do(
        f"    if not exists (select from pg_namespace where nspname = {literal}) then\n"
        f"        create schema {name};\n"
        f"        comment on schema {name} is {comment};\n"
        "    end if;"
    )


def _do(body: str) -> str:
    tag = "$do$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return f"do {tag}\nbegin\n{body}\nend\n{tag};\n"


# yoyo's own tables, as its version 2 schema makes them.
_YOYO_TABLES = """\
create table if not exists _yoyo_migration (
    migration_hash varchar(64),
    migration_id varchar(255),
    applied_at_utc timestamp,
    primary key (migration_hash)
);
create table if not exists _yoyo_log (
    id varchar(36),
    migration_hash varchar(64),
    migration_id varchar(255),
    operation varchar(10),
    username varchar(255),
    hostname varchar(255),
    comment varchar(255),
    created_at_utc timestamp,
    primary key (id)
);
create table if not exists _yoyo_version (
    version int not null primary key,
    installed_at_utc timestamp
);
create table if not exists yoyo_lock (
    locked int default 1,
    ctime timestamp,
    pid int not null,
    primary key (locked)
);
insert into _yoyo_version (version, installed_at_utc)
values (2, now() at time zone 'UTC')
on conflict do nothing;
"""


def install_script(schema: str = "public", root: Path | None = None) -> str:
    """The whole installation as one script for psql, in one transaction.

    For a database without it. Afterwards ``ocr-guardrails migrate`` goes on from there.
    """
    root = root or db_dir()
    name = sql.Identifier(schema).as_string(None)
    parts = [
        f"-- OCR Guardrails {package_version()}: the whole "
        f"installation, into schema {_one_line(name)}.\n"
        "--     psql -v ON_ERROR_STOP=1 -f THIS_FILE\n"
        "-- Later versions are applied by: ocr-guardrails migrate\n",
        "begin;\n",
        "set local client_min_messages = warning;\n",
        # Whatever the session had set before must not change how the text is read.
        "set local standard_conforming_strings = on;\n",
    ]
    if schema != "public":
        parts.append(create_schema_statement(schema))
    parts += [f"set local search_path = {name}, pg_temp;\n", _YOYO_TABLES]
    for migration in topological_sort(
        read_migrations(_glob_escape(root / "migrations"))
    ):
        path = Path(migration.path)
        if path.suffix != ".sql":
            raise ValueError(f"{path.name}: only SQL migrations fit into the script")
        text = path.read_text(encoding="utf-8")
        directives, _, _ = parse_metadata_from_sql_comments(text)
        if directives.get("transactional", "true").lower() != "true":
            raise ValueError(f"{path.name}: cannot run inside a transaction")
        parts += [
            f"-- migrations/{path.name}\n\n{text}",
            _mark_statement(migration.id),
        ]
    for file, text in _repeatable(root).statements(root):
        title = f"-- {file.relative_to(root).as_posix()}\n\n" if file else ""
        parts.append(title + text)
    parts.append("commit;\n")
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]", " ", text)


def _mark_statement(migration_id: str) -> str:
    values = {
        "hash": sql.Literal(get_migration_hash(migration_id)).as_string(None),
        "id": sql.Literal(migration_id).as_string(None),
    }
    return (
        "insert into _yoyo_migration (migration_hash, migration_id, applied_at_utc)\n"
        "values ({hash}, {id}, clock_timestamp() at time zone 'UTC');\n"
        "insert into _yoyo_log (\n"
        "    id, migration_hash, migration_id, operation, username, hostname,\n"
        "    created_at_utc\n"
        ")\n"
        "values (\n"
        "    gen_random_uuid()::text, {hash}, {id}, 'mark', session_user, 'psql',\n"
        "    clock_timestamp() at time zone 'UTC'\n"
        ");\n"
    ).format(**values)


def _glob_escape(path: Path) -> str:
    from glob import escape

    return escape(str(path))


def main(argv: list[str] | None = None) -> int:
    """Record new migrations in checksums.txt, or check the recorded ones."""
    parser = argparse.ArgumentParser(prog="python -m ocr_guardrails.sqlfiles")
    parser.add_argument(
        "--write-checksums", action="store_true", help="record new migrations (default)"
    )
    parser.add_argument(
        "--check", action="store_true", help="exit 1 if a released one was edited"
    )
    parser.add_argument(
        "--force", action="store_true", help="record files that were edited, too"
    )
    options = parser.parse_args(argv)
    if options.check:
        edited = edited_migrations()
        for name in edited:
            print(f"{name}: edited after its release")
        return 1 if edited else 0
    try:
        new = write_checksums(overwrite=options.force)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("recorded: " + ", ".join(new) if new else "nothing new to record")
    return 0


if __name__ == "__main__":
    sys.exit(main())
