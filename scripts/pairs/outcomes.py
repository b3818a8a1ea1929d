"""Whether races came out as they must.

They are too many for a person to read line by line, so these rules are held against
what the specs print:

- a race comes out, in every answer and in the end, like its calls one after the other
  in some order, less those that answered that they passed over what was held;
- whoever was refused has changed nothing, but for the incident;
- a serialization failure has changed nothing, and trying again comes out like the
  calls one after the other;
- nothing is violated (view violation of setup.sql), and nobody is in a deadlock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations

from harness.isolation import DEADLOCK

from .calls import CALL
from .specs import LEVELS, WHO

SERIALIZATION = "ERROR:  could not serialize access"
_PERMUTATION = re.compile(r"^starting permutation: (.*)$", re.MULTILINE)
_STEP = re.compile(r"^step (\w+): ?(.*)$")
_RULE = re.compile(r"^-[-+]*$")
_ROWS = re.compile(r"^\(\d+ rows?\)$")
_WHO = re.compile(rf"\b({'|'.join(WHO)})\b")

State = tuple[tuple[str, str], ...]
#: A session and the name of what it calls.
Made = tuple[str, str]


@dataclass(slots=True)
class Run:
    """What one permutation printed."""

    name: str
    #: The answers by step, in the order in which they came; '' where there is no row.
    answers: list[tuple[str, str]] = field(default_factory=list)
    #: What the looks saw.
    states: list[State] = field(default_factory=list)

    @property
    def given(self) -> str:
        return self.name.split()[0]

    @property
    def steps(self) -> list[str]:
        return self.name.split()[1:]

    @property
    def made(self) -> list[Made]:
        """The calls in the order in which they were made."""
        return [
            (who, call)
            for who, _, call in (step.partition("_") for step in self.steps)
            if call in CALL
        ]

    def answer(self, step: str, which: int = 0) -> str:
        """The answer of a step; ``which`` where it was taken more than once."""
        return [answer for name, answer in self.answers if name == step][which]


def parse(output: str) -> list[Run]:
    """The permutations that isolationtester has printed."""
    runs = list[Run]()
    parts = _PERMUTATION.split(output)
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        run = Run(name)
        step, lines = "", list[str]()
        for line in [*body.splitlines(), "step end: "]:
            if (match := _STEP.match(line)) is None:
                lines.append(line)
                continue
            _read(run, step, lines)
            step, lines = match[1], [match[2]]
        runs.append(run)
    return runs


def _read(run: Run, step: str, lines: Sequence[str]) -> None:
    """Add what a step printed to the run."""
    if not step or any(line.endswith("<waiting ...>") for line in lines):
        return
    for number, line in enumerate(lines):
        if line.startswith("ERROR:  "):
            run.answers.append((step, line))
            return
        if _RULE.match(line):
            names = [name.strip() for name in lines[number - 1].split("|")]
            rows = list[list[str]]()
            for row in lines[number + 1 :]:
                if _ROWS.match(row):
                    break
                rows.append([cell.strip() for cell in row.split("|")])
            if step == "look":
                run.states.append(tuple(zip(names, rows[0], strict=True)))
            else:
                run.answers.append((step, "; ".join(" ".join(row) for row in rows)))
            return
    run.answers.append((step, ""))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What calls have answered, by session, and what they left behind."""

    answers: Mapping[str, str]
    state: State

    def renamed(self, names: Mapping[str, str]) -> Outcome:
        """The same with other sessions."""

        def rename(text: str) -> str:
            return _WHO.sub(lambda match: names.get(match[1], match[1]), text)

        return Outcome(
            {names[who]: rename(answer) for who, answer in self.answers.items()},
            tuple((column, rename(value)) for column, value in self.state),
        )

    def __str__(self) -> str:
        answers = ", ".join(
            f"{who}: {self.answers[who]!r}" for who in WHO if who in self.answers
        )
        state = ", ".join(f"{column}: {value}" for column, value in self.state if value)
        return f"{answers}; {state}"


class MissingRunError(Exception):
    """There is nothing to hold a race against."""


