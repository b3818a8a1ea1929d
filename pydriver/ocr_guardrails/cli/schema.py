"""migrate, rollback, status, sql, psql: the package's SQL in a database."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import click

from ocr_guardrails import adopt, sqlfiles
from ocr_guardrails import migrate as migrations
from ocr_guardrails.cli import Context
from ocr_guardrails.cli.output import print_json, safe
from ocr_guardrails.client import Guardrails
from ocr_guardrails.connection import configured_dsn, with_schema


def _report(context: Context) -> migrations.Report:
    # What --json prints has to stay alone on stdout.
    return lambda line: click.echo(line, err=context.json)


wait_option = click.option(
    "--wait",
    "lock_timeout",
    type=click.FloatRange(min=0),
    default=migrations.LOCK_TIMEOUT,
    show_default=True,
    help="Seconds to wait for another migration of the schema to end.",
)


@click.command()
@wait_option
@click.pass_obj
def migrate(context: Context, lock_timeout: float) -> None:
    """Install the package into the schema, or bring it to this version.

    Safe to repeat, and to run from several places at once.
    """
    changed = migrations.migrate(
        context.resolve_dsn(),
        context.schema,
        lock_timeout=lock_timeout,
        report=_report(context),
    )
    if context.json:
        click.echo(json.dumps({"applied": changed.migrations, "files": changed.files}))
    else:
        click.echo(f"schema {context.schema} is up to date")


@click.command()
@click.option(
    "--to",
    metavar="MIGRATION",
    help="The migration to keep as the last one: its id, or its number as in 0002.",
)
@click.option("--all", "everything", is_flag=True, help="Remove the whole package.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_option
@click.pass_obj
def rollback(
    context: Context, to: str | None, everything: bool, yes: bool, lock_timeout: float
) -> None:
    """Undo migrations, together with the data in the tables that they made.

    Functions, triggers and views are removed as well; `migrate` brings them back.
    """
    if (to is None) != everything:
        raise click.UsageError("say either --to MIGRATION or --all")
    if not yes:
        what = f"everything after {to}" if to else "the package and ALL ITS DATA"
        click.confirm(
            f"Remove {what} from schema {context.schema}?", abort=True, err=True
        )
    changed = migrations.rollback(
        context.resolve_dsn(),
        context.schema,
        to,
        lock_timeout=lock_timeout,
        report=_report(context),
    )
    if context.json:
        click.echo(json.dumps({"rolled_back": changed.migrations}))
    elif not changed.migrations:
        click.echo("nothing to roll back")


@click.command()
@click.pass_obj
def status(context: Context) -> None:
    """Show what is installed; exit 1 unless it is what this version brings."""
    found = migrations.status(context.resolve_dsn(), context.schema)
    if context.json:
        click.echo(json.dumps({**asdict(found), "up_to_date": found.up_to_date}))
    else:
        click.echo(f"ocr-guardrails {found.package_version}, schema {found.schema}")
        titles = [
            ("applied", found.applied),
            ("applied, and not of this version", found.unknown),
            ("pending", found.pending),
            ("changed by hand", found.changed_objects),
        ]
        if found.applied:
            titles.append(("loaded in another version", found.outdated_files))
        for title, names in titles:
            for name in names:
                click.echo(f"  {title}: {name}")
        if found.up_to_date:
            click.echo("up to date")
        elif not found.applied:
            click.echo("not installed; `ocr-guardrails migrate` installs it")
        else:
            click.echo("not up to date; `ocr-guardrails migrate` brings it up to date")
    if not found.up_to_date:
        sys.exit(1)


@click.command()
@click.pass_obj
def sql(context: Context) -> None:
    """Print the whole installation as one SQL script.

    For a database without the package: ocr-guardrails sql | psql -v ON_ERROR_STOP=1
    """
    click.echo(sqlfiles.install_script(context.schema), nl=False)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def psql(context: Context, arguments: tuple[str, ...]) -> None:
    """Open psql on the database, with the schema as search_path.

    ARGUMENTS are psql's own, as in: ocr-guardrails psql -c 'select * from ocr_stats'
    """
    embedded = configured_dsn(context.dsn) is None
    dsn = context.resolve_dsn()
    program: Path | str | None = shutil.which("psql")
    if embedded or program is None:
        from ocr_guardrails.embedded import EmbeddedMissing, wheel_bin_dir

        try:
            program = wheel_bin_dir() / "psql"
        except EmbeddedMissing:
            raise click.ClickException("psql is not installed") from None
    command = [str(program), "--dbname", with_schema(dsn, context.schema), *arguments]
    # psql runs as a child: the embedded server stays for as long as this process does.
    sys.exit(subprocess.run(command, env=os.environ, check=False).returncode)


@click.command("guard-mode")
@click.argument("mode", required=False, type=click.Choice(["observe", "enforce"]))
@click.pass_obj
def guard_mode(context: Context, mode: str | None) -> None:
    """Show what becomes of unsafe SQL on adopted tables, or set it.

    observe records it, enforce refuses it. To enforce takes no lock that the
    application would notice; it is refused while there are rows that it would strand.
    Exit code 1 if a constraint is broken by some row.
    """
    broken: list[str] = []
    with context.connect(autocommit=True) as connection:
        if mode == "enforce":
            broken = adopt.enforce(connection, _report(context))
        elif mode is not None:
            connection.execute("select set_guard_mode(%s)", [mode])
        found = connection.execute("select guard_mode from ocr_settings").fetchone()
    now = found[0] if found else None
    if context.json:
        click.echo(json.dumps({"guard_mode": now, "not_validated": broken}))
    else:
        click.echo(f"guard_mode is {now}")
    if broken:
        sys.exit(1)


@click.command("adoption-report")
@click.pass_obj
def adoption_report(context: Context) -> None:
    """Tell which code paths still change documents by unsafe SQL, by count.

    Of the last seven days; exit code 1 if there are any.
    """
    with context.connect(autocommit=True) as connection:
        guardrails = Guardrails(connection)
        rows = guardrails.read("ocr_unsafe_statements", latest_by="statements")
        (settings,) = guardrails.read("ocr_settings", columns=["guard_mode"])
    if context.json:
        print_json({**settings, "statements": rows})
    else:
        click.echo(f"guard_mode is {settings['guard_mode']}")
        if not rows:
            click.echo("No unsafe statement in the last seven days.")
        for row in rows:
            click.echo(
                f"\n{row['statements']} x {row['change']}\n"
                f"  by {row['session_user_name']}, application "
                f"{safe(row['application_name'] or 'without a name').plain}, "
                f"last at {row['last_at']:%Y-%m-%d %H:%M:%S}\n"
                f"  {safe(row['statement']).plain}\n"
                f"  instead: {row['instead']}"
            )
    if rows:
        sys.exit(1)


commands: list[click.Command] = [
    migrate,
    rollback,
    status,
    guard_mode,
    adoption_report,
    sql,
    psql,
]
