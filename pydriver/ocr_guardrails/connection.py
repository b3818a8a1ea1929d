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


class SchemaConnection(psycopg.Connection[Any]):
    """A connection whose server may forget its search_path between transactions.

    ``schema`` is set behind a pooler; the driver then names everything in full.
    """

    schema: str | None = None


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether a pooler, such as PgBouncer, stands between us and the server.

    A pooler greets with a process number of its own, as no server process belongs to
    the client. Asks the server once.
    """
    row = connection.execute("select pg_backend_pid()").fetchone()
    return row is None or row[0] != connection.info.backend_pid


def connect(
    dsn: str | None = None, schema: str = "public", *, autocommit: bool = False
) -> psycopg.Connection[Any]:
    """Connect to the server of ``resolve_dsn`` with ``schema`` as search_path.

    Behind a pooler, where a search_path or a prepared statement would be another
    client's at the next transaction, neither is used: see ``SchemaConnection``.
    """
    plain = resolve_dsn(dsn)
    named = conninfo_to_dict(plain).get("application_name")

    def open_connection(conninfo: str) -> SchemaConnection:
        # In autocommit mode first: looking for a pooler must not begin a transaction.
        return SchemaConnection.connect(
            conninfo,
            autocommit=True,
            application_name=named or os.environ.get("PGAPPNAME") or APPLICATION_NAME,
        )

    try:
        connection = open_connection(with_schema(plain, schema))
    except psycopg.OperationalError as error:
        # PgBouncer refuses startup options unless it is told to ignore them.
        if "unsupported startup parameter" not in str(error):
            raise
        connection = open_connection(plain)
    try:
        if is_pooled(connection):
            connection.schema = schema
            connection.prepare_threshold = None
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection
