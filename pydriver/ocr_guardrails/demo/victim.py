"""A worker that is killed: a process of its own that takes a job and reads on and on.

Started by the demo as ``python -m ocr_guardrails.demo.victim``. It is told by its
standard input what to do, says by its standard output which document it has, and waits
for its end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import timedelta

from ocr_guardrails.connection import connect
from ocr_guardrails.demo.guarded import GuardedStore
from ocr_guardrails.demo.unsafe import PlainStore
from ocr_guardrails.demo.workload import Task


@dataclass(frozen=True, slots=True)
class Orders:
    """What a victim does before it dies.

    ``lease_seconds`` is how long its lease lasts, where it gets one. ``between``: it
    dies after the first statement that its claim consists of.
    """

    dsn: str
    schema: str
    worker: str
    guarded: bool
    between: bool
    lease_seconds: float
    numbers: dict[str, int]


def kill_worker(orders: Orders) -> int:
    """Let a worker take a job, kill it, and answer the number of its document.

    Raises RuntimeError when it did not get as far as taking one.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "ocr_guardrails.demo.victim"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        try:
            if process.stdin and process.stdout:
                process.stdin.write(json.dumps(asdict(orders)) + "\n")
                process.stdin.flush()
                if answer := process.stdout.readline():
                    return int(answer)
        finally:
            process.kill()
        reason = process.stderr.read().strip() if process.stderr else ""
    raise RuntimeError(f"a worker of the demo ended before its time: {reason}")


def main() -> None:
    """Take a job and wait to be killed."""
    orders = Orders(**json.loads(sys.stdin.readline()))
    connection = connect(orders.dsn, orders.schema, autocommit=True)
    task: Task | None
    if orders.guarded:
        lease = timedelta(seconds=orders.lease_seconds)
        task = GuardedStore(
            connection, orders.worker, orders.numbers, "none", lease
        ).claim()
    else:
        plain = PlainStore(connection, orders.worker, orders.numbers)
        taken = plain.take()
        mark = plain.find if orders.between else plain.mark
        task = mark(taken) if taken else None
    if task is None:
        sys.exit("there was no job to take")
    print(task.number, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
