"""Each group role through real logins: what it can do, and what a login may try.

The logins are made by the statements of docs/security.md, which are tested by it.
What the rights are one by one is db/tests/privileges.sql's, and attacks by SQL alone
are db/tests/security's; here is what takes a connection of one's own.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ocr_guardrails import Guardrails, errors
from ocr_guardrails.cli import main
from ocr_guardrails.engines.null import NullEngine
from ocr_guardrails.worker import QueueState, Worker, WorkerOptions

from .conftest import Bench, png_saying, until

SECURITY = Path(__file__).resolve().parents[3] / "docs" / "security.md"
SNIPPETS = re.findall(r"^```sql\n(.*?)^```$", SECURITY.read_text("utf-8"), re.M | re.S)

PRODUCER = "scanner"
WORKER = "ocr_host_1"
OPERATOR = "ocr_on_call"
MONITOR = "ocr_dashboard"
APPLICATION = "application"
OTHER_WORKER = "ocr_host_2"
LOGINS = [PRODUCER, WORKER, OPERATOR, MONITOR, APPLICATION, OTHER_WORKER]


def snippet(beginning: str) -> str:
    (found,) = [text for text in SNIPPETS if text.startswith(beginning)]
    return str(found)


@dataclass(frozen=True, slots=True)
class Roles:
    """The queue of a test, and connections to it as one of the logins."""

    bench: Bench
    opened: list[psycopg.Connection[Any]] = field(default_factory=list)

    def dsn(self, login: str, **parameters: Any) -> str:
        return make_conninfo(self.bench.dsn, user=login, **parameters)

    def connect(self, login: str, **parameters: Any) -> psycopg.Connection[Any]:
        """A connection that the end of the test closes."""
        self.opened.append(
            psycopg.connect(self.dsn(login, **parameters), autocommit=True)
        )
        return self.opened[-1]

    def run(self, login: str, *arguments: str, code: int = 0) -> Any:
        """A command's JSON; what it told instead where it failed."""
        result = CliRunner().invoke(
            main, ["--dsn", self.dsn(login), "--json", *arguments]
        )
        assert result.exit_code == code, result.output
        return result.stderr if code == 1 else json.loads(result.stdout)


@pytest.fixture
def roles(bench: Bench) -> Iterator[Roles]:
    admin = bench.connection
    admin.execute(snippet("create role scanner").encode())
    admin.execute(snippet("create role application").encode())
    admin.execute(f"create role {OTHER_WORKER} login in role ocr_worker".encode())
    made = Roles(bench)
    yield made
    for connection in made.opened:
        connection.close()
    for login in LOGINS:
        admin.execute(
            sql.SQL("drop owned by {0} cascade; drop role {0}").format(
                sql.Identifier(login)
            )
        )


def test_every_snippet_is_run() -> None:
    begins = {text.splitlines()[0] for text in SNIPPETS}
    assert begins == {
        "create role scanner login password 'change this';",
        "select set_ocr_setting('require_lease_token', 'true');",
        "create role application login password 'change this as well';",
        "create policy ocr_guardrails on documents to current_user",
        # by tests/migration/test_roles.py
        "revoke create on schema public from public;",
        "create role ocr_producer nologin;",
    }


