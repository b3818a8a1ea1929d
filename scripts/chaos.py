"""Real processes under faults by force; exit code 1 if any promise did not hold.

    scripts/chaos.py                    the four below
    scripts/chaos.py --quick            all of it in a short form
    scripts/chaos.py faults             only the faults
    scripts/chaos.py pgbouncer          only through PgBouncer
    scripts/chaos.py upgrade            only the upgrade under load
    scripts/chaos.py bite               the faults on SQL without its token check,
                                        which has to be found out

``--write-docs`` writes the figures into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from harness import ROOT
from harness.servers import INSTALLED, system_version

sys.path.insert(0, str(ROOT / "pydriver"))

from tests.chaos import bite, pooled, report, upgrade
from tests.chaos.run import Options, run

DOCS = ROOT / "docs" / "reliability.md"
PARTS = ("faults", "pgbouncer", "upgrade", "bite")
_STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - _STARTED:5.0f} s] {text}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--quick", action="store_true", help="the short form")
    parser.add_argument("--seed", type=int, help="that of a run to be repeated")
    parser.add_argument("--db", type=Path, help="other SQL than that of db/")
    parser.add_argument("--server", choices=("embedded", "system"), default="embedded")
    parser.add_argument("--write-docs", action="store_true")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    seed = options.seed if options.seed is not None else random.randrange(10**6)  # noqa: S311
    bin_dir = None
    if options.server == "system":
        bin_dir = INSTALLED / str(system_version()) / "bin"
    chosen = PARTS if options.part == "all" else (options.part,)
    quick = " --quick" if options.quick else ""
    print(
        f"seed {seed}; to repeat: scripts/chaos.py {options.part}{quick} --seed {seed}"
    )
    good = True
    for part in chosen:
        say(f"==> {part}")
        text = ""
        settings = Options(seed, options.quick, bin_dir, options.db)
        if part == "faults":
            outcome = run(settings, say)
            print(report.show(outcome), flush=True)
            text = report.to_markdown(outcome, f"scripts/chaos.py faults{quick}")
            passed = outcome.is_good
        elif part == "pgbouncer":
            passed, text = pooled.run(settings, say)
        elif part == "upgrade":
            passed, text = upgrade.run(settings, say)
        else:
            passed, text = bite.run(settings, say)
        good = good and passed
        say(f"<== {part}: {'passed' if passed else 'FAILED'}")
        if options.write_docs and passed:
            report.write_block(DOCS, part, text)
    return 0 if good else 1


def _interrupt(signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = main()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        code = 130
    sys.exit(code)
