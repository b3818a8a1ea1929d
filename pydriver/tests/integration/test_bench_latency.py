"""The time to a job's start is measured from end to end; how long is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import ServerUnderTest

ROOT = Path(__file__).resolve().parents[3]
JOBS = 10


def test_every_job_of_the_reference_worker_starts(
    server: ServerUnderTest, tmp_path: Path
) -> None:
    output = tmp_path / "latency.json"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "latency"),
            *("--server", str(server.bin_dir)),
            *("--rounds", "1"),
            *("--seconds", str(JOBS / 50)),
            *("--only", "reference worker"),
            *("--output", str(output)),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (system,) = json.loads(output.read_text("utf-8"))["results"]
    assert system["unavailable"] is None
    # A sample is only made of jobs that have all begun.
    (sample,) = system["samples"]
    assert sample["jobs"] == JOBS
    assert 0 < sample["p50_ms"] <= sample["p99_ms"] <= sample["max_ms"]
