"""Whose text is this? The verdict must find a foreign text, and only that."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ocr_guardrails.demo.pages import draw_samples
from ocr_guardrails.demo.truth import Judgement, Verdict, judge, likeness, pieces


@pytest.fixture(scope="module")
def truths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder: Path = tmp_path_factory.mktemp("pages")
    return [sample.truth or "" for sample in draw_samples(folder, 3, 40)]


def misread(text: str, share: float, seed: int) -> str:
    """The text as a bad scan gives it: spaces lost, letters mistaken."""
    rng = random.Random(seed)
    return "".join(
        rng.choice("abcdefghij0123456789") if rng.random() < share else char
        for char in text.replace(" ", "")
    )


def verdicts(judgements: list[Judgement]) -> list[Verdict]:
    return [one.verdict for one in judgements]


def test_every_page_with_its_own_text_is_right(truths: list[str]) -> None:
    judgements = judge(truths, dict(enumerate(truths)))
    assert verdicts(judgements) == [Verdict.RIGHT] * len(truths)
    assert {one.likeness for one in judgements} == {1.0}


def test_a_misread_page_is_still_right(truths: list[str]) -> None:
    results = {
        number: misread(text, 0.08, number) for number, text in enumerate(truths)
    }
    assert verdicts(judge(truths, results)) == [Verdict.RIGHT] * len(truths)


@pytest.mark.parametrize("share", [0.0, 0.08])
def test_a_planted_foreign_text_is_found_and_named(
    truths: list[str], share: float
) -> None:
    results = dict(enumerate(truths))
    for number in range(len(truths)):
        other = (number + 1) % len(truths)
        planted = {**results, number: misread(truths[other], share, number)}
        judgements = judge(truths, planted)
        assert judgements[number].verdict is Verdict.FOREIGN
        assert judgements[number].best == other
        assert sum(one.verdict is Verdict.FOREIGN for one in judgements) == 1


def test_no_result_is_missing_and_noise_is_unreadable(truths: list[str]) -> None:
    results: dict[int, str | None] = dict(enumerate(truths))
    results[0] = None
    del results[1]
    results[2] = "qwx zzy vkj qqq"
    results[3] = ""
    assert verdicts(judge(truths, results))[:5] == [
        Verdict.MISSING,
        Verdict.MISSING,
        Verdict.UNREADABLE,
        Verdict.UNREADABLE,
        Verdict.RIGHT,
    ]


def test_nearly_the_same_page_is_not_foreign() -> None:
    form = "Application for a parking permit in the city of Leipzig, zone "
    truths = [form + "1", form + "2", "something else altogether"]
    results = {0: truths[1], 1: truths[1], 2: truths[2]}
    assert verdicts(judge(truths, results)) == [Verdict.RIGHT] * 3


def test_pages_without_text_are_right_when_nothing_was_read() -> None:
    truths = ["", "", "a page with some words on it"]
    assert verdicts(judge(truths, dict(enumerate(truths)))) == [Verdict.RIGHT] * 3
    assert judge(truths, {0: truths[2], 1: "", 2: truths[2]})[0].verdict is (
        Verdict.FOREIGN
    )


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("Same Text", "sametext", 1.0),
        ("", "", 1.0),
        ("", "text", 0.0),
        ("abcdef", "uvwxyz", 0.0),
        ("ab", "AB", 1.0),
    ],
)
def test_likeness(left: str, right: str, expected: float) -> None:
    assert likeness(pieces(left), pieces(right)) == expected
    assert likeness(pieces(right), pieces(left)) == expected
