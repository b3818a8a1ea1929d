"""The Python suite: pytest against a server that the runner started."""

from __future__ import annotations

import os
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from . import ROOT
from .processes import run
from .results import SuiteResult
from .servers import TEMPLATE, TestServer

FOLDER = ROOT / "pydriver" / "tests"
LIMIT_SECONDS = 1500
EVERYTHING = ["pydriver/tests"]
_NO_TESTS_COLLECTED = 5


def selection(only: str | None, *, alone: bool) -> list[str] | None:
    """The arguments that make pytest run what ``only`` names; None for nothing.

    A path, with or without ``::test``, selects files. When this is the one suite that
    was asked for, anything else is an expression for pytest's ``-k``.
    """
    if only is None:
        return EVERYTHING
    path = ROOT / only.split("::")[0]
    if path.exists():
        return [only] if path == FOLDER or FOLDER in path.parents else None
    return ["pydriver/tests", "-k", only] if alone else None


def run_python(
    server: TestServer, arguments: Sequence[str], logs: Path, *, again: bool
) -> SuiteResult:
    """Run pytest and read what it counted from its report.

    ``again`` says that another server has them all: the unit tests know of no server,
    so they need not be run twice.
    """
    if again and list(arguments) == EVERYTHING:
        arguments = [*arguments, "--ignore=pydriver/tests/unit"]
    started = time.monotonic()
    logs.mkdir(parents=True, exist_ok=True)
    result = SuiteResult("pytest", server.label, logs)
    report = logs / "junit.xml"
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PG") and name != "DATABASE_URL"
    }
    ended = run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "--color=no",
                "--tb=short",
                "--durations=10",
            ),
            *("-p", "no:cacheprovider", f"--junitxml={report}", *arguments),
        ],
        env=env
        | {
            "OCR_GUARDRAILS_TEST_DSN": server.server.dsn(),
            "OCR_GUARDRAILS_TEST_TEMPLATE": TEMPLATE,
            "OCR_GUARDRAILS_TEST_BIN": str(server.server.bin_dir),
        },
        limit=LIMIT_SECONDS,
        cwd=ROOT,
    )
    (logs / "pytest.log").write_text(ended.output)
    _count(result, report)
    if ended.code not in (0, _NO_TESTS_COLLECTED) or result.failed:
        failed, result.failed = result.failed, 0
        result.fail(
            f"pytest, exit code {ended.code}", ended.output, count=max(failed, 1)
        )
    result.require_tests()
    result.seconds = time.monotonic() - started
    return result


def _count(result: SuiteResult, report: Path) -> None:
    try:
        # Written by pytest a moment ago.
        tree = ElementTree.parse(report)  # noqa: S314
    except (OSError, ElementTree.ParseError):
        return
    for case in tree.iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
        elif skip is not None:
            result.skipped += 1
            result.skips.append(skip.get("message", "no reason given"))
        else:
            result.passed += 1
