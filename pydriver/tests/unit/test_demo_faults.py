"""The plan of what goes wrong: by the seed alone, and nothing in each other's way."""

from __future__ import annotations

import pytest

from ocr_guardrails.demo.faults import (
    DESCRIPTIONS,
    MIN_DOCUMENTS,
    FaultPlan,
    Kind,
    plan_faults,
)

SIZES = [MIN_DOCUMENTS, 13, 16, 19, 25, 40, 44, 61, 100, 333]


def numbers(plan: FaultPlan) -> list[int]:
    return [number for fault in plan for number in fault.documents]


@pytest.mark.parametrize("documents", SIZES)
def test_plans_keep_faults_apart(documents: int) -> None:
    for seed in range(50):
        plan = plan_faults(seed, documents)
        assert len(set(numbers(plan))) == len(numbers(plan))
        # A late writer needs a next page after its own.
        assert max(numbers(plan)) < documents - 1
        assert {fault.kind for fault in plan} == set(Kind)


@pytest.mark.parametrize("documents", SIZES)
def test_a_shared_file_takes_two_jobs_in_a_row(documents: int) -> None:
    pairs = [
        fault.documents
        for fault in plan_faults(1, documents)
        if fault.kind is Kind.SHARED_FILE
    ]
    assert pairs
    assert all(second == first + 1 for first, second in pairs)


def test_killed_workers_take_the_head_of_the_queue() -> None:
    plan = plan_faults(1, 40)
    assert [fault.documents for fault in plan.killed] == [(0,), (1,)]


def test_the_seed_decides() -> None:
    assert plan_faults(5, 40) == plan_faults(5, 40)
    assert len({plan_faults(seed, 40) for seed in range(20)}) > 10


def test_more_documents_get_more_faults_of_the_same_kinds() -> None:
    small, large = plan_faults(1, 40), plan_faults(1, 200)
    assert large.count(Kind.LATE_AFTER) > small.count(Kind.LATE_AFTER) == 2
    assert small.count(*Kind) == len(small.faults)


def test_too_few_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 12"):
        plan_faults(1, MIN_DOCUMENTS - 1)


def test_every_kind_is_explained() -> None:
    assert set(DESCRIPTIONS) == set(Kind)


def test_a_document_knows_its_fault() -> None:
    plan = plan_faults(1, 40)
    for fault in plan:
        assert all(plan.of_document(number) is fault for number in fault.documents)
    assert plan.of_document(39) is None
