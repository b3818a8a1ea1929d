"""The specs that are made from the table of calls."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations

from .calls import CALL, CALLS, STATES, TRIPLES, Call, Triple

COLUMNS = 88
GENERATED = "Written by scripts/isolation_pairs.py; not to be edited."
LEVELS = {"rr": "repeatable read", "ser": "serializable"}
WHO = ("one", "two", "three")
TEARDOWN = """\
teardown
{
    delete from documents;
    delete from ocr_job_history;
    delete from ocr_incidents;
    delete from leases;
}
"""


@dataclass(slots=True)
class Spec:
    """A spec in the making."""

    name: str
    purpose: str
    #: All steps there are, by session; those that no permutation takes are left out.
    steps: dict[str, dict[str, str]]
    #: The permutations, in order, by what stands above them.
    groups: dict[str, list[str]] = field(default_factory=dict)

    def add(self, group: str, *steps: str) -> None:
        """Add a permutation; the same one is not run twice."""
        permutation = " ".join(steps)
        if not any(permutation in others for others in self.groups.values()):
            self.groups.setdefault(group, []).append(permutation)

    @property
    def permutations(self) -> list[str]:
        """What isolationtester is to run, in order."""
        return [one for group in self.groups.values() for one in group]

    def text(self) -> str:
        """The file's content."""
        used = {
            step for permutation in self.permutations for step in permutation.split()
        }
        parts = [_comment(f"{GENERATED} {self.purpose}"), TEARDOWN]
        for session, steps in self.steps.items():
            taken = {name: sql for name, sql in steps.items() if name in used}
            if taken:
                parts.append(_session(session, taken))
        for group, runs in self.groups.items():
            parts.append(f"# {group}")
            parts.extend(_fill(f"permutation {run}") for run in runs)
        return "\n".join(parts) + "\n"


