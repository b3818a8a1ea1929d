"""Whose text is this? Judged by likeness, not by what was injected.

Every result is compared with what stands on every page. OCR drops spaces and
misreads letters, so texts are compared by the three-letter pieces they have in common
(Dice's coefficient, spaces and case left out): 1.0 is the same text, two different
pages of the demo come to 0.14 on the average, the likest ones to 0.6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

# Below this a text is no page's. Real readings of the demo's pages are above 0.9.
LIKE = 0.5
# Two files of the user's own may carry nearly the same text (a form, a reminder). A
# result is foreign only when it is clearly more like another page than like its own.
MARGIN = 0.05


class Verdict(StrEnum):
    """What a document's result turned out to be."""

    RIGHT = "right"
    FOREIGN = "foreign"
    UNREADABLE = "unreadable"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one document, and the page whose text it carries."""

    number: int
    verdict: Verdict
    likeness: float
    best: int
    best_likeness: float


def pieces(text: str) -> Counter[str]:
    """The three-letter pieces of a text, without spaces, marks and case."""
    letters = "".join(char for char in text.casefold() if char.isalnum())
    if len(letters) < 3:
        return Counter([letters] if letters else [])
    return Counter(letters[at : at + 3] for at in range(len(letters) - 2))


def likeness(left: Counter[str], right: Counter[str]) -> float:
    """How much two texts have in common, from 0 to 1. Two empty texts are alike."""
    total = left.total() + right.total()
    return 2 * (left & right).total() / total if total else 1.0


def judge(truths: Sequence[str], results: Mapping[int, str | None]) -> list[Judgement]:
    """Compare every result with every page; number ``n`` is the page of truths[n]."""
    pages = [pieces(truth) for truth in truths]
    judgements: list[Judgement] = []
    for number, own in enumerate(pages):
        text = results.get(number)
        if text is None:
            judgements.append(Judgement(number, Verdict.MISSING, 0.0, number, 0.0))
            continue
        offered = pieces(text)
        scores = [likeness(offered, page) for page in pages]
        mine = likeness(offered, own)
        best = max(range(len(scores)), key=scores.__getitem__)
        if scores[best] - mine <= MARGIN:
            best = number
        if best != number and scores[best] >= LIKE:
            verdict = Verdict.FOREIGN
        elif mine >= LIKE:
            verdict = Verdict.RIGHT
        else:
            verdict = Verdict.UNREADABLE
        judgements.append(Judgement(number, verdict, mine, best, scores[best]))
    return judgements
