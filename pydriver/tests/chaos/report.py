"""The outcomes as tables for people, and as the marked block in the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.chaos.run import Outcome

__all__ = ["show", "to_markdown", "write_block"]

_BEGIN = "<!-- {name}: written by scripts/chaos.py --write-docs, do not edit -->"
_END = "<!-- end of {name} -->"


def _rows(outcome: Outcome) -> list[tuple[str, str, list[tuple[str, str]]]]:
    offers = outcome.offers.counts
    kinds = [k for k in sorted(offers) if ": " in k]
    return [
        ("Faults", "times", [(n, str(c)) for n, c in outcome.faults.items()]),
        ("Skipped", "because", list(outcome.skipped.items())),
        (
            "Offers that were answered",
            "times",
            [(kind, str(offers[kind])) for kind in kinds],
        ),
        (
            "Documents afterwards",
            "number",
            [(n, str(c)) for n, c in outcome.documents.items()],
        ),
        (
            "Worker processes",
            "number",
            [(n, str(c)) for n, c in outcome.processes.items()],
        ),
        ("Checks", "violations", [(c.name, str(c.violations)) for c in outcome.checks]),
    ]


def show(outcome: Outcome) -> str:
    """Everything that happened, for the terminal."""
    lines = []
    for title, unit, rows in _rows(outcome):
        if not rows:
            continue
        width = max(len(name) for name, _ in rows)
        lines += ["", f"{title} ({unit})"]
        lines += [f"  {name:<{width}}  {value:>8}" for name, value in rows]
    lines += ["", "Errors in the server's log, the most frequent"]
    lines += [f"  {n:>6}  {error[:90]}" for error, n in outcome.errors.most_common(12)]
    for check in outcome.checks:
        lines += [f"\nBROKEN: {check.name}"] if check.violations else []
        lines += [f"    {example}" for example in check.examples]
    return "\n".join(lines)


def to_markdown(outcome: Outcome, command: str) -> str:
    """The figures of a run, as it stands in docs/reliability.md."""
    options = outcome.options
    text = [
        f"`{command} --seed {options.seed}` on {outcome.server}: "
        f"{options.documents} documents, 16 workers, {outcome.seconds:.0f} seconds. "
        f"Of {outcome.offers.hopeless + outcome.offers.honest} offers that were "
        f"answered, {outcome.offers.hopeless} came from workers that ought to lose.",
    ]
    for title, unit, rows in _rows(outcome):
        if rows:
            text += ["", *table((title, unit), rows)]
    return "\n".join(text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * (len(head) - 1)}---:|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def write_block(path: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of this name."""
    begin, end = _BEGIN.format(name=name), _END.format(name=name)
    pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
    before = path.read_text(encoding="utf-8")
    if not pattern.search(before):
        raise ValueError(f"{path} has no block {name!r}")
    after = pattern.sub(lambda _: f"{begin}\n\n{text}\n\n{end}", before)
    path.write_text(after, encoding="utf-8")
