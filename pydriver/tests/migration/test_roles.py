"""The group roles: who makes them, who grants, and what is left after a rollback.

Roles belong to a cluster, so these tests have one of their own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ocr_guardrails.embedded import Server
from ocr_guardrails.migrate import migrate, rollback, status
from ocr_guardrails.sqlfiles import install_script
from tests.integration.conftest import until

from .test_migrations import bare_yoyo

if TYPE_CHECKING:
    from .conftest import Dump, Psql

ROLES = ["ocr_monitor", "ocr_operator", "ocr_producer", "ocr_worker"]
SECURITY = Path(__file__).resolve().parents[3] / "docs" / "security.md"


@pytest.fixture(scope="module")
def cluster(server: Any) -> Iterator[Server]:
    with Server.temporary(server.bin_dir) as own:
        yield own


class Cluster:
    """Two databases and three installers; none of our roles is there."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.bin_dir = server.bin_dir

    def dsn(self, database: str, user: str | None = None) -> str:
        dsn = self.server.dsn(database)
        return make_conninfo(dsn, user=user) if user else dsn

    def query(
        self, query: str, database: str = "postgres", user: str | None = None
    ) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn(database, user), autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def roles(self) -> list[str]:
        rows = self.query(
            "select rolname from pg_roles where rolname = any(array"
            f"{ROLES!r}) order by rolname"
        )
        return [name for (name,) in rows]

    def can_claim(self, database: str = "one", schema: str = "ocr") -> bool:
        ((can,),) = self.query(
            f"select has_schema_privilege('ocr_worker', '{schema}', 'usage')"
            " and has_function_privilege('ocr_worker', p.oid, 'execute')"
            " from pg_proc as p where p.proname = 'claim_ocr_jobs'"
            f" and p.pronamespace = '{schema}'::regnamespace",
            database,
        )
        return bool(can)


@pytest.fixture
def own(cluster: Server) -> Iterator[Cluster]:
    made = Cluster(cluster)
    for statement in (
        "create role few_rights login",
        "create role maker login createrole",
        "create database one",
        "create database two",
        "grant create on database one, two to few_rights, maker",
    ):
        made.query(statement)
    yield made
    for database in ("one", "two"):
        made.query(f"drop database {database} with (force)")
    for role in [*ROLES, "few_rights", "maker", "a_login"]:
        made.query(f"drop role if exists {role}")


def test_an_installer_that_may_create_roles_creates_them(own: Cluster) -> None:
    said: list[str] = []
    migrate(own.dsn("one", "maker"), "ocr", report=said.append)
    assert not [line for line in said if "WARNING" in line]
    assert own.roles() == ROLES
    assert own.can_claim()
    # and gives them to the logins that it makes, before PostgreSQL 16 and since
    own.query("create role a_login login", "one", "maker")
    own.query("grant ocr_worker to a_login", "one", "maker")
    assert own.query("select * from ocr.claim_ocr_jobs('w')", "one", "a_login") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        own.query("select ocr.pause_ocr_queue('mine')", "one", "a_login")
    # for another installation the roles are there already
    migrate(own.dsn("two", "few_rights"), "ocr", report=said.append)
    assert not [line for line in said if "WARNING" in line]
    assert own.can_claim("two")


def test_an_installer_that_may_not_says_what_has_to_be_done(own: Cluster) -> None:
    dsn = own.dsn("one", "few_rights")
    said: list[str] = []
    migrate(dsn, "ocr", report=said.append)
    (warning,) = [line for line in said if "WARNING" in line]
    assert "few_rights may not create roles" in warning
    assert own.roles() == []
    # the rest is there, and closed
    assert status(dsn, "ocr").up_to_date
    own.query("create role a_login login")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        own.query("select * from ocr.claim_ocr_jobs('w')", "one", "a_login")
    assert own.query("select * from ocr.claim_ocr_jobs('w')", "one", "few_rights") == []

    # what it says is done, a part of it at first
    (statements,) = re.findall(r"run: (.*); then migrate", warning)
    first, *others = statements.split("; ")
    assert len(others) == 3
    own.query(first)
    said.clear()
    migrate(dsn, "ocr", report=said.append)
    (warning,) = [line for line in said if "WARNING" in line]
    assert "ocr_producer" not in warning
    assert warning.count("nologin") == 3
    assert own.query(
        "select has_function_privilege("
        "'ocr_producer', 'ocr.enqueue_pending_documents(integer)', 'execute')",
        "one",
    ) == [(True,)]
    for statement in others:
        own.query(statement)
    said.clear()
    migrate(dsn, "ocr", report=said.append)
    assert not [line for line in said if "WARNING" in line]
    assert own.can_claim()


def test_what_the_guide_lets_an_administrator_run(own: Cluster) -> None:
    text = SECURITY.read_text("utf-8")
    (statements,) = re.findall(r"^create role ocr_producer nologin;\n[^`]*", text, re.M)
    own.query(statements)
    assert own.roles() == ROLES
    migrate(own.dsn("one", "few_rights"), "ocr")
    assert own.can_claim()


