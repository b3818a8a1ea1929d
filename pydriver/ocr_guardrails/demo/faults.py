"""What is made to go wrong, on which documents, decided by the seed alone.

Both runs get the same plan. A fault is a mistake that real OCR services make, not a
blow at the database: the worker that commits it is the same code in both runs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MIN_DOCUMENTS = 12


class Kind(StrEnum):
    """The injected faults."""

    KILLED = "killed"
    KILLED_BETWEEN = "killed_between"
    LATE_AFTER = "late_after"
    LATE_DURING = "late_during"
    SHARED_FILE = "shared_file"
    DUPLICATE = "duplicate"


DESCRIPTIONS = {
    Kind.KILLED: (
        "killed worker",
        "a process dies by SIGKILL while it reads; its job stays behind in processing",
    ),
    Kind.KILLED_BETWEEN: (
        "killed worker",
        "the same at the worst moment: right after its first statement committed",
    ),
    Kind.LATE_AFTER: (
        "late writer",
        "a read hangs, the job is reset and done by another; then the first one "
        "writes, from a variable that holds its worker's next page by now",
    ),
    Kind.LATE_DURING: (
        "late writer",
        "the same, waking up while the other worker still reads",
    ),
    Kind.SHARED_FILE: (
        "shared file",
        "two workers copy their page to one temporary name; the first reads the "
        "second's page",
    ),
    Kind.DUPLICATE: (
        "duplicate",
        "a job is delivered twice; the second worker reads and writes it once more",
    ),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, and the documents that it happens to, by number.

    A shared file has two: the one that is read wrongly and the one whose page it gets.
    All other kinds have one.
    """

    kind: Kind
    documents: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All faults of one run. A document has at most one of them."""

    faults: tuple[Fault, ...]

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.faults)

    def of_document(self, number: int) -> Fault | None:
        """The fault in store for a document."""
        return next((one for one in self.faults if number in one.documents), None)

    @property
    def killed(self) -> tuple[Fault, ...]:
        """The workers that die before the others start."""
        return tuple(
            one for one in self.faults if one.kind in (Kind.KILLED, Kind.KILLED_BETWEEN)
        )

    def count(self, *kinds: Kind) -> int:
        """How many faults of these kinds there are."""
        return sum(one.kind in kinds for one in self.faults)


def plan_faults(seed: int, documents: int) -> FaultPlan:
    """Choose faults for a queue of ``documents`` jobs, which are taken in order.

    The killed workers come first and take the head of the queue. The other faults are
    spread over the rest, so that they do not get in each other's way, and leave the
    end free: a late writer needs a next page. Raises ValueError below MIN_DOCUMENTS.
    """
    if documents < MIN_DOCUMENTS:
        raise ValueError(f"the demo needs at least {MIN_DOCUMENTS} documents")
    rng = random.Random(f"faults {seed}")  # noqa: S311 - repeatable, not secret
    times = max(1, documents // 20)
    kinds = [
        *[Kind.LATE_AFTER] * times,
        *[Kind.LATE_DURING] * max(1, times // 2),
        *[Kind.SHARED_FILE] * times,
        *[Kind.DUPLICATE] * times,
    ]
    rng.shuffle(kinds)
    faults = [Fault(Kind.KILLED, (0,)), Fault(Kind.KILLED_BETWEEN, (1,))]
    first, last = 2, documents - max(2, documents // 8)
    step = (last - first) / len(kinds)
    for turn, kind in enumerate(kinds):
        at = first + int(turn * step)
        room = max(1, int(step) - 2)
        at += rng.randrange(room)
        pair = (at, at + 1) if kind is Kind.SHARED_FILE else (at,)
        faults.append(Fault(kind, pair))
    return FaultPlan(tuple(faults))
