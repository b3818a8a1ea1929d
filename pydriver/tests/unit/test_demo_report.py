"""What the demo says, and when it says that the guardrails have failed."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from ocr_guardrails.cli import main
from ocr_guardrails.demo import run
from ocr_guardrails.demo.faults import plan_faults
from ocr_guardrails.demo.pages import Sample
from ocr_guardrails.demo.report import (
    Incident,
    RunReport,
    choose_incidents,
    describe_incident,
)
from ocr_guardrails.demo.run import DemoResult, Show
from ocr_guardrails.demo.truth import Judgement, Verdict

PLAN = plan_faults(1, 12)
SAMPLES = [
    Sample(number, Path(f"/p/{number}.png"), f"p/{number}.png", "0" * 64, 1, "", "text")
    for number in range(12)
]


def judged(verdict: Verdict, number: int = 0, best: int = 1) -> Judgement:
    return Judgement(number, verdict, 0.1, best, 0.98)


def report(*verdicts: Verdict, **changes: object) -> RunReport:
    judgements = [judged(verdict, at) for at, verdict in enumerate(verdicts)]
    judgements += [judged(Verdict.RIGHT, at) for at in range(len(judgements), 12)]
    clean = RunReport(
        documents=12,
        completed=12,
        judgements=tuple(judgements),
        overwritten=0,
        refused={},
        repeated=0,
        readings=12,
        seconds=1.0,
        database_seconds=0.1,
        happened={kind: PLAN.count(kind) for kind in {f.kind for f in PLAN}},
    )
    return replace(clean, **changes)  # type: ignore[arg-type]


CLEAN = report()
DAMAGED = report(Verdict.FOREIGN, Verdict.MISSING, completed=11, overwritten=3)


@pytest.mark.parametrize(
    "harmed",
    [
        report(Verdict.FOREIGN),
        report(Verdict.UNREADABLE),
        report(Verdict.MISSING),
        report(overwritten=1),
        report(completed=11),
        report(judgements=()),
    ],
)
def test_any_harm_is_not_clean(harmed: RunReport) -> None:
    assert CLEAN.is_clean
    assert not harmed.is_clean


def test_damage_is_a_foreign_text_an_overwritten_result_or_a_loss() -> None:
    assert DAMAGED.is_damaged
    assert not CLEAN.is_damaged
    assert (DAMAGED.foreign, DAMAGED.overwritten, DAMAGED.lost) == (1, 3, 1)


def incident(reason: str, **changes: object) -> Incident:
    one = Incident(
        reason=reason,
        created_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        document="mailroom/004/scan.pdf",
        worker="worker-2",
        holder="worker-4",
        offered_token="aaaaaaaa-0000-0000-0000-000000000000",
        live_token="bbbbbbbb-0000-0000-0000-000000000000",
        text_length=214,
        read_from="accounts/009/scan.pdf",
        text_of="accounts/009/scan.pdf",
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def test_an_incident_says_what_by_whom_for_which_and_why() -> None:
    late = " ".join(describe_incident(incident("stale_lease")))
    assert "worker-2 offered a text of 214 characters for mailroom/004/scan.pdf" in late
    assert "lease aaaaaaaa…, which had been reset" in late
    assert "worker-4's by then, under bbbbbbbb…" in late
    assert "The text is that of accounts/009/scan.pdf" in late

    mixed = " ".join(describe_incident(incident("source_mismatch")))
    assert "bytes that it had read are those of accounts/009/scan.pdf" in mixed

    other = " ".join(describe_incident(incident("implausible_result")))
    assert "The result cannot be right" in other


def test_incidents_of_different_reasons_come_first() -> None:
    incidents = [incident("source_mismatch")] * 3 + [incident("stale_lease")] * 2
    chosen = [one.reason for one in choose_incidents(incidents)]
    assert chosen == ["source_mismatch", "stale_lease", "source_mismatch"]


def told(plain: RunReport, guarded: RunReport) -> str:
    out = io.StringIO()
    DemoResult(plain, guarded, PLAN, SAMPLES, [incident("stale_lease")]).tell(
        Console(file=out, width=100)
    )
    return out.getvalue()


def test_the_report_is_readable_without_a_terminal() -> None:
    text = told(DAMAGED, CLEAN)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert "p/0.png carries the text of p/1.png" in text
    assert "all 12 documents completed, each with its own text" in text


def test_a_harmless_run_a_is_told_as_such() -> None:
    assert "Run (a) came to no harm" in told(CLEAN, CLEAN)
    assert "Run (a) came to no harm" not in told(DAMAGED, CLEAN)


def test_a_failure_of_the_guardrails_is_told_as_such() -> None:
    assert "the guardrails have failed" in told(DAMAGED, DAMAGED)


def test_faults_that_did_not_come_about_are_told() -> None:
    assert "did not come about" not in told(DAMAGED, CLEAN)
    assert "did not come about" in told(DAMAGED, report(happened={}))


@pytest.mark.parametrize(("guarded", "code"), [(CLEAN, 0), (DAMAGED, 1)])
def test_the_exit_code_is_the_guarded_runs(
    monkeypatch: pytest.MonkeyPatch, guarded: RunReport, code: int
) -> None:
    result = DemoResult(DAMAGED, guarded, PLAN, SAMPLES, [])
    monkeypatch.setattr(run, "run_demo", lambda *_: result)
    answer = CliRunner().invoke(main, ["--dsn", "dbname=none", "demo", "--keep"])
    assert answer.exit_code == code, answer.output


def test_progress_without_a_terminal_is_some_lines() -> None:
    out = io.StringIO()
    with Show(Console(file=out, width=100)).phase("Working", 40) as tell:
        for done in range(41):
            tell(done)
    assert out.getvalue().split("\n") == [
        "Working …",
        "  10 of 40",
        "  20 of 40",
        "  30 of 40",
        "",
    ]
