"""Everything that makes sense through PgBouncer in transaction mode."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ocr_guardrails.embedded import Server
from tests.chaos import report
from tests.chaos.pgbouncer import PgBouncer, PgBouncerMissing
from tests.chaos.run import Options
from tests.chaos.run import run as run_faults

__all__ = ["run"]

_ROOT = Path(__file__).resolve().parents[3]
_SUITE = "pydriver/tests/chaos/via_pgbouncer.py"
_PREPARED = "max_prepared_statements"


def run(options: Options, say: Callable[[str], None]) -> tuple[bool, str]:
    """The driver's integration suite, with and without prepared statements in the
    pooler, then a quick round of faults; whether all held, and the figures."""
    rows: list[tuple[str, str]] = []
    good = True
    with Server.temporary(options.bin_dir) as server:
        try:
            version = _version(server, None)
        except PgBouncerMissing as missing:
            say(f"cannot run: {missing}")
            return False, ""
        for prepared in ("0", "200"):
            name = f"integration suite, {_PREPARED} = {prepared}"
            if _version(server, prepared) is None:
                why = f"skipped: {version} has no {_PREPARED}"
                if prepared != "0":
                    rows.append((name, why))
                    say(f"{name}: {why}")
                    continue
                name = "integration suite, no prepared statements"
            passed, told = _pytest(options, prepared)
            good = good and passed
            rows.append((name, told))
            say(f"{name}: {told}")
    outcome = run_faults(replace(options, quick=True, pooled=True), say)
    print(report.show(outcome), flush=True)
    good = good and outcome.is_good
    rows.append(("checks of a quick round of faults", f"{len(outcome.checks)} held"))
    rows += [(f"skipped: {n}", why) for n, why in outcome.skipped.items()]
    text = [f"{version}, transaction mode, on {outcome.server}:", ""]
    return good, "\n".join(text + report.table(("Through PgBouncer", ""), rows))


def _version(server: Server, prepared: str | None) -> str | None:
    """The pooler's version; None when it does not know the setting."""
    settings = {} if prepared is None else {_PREPARED: prepared}
    try:
        with PgBouncer(server.dsn(), settings) as pgbouncer:
            return pgbouncer.version
    except RuntimeError:
        if prepared is None:
            raise
        return None


def _pytest(options: Options, prepared: str) -> tuple[bool, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", _SUITE],
        cwd=_ROOT,
        env=env | {"OCR_GUARDRAILS_TEST_PREPARED": prepared},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    said = ended.stdout.strip().splitlines()
    if ended.returncode != 0:
        print(ended.stdout[-6000:] + ended.stderr[-2000:], flush=True)
    last = said[-1] if said else "pytest said nothing"
    return ended.returncode == 0, re.sub(r" in .*", "", last).strip("= ")
