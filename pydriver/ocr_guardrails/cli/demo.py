"""``ocr-guardrails demo``."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from ocr_guardrails.cli import Context
from ocr_guardrails.connection import configured_dsn, resolve_dsn

WIDTH = 100
DEFAULT_PAGES = 40


@click.command()
@click.option(
    "--docs",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the images and PDFs in this folder instead of drawn pages.",
)
@click.option(
    "--pages",
    type=click.IntRange(12, 2000),
    default=DEFAULT_PAGES,
    show_default=True,
    help="How many documents; of a folder, the first so many files.",
)
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="What decides the pages and the faults.",
)
@click.option(
    "--workers",
    type=click.IntRange(2, 8),
    default=4,
    show_default=True,
    help="How many workers read at a time.",
)
@click.option(
    "--keep/--drop",
    default=None,
    help="Whether the demo's two schemas stay in the database.  [default: they stay "
    "in the embedded server, and go from a server named by --dsn]",
)
@click.pass_obj
def demo(
    context: Context,
    docs: Path | None,
    pages: int,
    seed: int,
    workers: int,
    keep: bool | None,
) -> None:
    """Show what goes wrong without guardrails, and that it does not with them.

    Reads the same documents twice, with the same workers and the same faults: on plain
    tables, then on guarded ones, in the schemas ocr_demo_plain and ocr_demo. Uses the
    embedded PostgreSQL unless --dsn names a server; DATABASE_URL and the PG* variables
    do not count here. Exits with 1 when a guarded document came to harm.
    """
    from ocr_guardrails.demo.gauge import ForeignSchemaError
    from ocr_guardrails.demo.reading import EngineReader
    from ocr_guardrails.demo.run import (
        Options,
        TooFewDocumentsError,
        drop_schemas,
        run_demo,
    )
    from ocr_guardrails.engines import EngineUnavailable

    started = time.monotonic()
    console = Console(stderr=context.json)
    # In a file or a pipe nothing is known about the width.
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    keep = context.dsn is None if keep is None else keep
    try:
        if context.dsn is None:
            console.print("Starting the embedded PostgreSQL …")
        options = Options(
            dsn=_find_dsn(context.dsn),
            docs=docs,
            pages=pages,
            seed=seed,
            workers=workers,
        )
        result = run_demo(options, console, EngineReader)
        if not keep:
            drop_schemas(options)
    except (ForeignSchemaError, TooFewDocumentsError, EngineUnavailable) as error:
        raise click.ClickException(str(error)) from error
    seconds = time.monotonic() - started
    if context.json:
        click.echo(
            json.dumps(
                {
                    "seed": seed,
                    "seconds": round(seconds, 1),
                    "plain": result.plain.as_json(),
                    "guarded": result.guarded.as_json(),
                },
                indent=2,
            )
        )
    else:
        result.tell(console)
        console.print(f"{seconds:.0f} seconds in all, seed {seed}.", highlight=False)
        if keep:
            _print_next(console, context.dsn)
    if not result.guarded.is_clean:
        raise click.exceptions.Exit(1)


def _find_dsn(dsn: str | None) -> str:
    if dsn is not None:
        return resolve_dsn(dsn)
    from ocr_guardrails.embedded import shared_server

    return shared_server().dsn()


def _find_command() -> str:
    """The command as the reader can type it: ``make demo`` is not on the PATH."""
    if shutil.which("ocr-guardrails") or not sys.argv[0].endswith("ocr-guardrails"):
        return "ocr-guardrails"
    return os.path.relpath(sys.argv[0])


def _print_next(console: Console, dsn: str | None) -> None:
    command = _find_command() + (" --dsn …" if dsn else "")
    console.print()
    console.print("The tables of run (b) are still there, to be looked at:")
    if dsn is None and configured_dsn() is not None:
        unset = [
            name
            for name in ("DATABASE_URL", "PGHOST", "PGHOSTADDR", "PGPORT")
            if name in os.environ
        ]
        console.print(
            f"  (in the embedded server: unset {', '.join(unset or ['PG*'])} first)"
        )
    for arguments, what in (
        ("--schema ocr_demo incidents", "every refused write"),
        ("--schema ocr_demo check", "the consistency check, with its score"),
        ("--schema ocr_demo stats", "what a dashboard would show"),
        ("demo --docs FOLDER", "the same with images and PDFs of your own"),
        ("migrate", "install it, then: ingest FOLDER, work"),
    ):
        console.print(
            f"  {command} {arguments:<28} {what}", highlight=False, soft_wrap=True
        )


commands = [demo]
