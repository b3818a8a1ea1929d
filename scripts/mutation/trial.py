"""Running the tests against mutants, on one throw-away server.

Each mutant gets a clone of an installed database. The pgTAP files run in it until one
fails; the files of the functions nearest to the mutant come first. If all pass, so do
the races, each in a clone of the mutated database.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from harness import ROOT, isolation, pgtap
from harness.processes import run
from harness.servers import TEMPLATE, TestServer

from .generate import SCHEMA, Mutant
from .sqltext import tokens

DB = ROOT / "db"
#: The template with pgTAP beside the package.
TAP_TEMPLATE = "ocr_template_tap"
#: A mutant may loop or wait for ever. A file gets this many times what it took without
#: a mutation, and at least the seconds.
PATIENCE = 10
LEAST_SECONDS = 15.0
#: The same for a race: a whole spec, and a step of one that nobody expects to wait.
SPEC_SECONDS = 45
STEP_SECONDS = 20

_RESULT = re.compile(r"^(not )?ok (\d+)(.*)$", re.M)
_PLAN = re.compile(r"^1\.\.(\d+)", re.M)
_FAR = 99

_databases = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: killed, survived or invalid; and by what."""

    mutant: Mutant
    outcome: str
    by: str
    seconds: float


class BaselineError(Exception):
    """A test fails without any mutation, so its failing would prove nothing."""


class _Clones(TestServer):
    """The same server, whose databases are clones of one that is mutated."""

    __slots__ = ("template",)
    template: str

    @contextmanager
    def database(self, purpose: str) -> Iterator[str]:
        with clone(self, self.template, purpose) as name:
            yield name


