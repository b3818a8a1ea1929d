"""The reference worker is measured from end to end; the figures are not asked here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import harness, worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import ServerUnderTest


def test_the_worker_is_measured_beside_the_calls_alone(
    server: ServerUnderTest, tmp_path: Path
) -> None:
    size = worker.Size(
        rounds=1, documents={1: 10, 10: 30}, calls=5, hold=0.2, watched=200
    )
    settings = {"shared_buffers": "64MB", "fsync": "off"}
    with harness.running_server(server.bin_dir, settings) as own:
        results = worker.measure(own, size, tmp_path)
    # A cost is only made of a run after which every document carried its text.
    assert {batch: set(ways) for batch, ways in results["documents"].items()} == {
        batch: set(worker.WAYS) for batch in size.documents
    }
    assert all(
        cost.seconds > 0
        for ways in results["documents"].values()
        for samples in ways.values()
        for cost in samples
    )
    assert set(results["held"]) == set(worker.LEASES)
    assert [written for written, _ in results["memory"]][-1] == 200
    assert [len(row) for table in results["tables"] for row in table["rows"]] == [
        len(table["columns"]) for table in results["tables"] for _ in table["rows"]
    ]
    assert [target["limit"] for target in results["targets"]] == ["≤ 1.05"]


def test_a_growing_memory_misses_its_target() -> None:
    flat = [(number * 100, 50_000_000) for number in range(1, 101)]
    growing = [(number, size + number * 600) for number, size in flat]
    table, target = worker.memory_table(flat)
    assert target["met"]
    assert table["rows"][0][-1] == "0.00"
    table, target = worker.memory_table(growing)
    assert not target["met"]
    assert table["rows"][0][-1] == "600.00"
