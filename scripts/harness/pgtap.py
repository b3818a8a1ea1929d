"""The pgTAP suite: every file by pg_prove, in one database."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from . import ROOT
from .processes import run
from .results import SuiteResult
from .servers import TestServer

TESTS = ROOT / "db" / "tests"
#: No file comes near it; one that waits for a lock for ever ends here.
LIMIT_SECONDS = 300

_RESULT = re.compile(
    r"^(?P<not>not )?ok \d+(?P<description>.*?)"
    r"(?:\s# (?P<directive>SKIP|TODO)\S*(?P<reason>.*))?$",
    re.IGNORECASE,
)
_PASSED = re.compile(r"^ok \d+")
_SKIPPED_FILE = re.compile(r"^1\.\.0 # SKIP\S*\s*(?P<reason>.*)$", re.IGNORECASE)


def files(only: str | None) -> list[Path]:
    """The test files in the order in which they run, those under ``only`` if given."""
    found = sorted(
        path for path in TESTS.rglob("*.sql") if "isolation" not in path.parts
    )
    if only is None:
        return found
    return [path for path in found if only in str(path.relative_to(ROOT))]


def run_pgtap(server: TestServer, chosen: Sequence[Path], logs: Path) -> SuiteResult:
    """Run the files one by one, so that each says for itself how it went.

    Every file is one transaction that it rolls back, so they share a database.
    """
    started = time.monotonic()
    logs.mkdir(parents=True, exist_ok=True)
    result = SuiteResult("pgtap", server.label, logs)
    pg_prove = shutil.which("pg_prove")
    if pg_prove is None:
        result.fail("pg_prove", "pg_prove is not installed: make system")
        return result
    with server.database("pgtap") as database:
        server.load_pgtap(database)
        env = server.environment(database, search_path="public, tap")
        for path in chosen:
            name = str(path.relative_to(ROOT))
            ended = run(
                [
                    *(pg_prove, "--norc", "--verbose", "--merge", "--nocolor"),
                    *("--ext", ".sql", "--psql-bin", server.psql),
                    name,
                ],
                env=env,
                limit=LIMIT_SECONDS,
                cwd=ROOT,
            )
            (logs / (name.replace("/", "_") + ".log")).write_text(ended.output)
            _count(result, name, ended.code, ended.output)
    result.require_tests()
    result.seconds = time.monotonic() - started
    return result


def _count(result: SuiteResult, name: str, code: int, output: str) -> None:
    """Add up a file's TAP. pg_prove's exit code has the last word.

    It also knows of plans that were not kept and of scripts that died on the way.
    """
    passed = failed = skipped = 0
    for text in output.splitlines():
        if (match := _RESULT.match(text)) is not None:
            if match["directive"]:
                skipped += 1
                result.skips.append(match["reason"].strip())
            elif match["not"]:
                failed += 1
            else:
                passed += 1
        elif (match := _SKIPPED_FILE.match(text)) is not None:
            skipped += 1
            result.skips.append(match["reason"].strip())
    result.passed += passed
    result.skipped += skipped
    if code != 0 or failed:
        said = "\n".join(
            text for text in output.splitlines() if not _PASSED.match(text)
        )
        result.fail(name, said, count=max(failed, 1))
    elif passed + skipped == 0:
        result.fail(name, f"{output}\nThe file ran no test.")
