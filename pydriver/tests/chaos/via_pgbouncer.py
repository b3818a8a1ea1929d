"""The driver's integration tests through PgBouncer, and what is special about it.

Not collected by name: ``scripts/chaos.py pgbouncer`` runs it, or
``pytest pydriver/tests/chaos/via_pgbouncer.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from ocr_guardrails import Guardrails
from ocr_guardrails.connection import connect, is_pooled
from ocr_guardrails.migrate import migrate
from tests.integration import test_client, test_commands, test_worker
from tests.integration.conftest import Bench, Connection, until

if TYPE_CHECKING:
    from tests.chaos.pgbouncer import PgBouncer
    from tests.conftest import ServerUnderTest

#: What is true instead of these is tested below, or by the round of faults.
_NOT_HERE = {
    # A pool of the test's own, which prepares statements.
    "test_over_a_pool_each_call_is_a_transaction",
    # NOTIFY, with an hour between two polls.
    "test_it_wakes_up_when_work_arrives",
    "test_all_threads_wake_up_while_there_is_work_for_all",
    # They look at the worker's first note, which is here the one about the pooler.
    "test_an_offer_whose_answer_was_lost_is_made_again",
    "test_a_paused_queue_ends_a_drain_with_a_note",
    "test_a_second_ctrl_c_quits_hard",
}

for _module in (test_client, test_worker, test_commands):
    globals().update(
        {
            name: value
            for name, value in vars(_module).items()
            if (name.startswith("test_") and name not in _NOT_HERE)
            or hasattr(value, "_pytestfixturefunction")
            or type(value).__name__ == "FixtureFunctionDefinition"
        }
    )


def test_the_driver_notices_the_pooler(bench: Bench, direct: Connection) -> None:
    with connect(bench.dsn) as pooled:
        assert is_pooled(pooled)
        assert pooled.prepare_threshold is None
    assert not is_pooled(direct)


def test_functions_are_found_in_the_schema_without_a_search_path(
    server: ServerUnderTest, pgbouncer: PgBouncer
) -> None:
    name = server.create()
    try:
        migrate(server.dsn(name), "another schema")
        with connect(pgbouncer.dsn(name), "another schema") as connection:
            assert Guardrails(connection).claim_ocr_jobs("w") == []
            assert Guardrails(connection).read("ocr_queue") == []
    finally:
        server.drop(name)


def test_startup_options_that_the_pooler_ignores_do_not_mislead(
    server: ServerUnderTest,
) -> None:
    from tests.chaos.pgbouncer import PgBouncer

    name = server.create()
    try:
        migrate(server.dsn(name), "elsewhere")
        lenient = {"ignore_startup_parameters": "options,extra_float_digits"}
        with (
            PgBouncer(server.admin_dsn, lenient) as pgbouncer,
            connect(pgbouncer.dsn(name), "elsewhere") as connection,
        ):
            assert Guardrails(connection).claim_ocr_jobs("w") == []
    finally:
        server.drop(name)


def test_a_worker_polls_where_notify_does_not_arrive(
    bench: Bench, direct: Connection
) -> None:
    running = test_worker.start(bench, drain=False, poll_interval=0.5)
    try:
        until(lambda: running.worker.summary.notes, "the worker notes the pooler")
        assert "pooler" in running.worker.summary.notes[0]
        listening = direct.execute(
            "select count(*) from pg_stat_activity where query ilike 'listen%%'"
        ).fetchone()
        assert listening == (0,)
        bench.add("late.png")
        until(lambda: bench.status("late.png") == "completed", "it is found by polling")
    finally:
        running.stop()


def test_a_server_connection_that_is_lost_is_an_error_that_the_worker_repeats(
    bench: Bench,
) -> None:
    with connect(bench.dsn, autocommit=True) as lost:
        with pytest.raises(psycopg.OperationalError):
            lost.execute("select pg_terminate_backend(pg_backend_pid())")
        assert lost.closed
    assert bench.guardrails.claim_ocr_jobs("w") == []


def test_a_pool_of_psycopg_works_with_preparing_switched_off(bench: Bench) -> None:
    with ConnectionPool(
        bench.dsn, kwargs={"prepare_threshold": None}, min_size=1, max_size=2, open=True
    ) as pool:
        guardrails = Guardrails(pool, schema="public")
        for _ in range(20):
            assert guardrails.claim_ocr_jobs("w") == []
