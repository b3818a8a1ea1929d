"""What is told at the end: one table, some incidents, what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ocr_guardrails.demo.faults import DESCRIPTIONS, FaultPlan, Kind
from ocr_guardrails.demo.pages import Sample
from ocr_guardrails.demo.truth import Judgement, Verdict

# What a refusal means, in the words of someone who has to explain it.
REASONS = {
    "already_completed": "the document was completed by another attempt",
    "stale_lease": "the lease was no longer the writer's",
    "source_mismatch": "the text was read from another file's bytes",
    "filename_mismatch": "the file had another name than the writer expected",
    "lease_required": "no lease was shown where one is needed",
    "implausible_result": "the result cannot be right",
    "foreign_text": "another document carries this text",
    "document_missing": "there is no such document",
    "rejected_by_database": "the database could not take the text",
}


@dataclass(frozen=True, slots=True)
class RunReport:
    """The outcome of one run, measured on what stands in its tables at the end."""

    documents: int
    completed: int
    judgements: tuple[Judgement, ...]
    overwritten: int
    refused: Mapping[str, int]
    repeated: int
    readings: int
    seconds: float
    database_seconds: float
    happened: Mapping[Kind, int]

    def count(self, verdict: Verdict) -> int:
        """How many documents ended like this."""
        return sum(one.verdict is verdict for one in self.judgements)

    @property
    def foreign(self) -> int:
        """Documents that carry another page's text."""
        return self.count(Verdict.FOREIGN)

    @property
    def lost(self) -> int:
        """Documents that are not completed, and that nothing will complete."""
        return self.documents - self.completed

    @property
    def database_ms(self) -> float:
        """Milliseconds that the claims and writes took, for each document."""
        return 1000 * self.database_seconds / max(1, self.documents)

    @property
    def is_clean(self) -> bool:
        """Whether every document is completed, with its own text, written once."""
        return not (
            self.lost or self.overwritten or self.documents != self.count(Verdict.RIGHT)
        )

    @property
    def is_damaged(self) -> bool:
        """Whether there is a foreign text, an overwritten result or a loss."""
        return bool(self.foreign or self.overwritten or self.lost)

    def as_json(self) -> dict[str, Any]:
        """The numbers, for programs."""
        return {
            "documents": self.documents,
            "completed": self.completed,
            "foreign_text": self.foreign,
            "unreadable": self.count(Verdict.UNREADABLE),
            "overwritten": self.overwritten,
            "lost_or_stuck": self.lost,
            "refused": dict(self.refused),
            "repeated": self.repeated,
            "pages_read": self.readings,
            "seconds": round(self.seconds, 1),
            "database_ms_per_document": round(self.database_ms, 1),
            "faults": {kind.value: count for kind, count in self.happened.items()},
        }


@dataclass(frozen=True, slots=True)
class Incident:
    """A refused write, with the files that it mixed up."""

    reason: str
    created_at: datetime
    document: str
    worker: str
    holder: str | None
    offered_token: str | None
    live_token: str | None
    text_length: int | None
    read_from: str | None
    text_of: str | None


INCIDENTS = """
select
    i.reason, i.created_at, i.application_name as worker, i.worker_id as holder,
    i.offered_token::text, i.live_token::text, i.text_length,
    d.file_path as document,
    (
        select r.file_path from documents as r
        where r.file_hash = i.offered_hash and r.id <> i.document_id limit 1
    ) as read_from,
    (
        select t.file_path from documents as t
        where t.ocr_text_hash = i.text_hash and t.id <> i.document_id limit 1
    ) as text_of
from ocr_incidents as i
left join documents as d on d.id = i.document_id
order by i.created_at
"""


def find_incidents(
    connection: Connection[Any], samples: Sequence[Sample]
) -> list[Incident]:
    """All incidents, oldest first, with files named as the demo names them."""
    labels = {str(sample.path): sample.label for sample in samples}

    def label(path: str | None) -> str | None:
        return labels.get(path, path) if path else None

    with connection.cursor(row_factory=dict_row) as cursor:
        return [
            Incident(
                reason=row["reason"],
                created_at=row["created_at"],
                document=label(row["document"]) or "a document that is gone",
                worker=row["worker"] or "someone",
                holder=row["holder"],
                offered_token=row["offered_token"],
                live_token=row["live_token"],
                text_length=row["text_length"],
                read_from=label(row["read_from"]),
                text_of=label(row["text_of"]),
            )
            for row in cursor.execute(INCIDENTS)
        ]


def choose_incidents(incidents: Sequence[Incident], most: int = 3) -> list[Incident]:
    """One of each reason first, then more of them."""
    seen: set[str] = set()
    first: list[Incident] = []
    more: list[Incident] = []
    for incident in incidents:
        (more if incident.reason in seen else first).append(incident)
        seen.add(incident.reason)
    return [*first, *more][:most]


def describe_incident(incident: Incident) -> list[str]:
    """An incident in sentences."""
    one = incident
    length = f" of {one.text_length} characters" if one.text_length else ""
    lines = [f"{one.worker} offered a text{length} for {one.document}."]
    if one.reason == "source_mismatch" and one.read_from:
        lines.append(f"The bytes that it had read are those of {one.read_from}.")
        lines.append(
            "The hash of the bytes gave it away. Its job was done again, on the right "
            "file."
        )
    elif one.reason == "stale_lease":
        lines.append(
            f"It held lease {_short(one.offered_token)}, which had been reset; the job "
            f"was {one.holder or 'no one'}'s by then, under {_short(one.live_token)}."
        )
    elif one.reason == "already_completed":
        lines.append(
            f"It held lease {_short(one.offered_token)}, which had been reset; another "
            "worker had done the job and a result stood there."
        )
    else:
        lines.append(f"{REASONS.get(one.reason, one.reason).capitalize()}.")
    if one.text_of and one.reason != "source_mismatch":
        lines.append(f"The text is that of {one.text_of}, which it had read since.")
    return lines


