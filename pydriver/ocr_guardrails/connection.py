"""Which server, and a connection to it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

# Any of these says that the user means a server of their own. The rest of libpq's
# variables (PGPASSWORD, PGSSLMODE, ...) only say how to reach one.
_SERVER_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE")
APPLICATION_NAME = "ocr-guardrails"


class BadConnectionString(ValueError):
    """What was given is neither a libpq connection string nor a URL."""


def configured_dsn(
    dsn: str | None = None, environ: Mapping[str, str] = os.environ
) -> str | None:
    """The connection string that was given: by argument, DATABASE_URL, PG* variables.

    None when nothing names a server. An empty string leaves everything to libpq, which
    reads the PG* variables itself.
    """
    if dsn:
        return dsn
    if url := environ.get("DATABASE_URL"):
        return url
    if any(environ.get(name) for name in _SERVER_VARIABLES):
        return ""
    return None


def resolve_dsn(dsn: str | None = None) -> str:
    """The libpq connection string to use.

    ``dsn`` itself, else ``DATABASE_URL``, else the PG* variables; with none of these
    the embedded server is started, and left again when Python exits. A URL may carry
    the driver in its scheme, as in ``postgresql+psycopg://``.

    Raises BadConnectionString, and EmbeddedMissing without a server and without the
    embedded one.
    """
    given = configured_dsn(dsn)
    if given is None:
        from ocr_guardrails.embedded import shared_server

        return shared_server().dsn()
    given = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", given)
    try:
        return make_conninfo(given)
    except psycopg.ProgrammingError as error:
        raise BadConnectionString(
            f"not a connection string: {str(error).strip()}"
        ) from None


def search_path_option(schema: str) -> str:
    """The value of libpq's ``options`` that makes a schema the search_path."""
    quoted = sql.Identifier(schema).as_string(None)
    # libpq splits at spaces; a backslash keeps the next character.
    escaped = "".join(f"\\{c}" if c in "\\ \t\n\r" else c for c in quoted)
    return f"-c search_path={escaped}"


def with_schema(dsn: str, schema: str) -> str:
    """The connection string with the schema as search_path, other options kept."""
    options = conninfo_to_dict(dsn).get("options") or os.environ.get("PGOPTIONS")
    return make_conninfo(
        dsn,
        options=" ".join(
            filter(None, [str(options or ""), search_path_option(schema)])
        ),
    )


def connect(
    dsn: str | None = None, schema: str = "public", *, autocommit: bool = False
) -> psycopg.Connection[Any]:
    """Connect to the server of ``resolve_dsn`` with ``schema`` as search_path."""
    conninfo = with_schema(resolve_dsn(dsn), schema)
    named = conninfo_to_dict(conninfo).get("application_name")
    return psycopg.connect(
        conninfo,
        autocommit=autocommit,
        application_name=named or os.environ.get("PGAPPNAME") or APPLICATION_NAME,
    )
