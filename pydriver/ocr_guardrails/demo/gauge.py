"""What both runs are measured with, so that neither is judged by its own word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

MARK = "OCR Guardrails demo"


class ForeignSchemaError(Exception):
    """There is a schema of this name, and it is not the demo's."""


@dataclass(frozen=True, slots=True)
class Found:
    """How a document ended."""

    status: str
    text: str | None


def make_schema(connection: Connection[Any], schema: str) -> None:
    """Make an empty schema, in place of what an earlier demo left there."""
    drop_schema(connection, schema)
    name = sql.Identifier(schema)
    connection.execute(sql.SQL("create schema {}").format(name))
    connection.execute(
        sql.SQL("comment on schema {} is {}").format(name, sql.Literal(MARK))
    )


def drop_schema(connection: Connection[Any], schema: str) -> None:
    """Drop a schema that the demo has made. Raises ForeignSchemaError for any other."""
    row = connection.execute(
        "select obj_description(n.oid, 'pg_namespace') from pg_namespace as n"
        " where n.nspname = %s",
        [schema],
    ).fetchone()
    if row is None:
        return
    if row[0] != MARK:
        raise ForeignSchemaError(
            f"The schema {schema} was not made by the demo, so it is left alone. "
            "Drop or rename it, or give the demo another database by --dsn."
        )
    connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(schema)))


def install_gauge(connection: Connection[Any]) -> None:
    """Count every write to the text of a document that was completed already."""
    connection.execute(
        """
        create table demo_overwrites (document_id uuid not null);
        create function demo_note_overwrite() returns trigger language plpgsql
        set search_path from current
        as $$
        begin
            insert into demo_overwrites (document_id) values (new.id);
            return null;
        end;
        $$;
        create trigger demo_gauge after update of ocr_text on documents
        for each row when (old.ocr_status = 'completed')
        execute function demo_note_overwrite();
        """
    )


def count_overwrites(connection: Connection[Any]) -> int:
    """How often a finished result was written over, with whatever text."""
    row = connection.execute("select count(*) from demo_overwrites").fetchone()
    return int(row[0]) if row else 0


def find_results(connection: Connection[Any]) -> dict[str, Found]:
    """How every document ended, by its path."""
    return {
        path: Found(status, text)
        for path, status, text in connection.execute(
            "select file_path, ocr_status, ocr_text from documents"
        )
    }