class Judge:
    """Holds runs against the rules."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs
        #: What calls come to one after the other, the sessions named in order.
        self._serial: dict[tuple[str, tuple[str, ...]], Outcome] = {}
        #: Runs of the same calls that came out unlike each other.
        self._unlike: list[str] = []
        for run in filter(_is_serial, self.runs):
            answers = {who: run.answer(f"{who}_{call}") for who, call in run.made}
            names = dict(zip(answers, WHO, strict=False))
            outcome = Outcome(answers, run.states[0]).renamed(names)
            key = run.given, tuple(call for _, call in run.made)
            if self._serial.setdefault(key, outcome) != outcome:
                self._unlike.append(
                    f"{run.name}: came out as {outcome}\n    elsewhere as "
                    f"{self._serial[key]}"
                )

    def complaints(self) -> list[str]:
        """What is against the rules, in words; nothing where all is well."""
        return self._unlike + [
            f"{run.name}: {complaint}"
            for run in self.runs
            for complaint in self._judge(run)
        ]

    def _judge(self, run: Run) -> Iterator[str]:
        for state in run.states:
            if violations := dict(state)["violations"]:
                yield f"violated: {violations}"
        for step, answer in run.answers:
            if DEADLOCK in answer or (
                answer.startswith("ERROR")
                and step.partition("_")[2] not in CALL
                and not answer.startswith(SERIALIZATION)
            ):
                yield f"{step} answered {answer}"
        try:
            if _is_serial(run):
                yield from self._judge_serial(run)
            elif any(step.partition("_")[2] in LEVELS for step in run.steps):
                yield from self._judge_strict(run)
            elif "holder_holds" in run.steps:
                yield from self._judge_held(run)
            else:
                yield from self._judge_race(run)
        except MissingRunError as missing:
            yield str(missing)

    def _judge_serial(self, run: Run) -> Iterator[str]:
        if not run.made:
            return
        outcome = self._after(run.given, run.made)
        before = self._after(run.given, run.made[:-1])
        who, call = run.made[-1]
        answer = outcome.answers[who]
        refused = answer in CALL[call].refused or answer.startswith("ERROR")
        if refused and _unrecorded(outcome.state) != _unrecorded(before.state):
            yield f"{call} was refused, but there is a change: {outcome}"

    def _judge_race(self, run: Run) -> Iterator[str]:
        (holder,) = (
            step.partition("_")[0] for step in run.steps if step.endswith("_begins")
        )
        made = run.made
        position = [who for who, _ in made].index(holder)
        before, held, after = made[:position], made[position], made[position + 1 :]
        answers = {who: run.answer(f"{who}_{call}") for who, call in made}
        first = self._after(run.given, [*before, held]).answers[holder]
        if answers[holder] != first:
            yield f"{holder} answered {answers[holder]!r}, not {first!r}"
        counted = made
        if f"{holder}_aborts" in run.steps:
            counted = before + after
            del answers[holder]
        passing = [
            (who, call) for who, call in after if answers[who] in CALL[call].passes_over
        ]
        yield from self._compare(run, counted, passing, Outcome(answers, run.states[0]))

    def _judge_held(self, run: Run) -> Iterator[str]:
        answers = {who: run.answer(f"{who}_{call}") for who, call in run.made}
        passing = [
            (who, call)
            for who, call in run.made
            if answers[who] in CALL[call].passes_over
        ]
        yield from self._compare(
            run, run.made, passing, Outcome(answers, run.states[0])
        )

    def _judge_strict(self, run: Run) -> Iterator[str]:
        first, second = run.made[:2]
        two = "_".join(second)
        (one_ends,) = (answer for step, answer in run.answers if step == "one_commits")
        if one_ends:
            yield f"one_commits answered {one_ends}"
        answers = {"one": run.answer("_".join(first)), "two": run.answer(two)}
        alone = self._after(run.given, [first])
        both = self._after(run.given, [first, second])
        failed = answers["two"].startswith(SERIALIZATION) or run.answer(
            "two_commits"
        ).startswith(SERIALIZATION)
        if not failed:
            passing = [second] if answers["two"] in CALL[second[1]].passes_over else []
            yield from self._compare(
                run, [first, second], passing, Outcome(answers, run.states[0])
            )
            return
        if run.states[0] != alone.state:
            yield "a serialization failure, but there is a change: " + str(
                Outcome(answers, run.states[0])
            )
        again = Outcome({**answers, "two": run.answer(two, 1)}, run.states[1])
        if again != both:
            yield f"trying again came out as {again}\n    instead of {both}"

    def _compare(
        self,
        run: Run,
        made: Sequence[Made],
        passing: Sequence[Made],
        outcome: Outcome,
    ) -> Iterator[str]:
        """Complain unless the outcome is that of some order of the calls."""
        allowed = list[Outcome]()
        for count in range(len(passing) + 1):
            for passed in combinations(passing, count):
                rest = [one for one in made if one not in passed]
                for order in permutations(rest):
                    serial = self._after(run.given, order)
                    answers = {who: outcome.answers[who] for who, _ in passed}
                    allowed.append(Outcome({**serial.answers, **answers}, serial.state))
        if outcome in allowed:
            return
        others = "".join(f"\n    {other}" for other in allowed)
        yield f"came out like no order of the calls:\n    {outcome}\n  but not{others}"

    def _after(self, given: str, made: Sequence[Made]) -> Outcome:
        """What these calls come to, one after the other."""
        key = given, tuple(call for _, call in made)
        if key not in self._serial:
            raise MissingRunError(f"there is no run of {key} to hold it against")
        return self._serial[key].renamed(
            dict(zip(WHO, (who for who, _ in made), strict=False))
        )


def _is_serial(run: Run) -> bool:
    return len(run.made) == len(run.steps) - 1


def _unrecorded(state: State) -> State:
    """The state without the incidents."""
    return tuple((column, value) for column, value in state if column != "incidents")
