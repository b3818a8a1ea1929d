"""Take every guard of the SQL out, one at a time, and see which test notices.

A mutant that no test kills is a missing test, or it changes nothing that could be
observed; then it stands in db/tests/mutation/equivalent.toml with the reason. The exit
code is 1 when a mutant survives that does not stand there, when one that stands there
is killed or is no mutant any more, and 2 where the trials could not begin.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from harness import ROOT, processes
from harness.servers import SetupError, running
from mutation.accepted import Entry, ListError, obsolete, read, reason_for
from mutation.generate import Mutant, mutants
from mutation.trial import BaselineError, Trials, Verdict

DB = ROOT / "db"
EQUIVALENT = DB / "tests" / "mutation" / "equivalent.toml"

_printing = threading.Lock()


def say(text: str) -> None:
    """Print from any thread, at once."""
    with _printing:
        print(text, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only",
        action="append",
        metavar="PART",
        help="mutants whose file, kind or code has this in it; repeatable",
    )
    parser.add_argument("--sample", type=int, metavar="N", help="N of them at random")
    parser.add_argument("--seed", type=int, help="for the sample; printed")
    parser.add_argument("--jobs", type=int, default=2, help="side by side (default 2)")
    parser.add_argument("--list", action="store_true", help="list them, try none")
    parser.add_argument(
        "--near",
        action="store_true",
        help="only pgTAP of the mutant's function and its callers: quick, not final",
    )
    parser.add_argument("--report", type=Path, help="write all verdicts as JSON")
    return parser.parse_args()


def chosen(
    every: Sequence[Mutant], entries: Sequence[Entry], options: argparse.Namespace
) -> list[Mutant]:
    """The mutants to try.

    A sample takes none of those that may survive: each of them costs a run of every
    test, and a full run sees whether they do survive.
    """
    only: list[str] = options.only or []
    found = [m for m in every if not only or any(part in m.name for part in only)]
    if options.sample is not None:
        found = [m for m in found if reason_for(m, entries) is None]
    if options.sample is not None and options.sample < len(found):
        seed = options.seed if options.seed is not None else random.randrange(10**6)  # noqa: S311
        say(f"--sample {options.sample} --seed {seed}")
        found = random.Random(seed).sample(found, options.sample)  # noqa: S311
    return found


def try_all(
    found: Sequence[Mutant], options: argparse.Namespace, logs: Path
) -> list[Verdict]:
    """Try the mutants on a server of their own, several side by side."""
    with running(None, logs) as server:
        server.make_template(logs)
        trials = Trials(server, logs)
        trials.prepare()
        needed = {t for m in found for t in trials.tests(m, near=options.near)}
        tests = sorted(needed)
        with ThreadPoolExecutor(options.jobs) as threads:
            try:
                started = time.monotonic()
                parts = [tests[n :: options.jobs] for n in range(options.jobs)]
                list(threads.map(trials.baseline, parts))
                say(
                    f"{len(tests)} tests pass without a mutation, in "
                    f"{time.monotonic() - started:.0f} s"
                )
                done: list[Verdict] = []

                def attempt(mutant: Mutant) -> None:
                    verdict = trials.run(mutant, near=options.near)
                    done.append(verdict)
                    say(f"{len(done)}/{len(found)} {line(verdict)}")

                list(threads.map(attempt, found))
            except BaseException:
                processes.stop_all()
                threads.shutdown(wait=False, cancel_futures=True)
                raise
    return done


def line(verdict: Verdict) -> str:
    """One line about a mutant."""
    mutant = verdict.mutant
    by = f" by {verdict.by}" if verdict.by else ""
    return f"{verdict.outcome} ({verdict.seconds:.1f} s) {mutant.name}{by}"


def difference(mutant: Mutant) -> str:
    """What a survivor changed."""
    number = f"  numbers = [{mutant.number}]" if mutant.number > 1 else ""
    return (
        f"db/{mutant.file}:{mutant.line} ({mutant.kind}){number}\n"
        f"    - {mutant.code}\n"
        f"    + {' '.join(mutant.replacement.split())}"
    )


def judge(done: Sequence[Verdict], entries: Sequence[Entry], *, final: bool) -> int:
    """Print what has to be looked at; the number of such mutants."""
    wrong = 0
    reasons = [(v, reason_for(v.mutant, entries)) for v in done]
    survivors = [v for v, r in reasons if v.outcome == "survived" and r is None]
    killed = [v for v, r in reasons if v.outcome != "survived" and r is not None]
    if survivors:
        wrong += len(survivors)
        print("\nSurvivors: write a test, or say why there can be none")
        for verdict in survivors:
            print(difference(verdict.mutant))
    if killed and final:
        wrong += len(killed)
        print(f"\nNot equivalent, to be taken out of {EQUIVALENT.relative_to(ROOT)}")
        for verdict in killed:
            print(line(verdict))
    return wrong


def table(done: Sequence[Verdict]) -> str:
    """How many mutants each test file was the first to kill."""
    counts = Counter(
        v.by.split(":")[0] if v.outcome == "killed" else f"({v.outcome})" for v in done
    )
    return "\n".join(f"{n:>6}  {name}" for name, n in counts.most_common())


def write_report(path: Path, done: Sequence[Verdict], entries: Sequence[Entry]) -> None:
    path.write_text(
        json.dumps(
            [
                {
                    "file": v.mutant.file,
                    "line": v.mutant.line,
                    "kind": v.mutant.kind,
                    "code": v.mutant.code,
                    "number": v.mutant.number,
                    "replacement": v.mutant.replacement,
                    "outcome": v.outcome,
                    "by": v.by,
                    "seconds": round(v.seconds, 2),
                    "accepted": reason_for(v.mutant, entries),
                }
                for v in done
            ],
            indent=1,
        )
    )


def main() -> int:
    options = arguments()
    started = time.monotonic()
    try:
        entries = read(EQUIVALENT)
    except (OSError, ValueError, KeyError, ListError) as error:
        print(f"{EQUIVALENT}: {error}", file=sys.stderr)
        return 2
    every = mutants(DB)
    rotten = obsolete(entries, every)
    for entry in rotten:
        print(
            f"{EQUIVALENT.relative_to(ROOT)}: no such mutant any more: "
            f"{entry.file} {entry.kind} {entry.code!r}"
        )
    found = chosen(every, entries, options)
    if options.list:
        for mutant in found:
            mark = "=" if reason_for(mutant, entries) else " "
            print(f"{mark} {mutant.name} -> {' '.join(mutant.replacement.split())!r}")
        print(f"{len(found)} mutants; = marks those that may survive")
        return 1 if rotten else 0
    if not found:
        print(f"No mutant matches {options.only}.", file=sys.stderr)
        return 2
    say(f"==> {len(found)} of {len(every)} mutants")
    try:
        with tempfile.TemporaryDirectory(prefix="mutation-") as logs:
            done = try_all(found, options, Path(logs))
    except (SetupError, BaselineError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.report:
        write_report(options.report, done, entries)
    wrong = judge(done, entries, final=not options.near) + len(rotten)
    print(f"\n{table(done)}")
    outcomes = Counter(v.outcome for v in done)
    seconds = time.monotonic() - started
    print(
        f"\n{len(done)} mutants in {seconds:.0f} s: {outcomes['killed']} killed, "
        f"{outcomes['survived']} survived, {outcomes['invalid']} invalid, "
        f"{wrong} to be looked at",
        flush=True,
    )
    return 1 if wrong else 0


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
