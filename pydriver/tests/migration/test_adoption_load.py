"""An application goes on as it is while the package comes, and goes again.

``OCR_GUARDRAILS_ADOPTION_DOCUMENTS=1000000`` makes it a large table; ``-s`` shows what
was measured.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from ocr_guardrails.adopt import LOCK_TIMEOUT
from ocr_guardrails.migrate import migrate, rollback, status

from .conftest import Dump

DOCUMENTS = int(os.environ.get("OCR_GUARDRAILS_ADOPTION_DOCUMENTS", "5000"))
WORKERS = 3
#: What a statement of the application may wait for a lock: behind a request of the
#: installation that is given up in time, and behind one that is granted, on a machine
#: that has much else to do.
PATIENCE = LOCK_TIMEOUT + 2

APPLICATION = (Path(__file__).parent / "fixtures" / "uuid.sql").read_bytes()
ROWS = """
-- without the trigger that looks for a second job in a table of many
set session_replication_role = replica;
insert into documents (filename, ocr_status, ocr_text, ocr_confidence, ocr_word_count,
    ocr_completed_at, file_hash, user_id)
select
    n || '.pdf', 'completed', 'text of document ' || n, 90, 4, now(),
    encode(sha256(n::text::bytea), 'hex'), gen_random_uuid()
from generate_series(1, {completed}) as n;
insert into documents (filename, user_id)
select 'waiting ' || n || '.pdf', gen_random_uuid()
from generate_series(1, {waiting}) as n;
insert into ocr_queue (document_id)
select d.id from documents as d where d.ocr_status = 'pending';
"""
CLAIM = """
update ocr_queue set status = 'processing', started_at = now(),
    attempts = attempts + 1, worker_id = %(worker)s
where id = (
    select q.id from ocr_queue as q where q.status = 'pending'
    order by q.priority desc, q.created_at for update skip locked limit 1
)
returning document_id
"""
CLAIM_DOCUMENT = (
    "update documents set ocr_status = 'processing' where id = %(document)s"
)
RESULT = """
update documents set ocr_text = %(text)s, ocr_status = 'completed', ocr_confidence = 91,
    ocr_word_count = 3, ocr_completed_at = now(), ocr_error = null
where id = %(document)s
"""
DONE = """
update ocr_queue set status = 'completed', completed_at = now()
where document_id = %(document)s and status = 'processing'
"""
RETRY = """
update documents set ocr_status = 'pending', ocr_text = null, ocr_confidence = null,
    ocr_word_count = null, ocr_error = null, ocr_completed_at = null
where id = %(document)s
"""
ENQUEUE = "insert into ocr_queue (document_id) values (%(document)s)"
READ = "select count(*) from queue_now where status = 'pending'"


@dataclass(slots=True)
class Application:
    """Workers that know nothing of the package."""

    dsn: str
    stop: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list)
    slowest: float = 0.0
    statements: int = 0

    def run(self, number: int) -> None:
        try:
            with psycopg.connect(
                self.dsn, autocommit=True, application_name=f"worker {number}"
            ) as connection:
                connection.execute(f"set lock_timeout to '{PATIENCE * 1000:.0f}ms'")
                round_ = 0
                while not self.stop.is_set():
                    round_ += 1
                    self.one_round(connection, number, retry=round_ % 2 == 0)
        except BaseException as error:
            self.errors.append(error)

    def one_round(
        self, connection: psycopg.Connection[Any], number: int, *, retry: bool
    ) -> None:
        values: dict[str, Any] = {"worker": f"w{number}", "text": f"by worker {number}"}
        with connection.transaction():
            row = self.execute(connection, CLAIM, values).fetchone()
            assert row is not None, "the queue is empty"
            values["document"] = row[0]
            self.execute(connection, CLAIM_DOCUMENT, values)
        self.execute(connection, RESULT, values)
        self.execute(connection, DONE, values)
        if retry:
            with connection.transaction():
                self.execute(connection, RETRY, values)
                self.execute(connection, ENQUEUE, values)
        self.execute(connection, READ, {})

    def execute(
        self, connection: psycopg.Connection[Any], query: str, values: dict[str, Any]
    ) -> psycopg.Cursor[Any]:
        began = time.monotonic()
        cursor = connection.execute(query.encode(), values)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.statements += 1
        return cursor


@contextmanager
def running(dsn: str) -> Iterator[Application]:
    application = Application(dsn)
    threads = [
        threading.Thread(target=application.run, args=(number,))
        for number in range(WORKERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield application
    finally:
        application.stop.set()
        for thread in threads:
            thread.join(60)


def measured(what: str, application: Application, action: Callable[[], object]) -> None:
    application.slowest = 0.0
    before = application.statements
    began = time.monotonic()
    action()
    took = time.monotonic() - began
    done = application.statements - before
    assert done > 0, f"nothing went on during {what}"
    print(
        f"\n{what}: {took:.1f} s, {done / took:.0f} statements/s, "
        f"the slowest {1000 * application.slowest:.0f} ms"
    )


def test_the_application_goes_on_while_the_package_comes_and_goes(
    empty_database: str, dump: Dump
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(APPLICATION)
        connection.execute(
            ROWS.format(
                completed=DOCUMENTS, waiting=max(DOCUMENTS // 50, 5000)
            ).encode()
        )
        connection.execute("vacuum analyze")
    before = dump(empty_database)
    with running(empty_database) as application:
        measured("nothing else", application, lambda: time.sleep(1))
        measured("migrate", application, lambda: migrate(empty_database))
        measured("observe", application, lambda: time.sleep(1))
        measured("migrate again", application, lambda: migrate(empty_database))
        assert status(empty_database).up_to_date
        with psycopg.connect(empty_database) as connection:
            found = connection.execute(
                "select distinct application_name, detail from ocr_incidents"
                " where reason = 'unsafe_statement' and statement ~ '^update documents'"
            ).fetchall()
        measured("rollback", application, lambda: rollback(empty_database))
    assert application.errors == []
    assert {
        (f"worker {number}", change)
        for number in range(WORKERS)
        for change in (
            "OG004: from pending to processing",
            "OG002: from processing to completed, with another text",
            "OG003: from completed to pending, with another text",
        )
    } == set(found)
    assert dump(empty_database) == before
    with psycopg.connect(empty_database) as connection:
        kept = connection.execute(
            "select count(*) from documents where ocr_text like 'by worker%'"
        ).fetchone()
    assert kept is not None
    assert kept[0] > 0