def test_each_role_runs_its_commands(roles: Roles) -> None:
    bench = roles.bench
    for number in range(3):
        bench.add_file(f"{number}.png", png_saying(f"text {number}"))
    bench.add_file("dead.png", b"no image")
    assert roles.run(PRODUCER, "ingest", str(bench.folder))["created"] == 4
    work = roles.run(WORKER, "work", "--engine", "null", "--threads", "2", code=3)
    assert (work["written"], work["dead"]) == (3, 1)

    assert roles.run(MONITOR, "stuck") == []
    assert roles.run(MONITOR, "check")["consistency"]["data_integrity_score"] == 100
    stats = roles.run(MONITOR, "stats")
    assert {row["ocr_status"]: row["documents"] for row in stats["ocr_stats"]} == {
        "completed": 3,
        "failed": 1,
        "pending": 0,
        "processing": 0,
    }
    assert stats["ocr_recent_failures"][0]["filename"] == "dead.png"
    assert roles.run(MONITOR, "incidents") == []
    assert roles.run(MONITOR, "settings", "foreign_text_policy")

    assert roles.run(OPERATOR, "check", "--files")["files_checked"] == 4
    assert roles.run(OPERATOR, "stuck") == []
    assert roles.run(OPERATOR, "stats")["ocr_stats"]
    assert roles.run(OPERATOR, "incidents") == []
    assert roles.run(OPERATOR, "reset-stuck") == {"reset": 0}
    assert roles.run(OPERATOR, "repair", "--apply")["actions"] == []
    assert roles.run(OPERATOR, "retry-failed") == {"retried": 1}
    assert roles.run(OPERATOR, "pause", "for a test") == {"changed": True}
    assert QueueState.read(Guardrails(roles.connect(WORKER))).paused
    assert roles.run(OPERATOR, "resume") == {"changed": True}
    settings = roles.run(OPERATOR, "settings", "max_concurrent_jobs", "7")
    assert settings == {"max_concurrent_jobs": 7}
    document = bench.value("select id from documents where filename = '0.png'")
    assert roles.run(OPERATOR, "requeue", str(document), "--reason", "a better engine")[
        "job_id"
    ]


