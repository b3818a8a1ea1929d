"""What the operating commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "age",
    "console",
    "duration",
    "pairs",
    "parse_duration",
    "print_json",
    "rows_table",
    "safe",
    "short",
    "size",
]

PLAIN_WIDTH = 100


def console(*, stderr: bool = False) -> Console:
    """A console; where there is no terminal its lines are 100 columns wide."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """One JSON value on standard output; dates in ISO 8601, durations in seconds."""
    click.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Sequence):
        return [_plain(each) for each in value]
    return str(value)


def rows_table(
    rows: Sequence[Mapping[str, Any]], *, names: Sequence[str] | None = None
) -> Table:
    """Rows as a table; numbers to the right. Columns that are NULL throughout go."""
    columns = names or [
        name for name in rows[0] if any(row[name] is not None for row in rows)
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        numeric = all(
            isinstance(row[name], int | float | Decimal | None)
            and not isinstance(row[name], bool)
            for row in rows
        )
        table.add_column(
            name.replace("_", " "),
            justify="right" if numeric else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(safe(_cell(row[name])) for name in columns))
    return table


def pairs(values: Mapping[str, Any], *, verbatim: bool = False) -> Table:
    """Names and values, one a line; ``verbatim`` keeps the names as they are typed."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in values.items():
        shown = name if verbatim else name.replace("_", " ")
        table.add_row(shown, safe(_cell(value)))
    return table


def safe(text: str) -> Text:
    """Text as it stands: brackets are no markup, control characters are visible.

    Filenames and error messages come from outside, and a terminal obeys some bytes.
    """
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, timedelta):
        return duration(value.total_seconds())
    if isinstance(value, float | Decimal):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)


def duration(seconds: float) -> str:
    """As in 0.8 s, 12 s, 3 min 5 s, 2 h 10 min, 4 d 2 h."""
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    left = round(seconds)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for unit, length in units:
        count, left = divmod(left, length)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def age(moment: datetime | None) -> str:
    """How long ago."""
    if moment is None:
        return "-"
    return f"{duration(max(0.0, (datetime.now(UTC) - moment).total_seconds()))} ago"


def size(count: float) -> str:
    """As in 12 kB, 3.4 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def short(text: str, length: int) -> str:
    """The text, or its beginning and end."""
    if len(text) <= length:
        return text
    tail = length // 3
    return f"{text[: length - tail - 1]}…{text[len(text) - tail :]}"


def parse_duration(value: str | timedelta) -> timedelta:
    """The type of options such as 90s, 5min or 1h; a bare number is seconds."""
    if isinstance(value, timedelta):
        return value
    text = value.strip().lower()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text[len(number) :].strip() or "s"
    seconds = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}.get(unit)
    try:
        if seconds is None:
            raise ValueError(unit)
        return timedelta(seconds=float(number) * seconds)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no duration such as 90s, 5min or 1h."
        ) from None
