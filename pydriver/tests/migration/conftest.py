"""Dumps, and copies of db/ that a test may change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ocr_guardrails.sqlfiles import db_dir

Dump = Callable[..., str]
Psql = Callable[[str, str], None]


def clean_environment() -> dict[str, str]:
    """The environment without what names a server."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PG") and name != "DATABASE_URL"
    }


def run_cli(*args: str, **popen: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        cli_command(*args),
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
        timeout=300,
        **popen,
    )


def cli_command(*args: str) -> Sequence[str]:
    return [
        sys.executable,
        "-c",
        "from ocr_guardrails.cli import main; main(prog_name='ocr-guardrails')",
        *args,
    ]


@pytest.fixture
def dump(server: Any) -> Dump:
    """Dumps the schema of a database, or the data of some of its tables."""

    def run(dsn: str, *options: str) -> str:
        done = subprocess.run(
            [
                str(server.bin_dir / "pg_dump"),
                *(options or ("--schema-only",)),
                "--no-owner",
                f"--dbname={dsn}",
            ],
            capture_output=True,
            text=True,
            env=clean_environment(),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        # pg_dump puts a random word into these two lines.
        return "\n".join(
            line
            for line in done.stdout.splitlines()
            if not line.startswith(("\\restrict ", "\\unrestrict "))
        )

    return run


@pytest.fixture
def psql(server: Any) -> Psql:
    """Feeds a script to psql, which stops at the first error."""

    def run(dsn: str, script: str) -> None:
        done = subprocess.run(
            [
                *(str(server.bin_dir / "psql"), "--no-psqlrc", "--quiet"),
                *("-v", "ON_ERROR_STOP=1", "-f", "-", "-d", dsn),
            ],
            input=script,
            capture_output=True,
            text=True,
            env=clean_environment(),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""

    return run


@pytest.fixture
def db_copy(tmp_path: Path) -> Path:
    """A copy of db/ to change."""
    target = tmp_path / "db"
    shutil.copytree(db_dir(), target, ignore=shutil.ignore_patterns("tests"))
    return target