def _fill(text: str, first: str = "", rest: str = "    ") -> str:
    return textwrap.fill(
        text,
        COLUMNS,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _comment(text: str) -> str:
    return _fill(text, "# ", "# ") + "\n"


def _session(name: str, steps: dict[str, str]) -> str:
    lines = [f"session {name}"]
    for step, sql in steps.items():
        line = f"    step {step} {{ {sql} }}"
        if len(line) > COLUMNS:
            # the SQL on one line where it can be: isolationtester prints it as it is
            body = _fill(f"{{ {sql} }}", " " * 8, " " * 8)
            line = f"    step {step}\n{body}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _steps(who: str, calls: Sequence[Call]) -> dict[str, str]:
    return {
        f"{who}_begins": "begin;",
        **{
            f"{who}_{name}": f"begin isolation level {level};"
            for name, level in LEVELS.items()
        },
        # takes the snapshot
        f"{who}_looks": "select count(*) as live from ocr_queue;",
        **{f"{who}_{call.name}": call.sql.format(who=who) for call in calls},
        f"{who}_commits": "commit;",
        f"{who}_aborts": "rollback;",
    }


def _new(name: str, purpose: str, calls: Sequence[Sequence[Call]]) -> Spec:
    return Spec(
        name,
        purpose,
        {
            "given": {f"given_{state}": f"call given('{state}');" for state in STATES},
            **{who: _steps(who, mine) for who, mine in zip(WHO, calls, strict=False)},
            "look": {"look": "select * from look();"},
        },
    )


def _states(*calls: Call) -> list[str]:
    """The states in which one of the calls has something to do."""
    wanted = {state for call in calls for state in call.states}
    return [state for state in STATES if state in wanted]


def pair_spec(
    first: Call, seconds: Sequence[Call], states: Sequence[str] | None = None
) -> Spec:
    """One call in a transaction that stays open, and then another one.

    In the given states, by default in those in which one of the two has something to
    do.
    """
    spec = _new(
        f"pair_{first.name}",
        f"{first.name} is called in a transaction that stays open, then another call "
        "comes on the same document and job, in each state in which one of the two has "
        "something to do. It waits until the transaction is committed or rolled back, "
        "or does not wait and is committed before. scripts/pairs/outcomes.py holds "
        "each against the same two calls one after the other, which are here too.",
        ([first], seconds),
    )
    one = f"one_{first.name}"
    for state in states or _states(first, *seconds):
        spec.add("nothing, and one call", f"given_{state}", "look")
        spec.add("nothing, and one call", f"given_{state}", one, "look")
    for second in seconds:
        group, two = f"{first.name}, then {second.name}", f"two_{second.name}"
        for state in states or _states(first, second):
            given = f"given_{state}"
            spec.add(group, given, one, two, "look")
            spec.add(group, given, "one_begins", one, two, "one_commits", "look")
            spec.add(group, given, "one_begins", one, two, "one_aborts", "look")
    return spec


def strict_spec(first: Call, seconds: Sequence[Call]) -> Spec:
    """The same at REPEATABLE READ and SERIALIZABLE, with a second try."""
    spec = _new(
        f"strict_{first.name}",
        f"{first.name} and another call on the same document and job, both at "
        "REPEATABLE READ or SERIALIZABLE. The second one comes while the first is "
        "open, or with a snapshot that is older than the first. Where it is refused by "
        "a serialization failure, nothing has changed, and trying again succeeds.",
        ([first], seconds),
    )
    one = f"one_{first.name}"
    for second in seconds:
        two = f"two_{second.name}"
        for name, level in LEVELS.items():
            group = f"{first.name}, then {second.name}, at {level}"
            one_begins, two_begins = f"one_{name}", f"two_{name}"
            again = ("look", two_begins, two, "two_commits", "look")
            # where the first does nothing there is nothing to collide with
            for given in (f"given_{state}" for state in first.states):
                spec.add(
                    group,
                    given,
                    one_begins,
                    one,
                    two_begins,
                    two,
                    "one_commits",
                    "two_commits",
                    *again,
                )
                spec.add(
                    group,
                    given,
                    two_begins,
                    "two_looks",
                    one_begins,
                    one,
                    "one_commits",
                    two,
                    "two_commits",
                    *again,
                )
    return spec


def triple_spec(triple: Triple, *, exact: bool) -> Spec:
    """Three calls in all orders; the first or the second one stays open.

    ``exact`` leaves out those in which two calls may wait for the first: which of them
    is then the first to have the new version of the row, PostgreSQL does not say.
    """
    calls = {who: CALL[name] for who, name in zip(WHO, triple.calls, strict=True)}
    steps = {who: f"{who}_{call.name}" for who, call in calls.items()}
    spec = _new(
        f"triple_{'_'.join(triple.calls)}",
        f"{', '.join(triple.calls[:-1])} and {triple.calls[-1]} on the same document "
        "and job, in every order, where the first or the second stays open until the "
        "others have been called. scripts/pairs/outcomes.py holds each against the "
        "calls one after the other, which are here too.",
        [[call] for call in calls.values()],
    )
    for given in (f"given_{state}" for state in triple.states):
        for count in range(len(WHO) + 1):
            for order in permutations(steps.values(), count):
                spec.add("one after the other", given, *order, "look")
        for order in permutations(WHO):
            first, second, third = (steps[who] for who in order)
            waiting = [who for who in order[1:] if calls[who].waits]
            group = ", ".join(calls[who].name for who in order)
            for end in ("commits", "aborts"):
                if len(waiting) < 2 or not exact:
                    spec.add(
                        group,
                        given,
                        f"{order[0]}_begins",
                        first,
                        second,
                        third,
                        f"{order[0]}_{end}",
                        "look",
                    )
                spec.add(
                    group,
                    given,
                    first,
                    f"{order[1]}_begins",
                    second,
                    third,
                    f"{order[1]}_{end}",
                    "look",
                )
    return spec


def held_spec(first: Call, seconds: Sequence[Call]) -> Spec:
    """Two calls that may have to wait in the middle, for a job that is held."""
    spec = _new(
        f"held_{first.name}",
        f"{first.name} and another call are stopped in the middle, since somebody "
        "holds the job. Who takes the job before the document is in a deadlock then.",
        ([first], seconds),
    )
    spec.steps["holder"] = {
        "holder_holds": "begin; update ocr_queue set file_size = 0;",
        "holder_lets_go": "rollback;",
    }
    for second in seconds:
        group = f"{first.name}, then {second.name}"
        for state in _states(first, second):
            if state not in ("new", "completed"):
                spec.add(
                    group,
                    f"given_{state}",
                    "holder_holds",
                    f"one_{first.name}",
                    f"two_{second.name}",
                    "holder_lets_go",
                    "look",
                )
    return spec


def committed_specs() -> Iterator[Spec]:
    """Those that stand in db/tests/isolation/pairs, with expected output."""
    often = [call for call in CALLS if call.often]
    strict = [call for call in CALLS if call.strict]
    for first in often:
        yield pair_spec(first, often)
    for first in strict:
        yield strict_spec(first, strict)
        yield held_spec(first, strict)
    for triple in TRIPLES:
        if triple.often:
            yield triple_spec(triple, exact=True)


def proof_specs() -> Iterator[Spec]:
    """Every pair there is in every state, also in the middle, and every triple."""
    for first in CALLS:
        yield pair_spec(first, CALLS, STATES)
        yield held_spec(first, CALLS)
    for triple in TRIPLES:
        yield triple_spec(triple, exact=False)