@pytest.mark.parametrize("way", ["script", "plain yoyo"])
def test_every_way_of_installing_makes_the_roles(
    own: Cluster, psql: Psql, way: str
) -> None:
    if way == "script":
        psql(own.dsn("one"), install_script("ocr"))
    else:
        own.query("create schema ocr", "one")
        bare_yoyo("apply", own.dsn("one"), "ocr")
    assert own.roles() == ROLES
    assert own.can_claim()


def test_two_installations_at_once_make_the_roles_once(own: Cluster) -> None:
    """Each waits for the other's role to be there or not, and takes it as it is."""
    failed: list[BaseException] = []

    def install(database: str) -> None:
        try:
            migrate(own.dsn(database, "maker"), "ocr")
        except BaseException as error:  # for the test's own thread
            failed.append(error)

    with psycopg.connect(own.dsn("postgres", "maker")) as other:
        for role in ROLES:
            other.execute(f"create role {role} nologin".encode())
        threads = [
            threading.Thread(target=install, args=[name]) for name in ("one", "two")
        ]
        for thread in threads:
            thread.start()
        until(
            lambda: (
                own.query(
                    "select count(*) from pg_stat_activity"
                    f" where {other.info.backend_pid} = any(pg_blocking_pids(pid))"
                )
                == [(2,)]
            ),
            "both wait for the role",
        )
        other.commit()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert own.can_claim("one")
    assert own.can_claim("two")


def test_a_role_that_is_dropped_comes_back_with_its_rights(own: Cluster) -> None:
    dsn = own.dsn("one")
    migrate(dsn, "ocr")
    own.query("drop owned by ocr_worker", "one")
    own.query("drop role ocr_worker")
    migrate(dsn, "ocr")
    assert own.can_claim()


def test_rights_beyond_ours_stay(own: Cluster) -> None:
    dsn = own.dsn("one")
    migrate(dsn, "ocr")
    own.query("grant execute on function ocr.lock_resource to ocr_worker", "one")
    migrate(dsn, "ocr")
    assert own.query(
        "select has_function_privilege("
        "'ocr_worker', 'ocr.lock_resource(text, interval)', 'execute')",
        "one",
    ) == [(True,)]


@pytest.mark.parametrize("schema", ["ocr", "public"])
def test_a_rollback_takes_the_rights_and_leaves_the_roles(
    own: Cluster, dump: Dump, schema: str
) -> None:
    dsn = own.dsn("one")
    own.query("create schema ocr; create table ocr.theirs (id integer)", "one")
    own.query("revoke usage on schema public from public", "one")
    before = dump(dsn)
    migrate(dsn, schema)
    migrate(own.dsn("two"), "ocr")
    assert own.can_claim("one", schema)
    rollback(dsn, schema)
    assert dump(dsn) == before
    assert own.roles() == ROLES
    assert own.can_claim("two")
    rollback(own.dsn("two"), "ocr")
    for role in ROLES:  # refused while anything depends on it, in any database
        own.query(f"drop role {role}")


def test_a_schema_that_others_may_write_to_is_told(own: Cluster) -> None:
    dsn = own.dsn("one")

    def warnings() -> list[str]:
        said: list[str] = []
        migrate(dsn, report=said.append)
        return [line for line in said if "WARNING" in line]

    assert warnings() == []
    own.query("grant create on schema public to public", "one")
    (warning,) = warnings()
    assert "others may create objects in schema public" in warning
    text = SECURITY.read_text("utf-8")
    (statement,) = re.findall(
        r"^revoke create on schema public from public;", text, re.M
    )
    own.query(statement, "one")
    assert warnings() == []
    own.query("grant create on schema public to ocr_monitor", "one")
    (warning,) = warnings()
    (statement,) = re.findall(r"or: (revoke .*;)", warning)
    own.query(statement, "one")
    assert warnings() == []


def test_what_such_a_schema_leads_to(own: Cluster) -> None:
    """Why it is told: a function that fits a call better than PostgreSQL's own."""
    migrate(own.dsn("one"))
    own.query("select pause_ocr_queue('for a test')", "one")
    ((owner,),) = own.query("select current_user", "one")
    own.query("create role a_login login in role ocr_worker")
    attack = (
        "create function public.format(text, timestamptz, text, text) returns text"
        " language plpgsql as"
        " $$begin raise exception 'this runs as %', current_user; end$$"
    )
    claim = "select * from claim_ocr_jobs('w', p_raise_if_closed => true)"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        own.query(attack, "one", "a_login")
    with pytest.raises(psycopg.Error, match="the queue is paused"):
        own.query(claim, "one", "a_login")
    own.query("grant create on schema public to public", "one")
    own.query(attack, "one", "a_login")
    with pytest.raises(psycopg.Error, match=f"this runs as {owner}"):
        own.query(claim, "one", "a_login")


def test_policies_that_are_forced_on_the_owner_are_told(own: Cluster) -> None:
    own.query("create schema ocr authorization few_rights", "one")
    own.query("create role ocr_worker")
    dsn = own.dsn("one", "few_rights")

    def warnings() -> list[str]:
        said: list[str] = []
        migrate(dsn, "ocr", report=said.append)
        return [line for line in said if "row-level security" in line]

    assert warnings() == []
    own.query("alter table ocr.documents enable row level security", "one")
    assert warnings() == []
    own.query("alter table ocr.documents force row level security", "one")
    (warning,) = warnings()
    assert "few_rights" in warning
