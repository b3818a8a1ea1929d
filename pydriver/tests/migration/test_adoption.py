"""Install into schemas that have the tables already, and leave them as they were."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from ocr_guardrails.adopt import MigrateError
from ocr_guardrails.migrate import migrate, rollback, status
from ocr_guardrails.sqlfiles import db_dir

from .conftest import Dump, run_cli
from .test_interruptions import process, wait_for

FIXTURES = Path(__file__).parent / "fixtures"
VARIANTS = sorted(path.stem for path in FIXTURES.glob("*.sql"))
WITH_BOTH_TABLES = ("bigint", "partitioned", "serial", "uuid")


def install_application(dsn: str, variant: str, schema: str = "public") -> None:
    with psycopg.connect(dsn) as connection:
        name = sql.Identifier(schema)
        if schema != "public":
            connection.execute(sql.SQL("create schema {}").format(name))
        connection.execute(sql.SQL("set search_path to {}").format(name))
        connection.execute((FIXTURES / f"{variant}.sql").read_bytes())


@contextmanager
def connect(dsn: str, schema: str = "public") -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("set search_path to {}").format(sql.Identifier(schema))
        )
        yield connection


def one(connection: psycopg.Connection[Any], query: str, *arguments: Any) -> Any:
    row = connection.execute(query.encode(), arguments).fetchone()
    assert row is not None
    return row[0]


def add_document(connection: psycopg.Connection[Any], name: str = "a.pdf") -> Any:
    return one(
        connection,
        "insert into documents (id, filename) overriding user value"
        " values (default, %s) returning id"
        if one(
            connection,
            "select attidentity <> '' from pg_attribute"
            " where attrelid = 'documents'::regclass and attname = 'id'",
        )
        else "insert into documents (filename) values (%s) returning id",
        name,
    )


CASES = [(variant, "public") for variant in VARIANTS] + [
    ("uuid", "Odd \"name\", with 'quotes'"),
    ("partitioned", "app"),
    ("bigint", "app"),
]


@pytest.mark.parametrize(("variant", "schema"), CASES)
def test_the_package_works_on_adopted_tables_and_leaves_no_trace(
    empty_database: str, dump: Dump, variant: str, schema: str
) -> None:
    install_application(empty_database, variant, schema)
    before = dump(empty_database)
    migrate(empty_database, schema)
    assert status(empty_database, schema).up_to_date
    installed = dump(empty_database)
    migrate(empty_database, schema)
    assert dump(empty_database) == installed
    with connect(empty_database, schema) as connection:
        assert one(connection, "select guard_mode from ocr_settings") == "observe"
        document = add_document(connection)
        job = one(connection, "select enqueue_ocr_job(%s)", document)
        claimed = connection.execute(
            "select job_id, document_id, filename, lease_token"
            " from claim_ocr_jobs('worker')"
        ).fetchall()
        assert [row[:3] for row in claimed] == [(job, document, "a.pdf")]
        late = claimed[0][3]
        assert one(connection, "select release_ocr_job(%s, %s)", document, late)
        token = one(connection, "select lease_token from claim_ocr_jobs('worker')")
        write = "select update_ocr_safe(%s, 'a.pdf', 'a text', 90, 2, 10, %s)"
        assert not one(connection, write, document, late)
        assert one(connection, write, document, token)
        assert one(connection, "select count(*) from ocr_job_history") == 2
        assert one(connection, "select reason from ocr_incidents") == "stale_lease"
        assert one(connection, "select count(*) from find_inconsistencies()") == 0
        requeued = one(connection, "select requeue_document(%s, 'again')", document)
        assert requeued is not None
        assert one(connection, "select restore_previous_result(%s)", document)
    rollback(empty_database, schema)
    assert dump(empty_database) == before
    with connect(empty_database, schema) as connection:
        if variant != "queue_only":
            query = "select ocr_text from documents"
            if variant == "bare":
                query = "select filename from documents"
            assert one(connection, query) in ("a text", "a.pdf")
    migrate(empty_database, schema)
    assert dump(empty_database) == installed


@pytest.mark.parametrize("variant", WITH_BOTH_TABLES)
def test_partly_rolled_back_and_forward_is_the_same(
    empty_database: str, dump: Dump, variant: str
) -> None:
    install_application(empty_database, variant)
    before = dump(empty_database)
    migrate(empty_database)
    installed = dump(empty_database)
    for keep in ("0001", "0000"):
        rollback(empty_database, to=keep)
        migrate(empty_database)
        assert dump(empty_database) == installed
    rollback(empty_database)
    assert dump(empty_database) == before


def test_no_column_of_the_application_changes_and_no_table_is_rewritten(
    empty_database: str,
) -> None:
    install_application(empty_database, "uuid")
    columns = """
        select a.attrelid::regclass, a.attnum, a.attname, a.atttypid, a.atttypmod,
            a.attnotnull, pg_get_expr(d.adbin, d.adrelid), c.relfilenode
        from pg_attribute as a
        inner join pg_class as c on c.oid = a.attrelid
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where
            a.attrelid in ('documents'::regclass, 'ocr_queue'::regclass)
            and a.attnum > 0
        order by 1, 2
    """
    with connect(empty_database) as connection:
        add_document(connection)
        connection.execute(
            "insert into ocr_queue (document_id) select id from documents"
        )
        before = connection.execute(columns).fetchall()
        migrate(empty_database)
        after = connection.execute(columns).fetchall()
    assert set(before) <= set(after)
    assert len(after) > len(before)


def test_what_has_one_of_our_names_is_set_aside_and_comes_back(
    empty_database: str,
) -> None:
    install_application(empty_database, "uuid")
    said: list[str] = []
    migrate(empty_database, report=said.append)
    assert [line.partition(": ")[2] for line in said if "set aside" in line] == [
        "routine cleanup_completed_ocr_queue()",
        "routine find_stuck_ocr_jobs(integer)",
        "routine reset_stuck_ocr_jobs(integer)",
        "routine validate_ocr_consistency()",
        "index idx_ocr_stats_ocr_status",
        "materialized view ocr_stats",
        "trigger trigger_validate_ocr_consistency on documents",
        "trigger trigger_cleanup_completed_ocr_queue on documents",
    ]
    with connect(empty_database) as connection:
        assert one(connection, "select reset_stuck_ocr_jobs(30)") == 0
        assert one(connection, "select count(*) from ocr_stats") == 4
        # what hangs on a thing stays with it
        assert one(connection, "select count(*) from stats_of_today") == 0
        # its own index of that name is another one, and stays
        assert "user_id" in one(
            connection, "select pg_get_indexdef('idx_documents_pending_ocr'::regclass)"
        )
        assert "WHERE" in one(
            connection,
            "select pg_get_indexdef('idx_documents_pending_ocr_guard'::regclass)",
        )
    rollback(empty_database)
    with connect(empty_database) as connection:
        assert one(connection, "select count(*) from reset_stuck_ocr_jobs(30)") == 0
        assert one(connection, "select count(*) from ocr_stats") == 0
        assert (
            one(
                connection,
                "select tgenabled::text from pg_trigger"
                " where tgname = 'trigger_cleanup_completed_ocr_queue'",
            )
            == "A"
        )


OBSTACLES = {
    "alter table documents alter ocr_status drop default,"
    " alter ocr_status type char(20)": "documents.ocr_status is of type character",
    "alter table documents alter ocr_status type varchar(9)": "too short",
    "alter table documents alter ocr_word_count type bigint": "ocr_word_count is of",
    "alter table documents alter ocr_error set not null": "ocr_error is NOT NULL",
    "alter table documents drop filename": "documents.filename is missing",
    "alter table documents drop constraint documents_pkey cascade": "no unique index",
    "alter table ocr_queue drop document_id": "ocr_queue.document_id is missing",
    "alter table ocr_queue alter document_id type text": "is of type text, and",
    "alter table ocr_queue alter id drop identity": "ocr_queue.id has no default",
    "alter table ocr_queue add tenant int not null": "ocr_queue.tenant has no default",
    "create table ocr_settings (id integer)": "are taken: ocr_settings",
    "drop table ocr_queue; create view ocr_queue as select 1 as id": "ocr_queue is no",
}


@pytest.mark.parametrize("change", OBSTACLES)
def test_what_cannot_be_adopted_is_told_and_nothing_is_changed(
    empty_database: str, dump: Dump, change: str
) -> None:
    install_application(empty_database, "bigint")
    with connect(empty_database) as connection:
        connection.execute(change.encode())
    before = dump(empty_database)
    with pytest.raises(MigrateError, match="cannot be adopted") as raised:
        migrate(empty_database)
    assert OBSTACLES[change] in str(raised.value)
    assert dump(empty_database) == before


def test_a_table_of_the_name_of_a_view_stops_the_installation(
    empty_database: str, dump: Dump
) -> None:
    install_application(empty_database, "bigint")
    with connect(empty_database) as connection:
        connection.execute("create table ocr_stats (total integer)")
    before = dump(empty_database)
    with pytest.raises(psycopg.errors.DuplicateTable, match="a table ocr_stats"):
        migrate(empty_database)
    rollback(empty_database)
    assert dump(empty_database) == before


# Where sessions of the application bring the installation to a halt: what one has done
# when it begins, what another does once it waits for the first, and the beginning of
# the statement in which it is killed.
OLD_SNAPSHOT = "set transaction isolation level repeatable read; select now()"
HALTS = {
    "at the columns of the queue": (
        "lock table ocr_queue in share mode",
        None,
        'alter table "ocr_queue"%',
    ),
    "at an index": (
        OLD_SNAPSHOT,
        None,
        "create index concurrently%",
    ),
    "at the tables of the package": (
        "create table ocr_incidents (id integer)",
        None,
        "-- depends: 0000_adoption%",
    ),
    "at the functions": (
        "create function strip_literals(text) returns integer language sql"
        " as 'select 1'",
        None,
        "%function strip_literals%",
    ),
    "at the triggers": (
        OLD_SNAPSHOT,
        "lock table documents in access share mode",
        "%''ocr_set_aside_'' || t.tgname%",
    ),
}


def wait_until_halted(dsn: str, statement: str) -> None:
    wait_for(
        dsn,
        f"""
        select exists (
            select from pg_stat_activity
            where
                datname = current_database()
                and application_name = 'ocr-guardrails migrate'
                and wait_event_type = 'Lock'
                and query like '{statement}'
        )
        """,
    )


@pytest.mark.parametrize("place", HALTS)
@pytest.mark.parametrize("then", ["back", "on"])
def test_a_killed_installation_goes_back_or_on(
    empty_database: str, dump: Dump, place: str, then: str
) -> None:
    first, second, statement = HALTS[place]
    install_application(empty_database, "uuid")
    with connect(empty_database) as connection:
        add_document(connection)
    before = dump(empty_database)
    with (
        psycopg.connect(empty_database) as blocker,
        psycopg.connect(empty_database) as other,
    ):
        blocker.execute(first.encode())
        with process(empty_database, db_dir()) as killed:
            if second is not None:
                wait_until_halted(empty_database, "create index concurrently%")
                other.execute(second.encode())
                blocker.rollback()
            wait_until_halted(empty_database, statement)
            killed.kill()
            killed.wait()
        blocker.rollback()
        other.rollback()
    if then == "back":
        rollback(empty_database)
        assert dump(empty_database) == before
    migrate(empty_database)
    assert status(empty_database).up_to_date
    with connect(empty_database) as connection:
        assert (
            one(connection, "select count(*) from pg_index where not indisvalid") == 0
        )
    rollback(empty_database)
    assert dump(empty_database) == before


def test_a_lock_that_is_not_to_be_had_is_not_waited_for_by_others(
    empty_database: str,
) -> None:
    install_application(empty_database, "uuid")
    said: list[str] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            migrate(empty_database, report=said.append)
        except BaseException as error:
            failed.append(error)

    with connect(empty_database) as reader, psycopg.connect(empty_database) as blocker:
        blocker.execute("select count(*) from documents")
        running = threading.Thread(target=run)
        running.start()
        deadline = time.monotonic() + 60
        while not any("without holding any" in line for line in said):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # one that came behind the installation's own request would wait for it
        reader.execute("set statement_timeout to '5s'")
        for _ in range(20):
            reader.execute("update documents set filename = filename")
        blocker.rollback()
        running.join(60)
    assert not failed
    assert status(empty_database).up_to_date


def test_a_later_migration_of_the_application_is_noticed(empty_database: str) -> None:
    install_application(empty_database, "uuid")
    migrate(empty_database)
    with connect(empty_database) as connection:
        connection.execute(
            "create or replace function hash_ocr_text(p_text text) returns bigint"
            " language sql as 'select 1::bigint'"
        )
        connection.execute("drop trigger trigger_validate_ocr_consistency on documents")
        # one more of this name, with other arguments
        connection.execute(
            "create function reset_stuck_ocr_jobs(minutes integer, really boolean)"
            " returns integer language sql as 'select 1'"
        )
        found = [
            "routine hash_ocr_text(text) (changed)",
            "trigger trigger_validate_ocr_consistency on documents (missing)",
        ]
        assert status(empty_database).changed_objects == found
        assert (
            one(
                connection,
                "select changed_object from validate_database_consistency()",
            )
            == 2
        )
        migrate(empty_database)
        assert status(empty_database).up_to_date
        assert one(connection, "select reset_stuck_ocr_jobs(30)") == 0


def test_observe_report_enforce(empty_database: str) -> None:
    install_application(empty_database, "uuid")
    migrate(empty_database)
    options = ("--dsn", empty_database)
    empty = run_cli(*options, "adoption-report")
    assert (empty.returncode, empty.stderr) == (0, "")
    with psycopg.connect(
        empty_database, autocommit=True, application_name="old worker"
    ) as application:
        for number in range(3):
            document = add_document(application, f"{number}.pdf")
            application.execute(
                "insert into ocr_queue (document_id) values (%s)", [document]
            )
            application.execute(
                "update ocr_queue set status = 'processing', started_at = now(),"
                " attempts = attempts + 1, worker_id = 'w' where id = ("
                "select id from ocr_queue where status = 'pending' limit 1"
                " for update skip locked)"
            )
            application.execute(
                "update documents set ocr_status = 'processing' where id = %s",
                [document],
            )
            application.execute(
                "update documents set ocr_text = %s, ocr_status = 'completed',"
                " ocr_confidence = 90, ocr_word_count = 1, ocr_completed_at = now()"
                " where id = %s",
                [f"secret {number}", document],
            )
    done = run_cli(*options, "--json", "adoption-report")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["guard_mode"] == "observe"
    assert {
        (row["change"], row["statements"], row["application_name"])
        for row in report["statements"]
    } == {
        ("OG004: from pending to processing", 3, "old worker"),
        ("OG002: from processing to completed, with another text", 3, "old worker"),
    }
    assert all(row["session_user_name"] for row in report["statements"])
    assert "secret" not in done.stdout
    text = run_cli(*options, "adoption-report").stdout
    assert "3 x OG004: from pending to processing" in text
    assert "instead: claim_ocr_jobs()" in text

    done = run_cli(*options, "guard-mode", "enforce")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("guard_mode is enforce\n")
    with connect(empty_database) as connection:
        assert (
            one(connection, "select count(*) from pg_constraint where not convalidated")
            == 0
        )
        with pytest.raises(psycopg.DatabaseError) as refused:
            connection.execute("update documents set ocr_text = 'x'")
        assert refused.value.sqlstate == "OG003"
        assert "requeue_document()" in str(refused.value.diag.message_hint)
        document = add_document(connection)
        with pytest.raises(psycopg.DatabaseError) as refused:
            connection.execute(
                "update documents set ocr_status = 'processing' where id = %s",
                [document],
            )
        assert refused.value.sqlstate == "OG004"
        assert "claim_ocr_jobs()" in str(refused.value.diag.message_hint)
        connection.execute(
            "insert into ocr_queue (document_id) values (%s)", [document]
        )
        connection.execute("alter table ocr_queue disable trigger refuse_second_job")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(
                "insert into ocr_queue (document_id) values (%s)", [document]
            )
    assert run_cli(*options, "guard-mode", "observe").returncode == 0
    assert "observe" in run_cli(*options, "guard-mode").stdout


WRONG_ROWS = """
set session_replication_role = replica;
alter table ocr_queue
drop constraint ocr_queue_document_id_fkey, drop constraint fk_ocr_queue_document_id;
insert into documents (id, filename, ocr_status, ocr_text, ocr_confidence,
    ocr_word_count, ocr_completed_at, file_hash, updated_at)
