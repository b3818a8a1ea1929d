"""Running a program to its end, and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_running: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended. ``output`` has what it wrote to stdout and stderr."""

    code: int
    output: str


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    limit: float,
    cwd: Path | None = None,
    stdin: Path | None = None,
) -> Finished:
    """Run ``command`` for at most ``limit`` seconds; then it and its children die.

    A hung test is a failed test: its code is 124, as with timeout(1).
    """
    if _stopping.is_set():
        raise KeyboardInterrupt
    with (stdin or Path(os.devnull)).open("rb") as source:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=dict(env),
            cwd=cwd,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        _running.add(process)
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            output, _ = process.communicate()
            text = output.decode("utf-8", "replace")
            return Finished(124, f"{text}\n(ended after {limit:.0f} s without an end)")
        except BaseException:
            _kill_group(process)
            process.wait()
            raise
        finally:
            _running.discard(process)
    return Finished(process.returncode, output.decode("utf-8", "replace"))


def stop_all() -> None:
    """End every program that is running, and start no other."""
    _stopping.set()
    for process in list(_running):
        _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
