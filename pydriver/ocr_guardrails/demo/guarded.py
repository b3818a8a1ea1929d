"""Run (b): the same workers in front of the package's functions."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import Connection

from ocr_guardrails.client import Guardrails
from ocr_guardrails.demo.gauge import install_gauge, make_schema
from ocr_guardrails.demo.pages import Sample
from ocr_guardrails.demo.workload import Offer, Task
from ocr_guardrails.models import FileToIngest, Outcome, Result

# The package's defaults are made for days of work, the demo has a minute: retries come
# after a second at most, and expired leases are looked for every second.
SETTINGS = {"backoff_base": "0.5 seconds", "expiry_sweep_interval": "1 second"}

# After these the job is no longer this worker's; after any other refusal it still is.
_OVER = frozenset(
    {
        Outcome.ALREADY_COMPLETED,
        Outcome.STALE_LEASE,
        Outcome.DOCUMENT_MISSING,
        Outcome.REJECTED_BY_DATABASE,
    }
)


def install_guarded(
    connection: Connection[Any], dsn: str, schema: str, samples: Sequence[Sample]
) -> None:
    """Install the package into a schema and ingest the samples in their order."""
    from ocr_guardrails.migrate import migrate

    make_schema(connection, schema)
    migrate(dsn, schema)
    install_gauge(connection)
    guardrails = Guardrails(connection)
    for name, value in SETTINGS.items():
        guardrails.set_ocr_setting(name, value)
    # One call each, as files arrive from a scanner: they are claimed in this order.
    for sample in samples:
        guardrails.ingest_ocr_documents(
            [
                FileToIngest(
                    filename=sample.filename,
                    file_path=str(sample.path),
                    file_hash=sample.sha256,
                    file_size=sample.size,
                    mime_type=sample.mime_type,
                )
            ]
        )


class GuardedStore:
    """A worker's connection. What it may do is decided in the database."""

    def __init__(
        self,
        connection: Connection[Any],
        worker: str,
        numbers: Mapping[str, int],
        engine: str,
        lease: timedelta | None = None,
    ) -> None:
        self._connection = connection
        self._guardrails = Guardrails(connection)
        self._worker = worker
        self._numbers = numbers
        self._engine = engine
        self._lease = lease
        self.outcomes: Counter[Outcome] = Counter()
        connection.execute("select set_config('application_name', %s, false)", [worker])

    def claim(self) -> Task | None:
        """Take the next job under a lease of its own."""
        for job in self._guardrails.claim_ocr_jobs(self._worker, 1, lease=self._lease):
            path = str(job.file_path)
            document_id = UUID(str(job.document_id))
            return Task(
                document_id,
                self._numbers[path],
                job.filename,
                Path(path),
                job.lease_token,
            )
        return None

    def write(self, task: Task, offer: Offer) -> bool:
        """Offer the result with the lease's token and the hash of what was read."""
        [answer] = self._guardrails.update_ocr_batch_safe(
            [
                Result(
                    document_id=task.document_id,
                    expected_filename=task.filename,
                    ocr_text=offer.reading.text,
                    confidence=offer.reading.confidence,
                    word_count=offer.reading.word_count,
                    processing_time_ms=offer.reading.milliseconds,
                    lease_token=task.lease_token,
                    source_hash=offer.source_hash,
                    engine=self._engine,
                )
            ]
        )
        self.outcomes[answer.outcome] += 1
        return answer.outcome.is_written or answer.outcome in _OVER

    def give_up(self, task: Task, error: str) -> None:
        """Report the failed attempt: the job comes back after a short wait."""
        if task.lease_token is not None:
            self._guardrails.fail_ocr_job(task.document_id, task.lease_token, error)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class GuardedOperator:
    """An operator with the package's functions."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._guardrails = Guardrails(connection)
        self._lock = threading.Lock()

    def reset(self, document_id: UUID) -> None:
        """Half an hour passes for one job, then stuck jobs are reset."""
        with self._lock:
            self._connection.execute(
                "update ocr_queue set"
                " started_at = started_at - interval '31 minutes',"
                " heartbeat_at = heartbeat_at - interval '31 minutes'"
                " where document_id = %s and status = 'processing'",
                [document_id],
            )
            self._guardrails.reset_stuck_ocr_jobs(30)

    def rescue(self) -> int:
        """Nothing to do: the claims have returned expired leases by themselves."""
        return 0

    def remaining(self) -> int:
        """How many jobs are pending, or in processing and may yet come back."""
        return self._count(
            "select count(*) from ocr_queue where status in ('pending', 'processing')"
        )

    def completed(self) -> int:
        """How many documents are completed."""
        return self._count(
            "select count(*) from documents where ocr_status = 'completed'"
        )

    def _count(self, query: str) -> int:
        with self._lock:
            row = self._connection.execute(query).fetchone()
        return int(row[0]) if row else 0