select
    ('00000000-0000-0000-0000-0000000000' || lpad(n::text, 2, '0'))::uuid,
    n || '.pdf', s, t, c, w, f, h, now() - interval '1 day'
from (values
    (1, null, null, null::real, null::int, null::timestamptz, null),
    (2, 'completed', null, 90, 2, now(), null),
    (3, 'completed', 'a text', null, 2, now(), null),
    (4, 'pending', null, null, null, null, null),
    (5, 'processing', null, null, null, null, null),
    (6, 'pending', null, null, null, null, null),
    (7, 'processing', null, null, null, null, null),
    (8, 'failed', null, null, null, null, null),
    (9, 'completed', 'a text', 90, 2, now(), null),
    (10, 'pending', null, null, null, null, null),
    (11, 'pending', null, null, null, null, null),
    (12, 'completed', 'a text', 90, 2, null, repeat('AB', 32)),
    (13, 'completed', 'a text', 90, 2, now(), null)
) as v (n, s, t, c, w, f, h);
insert into ocr_queue (
    document_id, status, attempts, max_attempts, started_at, worker_id
)
select ('00000000-0000-0000-0000-0000000000' || lpad(n::text, 2, '0'))::uuid,
    s, a, m, t, w
from (values
    (6, 'pending', 3, 3, null::timestamptz, null),
    (7, 'processing', 1, 3, null, 'w'),
    (8, 'pending', 0, 3, null, null),
    (9, 'pending', 0, 3, null, null),
    (10, 'pending', 0, 3, null, null),
    (10, 'pending', 0, 3, null, null),
    (11, 'pending', null, null, null, null),
    (13, 'completed', 1, 3, now(), 'w'),
    (99, 'pending', 0, 3, null, null)
) as v (n, s, a, m, t, w);
insert into ocr_queue (document_id, status) values (null, 'pending');
"""


def test_wrong_rows_are_listed_repaired_and_validated(empty_database: str) -> None:
    install_application(empty_database, "uuid")
    with connect(empty_database) as connection:
        connection.execute(WRONG_ROWS.encode())
    migrate(empty_database)
    with connect(empty_database) as connection:
        found = {
            (row[0], row[1])
            for row in connection.execute(
                "select kind, right(document_id::text, 2) from find_inconsistencies()"
            )
        }
        assert found == {
            ("invalid_status", "01"),
            ("broken_constraint", "01"),
            ("completed_without_result", "02"),
            ("completed_without_result", "03"),
            ("pending_without_job", "04"),
            ("processing_without_job", "05"),
            ("exhausted_pending_job", "06"),
            ("lease_without_processing", "07"),
            ("broken_constraint", "07"),
            ("job_of_failed_document", "08"),
            ("job_of_completed_document", "09"),
            ("duplicate_live_job", "10"),
            ("broken_constraint", "11"),
            ("broken_constraint", "12"),
            ("job_of_completed_document", "13"),
            ("orphaned_job", "99"),
            ("orphaned_job", None),
        }
        with pytest.raises(psycopg.DatabaseError, match="would be stranded"):
            connection.execute("select set_guard_mode('enforce')")
        results = "select id, ocr_text, ocr_confidence from documents order by id"
        before = connection.execute(results).fetchall()
        connection.execute("select repair_database_consistency(false)")
        assert connection.execute(results).fetchall() == before
        left = connection.execute(
            "select kind, right(document_id::text, 2) from find_inconsistencies()"
            " order by 2"
        ).fetchall()
        # what only a person can decide
        assert left == [
            ("completed_without_result", "02"),
            ("completed_without_result", "03"),
        ]
        refused = run_cli("--dsn", empty_database, "guard-mode", "enforce")
        assert refused.returncode == 1
        assert "completed_without_result (2)" in refused.stderr
        connection.execute("delete from ocr_incidents")
        connection.execute(
            "select requeue_document(id, 'no result') from documents"
            " where filename = '2.pdf'"
        )
        assert one(connection, "select count(*) from ocr_incidents") == 0
        connection.execute(
            "update documents set ocr_confidence = 0"
            " where ocr_status = 'completed' and ocr_confidence is null"
        )
        done = run_cli("--dsn", empty_database, "guard-mode", "enforce")
        assert (done.returncode, done.stderr) == (0, "")
        assert (
            one(connection, "select count(*) from pg_constraint where not convalidated")
            == 0
        )
        assert one(
            connection,
            "select bool_and(is_in_force) from ocr_adoption where kind = 'guard'",
        )


def test_a_script_does_not_adopt(empty_database: str) -> None:
    install_application(empty_database, "bare")
    done = run_cli("sql")
    with connect(empty_database) as connection:
        with pytest.raises(psycopg.errors.DuplicateTable) as refused:
            connection.execute(done.stdout.encode())
        assert "migrate adopts them" in str(refused.value.diag.message_hint)


def test_the_rollback_by_plain_yoyo_keeps_the_tables(empty_database: str) -> None:
    from .test_migrations import bare_yoyo

    install_application(empty_database, "uuid")
    with connect(empty_database) as connection:
        add_document(connection)
    migrate(empty_database)
    bare_yoyo("rollback", empty_database)
    with connect(empty_database) as connection:
        assert one(connection, "select count(*) from documents") == 1
        assert one(connection, "select count(*) from reset_stuck_ocr_jobs(1)") == 0