@contextmanager
def clone(server: TestServer, template: str, purpose: str) -> Iterator[str]:
    """A clone of a database, dropped at the end whoever is still connected."""
    name = f"{purpose}_{next(_databases)}"
    with psycopg.connect(server.server.dsn(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        try:
            yield name
        finally:
            admin.execute(
                sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
            )


@dataclass(slots=True)
class Trials:
    """The tests in the order in which they are likely to kill, and what they took."""

    server: TestServer
    logs: Path
    files: list[Path] = field(default_factory=lambda: pgtap.files(None))
    specs: list[Path] = field(default_factory=lambda: isolation.specs(None))
    seconds: dict[Path, float] = field(default_factory=dict)
    _near: dict[str, dict[str, int]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the template with pgTAP; learn who calls whom."""
        isolation.STEP_SECONDS = STEP_SECONDS
        isolation.LIMIT_SECONDS = SPEC_SECONDS
        with psycopg.connect(self.server.server.dsn(), autocommit=True) as admin:
            admin.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(TAP_TEMPLATE), sql.Identifier(TEMPLATE)
                )
            )
        self.server.load_pgtap(TAP_TEMPLATE)
        self._near = _distances()

    def baseline(self, tests: Sequence[Path]) -> None:
        """Run tests without a mutation: they pass, and their time is known."""
        with clone(self.server, TAP_TEMPLATE, "baseline") as database:
            for path in tests:
                started = time.monotonic()
                failure = (
                    self._race(TEMPLATE, path)
                    if path.suffix == ".spec"
                    else self._pgtap(database, path)
                )
                if failure is not None:
                    raise BaselineError(f"fails without a mutation: {failure}")
                self.seconds[path] = time.monotonic() - started

    def tests(self, mutant: Mutant, *, near: bool) -> list[Path]:
        """The tests for a mutant in their order; ``near``: of it and its callers."""
        tests = self._ordered(mutant)
        if near:
            tests = [t for t in tests if self._distance(mutant, t) < _FAR]
            return [t for t in tests if t.suffix != ".spec"]
        return tests

    def run(self, mutant: Mutant, *, near: bool) -> Verdict:
        """Try a mutant; the first test that fails has killed it."""
        started = time.monotonic()

        def verdict(outcome: str, by: str = "") -> Verdict:
            return Verdict(mutant, outcome, by, time.monotonic() - started)

        with clone(self.server, TAP_TEMPLATE, "mutant") as database:
            try:
                self._apply(database, mutant)
            except psycopg.Error as error:
                return verdict("invalid", str(error).splitlines()[0])
            for path in self.tests(mutant, near=near):
                failure = (
                    self._race(database, path)
                    if path.suffix == ".spec"
                    else self._pgtap(database, path)
                )
                if failure is not None:
                    return verdict("killed", failure)
        return verdict("survived")

    def _apply(self, database: str, mutant: Mutant) -> None:
        with psycopg.connect(self.server.server.dsn(database)) as connection:
            connection.execute("set search_path = public, pg_temp")
            connection.execute("set client_min_messages = warning")
            connection.execute(mutant.sql.encode())

    def _pgtap(self, database: str, path: Path) -> str | None:
        """None where the file passes, else what failed."""
        env = self.server.environment(database, search_path="public, tap")
        limit = max(LEAST_SECONDS, PATIENCE * self.seconds.get(path, LEAST_SECONDS))
        env["PGOPTIONS"] += f" -c statement_timeout={limit:.0f}s"
        ended = run(
            [
                *(self.server.psql, "--no-psqlrc", "--quiet", "--no-align"),
                *("--tuples-only", "--set", "ON_ERROR_STOP=1", "--file", path),
            ],
            env=env,
            limit=2 * limit,
            cwd=ROOT,
        )
        name = path.relative_to(DB / "tests").as_posix()
        results = _RESULT.findall(ended.output)
        for bad, _, description in results:
            if bad and "# TODO" not in description:
                return f"{name}: {description.removeprefix(' - ').strip()}"
        if ended.code != 0:
            return f"{name}: {_error(ended.output)}"
        plan = _PLAN.search(ended.output)
        if plan is None or (
            int(plan[1]) != len(results) and "SKIP" not in ended.output
        ):
            return f"{name}: the plan was not kept"
        return None

    def _race(self, database: str, path: Path) -> str | None:
        server = _Clones(self.server.server, self.server.label, self.server.from_wheel)
        server.template = database
        result = isolation.run_isolation(server, [path], self.logs, update=False)
        if result.failed:
            return f"isolation/{path.stem}"
        return None

    def _ordered(self, mutant: Mutant) -> list[Path]:
        """Near ones first, among those pgTAP first, among those the quick ones."""

        def order(path: Path) -> tuple[int, bool, float]:
            seconds = self.seconds.get(path, 0.0)
            return self._distance(mutant, path), path.suffix == ".spec", seconds

        return sorted(self.files + self.specs, key=order)

    def _distance(self, mutant: Mutant, path: Path) -> int:
        """How many calls lie between the mutant and what a test is about."""
        near = self._near.get(mutant.file, {})
        if path.stem in ("tables", "columns"):
            return 0 if mutant.file == SCHEMA else _FAR
        if path.suffix != ".spec":
            return near.get(path.stem, _FAR)
        text = path.read_text(encoding="utf-8")
        return min(
            (near[name] for name in near if re.search(rf"\b{name}\b", text)),
            default=_FAR,
        )


def _error(output: str) -> str:
    found = re.search(r"(?:ERROR|FATAL): +(.*)", output)
    return f"ended with {found[1]}" if found else "ended with an error"


def _distances() -> dict[str, dict[str, int]]:
    """For each file, how far away its callers are: 0 itself, 1 who calls it, …"""
    paths = [
        path
        for folder in ("functions", "triggers")
        for path in sorted((DB / folder).rglob("*.sql"))
    ]
    words = {
        path: {token.word for token in tokens(path.read_text(encoding="utf-8"))}
        for path in paths
    }
    distances: dict[str, dict[str, int]] = {}
    for path in paths:
        reached = {path: 0}
        waiting = [path]
        while waiting:
            called = waiting.pop(0)
            for caller in paths:
                if caller not in reached and called.stem in words[caller]:
                    reached[caller] = reached[called] + 1
                    waiting.append(caller)
        distances[path.relative_to(DB).as_posix()] = {
            caller.stem: steps for caller, steps in reached.items()
        }
    return distances
