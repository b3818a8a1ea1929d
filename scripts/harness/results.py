"""What a suite came to on a server, and how that is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_LINE = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that went wrong, with all that is known about it."""

    what: str
    output: str


@dataclass(slots=True)
class SuiteResult:
    """The outcome of one suite on one server."""

    suite: str
    server: str
    log: Path
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    #: Reasons of skipped tests, for the summary.
    skips: list[str] = field(default_factory=list)

    @property
    def executed(self) -> int:
        """Tests that really ran."""
        return self.passed + self.failed

    def fail(self, what: str, output: str, count: int = 1) -> None:
        """Count ``count`` failed tests and keep what they said."""
        self.failed += count
        self.failures.append(Failure(what, output))

    def require_tests(self) -> None:
        """A suite that found nothing to run has shown nothing."""
        if self.executed == 0 and self.failed == 0:
            self.fail("no test was executed", "The suite found no test to run.")


def line(result: SuiteResult) -> str:
    """One line about a suite that has just ended."""
    verdict = "ok" if result.failed == 0 else f"{result.failed} FAILED"
    return (
        f"    {result.server:<18} {result.suite:<10} {verdict}: "
        f"{result.executed} tests, {result.seconds:.1f} s"
    )


def _cut(text: str) -> str:
    """A line that a person can still read; the log has the rest."""
    rest = len(text) - LONGEST_LINE
    return text if rest <= 0 else f"{text[:LONGEST_LINE]} … and {rest} characters more"


def failures(results: Iterable[SuiteResult]) -> str:
    """Everything that the failed tests said, suite by suite."""
    parts: list[str] = []
    for result in results:
        for failure in result.failures:
            title = f"FAILED  {result.suite} on {result.server}: {failure.what}"
            output = "\n".join(map(_cut, failure.output.rstrip().splitlines()))
            parts.append(f"{'=' * 88}\n{title}\n{'-' * 88}\n{output}\n")
        if result.failures:
            parts.append(f"The whole output is in {result.log}\n")
    return "\n".join(parts)


def table(results: Sequence[SuiteResult]) -> str:
    """The summary: suites by server, then the totals on the last line."""
    header = ("suite", "server", "tests", "failed", "skipped", "seconds")
    rows = [
        (
            result.suite,
            result.server,
            str(result.executed),
            str(result.failed),
            str(result.skipped),
            f"{result.seconds:.1f}",
        )
        for result in results
    ]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(6)]

    def show(row: tuple[str, ...]) -> str:
        text = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
        numbers = [
            cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)
        ]
        return "  ".join((*text, *numbers))

    lines = [show(header), "  ".join("-" * width for width in widths)]
    lines += [show(row) for row in rows]
    reasons = sorted(
        {
            f"skipped, {result.suite} on {result.server}: {reason}"
            for result in results
            for reason in result.skips
        }
    )
    if reasons:
        lines += ["", *reasons]
    return "\n".join(lines)


def totals(results: Iterable[SuiteResult]) -> str:
    """The last line."""
    everything = list(results)
    passed = sum(result.passed for result in everything)
    failed = sum(result.failed for result in everything)
    skipped = sum(result.skipped for result in everything)
    return f"{passed} passed, {failed} failed, {skipped} skipped"