@pytest.mark.parametrize(
    ("login", "arguments"),
    [
        (PRODUCER, ("work", "--engine", "null")),
        (PRODUCER, ("stats",)),
        (PRODUCER, ("pause", "mine")),
        (WORKER, ("ingest", ".")),
        (WORKER, ("stuck",)),
        (WORKER, ("check",)),
        (WORKER, ("stats",)),
        (WORKER, ("incidents",)),
        (WORKER, ("settings",)),
        (WORKER, ("settings", "require_lease_token", "false")),
        (WORKER, ("pause", "mine")),
        (WORKER, ("requeue", str(uuid4()), "--reason", "mine")),
        (WORKER, ("migrate",)),
        (WORKER, ("rollback", "--all", "--yes")),
        (MONITOR, ("reset-stuck",)),
        (MONITOR, ("check", "--files")),
        (MONITOR, ("settings", "require_lease_token", "false")),
        (MONITOR, ("work", "--engine", "null")),
        (OPERATOR, ("work", "--engine", "null")),
        (OPERATOR, ("ingest", ".")),
        (OPERATOR, ("migrate",)),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_and_no_others(
    roles: Roles,
    login: str,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    roles.bench.add_file("a.png", png_saying("text"))
    monkeypatch.chdir(roles.bench.folder)
    said = roles.run(login, *arguments, code=1)
    assert re.search(r"permission denied|must be owner", said), said
    assert "Traceback" not in said


def test_a_worker_that_may_call_its_functions_only_wakes_up_and_drains(
    roles: Roles,
) -> None:
    """LISTEN takes no right, and to see that the queue is empty takes two."""
    bench = roles.bench
    options = WorkerOptions(worker_id="w-role", drain=False, poll_interval=3600.0)
    worker = Worker(lambda: psycopg.connect(roles.dsn(WORKER)), NullEngine, options)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    until(
        lambda: bench.value(
            "select count(*) from pg_stat_activity where usename = %s"
            " and state = 'idle' and strpos(query, 'claim_ocr_jobs') > 0",
            WORKER,
        ),
        "the worker waits",
    )
    bench.add("page.png")
    until(lambda: bench.status("page.png") == "completed", "the page was read")
    worker.stop()
    thread.join(60)
    assert not thread.is_alive()

    # a drain waits for the job that another worker holds, which it sees in the view
    bench.add("held.png")
    other = Guardrails(roles.connect(OTHER_WORKER))
    (held,) = other.claim_ocr_jobs("w-other")
    state = QueueState.read(Guardrails(roles.connect(WORKER)))
    assert (state.processing, state.due, state.paused) == (1, 0, False)
    assert other.release_ocr_job(held.document_id, held.lease_token)


def test_no_login_becomes_another(roles: Roles) -> None:
    superuser = roles.bench.value("select session_user")
    with roles.connect(WORKER) as connection:
        for statement in (
            "set role ocr_operator",
            f"set role {superuser}",
            f"set session authorization {superuser}",
            f"set session authorization {OTHER_WORKER}",
            "set session_replication_role = replica",
            "alter role current_user superuser",
            "grant ocr_operator to current_user",
            "create role mine",
            "create schema mine",
            "create function f() returns int language sql as 'select 1'",
            "load 'auto_explain'",
            "create extension dblink",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
        # its own role is allowed, and gives nothing beyond
        connection.execute("set role ocr_worker")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select from documents")
        connection.execute("reset role; reset session authorization")
        connection.execute("discard all")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select from documents")


@pytest.mark.parametrize(
    "options",
    [
        "-c session_replication_role=replica",
        "-c role=ocr_operator",
        "-c session_preload_libraries=auto_explain",
        "-c allow_system_table_mods=on",
    ],
)
def test_nothing_is_had_by_the_options_of_a_connection(
    roles: Roles, options: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"permission denied"):
        roles.connect(WORKER, options=options)


def test_lease_tokens_in_statements_are_seen_by_the_same_login_only(
    roles: Roles,
) -> None:
    query = "select query from pg_stat_activity where pid = %s"
    token = str(uuid4())
    with (
        roles.connect(WORKER) as one,
        roles.connect(WORKER) as same,
        roles.connect(OTHER_WORKER) as other,
    ):
        one.execute(f"select release_ocr_job('{uuid4()}', '{token}')".encode())
        pid = one.info.backend_pid
        assert token in str(same.execute(query, [pid]).fetchone())
        assert token not in str(other.execute(query, [pid]).fetchone())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute("select pg_terminate_backend(%s)", [pid])


def test_a_session_that_is_prepared_for_it_forges_no_lease(roles: Roles) -> None:
    """Temporary objects and a search_path of one's own, over a real connection."""
    bench = roles.bench
    bench.add("honest.png")
    (job,) = Guardrails(roles.connect(WORKER)).claim_ocr_jobs("honest")
    forged = uuid4()
    with roles.connect(OTHER_WORKER, options="-c search_path=pg_temp,public") as evil:
        evil.execute(
            "create temporary table documents as select %s::uuid as id,"
            " %s::uuid as ocr_lease_token, 'processing' as ocr_status",
            [job.document_id, forged],
        )
        evil.execute("create temporary table ocr_queue (id uuid, document_id uuid)")
        evil.execute("grant all on documents, ocr_queue to public")
        evil.execute(
            "create function pg_temp.lock_live_lease(uuid, uuid) returns boolean"
            " language sql as 'select true'"
        )
        evil.execute(
            "create function pg_temp.always(uuid, uuid) returns boolean"
            " language sql as 'select true'"
        )
        evil.execute(
            "create operator pg_temp.="
            " (leftarg = uuid, rightarg = uuid, function = pg_temp.always)"
        )
        guardrails = Guardrails(evil, schema="public")
        assert not guardrails.release_ocr_job(job.document_id, forged)
        assert not guardrails.report_ocr_progress(job.document_id, forged, 1, 1)
        assert guardrails.extend_ocr_leases([job.document_id], [forged]) == []
        assert not guardrails.update_ocr_safe(
            job.document_id, job.filename, "x", 90, 1, 1, lease_token=forged
        )
        assert guardrails.claim_ocr_jobs("evil") == []
    assert bench.status("honest.png") == "processing"
    assert bench.rows("select session_user_name, reason from ocr_incidents") == [
        (OTHER_WORKER, "stale_lease")
    ]
    assert Guardrails(roles.connect(WORKER)).release_ocr_job(
        job.document_id, job.lease_token
    )


def test_a_login_that_loses_its_role_is_stopped_at_its_next_call(roles: Roles) -> None:
    bench = roles.bench
    bench.add("a.png")
    connection = roles.connect(OTHER_WORKER)
    hostile = Guardrails(connection)
    (job,) = hostile.claim_ocr_jobs("hostile")
    assert hostile.extend_ocr_leases([job.document_id], [job.lease_token])
    bench.connection.execute(f"revoke ocr_worker from {OTHER_WORKER}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        hostile.extend_ocr_leases([job.document_id], [job.lease_token])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        hostile.update_ocr_safe(
            job.document_id, job.filename, "x", 90, 1, 1, lease_token=job.lease_token
        )
    bench.expire_leases()
    (again,) = Guardrails(roles.connect(WORKER)).claim_ocr_jobs("honest")
    assert again.document_id == job.document_id
    assert Guardrails(roles.connect(WORKER)).release_ocr_job(
        again.document_id, again.lease_token
    )


def test_old_clients_that_escape_by_backslash_are_served(roles: Roles) -> None:
    roles.bench.add("a.png")
    options = "-c standard_conforming_strings=off"
    with roles.connect(WORKER, options=options) as connection:
        guardrails = Guardrails(connection)
        (job,) = guardrails.claim_ocr_jobs("worker one")
        assert guardrails.fail_ocr_job(job.document_id, job.lease_token, "no image")
        with pytest.raises(errors.InvalidArgument):
            guardrails.claim_ocr_jobs(" \t\n")


def test_workers_that_trust_each_other_less(roles: Roles) -> None:
    """The settings that docs/security.md recommends, set by an operator."""
    bench = roles.bench
    bench.add("once.png")
    with roles.connect(OPERATOR) as operator:
        operator.execute(snippet("select set_ocr_setting").encode())
    (job,) = Guardrails(roles.connect(WORKER)).claim_ocr_jobs("honest")
    other = Guardrails(roles.connect(OTHER_WORKER))
    offer = (job.document_id, job.filename, "x y z", 90, 3, 1)
    assert not other.update_ocr_safe(*offer)
    assert not other.update_ocr_safe(*offer, lease_token=job.lease_token)
    assert other.update_ocr_safe(
        *offer, lease_token=job.lease_token, source_hash=job.file_hash
    )
    assert bench.rows("select reason from ocr_incidents order by id") == [
        ("lease_required",),
        ("source_mismatch",),
    ]


def test_an_application_with_rights_on_columns(roles: Roles) -> None:
    bench = roles.bench
    with roles.connect(APPLICATION) as application:
        row = application.execute(
            "insert into documents (filename, file_path) values ('a.png', '/in/a.png')"
            " returning id"
        ).fetchone()
        assert row is not None
        (document,) = row
        with roles.connect(PRODUCER) as producer:
            assert Guardrails(producer).enqueue_ocr_job(document)
        (job,) = Guardrails(roles.connect(WORKER)).claim_ocr_jobs("w")
        assert job.document_id == document
        for statement in (
            "select ocr_lease_token from documents",
            "select * from documents",
            "update documents set ocr_text = 'x'",
            "update documents set ocr_lease_token = null",
            "insert into documents (filename, ocr_text) values ('x', 'x')",
            "delete from documents",
            "select from ocr_queue",
            "select claim_ocr_jobs('application')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                application.execute(statement.encode())
        application.execute("update documents set file_path = '/in/b.png'")
    # its file was replaced: the worker is fenced off, and the job starts again (G1)
    assert bench.status("a.png") == "pending"
    assert not Guardrails(roles.connect(WORKER)).release_ocr_job(
        document, job.lease_token
    )


def test_the_policy_for_an_owner_on_whom_policies_are_forced(roles: Roles) -> None:
    """That it is one the owner can make; what it does is a test of pgTAP's."""
    bench = roles.bench
    bench.connection.execute(snippet("create policy").encode())
    assert bench.value("select count(*) from pg_policies where cmd = 'ALL'") == 1
