"""Run (a): tables and statements as an application writes them by hand.

The UPDATE is the specification's "current (vulnerable)" one, word for word. The rest
is not careless: jobs are claimed with ``for update skip locked`` and stuck ones are
reset. It is what is missing that does the harm: nothing ties a result to the attempt
that it comes from, nor to the bytes that it was read from.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import Connection

from ocr_guardrails.demo.gauge import install_gauge, make_schema
from ocr_guardrails.demo.pages import Sample
from ocr_guardrails.demo.workload import Offer, Task

# The statement of the specification, with this driver's placeholders.
VULNERABLE_UPDATE = (
    "UPDATE documents SET ocr_text = %(text)s, ocr_status = 'completed'"
    " WHERE id = %(document_id)s"
)

TABLES = """
create table documents (
    id uuid primary key default gen_random_uuid(),
    filename text not null,
    file_path text not null,
    ocr_status text not null default 'pending',
    ocr_text text,
    updated_at timestamptz not null default now()
);
create table ocr_queue (
    id bigint generated always as identity primary key,
    document_id uuid not null references documents (id) on delete cascade,
    status text not null default 'pending',
    worker_id text,
    started_at timestamptz
);
"""

TAKE_JOB = """
update ocr_queue
set status = 'processing', worker_id = %(worker)s, started_at = now()
where id = (
    select id from ocr_queue
    where status = 'pending'
    order by id
    limit 1
    for update skip locked
)
returning document_id
"""

MARK_PROCESSING = """
update documents set ocr_status = 'processing', updated_at = now()
where id = %(document_id)s
returning id, filename, file_path
"""

FIND = "select id, filename, file_path from documents where id = %(document_id)s"

RESET_STUCK = """
with stuck as (
    update documents set ocr_status = 'pending', updated_at = now()
    where ocr_status = 'processing' and updated_at < now() - interval '30 minutes'
    returning id
)
update ocr_queue set status = 'pending', worker_id = null, started_at = null
where document_id in (select id from stuck)
"""


def install_plain(
    connection: Connection[Any], schema: str, samples: Sequence[Sample]
) -> None:
    """Make the tables and fill the queue, in the order of the samples."""
    make_schema(connection, schema)
    connection.execute(TABLES)
    install_gauge(connection)
    for sample in samples:
        connection.execute(
            """
            with one as (
                insert into documents (filename, file_path)
                values (%s, %s) returning id
            )
            insert into ocr_queue (document_id) select id from one
            """,
            [sample.filename, str(sample.path)],
        )


class PlainStore:
    """A worker's connection, in autocommit as pools have it."""

    def __init__(
        self, connection: Connection[Any], worker: str, numbers: Mapping[str, int]
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._numbers = numbers

    def take(self) -> UUID | None:
        """The first statement of a claim."""
        row = self._connection.execute(TAKE_JOB, {"worker": self._worker}).fetchone()
        return row[0] if row else None

    def mark(self, document_id: UUID) -> Task:
        """The second statement of a claim."""
        return self._task(MARK_PROCESSING, document_id)

    def find(self, document_id: UUID) -> Task:
        """The document of a claim whose second statement never comes."""
        return self._task(FIND, document_id)

    def claim(self) -> Task | None:
        """Take the next job, if there is one: two statements, two transactions."""
        document_id = self.take()
        return None if document_id is None else self.mark(document_id)

    def _task(self, statement: str, document_id: UUID) -> Task:
        [(found, filename, path)] = self._connection.execute(
            statement, {"document_id": document_id}
        )
        return Task(found, self._numbers[path], filename, Path(path))

    def write(self, task: Task, offer: Offer) -> bool:
        """Write the result and remove the job. Nobody asks whose job it is."""
        self._connection.execute(
            VULNERABLE_UPDATE,
            {"document_id": task.document_id, "text": offer.reading.text},
        )
        self._connection.execute(
            "delete from ocr_queue where document_id = %s", [task.document_id]
        )
        return True

    def give_up(self, task: Task, error: str) -> None:
        """Never needed: nothing is ever refused."""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class PlainOperator:
    """The monitor that resets stuck jobs."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def reset(self, document_id: UUID) -> None:
        """Half an hour passes for one document, then the monitor comes round."""
        with self._lock:
            self._connection.execute(
                "update documents set updated_at = now() - interval '31 minutes'"
                " where id = %s and ocr_status = 'processing'",
                [document_id],
            )
            self._connection.execute(RESET_STUCK)

    def rescue(self) -> int:
        """Half an hour passes for all that is left, then the monitor comes round."""
        with self._lock:
            self._connection.execute(
                "update documents set updated_at = now() - interval '31 minutes'"
                " where ocr_status = 'processing'"
            )
            self._connection.execute(
                "update ocr_queue set started_at = now() - interval '31 minutes'"
                " where status = 'processing'"
            )
            return self._connection.execute(RESET_STUCK).rowcount

    def remaining(self) -> int:
        """How many jobs are pending."""
        return self._count("select count(*) from ocr_queue where status = 'pending'")

    def completed(self) -> int:
        """How many documents are completed."""
        return self._count(
            "select count(*) from documents where ocr_status = 'completed'"
        )

    def _count(self, query: str) -> int:
        with self._lock:
            row = self._connection.execute(query).fetchone()
        return int(row[0]) if row else 0
