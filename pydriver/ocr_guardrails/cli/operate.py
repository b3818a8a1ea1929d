"""What an operator does by hand: look, repair, pause, try again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
from rich.padding import Padding
from rich.progress import track
from rich.text import Text

from ocr_guardrails.cli.output import (
    age,
    console,
    pairs,
    print_json,
    rows_table,
    safe,
    short,
)
from ocr_guardrails.client import Guardrails
from ocr_guardrails.ingest import check_file

if TYPE_CHECKING:
    from rich.console import Console

    from ocr_guardrails.cli import Context

__all__ = ["commands"]

FINDINGS = 1
"""Exit code of ``check`` when something was found."""

_FILES_AT_A_TIME = 200

_threshold = click.option(
    "--minutes",
    type=click.IntRange(min=0),
    help="Without a sign of life for that long. [default: 30]",
)


@contextmanager
def _guardrails(context: Context) -> Iterator[Guardrails]:
    with context.connect(autocommit=True) as connection:
        yield Guardrails(connection)


@click.command()
@_threshold
@click.pass_obj
def stuck(context: Context, minutes: int | None) -> None:
    """List documents that are in processing without a sign of life."""
    with _guardrails(context) as guardrails:
        jobs = guardrails.find_stuck_ocr_jobs(minutes)
    if context.json:
        print_json(jobs)
    elif not jobs:
        click.echo("Nothing is stuck.")
    else:
        out = console()
        out.print(rows_table([asdict(job) for job in jobs]))
        out.print("Return them to the queue: ocr-guardrails reset-stuck")


@click.command("reset-stuck")
@_threshold
@click.pass_obj
def reset_stuck(context: Context, minutes: int | None) -> None:
    """Return stuck documents to the queue; nothing that their workers still say counts.

    Those whose attempts are used up end as failed instead.
    """
    with _guardrails(context) as guardrails:
        count = guardrails.reset_stuck_ocr_jobs(minutes)
    _say(context, {"reset": count}, f"{_count(count, 'document')} reset.")


@click.command()
@click.option(
    "--files",
    is_flag=True,
    help="First look at every document's file on this machine, and hash it.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    help="Findings listed.",
)
@click.pass_obj
def check(context: Context, files: bool, limit: int) -> None:
    """Check that documents, jobs and results are consistent.

    Exit codes: 0 nothing found, 1 findings or an error, 2 a wrong call.
    """
    with _guardrails(context) as guardrails:
        checked = _check_files(guardrails, context.json) if files else None
        consistency = guardrails.validate_database_consistency()
        findings = guardrails.find_inconsistencies(limit)
    if context.json:
        print_json(
            {
                "consistency": consistency,
                "findings": findings,
                "files_checked": checked,
            }
        )
    else:
        out = console()
        if checked is not None:
            out.print(f"{_count(checked, 'file')} looked at.")
        named = asdict(consistency)
        counts = named.pop("counts")
        found = {kind: count for kind, count in counts.items() if count}
        out.print(pairs({**named, **found}))
        if findings:
            out.print()
            out.print(rows_table([asdict(finding) for finding in findings]))
            if len(findings) >= limit:
                out.print(f"At most {limit} are listed (--limit).")
            out.print("What can be repaired: ocr-guardrails repair")
        else:
            out.print("Nothing is inconsistent.")
    sys.exit(FINDINGS if findings else 0)


def _check_files(guardrails: Guardrails, silent: bool) -> int:
    checked = 0
    documents = guardrails.read_document_files()
    out = console(stderr=True)
    with ThreadPoolExecutor(4, thread_name_prefix="hash") as pool:
        while batch := list(islice(documents, _FILES_AT_A_TIME)):
            looks = track(
                pool.map(check_file, [document.file_path for document in batch]),
                description=f"Looking at files from {checked + 1}",
                total=len(batch),
                console=out,
                transient=True,
                disable=silent or not out.is_terminal,
            )
            answers = list(looks)
            checked += guardrails.record_ocr_file_checks(
                [document.document_id for document in batch],
                [present for present, _ in answers],
                [actual_hash for _, actual_hash in answers],
            )
    return checked


@click.command()
@click.option(
    "--apply", is_flag=True, help="Do it, instead of saying what it would do."
)
@click.pass_obj
def repair(context: Context, apply: bool) -> None:
    """Repair what is inconsistent; without --apply only say what would be done.

    Never deletes a result.
    """
    with _guardrails(context) as guardrails:
        actions = guardrails.repair_database_consistency(dry_run=not apply)
    if context.json:
        print_json({"applied": apply, "actions": actions})
        return
    out = console()
    if not any(action.affected for action in actions):
        out.print("There is nothing to repair.")
        return
    out.print(rows_table([asdict(action) for action in actions]))
    out.print("Done." if apply else "Nothing was changed: repair --apply does it.")


# Of the views with more columns than a terminal.
_SHOWN = {
    "ocr_stats": (
        "ocr_status",
        "documents",
        "avg_confidence",
        "avg_word_count",
        "total_words",
        "avg_processing_time_ms",
    ),
    "ocr_recent_failures": (
        "finished_at",
        "outcome",
        "filename",
        "attempt",
        "worker_id",
        "error",
    ),
}


@click.command()
@click.pass_obj
def stats(context: Context) -> None:
    """Show the state of documents, queue, workers and failures."""
    views = (
        ("Documents", "ocr_stats", None),
        ("Queue", "ocr_queue_overview", "priority"),
        ("Workers", "ocr_worker_activity", "last_heartbeat"),
        ("Failures of the last day", "ocr_recent_failures", "finished_at"),
    )
    with _guardrails(context) as guardrails:
        guardrails.refresh_ocr_stats()
        found = {
            view: guardrails.read(view, limit=20, latest_by=order)
            for _, view, order in views
        }
    if context.json:
        print_json(found)
        return
    out = console()
    for title, view, _ in views:
        if rows := found[view]:
            out.print(Text(title, style="bold"))
            out.print(rows_table(rows, names=_SHOWN.get(view)))


@click.command()
@click.argument("document_id")
@click.option("--reason", required=True, help="Why; it is kept with the old result.")
@click.option(
    "--priority",
    type=click.IntRange(0, 10),
    help="Priority of the job, 10 is done first. [default: 5]",
)
@click.pass_obj
def requeue(
    context: Context, document_id: str, reason: str, priority: int | None
) -> None:
    """Set a document's result aside and let it be read again."""
    with _guardrails(context) as guardrails:
        job_id = guardrails.requeue_document(document_id, reason, priority=priority)
    _say(
        context, {"job_id": job_id}, f"Document {document_id} is queued: job {job_id}."
    )


