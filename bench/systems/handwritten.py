"""What an application writes by hand: the baseline, without any check.

A queue table beside ``documents``, a claim with SKIP LOCKED, and nothing that would
keep a late or mixed-up result off a row. One job at a time it is two statements in one
transaction for the claim and two for the completion; in batches the same statements
take arrays. Prepared at their first execution.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from bench.harness import (
    Ready,
    Server,
    Workload,
    best_compression,
    create_documents,
    fill_documents,
    has_lz4,
    processes,
    vacuum_analyze,
    verify_documents,
    verify_empty,
)

QUEUE = """
create table ocr_queue (
    id uuid primary key default {uuid},
    document_id uuid not null references documents (id) on delete cascade,
    status text not null default 'pending',
    priority integer not null default 5,
    attempts integer not null default 0,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    worker_id text
);
create index on ocr_queue (priority desc, created_at) where status = 'pending';
create unique index on ocr_queue (document_id)
    where status in ('pending', 'processing')
"""

CLAIM_ONE = """
update ocr_queue
set status = 'processing', attempts = attempts + 1, started_at = now(), worker_id = %s
where id = (
    select id from ocr_queue
    where status = 'pending'
    order by priority desc, created_at
    limit 1
    for update skip locked
)
returning id, document_id
"""
MARK_ONE = """
update documents set ocr_status = 'processing', updated_at = now()
where id = %s
returning filename
"""
STORE_ONE = """
update documents
set ocr_text = %s, ocr_confidence = %s, ocr_word_count = %s,
    ocr_processing_time_ms = %s, ocr_status = 'completed',
    ocr_completed_at = now(), updated_at = now()
where id = %s
"""
FINISH_ONE = "delete from ocr_queue where id = %s"

CLAIM_ONE_CTE = (
    f"with job as ({CLAIM_ONE})"
    + """
update documents as d set ocr_status = 'processing', updated_at = now()
from job
where d.id = job.document_id
returning job.id, d.id, d.filename
"""
)
STORE_ONE_CTE = f"with stored as ({STORE_ONE}) {FINISH_ONE}"

# The sub-select is an array of its own, so that it is evaluated once whatever the plan.
CLAIM_MANY = """
update ocr_queue
set status = 'processing', attempts = attempts + 1, started_at = now(), worker_id = %s
where id = any (array(
    select id from ocr_queue
    where status = 'pending'
    order by priority desc, created_at
    limit %s
    for update skip locked
))
returning id, document_id
"""
MARK_MANY = """
update documents set ocr_status = 'processing', updated_at = now()
where id = any (%s)
returning id, filename
"""
STORE_MANY = """
update documents as d
set ocr_text = r.ocr_text, ocr_confidence = r.confidence,
    ocr_word_count = r.word_count, ocr_processing_time_ms = r.processing_time_ms,
    ocr_status = 'completed', ocr_completed_at = now(), updated_at = now()
from unnest(%s::uuid[], %s::text[], %s::real[], %s::integer[], %s::integer[])
    as r (id, ocr_text, confidence, word_count, processing_time_ms)
where d.id = r.id
"""
FINISH_MANY = "delete from ocr_queue where id = any (%s)"

CONFIDENCE = 91.5
MILLISECONDS = 1200
# Between the numbers of two workers' texts.
APART = 1_000_000_000


def install(dsn: str, compression: str | None) -> None:
    """Make the tables; the best compression of the server where none is named."""
    with psycopg.connect(dsn) as connection:
        create_documents(connection, compression or best_compression(connection))
        uuid = (
            "uuidv7()"
            if connection.info.server_version >= 180000
            else "gen_random_uuid()"
        )
        connection.execute(QUEUE.format(uuid=uuid))


def drop_extra_indexes(dsn: str) -> None:
    """Leave ``documents`` its primary key and the index of what is pending.

    How many indexes a hand-written table has is a choice, and each one makes the
    unsafe way dearer: the fewest show what that choice does to a ratio.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        for (name,) in connection.execute(
            "select i.indexrelid::regclass::text from pg_index as i"
            " where i.indrelid = 'documents'::regclass and not i.indisprimary"
            "     and pg_get_expr(i.indpred, i.indrelid) is distinct from"
            "         $$(ocr_status = 'pending'::text)$$"
        ).fetchall():
            connection.execute(sql.SQL("drop index {}").format(sql.Identifier(name)))


def fill(dsn: str, documents: int) -> None:
    """A backlog: documents that wait, and a job for each."""
    with psycopg.connect(dsn) as connection:
        fill_documents(connection, documents)
        connection.execute(
            "insert into ocr_queue (document_id)"
            " select id from documents where ocr_status = 'pending'"
        )
    vacuum_analyze(dsn)


def verify(dsn: str, documents: int) -> None:
    """Raise unless every document carries its text and the queue is empty."""
    with psycopg.connect(dsn) as connection:
        verify_documents(connection, documents)
        verify_empty(connection, "select count(*) from ocr_queue")


