"""docs/benchmarks.md says what the committed results say, and judges them rightly."""

from __future__ import annotations

from typing import Any

import pytest

from bench import harness, report


def sample(turn: int, seconds: float, wal: int = 3000) -> dict[str, Any]:
    return {
        "round": turn,
        "documents": 100,
        "seconds": seconds,
        "wal_bytes": 100 * wal,
        "wal_fpi_bytes": 100,
        "cpu_seconds": 0.01,
        "sizes": {},
    }


def system(
    name: str, kind: str, *samples: dict[str, Any], unavailable: str | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "version": "",
        "note": "A note.",
        "unavailable": unavailable,
        "samples": list(samples),
    }


def throughput(*systems: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": "throughput",
        "options": {"quick": False, "rounds": 2, "words": 300},
        "environment": {
            "date": "2026-01-01",
            "commit": "abc",
            "machine": {
                "cpu": "A processor",
                "cores": 2,
                "memory_gb": 8,
                "system": "Linux",
                "flush_ms": 0.1,
            },
            "server": {"version": "18.1", "lz4": True, "settings": {"fsync": "on"}},
            "client": {"python": "3.11", "psycopg": "3.2", "libpq": "180000"},
        },
        "results": [{"workers": 4, "systems": list(systems)}],
    }


def test_the_document_is_made_from_the_committed_results() -> None:
    made = report.markdown(report.load(harness.RESULTS))
    assert report.DOCUMENT.read_text("utf-8") == made, "run: python -m bench report"


def test_a_ratio_is_taken_inside_a_round() -> None:
    # The second round is slower for both: no pair of different rounds is compared.
    result = throughput(
        system("handwritten, one at a time", "baseline", sample(1, 1), sample(2, 10)),
        system("guarded, one at a time", "guarded", sample(1, 0.5), sample(2, 5)),
    )
    (count,) = report.throughput_of(result)
    ratio = count.ratio("guarded, one at a time", "handwritten, one at a time")
    assert ratio == harness.Figure(2.0, 2.0, 2.0)


@pytest.mark.parametrize(("seconds", "met"), [(1 / 1.3, True), (1 / 1.28, False)])
def test_a_target_is_judged_by_the_median_ratio(seconds: float, met: bool) -> None:
    result = throughput(
        system("handwritten, one at a time", "baseline", sample(1, 1), sample(2, 1)),
        system(
            "guarded, one at a time", "guarded", sample(1, seconds), sample(2, seconds)
        ),
    )
    goal = next(
        goal
        for goal in report.targets({"throughput": result})
        if "documents/s by hand-written" in goal.what
    )
    assert goal.met is met
    assert goal.measured.startswith("**") is not met


def test_wal_is_held_to_the_hand_written_way() -> None:
    result = throughput(
        system("handwritten, batches of 100", "baseline", sample(1, 1, wal=1000)),
        system("guarded, batches of 100", "guarded", sample(1, 1, wal=1500)),
    )
    goal = next(
        goal for goal in report.targets({"throughput": result}) if "WAL" in goal.what
    )
    assert (goal.limit, goal.measured, goal.met) == ("≤ 1.4", "**1.50**", False)


def test_what_the_baselines_indexes_do_is_shown() -> None:
    # The same samples of ours meet the target or not, as the baseline's indexes go.
    result = throughput(
        system("handwritten, one at a time", "baseline", sample(1, 1, wal=3200)),
        system(
            "handwritten, one at a time, fewest indexes",
            "baseline",
            sample(1, 0.8, wal=2750),
        ),
        system("guarded, one at a time", "guarded", sample(1, 0.8, wal=4000)),
    )
    (row,) = report.sensitivity({"throughput": result})
    assert [cell.split()[0] for cell in row[1:]] == ["1.25", "1.00", "1.25", "1.45"]
    assert "fewest indexes" in report.markdown({"throughput": result})


def test_ours_is_held_to_the_fastest_peer() -> None:
    result = throughput(
        system("guarded, batches of 100", "guarded", sample(1, 1)),
        system("slow", "peer", sample(1, 2)),
        system("fast", "peer", sample(1, 1)),
        system("absent", "peer", unavailable="it is not installed"),
    )
    (goal,) = (
        goal
        for goal in report.targets({"throughput": result})
        if "fastest peer" in goal.what
    )
    assert (goal.measured, goal.met) == ("**1.00**", False)
    text = report.markdown({"throughput": result})
    assert "| slow |" in text
    assert "Left out on PostgreSQL 18.1: it is not installed." in text


def test_a_variant_is_compared_with_what_it_varies() -> None:
    assert report.baseline_of("guarded, pgbench, batches of 100, foreign text off") == (
        "handwritten, pgbench, batches of 100"
    )
    assert report.baseline_of("guarded, pgbench, batches of 100, as json") == (
        "handwritten, pgbench, batches of 100"
    )
    assert report.baseline_of("guarded, batches of 100, pglz") == (
        "handwritten, batches of 100, pglz"
    )
    assert report.baseline_of("handwritten, batches of 100") is None


def test_a_command_may_bring_its_own_tables_and_targets() -> None:
    result = throughput()
    result["command"] = "growth"
    result["results"] = {
        "tables": [
            {"title": "Claims", "columns": ["", "ratio"], "rows": [["a claim", 1.234]]}
        ],
        "targets": [
            {"what": "a claim", "limit": "≤ 1.2", "measured": "1.23", "met": False}
        ],
    }
    text = report.markdown({"growth": result})
    assert "### Claims" in text
    assert "| a claim | 1.23 |" in text
    assert "0 of 1 are met" in text


def test_no_two_texts_are_alike() -> None:
    workload = harness.Workload()
    texts = [workload.text(number) for number in range(1000)]
    assert len(set(texts)) == len(texts)
    assert {len(text.split()) for text in texts} == {workload.word_count}
    assert 2000 < sum(map(len, texts)) / len(texts) < 2300
