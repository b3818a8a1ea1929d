"""Writes docs/reference.md, the SQL reference, from COMMENT ON in the database.

The comments are the contract; this puts them where they can be read without one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from ocr_guardrails.embedded import Server
from ocr_guardrails.migrate import migrate

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference.md"
# The rooms of db/functions, in the order of a document's life.
AREAS = {
    "producing": "documents become jobs",
    "working": "what a worker calls",
    "operating": "what an operator or a schedule calls",
}

_FUNCTION = """
    select
        p.proname || '(' || pg_get_function_arguments(p.oid) || ')',
        pg_get_function_result(p.oid),
        obj_description(p.oid, 'pg_proc')
    from pg_proc as p
    where p.pronamespace = current_schema()::regnamespace and p.proname = %s
"""
_RELATIONS = """
    select c.oid, c.relname, obj_description(c.oid, 'pg_class')
    from pg_class as c
    where
        c.relnamespace = current_schema()::regnamespace
        and c.relkind = any(%s)
        and not c.relispartition
        and obj_description(c.oid, 'pg_class') is not null
    order by c.relname
"""
_COLUMNS = """
    select
        a.attname,
        format_type(a.atttypid, a.atttypmod),
        case
            when c.relname = 'ocr_settings' then pg_get_expr(d.adbin, d.adrelid)
        end,
        col_description(a.attrelid, a.attnum)
    from pg_attribute as a
    inner join pg_class as c on c.oid = a.attrelid
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
    order by a.attnum
"""


def render(connection: psycopg.Connection[Any]) -> str:
    """The reference of the schema that stands first in search_path, as Markdown."""
    lines = [
        "# SQL reference",
        "",
        "Generated from the comments in the database by `make reference`; `\\df+` and "
        "`\\d+` in psql show the same. Outcomes and guarantees are explained in "
        "[db/README.md](../db/README.md), SQLSTATEs in "
        "[db/errors.md](../db/errors.md).",
        "",
    ]
    for area, use in AREAS.items():
        lines += [f"## {area.capitalize()}: {use}", ""]
        for path in sorted((ROOT / "db" / "functions" / area).glob("*.sql")):
            for signature, result, comment in connection.execute(
                _FUNCTION, [path.stem]
            ):
                lines += [
                    f"### {path.stem}",
                    "",
                    "```",
                    f"{_wrapped(signature)} returns {_wrapped(result)}",
                    "```",
                    "",
                    comment,
                    "",
                ]
    for title, kinds in (("Tables", ["r", "p"]), ("Views", ["v", "m"])):
        lines += [f"## {title}", ""]
        for oid, name, comment in connection.execute(_RELATIONS, [kinds]).fetchall():
            lines += [f"### {name}", "", comment, "", *_columns(connection, oid), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _wrapped(signature: str) -> str:
    if len(signature) < 60:
        return signature
    head, _, rest = signature.partition("(")
    arguments = rest.removesuffix(")").replace(", ", ",\n    ")
    return f"{head}(\n    {arguments}\n)"


def _columns(connection: psycopg.Connection[Any], oid: int) -> list[str]:
    rows = connection.execute(_COLUMNS, [oid]).fetchall()
    with_default = any(default for _, _, default, _ in rows)
    head = ["column", "type", *(["default"] if with_default else []), "meaning"]
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, kind, default, comment in rows:
        value = (default or "").split("::")[0].strip("'")
        cells = [f"`{name}`", kind, *([value] if with_default else []), comment or ""]
        table.append(f"| {' | '.join(' '.join(cell.split()) for cell in cells)} |")
    return table


def main() -> None:
    with Server.temporary() as server:
        migrate(server.dsn())
        with psycopg.connect(server.dsn()) as connection:
            TARGET.write_text(render(connection), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
