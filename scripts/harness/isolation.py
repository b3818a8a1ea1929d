"""The isolation suite: every spec by isolationtester, each in a fresh database.

A ``setup.sql`` beside a spec is loaded into its database first.

PostgreSQL's own pg_isolation_regress would run all specs in one database; a race that
leaves a job behind would then change what the next one shows.
"""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import ROOT
from .processes import Finished, run
from .results import SuiteResult
from .servers import TestServer

FOLDER = ROOT / "db" / "tests" / "isolation"
EXPECTED = FOLDER / "expected"
#: Specs at a time: a step that waits is looked at every ten milliseconds, and most of
#: the time is spent with that.
SIDE_BY_SIDE = 2
#: What the server says of one.
DEADLOCK = "deadlock detected"
LIMIT_SECONDS = 600
#: How long isolationtester waits for a step that it does not expect to wait.
STEP_SECONDS = 120


def specs(only: str | None) -> list[Path]:
    """The specs in the order in which they run, those that match ``only`` if given."""
    found = sorted(FOLDER.rglob("*.spec"))
    if only is None:
        return found
    return [path for path in found if only in str(path.relative_to(ROOT))]


def run_isolation(
    server: TestServer, chosen: Sequence[Path], logs: Path, *, update: bool
) -> SuiteResult:
    """Run the specs and compare what they print with ``expected/NAME.out``.

    Where more than one order is right, ``expected/NAME_1.out`` and so on are right as
    well. ``update`` writes the expected output instead of comparing.
    """
    started = time.monotonic()
    logs.mkdir(parents=True, exist_ok=True)
    result = SuiteResult("isolation", server.label, logs)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        outputs = list(threads.map(lambda path: run_spec(server, path), chosen))
    for path, ended in zip(chosen, outputs, strict=True):
        (logs / f"{path.stem}.out").write_text(ended.output)
        if ended.code != 0:
            result.fail(
                path.stem, f"{ended.output}\nisolationtester: exit code {ended.code}"
            )
        elif "starting permutation:" not in ended.output:
            result.fail(path.stem, f"{ended.output}\nThe spec ran no permutation.")
        elif DEADLOCK in ended.output:
            # expected or not (G12)
            result.fail(path.stem, f"{ended.output}\nThere was a deadlock.")
        elif update:
            EXPECTED.mkdir(exist_ok=True)
            (EXPECTED / f"{path.stem}.out").write_text(ended.output)
            result.passed += 1
        elif (difference := _difference(path, ended.output)) is not None:
            result.fail(path.stem, difference)
        else:
            result.passed += 1
    result.require_tests()
    result.seconds = time.monotonic() - started
    return result


def run_spec(server: TestServer, path: Path) -> Finished:
    """Run one spec, and say what it printed."""
    with server.database("isolation") as database:
        env = server.environment(database, search_path="public")
        env |= {
            # The sessions are told apart in pg_stat_activity as in PostgreSQL's own.
            "PGAPPNAME": f"isolation/{path.stem}",
            "PGISOLATIONTIMEOUT": str(STEP_SECONDS),
            "PGTZ": "UTC",
            "PGDATESTYLE": "ISO, YMD",
        }
        if (shared := path.with_name("setup.sql")).exists():
            loaded = run(
                [
                    *(server.psql, "--no-psqlrc", "--quiet", "--output", os.devnull),
                    *("--set", "ON_ERROR_STOP=1", "--file", shared),
                ],
                env=env,
                limit=LIMIT_SECONDS,
            )
            if loaded.code != 0:
                return loaded
        return run(
            [server.isolationtester, ""],
            env=env,
            limit=LIMIT_SECONDS,
            cwd=ROOT,
            stdin=path,
        )


def _difference(path: Path, output: str) -> str | None:
    """None where the output is one of the expected ones, else a diff to the first."""
    first = EXPECTED / f"{path.stem}.out"
    others = sorted(EXPECTED.glob(f"{path.stem}_[0-9]*.out"))
    if not first.exists():
        return f"{output}\nThere is no {first.relative_to(ROOT)} to compare it with."
    if any(other.read_text() == output for other in (first, *others)):
        return None
    return "".join(
        difflib.unified_diff(
            first.read_text().splitlines(keepends=True),
            output.splitlines(keepends=True),
            fromfile=str(first.relative_to(ROOT)),
            tofile=f"what {path.stem} printed",
            n=8,
        )
    )