@click.command("retry-failed")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    help="At most so many. [default: 100]",
)
@click.option("--like", help="Only those whose error matches this LIKE pattern.")
@click.pass_obj
def retry_failed(context: Context, limit: int | None, like: str | None) -> None:
    """Give dead jobs new attempts."""
    with _guardrails(context) as guardrails:
        count = guardrails.retry_failed_ocr_jobs(limit, error_like=like)
    _say(context, {"retried": count}, f"{_count(count, 'job')} back in the queue.")


@click.command()
@click.argument("reason")
@click.pass_obj
def pause(context: Context, reason: str) -> None:
    """Let no more jobs be claimed; what is in hand is finished."""
    with _guardrails(context) as guardrails:
        changed = guardrails.pause_ocr_queue(reason)
    text = "The queue is paused." if changed else "The queue was paused already."
    _say(context, {"changed": changed}, text)


@click.command()
@click.pass_obj
def resume(context: Context) -> None:
    """Let jobs be claimed again."""
    with _guardrails(context) as guardrails:
        changed = guardrails.resume_ocr_queue()
    text = "The queue goes on." if changed else "The queue was not paused."
    _say(context, {"changed": changed}, text)


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=10, show_default=True)
@click.pass_obj
def incidents(context: Context, limit: int) -> None:
    """Show the latest refused results: who offered what, and why it was refused."""
    with _guardrails(context) as guardrails:
        rows = guardrails.read("ocr_recent_incidents", limit=limit, latest_by="id")
    if context.json:
        print_json(rows)
    elif not rows:
        click.echo("No result was refused in the last seven days.")
    else:
        print_incidents(console(), rows)


_REASONS = {
    "stale_lease": "A late result was refused",
    "lease_required": "A result without a lease token was refused",
    "already_completed": "A second result was refused",
    "document_missing": "A result for a deleted document was refused",
    "filename_mismatch": "A result for another filename was refused",
    "source_mismatch": "A text read from another file was refused",
    "implausible_result": "A result that cannot be right was refused",
    "foreign_text": "A text that stands on another document, too",
    "rejected_by_database": "A result was rejected by the database",
    "unsafe_statement": "A statement that enforce would refuse",
}


def print_incidents(out: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Incidents as a person reads them, a block each."""
    for number, row in enumerate(rows):
        if number:
            out.print()
        reason = str(row["reason"])
        filename = row["filename"] or "?"
        head = Text.assemble(
            (_REASONS.get(reason, reason), "bold"),
            "  ",
            safe(short(str(filename), 40)),
            (f"  {age(row['created_at'])}", "dim"),
        )
        out.print(head)
        out.print(Padding(pairs(_facts(row)), (0, 0, 0, 2)))


def _facts(row: Mapping[str, Any]) -> dict[str, object]:
    offered_by = row["offered_by"] or row["session_user_name"]
    where = f" at {row['client_addr']}" if row["client_addr"] else ""
    facts: dict[str, object] = {
        "why": row["detail"] or row["reason"],
        "offered by": f"{offered_by}{where}",
    }
    if row["lease_held_by"]:
        facts["lease held by"] = row["lease_held_by"]
    if row["other_document_id"]:
        other = row["other_filename"] or "a file that is gone"
        facts["stands on"] = f"{other} ({row['other_document_id']})"
    if row["text_length"] is not None:
        facts["text"] = f"{row['text_length']} characters"
    facts["document"] = row["document_id"]
    return facts


@click.command()
@click.argument("name", required=False)
@click.argument("value", required=False)
@click.option("--null", is_flag=True, help="Set it to NULL, as for 'no limit'.")
@click.pass_obj
def settings(context: Context, name: str | None, value: str | None, null: bool) -> None:
    """List the settings, show one, or set it: settings NAME VALUE."""
    if null and (name is None or value is not None):
        raise click.UsageError("--null takes a NAME and no VALUE.")
    with _guardrails(context) as guardrails:
        if name is not None and (value is not None or null):
            guardrails.set_ocr_setting(name, value)
        (row,) = guardrails.read("ocr_settings")
    row.pop("id", None)
    if name is not None:
        if name not in row:
            raise click.ClickException(
                f"There is no setting {name!r}. There are: {', '.join(row)}."
            )
        row = {name: row[name]}
    if context.json:
        print_json(row)
    else:
        console().print(pairs(row, verbatim=True))


def _say(context: Context, value: Mapping[str, object], text: str) -> None:
    if context.json:
        print_json(value)
    else:
        click.echo(text)


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


commands: list[click.Command] = [
    stuck,
    reset_stuck,
    check,
    repair,
    stats,
    requeue,
    retry_failed,
    pause,
    resume,
    incidents,
    settings,
]
