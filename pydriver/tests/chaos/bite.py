"""The fault run on SQL without its token check: it has to be found out.

`judge_ocr_result()` is where the functions and the trigger alike compare the offered
token with the live one, so the guard goes out in that one place.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ocr_guardrails.sqlfiles import db_dir
from tests.chaos import report
from tests.chaos.run import Options
from tests.chaos.run import run as run_faults

__all__ = ["run", "without_token_check"]

_FILE = Path("functions/internal/judge_ocr_result.sql")
_GUARD = " or p_offered_token <> p_live_token"
#: Whatever else breaks, these do.
_FOUND_BY = ("foreign texts", "results written for a worker without a lease")


def without_token_check(folder: Path) -> Path:
    """A copy of the package's SQL, below ``folder``, without the guard."""
    root = Path(shutil.copytree(db_dir(), folder / "db"))
    text = (root / _FILE).read_text(encoding="utf-8")
    if text.count(_GUARD) != 1:
        raise ValueError(f"{_FILE} has no such guard any more: {_GUARD}")
    (root / _FILE).write_text(text.replace(_GUARD, ""), encoding="utf-8")
    return root


def run(options: Options, say: Callable[[str], None]) -> tuple[bool, str]:
    """Whether the run broke where it has to, and its figures."""
    with tempfile.TemporaryDirectory(prefix="ocrg-bite-") as folder:
        root = without_token_check(Path(folder))
        outcome = run_faults(replace(options, quick=True, root=root), say)
    broken = {c.name: c.violations for c in outcome.checks if c.violations}
    for name, count in broken.items():
        say(f"found, as it must be: {count} {name}")
    found = all(any(n.startswith(prefix) for n in broken) for prefix in _FOUND_BY)
    text = [
        "With the comparison of the lease tokens taken out of the copy of db/ that is "
        "installed, the same checks find:",
        "",
        *report.table(
            ("Check", "violations"), [(n, str(c)) for n, c in broken.items()]
        ),
    ]
    return found, "\n".join(text)
