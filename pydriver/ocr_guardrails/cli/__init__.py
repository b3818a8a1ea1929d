"""The command line: ``ocr-guardrails``.

Each module of this package lists its commands in ``commands``; this one puts them
together and turns errors into a line that says what to do and an exit code: 1 for what
went wrong, 2 for a wrong call.
"""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import dataclass
from types import FrameType
from typing import IO, Any

import click
import psycopg

from ocr_guardrails.connection import BadConnectionString, connect, resolve_dsn
from ocr_guardrails.embedded import EmbeddedError
from ocr_guardrails.migrate import MigrateError
from ocr_guardrails.sqlfiles import package_version


@dataclass(slots=True)
class Context:
    """What the options of the group say; commands get it by ``click.pass_obj``."""

    dsn: str | None
    schema: str
    json: bool

    def resolve_dsn(self) -> str:
        """The libpq connection string; the embedded server where none is named."""
        self.dsn = resolve_dsn(self.dsn)
        return self.dsn

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection[Any]:
        """A connection whose search_path is the schema of the installation."""
        return connect(self.resolve_dsn(), self.schema, autocommit=autocommit)


def describe_error(error: BaseException) -> str:
    """An error as a person reads it: message, DETAIL, HINT; never a traceback."""
    if not isinstance(error, psycopg.Error):
        return str(error).strip() or type(error).__name__
    diag = error.diag
    lines = [diag.message_primary or str(error).strip()]
    if diag.message_detail:
        lines.append(f"DETAIL: {diag.message_detail}")
    if isinstance(
        error, psycopg.errors.UndefinedFunction | psycopg.errors.UndefinedTable
    ):
        # PostgreSQL's own hint would be about argument types
        lines.append(
            "HINT: Is OCR Guardrails installed there? `ocr-guardrails migrate` "
            "installs or updates it; --schema names the schema."
        )
    elif diag.message_hint:
        lines.append(f"HINT: {diag.message_hint}")
    lines += getattr(error, "__notes__", [])
    return "\n".join(lines)


# Everything else is a defect, and its traceback is what a report of it needs.
_EXPECTED = (psycopg.Error, BadConnectionString, EmbeddedError, MigrateError)


class _Error(click.ClickException):
    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"error: {self.message}", file=file, err=file is None)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError:
            raise
        except click.ClickException as error:
            raise _Error(error.message) from error
        except _EXPECTED as error:
            raise _Error(describe_error(error)) from error


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # The ordinary way out, so that the embedded server is left and not left behind.
    sys.exit(128 + signal.SIGTERM)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--dsn",
    metavar="DSN",
    help="The database: a libpq connection string or URL. Without it DATABASE_URL or "
    "the PG* variables, else an embedded PostgreSQL of your own.",
)
@click.option(
    "--schema",
    metavar="NAME",
    default="public",
    show_default=True,
    envvar="OCR_GUARDRAILS_SCHEMA",
    help="The schema of the installation.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.version_option(package_version(), prog_name="ocr-guardrails")
@click.pass_context
def main(ctx: click.Context, dsn: str | None, schema: str, as_json: bool) -> None:
    """Keeps OCR results on the documents they were read from."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)
    ctx.obj = Context(dsn, schema, as_json)


def _set_in_context(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    if value:
        setattr(ctx.obj, str(option.name), value)


def _accept_group_options(command: click.Command) -> None:
    """Let `ocr-guardrails migrate --schema ocr` mean what it seems to mean."""
    if command.context_settings.get("ignore_unknown_options"):
        return  # its arguments are for another program
    taken = {name for option in command.params for name in option.opts}
    for name, is_flag in (("dsn", False), ("schema", False), ("json", True)):
        if f"--{name}" not in taken:
            option = click.Option(
                [f"--{name}"],
                is_flag=is_flag,
                hidden=True,
                expose_value=False,
                callback=_set_in_context,
            )
            command.params.append(option)


def _register() -> None:
    # Here, as these modules take Context from this one.
    from ocr_guardrails.cli import demo, operate, schema, work

    for module in (schema, work, operate, demo):
        for command in module.commands:
            _accept_group_options(command)
            main.add_command(command)


_register()