def process_one(
    connection: psycopg.Connection[Any],
    name: str,
    text: Callable[[], str],
    words: int,
) -> int:
    """Claim a job and store its result; how many there were, 1 or 0."""
    with connection.transaction():
        job = connection.execute(CLAIM_ONE, [name]).fetchone()
        if job is None:
            return 0
        connection.execute(MARK_ONE, [job[1]]).fetchone()
    result = [text(), CONFIDENCE, words, MILLISECONDS, job[1]]
    with connection.transaction():
        connection.execute(STORE_ONE, result)
        connection.execute(FINISH_ONE, [job[0]])
    return 1


def process_many(
    connection: psycopg.Connection[Any],
    name: str,
    text: Callable[[], str],
    words: int,
    batch: int,
) -> int:
    """The same for a batch; how many jobs there were."""
    with connection.transaction():
        jobs = connection.execute(CLAIM_MANY, [name, batch]).fetchall()
        if not jobs:
            return 0
        documents: list[UUID] = [document for _, document in jobs]
        connection.execute(MARK_MANY, [documents]).fetchall()
    results: Sequence[Any] = [
        documents,
        [text() for _ in jobs],
        [CONFIDENCE] * len(jobs),
        [words] * len(jobs),
        [MILLISECONDS] * len(jobs),
    ]
    with connection.transaction():
        connection.execute(STORE_MANY, results)
        connection.execute(FINISH_MANY, [[job for job, _ in jobs]])
    return len(jobs)


def texts(workload: Workload, number: int) -> Callable[[], str]:
    """The texts of a worker, one after the other; those of another one differ."""
    numbers = itertools.count(number * APART)
    return lambda: workload.text(next(numbers))


def work_one(number: int, ready: Ready, dsn: str, workload: Workload) -> None:
    """Two statements for the claim, two for the completion, in two transactions."""
    name, words, text = f"worker-{number}", workload.word_count, texts(workload, number)
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
        ready()
        while process_one(connection, name, text, words):
            pass


def work_one_cte(number: int, ready: Ready, dsn: str, workload: Workload) -> None:
    """One statement for each step: as few round trips as two commits allow."""
    name, words, text = f"worker-{number}", workload.word_count, texts(workload, number)
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
        ready()
        while job := connection.execute(CLAIM_ONE_CTE, [name]).fetchone():
            connection.execute(
                STORE_ONE_CTE, [text(), CONFIDENCE, words, MILLISECONDS, job[1], job[0]]
            )


def work_many(
    number: int, ready: Ready, dsn: str, workload: Workload, batch: int
) -> None:
    """The same statements for a batch, their parameters as arrays."""
    name, words, text = f"worker-{number}", workload.word_count, texts(workload, number)
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
        ready()
        while process_many(connection, name, text, words, batch):
            pass


@dataclass(frozen=True)
class Handwritten:
    """Through psycopg. ``batch`` None is one statement a step; see ``work_one_cte``."""

    batch: int | None
    compression: str | None = None
    fewest_indexes: bool = False

    kind = "baseline"
    version = ""

    @property
    def name(self) -> str:
        """Its name in every table."""
        how = {None: "one CTE per step", 1: "one at a time"}.get(
            self.batch, f"batches of {self.batch}"
        )
        suffix = f", {self.compression}" if self.compression else ""
        suffix += ", fewest indexes" if self.fewest_indexes else ""
        return f"handwritten, {how}{suffix}"

    @property
    def note(self) -> str:
        """How it works, in a sentence."""
        return {
            None: "psycopg, prepared: claim and completion are one statement each, the"
            " least that two commits allow.",
            1: "psycopg, prepared: two statements in a transaction for the claim, two"
            " for the completion.",
        }.get(
            self.batch,
            "psycopg, prepared: the same statements with arrays (= any, unnest), two"
            " transactions a batch.",
        )

    def unavailable(self, server: Server) -> str | None:
        """Texts cannot be stored with lz4 where the server was built without."""
        if self.compression == "lz4" and not has_lz4(server):
            return "this server was built without lz4"
        return None

    def install(self, dsn: str) -> None:
        """Make the tables."""
        install(dsn, self.compression)
        if self.fewest_indexes:
            drop_extra_indexes(dsn)

    def fill(self, dsn: str, documents: int) -> None:
        """Make a backlog."""
        fill(dsn, documents)

    def drain(self, dsn: str, workers: int, workload: Workload) -> float:
        """Work it off; the seconds it took."""
        if self.batch is None:
            return processes(workers, work_one_cte, (dsn, workload))
        if self.batch == 1:
            return processes(workers, work_one, (dsn, workload))
        return processes(workers, work_many, (dsn, workload, self.batch))

    def verify(self, dsn: str, documents: int) -> None:
        """Raise unless all of it is done."""
        verify(dsn, documents)
