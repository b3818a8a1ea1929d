"""The cycle with each guard taken out still works; the figures are not asked here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import guards, harness

if TYPE_CHECKING:
    from tests.conftest import ServerUnderTest


def test_each_guard_is_taken_out_by_itself(server: ServerUnderTest) -> None:
    settings = {"shared_buffers": "64MB", "fsync": "off"}
    with harness.running_server(server.bin_dir, settings) as own:
        # A run raises unless every document was claimed and its result written.
        results = guards.measure(own, guards.Size(2, {1: 2, 100: 100}))
    names = [guards.GUARDED, *guards.GUARDS, guards.HANDWRITTEN]
    for spent in results["samples"].values():
        assert list(spent) == names
        assert all(len(costs) == 2 and min(costs) > 0 for costs in spent.values())
    (table,) = results["tables"]
    assert len(table["rows"]) == len(names)


def test_what_a_guard_costs_is_its_difference_in_the_same_round() -> None:
    spent = {guards.GUARDED: [100.0, 500.0, 120.0], "history": [90.0, 480.0, 119.0]}
    (guarded, without) = guards.table({"100": spent})["rows"]
    assert guarded == [guards.GUARDED, "120", ""]
    assert without == ["no history", "119", "10"]
