"""Every snippet of README.md is executed here, so that it holds what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from PIL import Image, ImageDraw, ImageFont
from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from tests.conftest import ServerUnderTest

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(match[1], match[2]) for match in FENCE.finditer(README)]

# What another test, or another machine, has to run.
ELSEWHERE = {
    "make demo\n": "test_demo.py runs the demo",
    "make test\n": "this is a part of it",
}


def blocks(language: str, *, with_text: str = "") -> list[str]:
    return [text for name, text in BLOCKS if name == language and with_text in text]


@pytest.fixture
def psql(server: ServerUnderTest) -> str:
    program = server.bin_dir / "psql"
    return str(program) if program.exists() else shutil.which("psql") or "psql"


@pytest.fixture
def environment(empty_database: str) -> dict[str, str]:
    """Programs find the database as the README has it, by DATABASE_URL."""
    return {
        **os.environ,
        "DATABASE_URL": empty_database,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TERM": "dumb",
        **{
            f"PG{key.upper()}": str(value)
            for key, value in conninfo_to_dict(empty_database).items()
            if key in ("host", "port", "user", "password")
        },
        "PGDATABASE": str(conninfo_to_dict(empty_database)["dbname"]),
    }


def test_every_snippet_is_known() -> None:
    shell = blocks("sh")
    assert len(blocks("sql")) == 1
    assert len(blocks("python")) == 1
    assert [text for text in shell if text in ELSEWHERE] == list(ELSEWHERE)
    assert len(shell) == len(ELSEWHERE) + 3


def test_sql_prints_what_the_readme_shows(database: str, psql: str) -> None:
    [script] = blocks("sql")
    done = subprocess.run(
        [psql, "-X", "-q", "-t", "-x", "-d", database],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    printed = done.stdout + done.stderr
    assert re.findall(r"(a_is_written|b_is_written) *\| (\w)", printed) == [
        ("a_is_written", "f"),
        ("b_is_written", "t"),
    ]
    assert re.search(r"jobs_reset *\| 1", printed)
    [shown] = blocks("", with_text="a_is_written")
    error, hint = re.findall(r"^((?:ERROR|HINT): .*)$", shown, re.MULTILINE)
    before, after = error.split("…")
    assert before in printed
    assert after in printed
    assert hint in printed
    reason, detail, offered_by = shown.strip().splitlines()[-1].strip().split(" | ")
    assert re.search(rf"reason *\| {reason}$", printed, re.MULTILINE)
    assert re.search(rf"detail *\| {re.escape(detail)}$", printed, re.MULTILINE)
    assert re.search(rf"offered_by *\| {offered_by}$", printed, re.MULTILINE)


def test_python_writes_results_and_reports_failures(
    database: str, tmp_path: Path
) -> None:
    [script] = blocks("python")
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_bytes(b"hello world")
    bad.write_bytes(b"")
    with psycopg.connect(database, autocommit=True) as connection:
        for path in (good, bad):
            connection.execute(
                "select enqueue_ocr_job(d.id) from documents as d where d.id = any(%s)",
                [
                    [
                        row[0]
                        for row in connection.execute(
                            "insert into documents (filename, file_path)"
                            " values (%s, %s) returning id",
                            [path.name, str(path)],
                        )
                    ]
                ],
            )

        def recognise(data: bytes) -> tuple[str, float, int]:
            if not data:
                raise ValueError("an empty file")
            return data.decode(), 90.0, 5

        exec(script, {"dsn": database, "recognise": recognise})
        rows = connection.execute(
            "select d.filename, d.ocr_status, d.ocr_text, d.ocr_error"
            " from documents as d order by d.filename desc"
        ).fetchall()
    assert rows == [
        ("good.txt", "completed", "hello world", None),
        ("bad.txt", "pending", None, "an empty file"),
    ]


def test_worker_commands(environment: dict[str, str], tmp_path: Path) -> None:
    [script] = blocks("sh", with_text="ocr-guardrails work")
    scans = tmp_path / "scans"
    scans.mkdir()
    page = Image.new("L", (400, 120), "white")
    ImageDraw.Draw(page).text((20, 30), "HELLO 42", "black", ImageFont.load_default(48))
    page.save(scans / "scan.png")
    run_shell(
        script.replace("~/scans", str(scans)).replace("pip install", ": pip install"),
        environment,
    )
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        row = connection.execute(
            "select ocr_status, ocr_text from documents"
        ).fetchone()
    assert row is not None
    assert row[0] == "completed"
    assert "HELLO" in row[1]


def test_install_and_rollback(environment: dict[str, str]) -> None:
    [script] = blocks("sh", with_text="export DATABASE_URL")
    url = environment["DATABASE_URL"]
    script = re.sub(r"(?m)^export DATABASE_URL=.*$", "", script)
    run_shell(script.replace("pip install", ": pip install"), environment)
    run_shell("ocr-guardrails --schema ocr rollback --all --yes", environment)
    with psycopg.connect(url) as connection:
        [left] = connection.execute(
            "select count(*) from pg_class as c"
            " inner join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname = 'ocr'"
        ).fetchone() or (None,)
    assert left == 0


def test_plain_sql_install(environment: dict[str, str], psql: str) -> None:
    [script] = blocks("sh", with_text="ocr-guardrails --schema ocr sql")
    run_shell(script.replace("| psql", f"| {psql} -X -q"), environment)
    dsn = make_conninfo(environment["DATABASE_URL"], options="-c search_path=ocr")
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select count(*) from ocr_stats").fetchone() == (4,)


def run_shell(script: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
