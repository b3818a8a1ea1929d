"""Verify the model of claim, lease and fence with spin, and show that it can fail.

``db/tests/model/lease.pml`` is searched exhaustively: every guarantee has to hold in
every state. Then each guard is taken out in turn, and the same search has to find what
that breaks; the shortest way there is printed in words. What is to be found stands in
``db/tests/model/verdicts.toml``. Needs spin and gcc (Debian: ``apt-get install spin
gcc``). Exit code: 0 if all is as it must be, 1 if not, 2 if it could not begin.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from harness import ROOT, processes

FOLDER = ROOT / "db" / "tests" / "model"
MODEL = FOLDER / "lease.pml"
#: Megabytes that one search may take; the largest one needs less than a quarter.
MEMORY = 4096
#: Longer than any search should take, in seconds.
LIMIT = 1200
#: Steps on the stack of an exhaustive search; it says so when these were too few.
DEPTH = 4_000_000
#: Where a trail of a broken variant is looked for. Step by step, and then it is the
#: shortest one; a cycle, in which the property moves as well, is a short one.
TRAILS = range(1, 13)
CYCLES = (60, 80, 120, 200, 1000, DEPTH)
FOR_EVER = "and from here on the same for ever:"


class CheckError(Exception):
    """A run could not be made, or did not find what it must."""


@dataclass(frozen=True, slots=True)
class Run:
    """One build of the model, and what must become of it."""

    name: str
    flags: tuple[str, ...]
    #: The guarantee that must be found broken; None where all must hold.
    breaks: str | None = None
    #: Length of the shortest trail, where it is the same however the search goes.
    steps: int | None = None
    why: str = ""
    unreachable: frozenset[str] = frozenset()
    deep: bool = False

    @property
    def is_liveness(self) -> bool:
        return "LIVENESS" in self.flags

    @property
    def defines(self) -> list[str]:
        broken = (self.name,) if self.breaks else ()
        return [f"-D{flag}" for flag in (*self.flags, *broken)]


@dataclass(frozen=True, slots=True)
class Found:
    """What the verifier said."""

    states: int
    depth: int
    seconds: float
    verdict: str
    story: tuple[str, ...] = ()


def read_runs() -> list[Run]:
    """The runs of verdicts.toml: the model itself first."""
    table: dict[str, list[dict[str, Any]]] = tomllib.loads(
        (FOLDER / "verdicts.toml").read_text("utf-8")
    )
    return [
        Run(
            name=entry["name"],
            flags=tuple(entry["flags"]),
            breaks=entry.get("breaks"),
            steps=entry.get("steps"),
            why=entry.get("why", ""),
            unreachable=frozenset(entry.get("unreachable", ())),
            deep=entry.get("deep", False),
        )
        for entry in [*table["model"], *table["broken"]]
    ]


def execute(folder: Path, *command: str) -> str:
    """The output of a program; spin and the verifier answer 0 to failures, too."""
    ended = processes.run(command, env=os.environ, limit=LIMIT, cwd=folder)
    if ended.code != 0:
        raise CheckError(f"{' '.join(command)}: exit code {ended.code}\n{ended.output}")
    return ended.output


def build(run: Run, folder: Path, *options: str) -> None:
    """Make the verifier ``pan`` of this build in the folder."""
    shutil.copy(MODEL, folder)
    counted = () if run.breaks else ("-DCOUNTED",)
    text = execute(folder, "spin", *run.defines, *counted, "-a", MODEL.name)
    if "Error" in text:
        raise CheckError(text)
    # Every step is of the shared tables, so that there is nothing to reduce.
    modes = ["-DNOREDUCE", "-DNFAIR=3" if run.is_liveness else "-DSAFETY"]
    execute(
        folder, "gcc", "-O2", "-w", f"-DMEMLIM={MEMORY}", *modes, *options,
        "-o", "pan", "pan.c",
    )  # fmt: skip


def search(run: Run, folder: Path, depth: int, hash_bits: int) -> str:
    """Run the verifier; for liveness, over cycles that give every process its turn."""
    cycles = ("-a", "-f") if run.is_liveness else ()
    return execute(folder, "./pan", f"-m{depth}", f"-w{hash_bits}", *cycles)


def number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    if match is None:
        raise CheckError(f"The verifier did not say {pattern!r}:\n{text}")
    return int(float(match[1]))


def verify(run: Run, folder: Path) -> Found:
    """Search all states. Nothing may be wrong, and every rule must have applied."""
    build(run, folder)
    started = time.monotonic()
    text = search(run, folder, DEPTH, 24)
    seconds = time.monotonic() - started
    if number(r"errors: (\d+)", text) != 0:
        replay = "\n".join(story(run, folder))
        raise CheckError(f"{text}\n{replay}")
    for incomplete in ("max search depth too small", "out of memory", "Interrupted"):
        if incomplete in text:
            raise CheckError(f"The search was not exhaustive ({incomplete}):\n{text}")
    applied = dict(re.findall(r"^applied (\w+) (\d+)$", text, re.MULTILINE))
    idle = {rule for rule, times in applied.items() if times == "0"}
    if not applied or idle != run.unreachable:
        raise CheckError(
            f"Not the rules that never applied: {sorted(idle)}, "
            f"to be expected: {sorted(run.unreachable)}"
        )
    return Found(
        number(r"(\S+) states, stored", text),
        number(r"depth reached (\d+)", text),
        seconds,
        "holds",
    )


def refute(run: Run, folder: Path) -> Found:
    """Find a trail to what is broken, the shortest, by searching ever deeper."""
    build(run, folder, *(() if run.is_liveness else ("-DREACH",)))
    started = time.monotonic()
    if (
        run.is_liveness
        and number(r"errors: (\d+)", search(run, folder, DEPTH, 20)) == 0
    ):
        raise CheckError("Nothing was found wrong.")
    depths = CYCLES if run.is_liveness else TRAILS
    for depth in depths:
        text = search(run, folder, depth, 20)
        if number(r"errors: (\d+)", text) != 0 and is_told(run, folder):
            break
    else:
        raise CheckError(f"Nothing was found wrong within {depths[-1]} steps.")
    seconds = time.monotonic() - started
    lines = story(run, folder)
    told = [line for line in lines if not line.startswith("spin:")]
    guarantee = broken_guarantee(run, lines)
    steps = number(r"depth reached (\d+)", text) + 1
    if guarantee != run.breaks or run.steps not in (None, steps):
        raise CheckError(
            f"{guarantee} was broken after {steps} steps, to be expected: "
            f"{run.breaks} after {run.steps}\n" + "\n".join(lines)
        )
    return Found(
        number(r"(\S+) states, stored", text),
        steps,
        seconds,
        f"breaks {guarantee}",
        tuple(told),
    )


def is_told(run: Run, folder: Path) -> bool:
    """Whether the trail ends in a cycle; one that the depth has cut off does not."""
    lines = story(run, folder)
    return not run.is_liveness or (FOR_EVER in lines and lines[-2] != FOR_EVER)


def story(run: Run, folder: Path) -> list[str]:
    """The trail in the words of the steps, and the lines with which spin ends it."""
    text = execute(folder, "spin", "-t", "-T", "-B", *run.defines, MODEL.name)
    lines = []
    for line in text.splitlines():
        if "START OF CYCLE" in line:
            lines.append(FOR_EVER)
        elif line.strip() and not line.startswith(("ltl ", "Never claim")):
            lines.append(line.rstrip())
    return lines


def broken_guarantee(run: Run, lines: Sequence[str]) -> str | None:
    """The guarantee that the comment above the first failed assertion names."""
    if run.is_liveness:
        return "G9" if FOR_EVER in lines else None
    for line in lines:
        if match := re.match(r"spin: \S+:(\d+), Error: assertion violated", line):
            above = MODEL.read_text("utf-8").splitlines()[: int(match[1])]
            for comment in reversed(above):
                if named := re.match(r"\s*/\* (G\d+):", comment):
                    return named[1]
    return None


def line(name: str, *columns: str) -> str:
    states, depth, seconds, verdict = columns
    return f"{name:<38} {states:>10} {depth:>9} {seconds:>8}  {verdict}"


def check(run: Run) -> Found | None:
    """Make one run, say how it went, and return None where it went wrong."""
    try:
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            found = (refute if run.breaks else verify)(run, Path(folder))
    except CheckError as error:
        print(line(run.name, "", "", "", "NOT AS IT MUST BE"))
        print(f"\n{error}\n", flush=True)
        return None
    print(
        line(
            run.name,
            str(found.states),
            str(found.depth),
            f"{found.seconds:.1f}",
            found.verdict,
        ),
        flush=True,
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="only the runs whose name contains this")
    parser.add_argument(
        "--deep",
        action="store_true",
        help="also with four workers and with three attempts: some minutes more",
    )
    options = parser.parse_args()
    only: str = options.only or ""
    missing = [name for name in ("spin", "gcc") if shutil.which(name) is None]
    if missing:
        print(
            f"The model is checked by spin and gcc; not installed: "
            f"{', '.join(missing)}. As root: apt-get install {' '.join(missing)}",
            file=sys.stderr,
        )
        return 2
    runs = [run for run in read_runs() if only in run.name]
    runs = [run for run in runs if options.deep or not run.deep]
    if not runs:
        print(f"No run is named {only!r}.", file=sys.stderr)
        return 2

    print(line("model", "states", "depth", "seconds", "verdict"), flush=True)
    results = [(run, check(run)) for run in runs]
    for run, found in results:
        if found is not None and found.story:
            print(f"\n{run.name}: {run.why}. {found.verdict}:")
            print("\n".join(f"    {told}" for told in found.story))
    failed = sum(found is None for _, found in results)
    print(f"\n{len(results) - failed} as they must be, {failed} not", flush=True)
    return 1 if failed else 0


def _interrupt(signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


if __name__ == "__main__":
    # So that the search which is running ends as well.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = main()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        code = 130
    sys.exit(code)