def print_faults(console: Console, plan: FaultPlan) -> None:
    """What is made to go wrong, a line each."""
    console.print("Made to go wrong, in both runs, on the same documents:")
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right")
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for kind, (name, what) in DESCRIPTIONS.items():
        grid.add_row(f"{plan.count(kind)} x", name, what)
    console.print(Padding(grid, (0, 0, 0, 2), expand=False))
    console.print(
        "Half an hour of waiting is played by moving the time stamps of a job back.\n"
    )


def print_table(console: Console, plain: RunReport, guarded: RunReport) -> None:
    """Both runs side by side."""
    table = Table(title=f"{plain.documents} documents, the same faults", min_width=72)
    table.add_column("")
    table.add_column("(a) plain UPDATE", justify="right")
    table.add_column("(b) guarded", justify="right")

    def add(name: str, bad: bool, of: Sequence[int | str]) -> None:
        left, right = (
            Text(str(value), style="bold red" if bad and value else "") for value in of
        )
        if bad and not of[1]:
            right.stylize("bold green")
        table.add_row(name, left, right)

    def numbers(name: str, attribute: str, bad: bool = False) -> None:
        add(name, bad, [getattr(run, attribute) for run in (plain, guarded)])

    numbers("documents carrying foreign text", "foreign", bad=True)
    numbers("finished results overwritten", "overwritten", bad=True)
    numbers("documents lost or stuck", "lost", bad=True)
    unreadable = [run.count(Verdict.UNREADABLE) for run in (plain, guarded)]
    if any(unreadable):
        add("texts like no page at all", True, unreadable)
    table.add_section()
    refusals = dict.fromkeys([*plain.refused, *guarded.refused])
    totals = [sum(run.refused.values()) for run in (plain, guarded)]
    add("writes refused", False, totals)
    for reason in refusals:
        counts = [run.refused.get(reason, 0) for run in (plain, guarded)]
        add(f"  {reason}", False, [count or "-" for count in counts])
    numbers("repeated writes answered, not applied", "repeated")
    table.add_section()
    numbers("documents completed", "completed")
    numbers("pages read (OCR)", "readings")
    runs = (plain, guarded)
    add("seconds, nearly all of it OCR", False, [f"{run.seconds:.1f}" for run in runs])
    add(
        "  claim and write, ms per document",
        False,
        [f"{run.database_ms:.1f}" for run in runs],
    )
    console.print(table)


def print_damage(
    console: Console, plain: RunReport, samples: Sequence[Sample], most: int = 3
) -> None:
    """Some documents of run (a) and whose text they carry now."""
    foreign = [one for one in plain.judgements if one.verdict is Verdict.FOREIGN]
    if not foreign:
        return
    console.print(
        "In run (a), without a trace in the database (how like that page : its own):"
    )
    for one in foreign[:most]:
        console.print(
            f"  {samples[one.number].label} carries the text of "
            f"{samples[one.best].label}  {one.best_likeness:.2f} : {one.likeness:.2f}",
            highlight=False,
            soft_wrap=True,
        )
    if len(foreign) > most:
        console.print(f"  … and {len(foreign) - most} more.", highlight=False)
    console.print()


def print_incidents(console: Console, incidents: Sequence[Incident]) -> None:
    """Two or three incidents of run (b), as the database has them."""
    if not incidents:
        return
    chosen = choose_incidents(incidents)
    console.print(f"In run (b), {len(chosen)} of {len(incidents)} incidents on record:")
    for one in chosen:
        console.print(
            Text(f"  {one.created_at:%H:%M:%S} ")
            + Text(one.reason, style="bold")
            + Text(f": {REASONS.get(one.reason, '')}")
        )
        for line in describe_incident(one):
            console.print(Padding(Text(line), (0, 0, 0, 4), expand=False))
    console.print()


def _short(token: str | None) -> str:
    return f"{token[:8]}…" if token else "(none)"


def print_result(
    console: Console,
    plain: RunReport,
    guarded: RunReport,
    plan: FaultPlan,
    samples: Sequence[Sample],
    incidents: Sequence[Incident],
) -> None:
    """Everything that is told at the end."""
    console.print()
    print_table(console, plain, guarded)
    console.print(
        "Every text was compared with what stands on every page; nothing is assumed "
        "from the faults.\nOverwritten results were counted by a trigger, the same "
        "in both runs.",
        highlight=False,
    )
    for name, run in (("a", plain), ("b", guarded)):
        missed = {
            kind: plan.count(kind) - run.happened.get(kind, 0)
            for kind in DESCRIPTIONS
            if plan.count(kind) != run.happened.get(kind, 0)
        }
        for kind, count in missed.items():
            console.print(
                f"In run ({name}) {count} x {DESCRIPTIONS[kind][0]} did not come about."
            )
    console.print()
    print_damage(console, plain, samples)
    print_incidents(console, incidents)
    if not plain.is_damaged:
        console.print(
            "Run (a) came to no harm this time: the faults met nothing that they could "
            "damage. Try another --seed or more --pages."
        )
    if guarded.is_clean:
        console.print(
            f"Run (b): all {guarded.documents} documents completed, each with its own "
            "text.",
            style="bold green",
            highlight=False,
        )
    else:
        console.print(
            "Run (b) is not clean: the guardrails have failed here.",
            style="bold red",
        )
