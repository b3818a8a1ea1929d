"""Growth and churn are measured from end to end; the figures are not asked here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import churn, growth, harness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import ServerUnderTest


@pytest.fixture(scope="module")
def throwaway(server: ServerUnderTest) -> Iterator[harness.Server]:
    """A server of our own: the measurements make and drop databases."""
    settings = {"track_functions": "all", "shared_buffers": "64MB", "fsync": "off"}
    with harness.running_server(server.bin_dir, settings) as it:
        yield it


def test_growth_compares_every_call(throwaway: harness.Server) -> None:
    size = growth.Size(
        rounds=1, singles=1, batches=1, pending=1_500, waiting=50, finished=150
    )
    results = growth.measure(throwaway, size)
    calls = {(it["comparison"].split(" ")[1], it["call"]) for it in results["compared"]}
    hot = {growth.CLAIM_ONE, growth.CLAIM_MANY, growth.WRITE_ONE, growth.WRITE_MANY}
    assert {("pending", call) for call in hot} <= calls
    assert {("finished", call) for call in hot} <= calls
    assert {("finished", view) for view in growth.POLLED} <= calls
    assert {("documents,", report) for report in growth.REPORTS} <= calls
    assert all(it["ratio"]["median"] > 0 for it in results["compared"])
    # The reports count with one process, where everybody has a limit.
    assert len([it for it in results["targets"] if "scan" in it["what"]]) == 2


def test_a_scan_tests_columns_that_every_row_has(throwaway: harness.Server) -> None:
    # Else the scan would be done with a row before it has looked at all of it.
    workload = harness.Workload()
    bench = growth.Bench(throwaway, growth.QUICK, workload)
    with bench.filled(
        "scanned", 0, lambda dsn, _: growth.add_finished(dsn, 100, workload)
    ) as database:
        for queries in growth.SCANS.values():
            row = database.connection.execute(queries[0]).fetchone()
            assert row == (100,)


def test_churn_goes_through_its_phases(throwaway: harness.Server) -> None:
    size = churn.Size(turn=0.2, before=0.2, held=1, after=0.2, backlog=500)
    results = churn.measure(throwaway, size, [10])
    assert [system["kind"] for system in results["systems"]] == ["baseline", "guarded"]
    for system in results["systems"]:
        phases = {turn["phase"] for turn in system["turns"]}
        assert {*churn.PHASES, "held"} <= phases
        assert set(system["sizes"]) == {"before", "held", "after"}
    assert len(results["targets"]) == len(churn.LIMITS)
