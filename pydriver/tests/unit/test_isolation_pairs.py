"""The races of pairs: the committed specs are the table's, and the rules hold."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from harness.isolation import DEADLOCK, EXPECTED
from isolation_pairs import FOLDER
from pairs.calls import ALONE, CALLS, TRIPLES
from pairs.outcomes import Judge, Run, parse
from pairs.specs import committed_specs, proof_specs

FUNCTIONS = Path(__file__).parents[3] / "db" / "functions"
PUBLIC = {
    path.stem
    for area in ("producing", "working", "operating")
    for path in (FUNCTIONS / area).glob("*.sql")
}
SPECS = {spec.name: spec for spec in committed_specs()}


def expected(name: str) -> str:
    return (EXPECTED / f"{name}.out").read_text()


@cache
def expected_runs(name: str) -> list[Run]:
    return parse(expected(name))


def test_every_public_function_is_in_the_table_or_has_a_reason() -> None:
    paired = {call.function for call in CALLS if call.function is not None}
    assert paired | ALONE.keys() == PUBLIC
    assert not paired & ALONE.keys()


def test_the_committed_specs_are_those_of_the_table() -> None:
    written = {path.stem: path.read_text() for path in FOLDER.glob("*.spec")}
    assert written == {name: spec.text() for name, spec in SPECS.items()}


def test_every_permutation_is_expected_and_no_other() -> None:
    for name, spec in SPECS.items():
        runs = [run.name for run in expected_runs(name)]
        assert runs == spec.permutations


def test_every_pair_is_proved_and_every_often_pair_tested() -> None:
    pairs = {
        (run[1], run[2])
        for spec in proof_specs()
        for run in map(str.split, spec.permutations)
        if len(run) == 4
    }
    assert pairs >= {
        (f"one_{first.name}", f"two_{second.name}")
        for first in CALLS
        for second in CALLS
    }
    often = [call for call in CALLS if call.often]
    assert {f"pair_{call.name}" for call in often} <= SPECS.keys()
    assert {
        f"triple_{'_'.join(triple.calls)}" for triple in TRIPLES if triple.often
    } <= SPECS.keys()


def test_what_is_expected_keeps_the_rules() -> None:
    assert (
        Judge([run for name in SPECS for run in expected_runs(name)]).complaints() == []
    )


def test_no_deadlock_is_expected_anywhere() -> None:
    outputs = list(EXPECTED.glob("*.out"))
    assert len(outputs) > len(SPECS)
    assert [path.name for path in outputs if DEADLOCK in path.read_text()] == []


def tampered(name: str, permutation: str, old: str, new: str) -> list[str]:
    """What the judge says once something in one permutation is another."""
    before, found, after = expected(name).partition(f" {permutation}\n")
    body, following, rest = after.partition("starting permutation:")
    assert found
    assert old in body
    text = before + found + body.replace(old, new, 1) + following + rest
    others = (run for other in SPECS if other != name for run in expected_runs(other))
    return Judge([*parse(text), *others]).complaints()


@pytest.mark.parametrize(
    ("spec", "permutation", "old", "new", "complaint"),
    [
        pytest.param(
            "pair_reset",
            "given_processing one_begins one_reset two_write one_commits look",
            "\nf     ",
            "\nt     ",
            "came out like no order",
            id="the second answer",
        ),
        pytest.param(
            "pair_reset",
            "given_processing one_begins one_reset two_write one_commits look",
            "\n    1\n",
            "\n    0\n",
            "one answered '0', not '1'",
            id="the first answer",
        ),
        pytest.param(
            "pair_reset",
            "given_processing one_begins one_reset two_write one_commits look",
            "stale_lease",
            "           ",
            "came out like no order",
            id="a refusal without an incident",
        ),
        pytest.param(
            "pair_cancel",
            "given_processing one_begins one_cancel two_claim one_aborts look",
            "processing late 1",
            "processing two 2 ",
            "came out like no order",
            id="the end after a rollback",
        ),
        pytest.param(
            "pair_cancel",
            "given_processing one_begins one_cancel two_claim one_aborts look",
            "|          \n(1 row)",
            "|two live jobs\n(1 row)",
            "violated: two live jobs",
            id="a violation",
        ),
        pytest.param(
            "pair_cancel",
            "given_processing one_begins one_cancel two_claim one_aborts look",
            "step one_aborts: rollback;",
            "step one_aborts: rollback;\nERROR:  deadlock detected",
            "one_aborts answered ERROR:  deadlock detected",
            id="a deadlock",
        ),
        pytest.param(
            "pair_reset",
            "given_processing one_reset two_write look",
            "|stale_lease",
            "|           ",
            "elsewhere as",
            id="one after the other, in two specs",
        ),
        pytest.param(
            "pair_reset",
            "given_expired one_reset two_write look",
            "pending |",
            "failed  |",
            "write was refused, but there is a change",
            id="a refused call changes something",
        ),
        pytest.param(
            "strict_reset",
            "given_processing one_rr one_reset two_rr two_write one_commits "
            "two_commits look two_rr two_write two_commits look",
            "pending 1",
            "pending 2",
            "a serialization failure, but there is a change",
            id="a serialization failure changes something",
        ),
        pytest.param(
            "strict_reset",
            "given_processing one_rr one_reset two_rr two_write one_commits "
            "two_commits look two_rr two_write two_commits look",
            "stale_lease",
            "           ",
            "trying again came out as",
            id="trying again",
        ),
        pytest.param(
            "held_cancel",
            "given_processing holder_holds one_cancel two_requeue holder_lets_go look",
            "|cancelled late|",
            "|expired late  |",
            "came out like no order",
            id="stopped in the middle",
        ),
        pytest.param(
            "triple_write_reset_claim",
            "given_processing two_begins two_reset three_claim one_write two_commits "
            "look",
            "stale_lease",
            "           ",
            "came out like no order",
            id="three calls",
        ),
    ],
)
def test_the_judge_sees(
    spec: str, permutation: str, old: str, new: str, complaint: str
) -> None:
    found = tampered(spec, permutation, old, new)
    assert any(complaint in one for one in found), found
