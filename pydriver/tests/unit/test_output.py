"""What people read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID

import click
import pytest
from rich.console import Console

from ocr_guardrails.cli.operate import print_incidents
from ocr_guardrails.cli.output import duration, parse_duration, safe, short, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0 s"),
        (1.25, "1.2 s"),
        (12, "12 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (352_800, "4 d 2 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("5min", 300), ("2 h", 7200)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "5 days", "1e400", "nan"])
def test_what_is_no_duration_is_told(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no duration"):
        parse_duration(text)


def test_sizes_and_shortening() -> None:
    assert size(12_345) == "12.3 kB"
    assert short("abcdefghijkl", 9) == "abcde…jkl"


def test_text_from_outside_cannot_command_the_terminal() -> None:
    assert safe("a\x1b[31m[bold]\n").plain == "a\\x1b[31m[bold]\\n"


def test_an_incident_is_a_block_that_fits_100_columns() -> None:
    out = StringIO()
    print_incidents(
        Console(file=out, width=100),
        [
            {
                "reason": "stale_lease",
                "created_at": datetime.now(UTC) - timedelta(minutes=2),
                "filename": "scan.png",
                "detail": "another lease is live: the job was reset and claimed again",
                "offered_by": "w-late",
                "lease_held_by": "w-new",
                "text_length": 120,
                "other_document_id": None,
                "session_user_name": "postgres",
                "client_addr": None,
                "document_id": UUID(int=3),
            }
        ],
    )
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("A late result was refused  scan.png  2 min")
    assert [line.split() for line in lines[2:4]] == [
        ["offered", "by", "w-late"],
        ["lease", "held", "by", "w-new"],
    ]
    assert all(len(line) <= 100 for line in lines)
