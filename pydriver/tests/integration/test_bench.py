"""The benchmarks run from end to end; how fast is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bench import harness

if TYPE_CHECKING:
    from tests.conftest import ServerUnderTest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = 20


def run(*args: str | Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, args)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def results(server: ServerUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the result of a tiny run of the hand-written way and of ours."""
    folder = tmp_path_factory.mktemp("results")
    run(
        "throughput",
        "--quick",
        *("--server", server.bin_dir),
        *("--documents", str(DOCUMENTS)),
        *("--workers", "2"),
        *("--rounds", "1"),
        *("--only", "handwritten"),
        *("--only", "guarded"),
        *("--output", folder / "throughput.json"),
    )
    return folder


def measured(results: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((results / "throughput.json").read_text("utf-8"))
    (workers,) = content["results"]
    return {system["name"]: system for system in workers["systems"]}


def test_every_system_works_off_its_backlog(results: Path) -> None:
    # Each run is verified: every document with a text of its own, and no job left.
    systems = measured(results)
    assert {system["unavailable"] for system in systems.values()} == {None}
    assert {
        "handwritten, one at a time",
        "handwritten, one CTE per step",
        "handwritten, batches of 100",
        "handwritten, pgbench, batches of 100",
        "guarded, one at a time",
        "guarded, batches of 100",
        "guarded, pgbench, one at a time",
        "guarded, pgbench, batches of 100",
    } <= set(systems)
    for system in systems.values():
        (sample,) = system["samples"]
        assert sample["documents"] == DOCUMENTS
        assert sample["seconds"] > 0
        assert sample["wal_bytes"] > DOCUMENTS * 1000


def test_a_report_is_made_of_it(results: Path) -> None:
    run(
        "report",
        *("--results", results),
        *("--output", results / "benchmarks.md"),
        "--no-charts",
    )
    text = (results / "benchmarks.md").read_text("utf-8")
    assert "| **guarded, batches of 100** |" in text
    assert "documents/s by hand-written (2 workers)" in text


def test_texts_are_stored_as_those_of_real_pages(empty_database: str) -> None:
    # Compressed to somewhat more than half, and in the row: neither repeated words that
    # would cost nothing, nor noise that would go out of line.
    workload = harness.Workload()
    with psycopg.connect(empty_database) as connection:
        compression = harness.best_compression(connection)
        harness.create_documents(connection, compression)
        for number in range(20):
            connection.execute(
                "insert into documents (filename, ocr_text) values ('a', %s)",
                [workload.text(number)],
            )
        row = connection.execute(
            "select avg(pg_column_size(ocr_text)) / avg(octet_length(ocr_text)),"
            " (select pg_relation_size(c.reltoastrelid) from pg_class as c"
            "  where c.oid = 'documents'::regclass)"
            " from documents"
        ).fetchone()
    assert row is not None
    assert 0.5 < row[0] < 0.7
    assert row[1] == 0
