"""The rows that the SQL functions take and return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

DocumentId = UUID | int | str
"""As in the database: uuid in a fresh install, else whatever ``documents.id`` is."""


class Outcome(StrEnum):
    """What became of an offered result."""

    WRITTEN = "written"
    ALREADY_WRITTEN = "already_written"
    ALREADY_COMPLETED = "already_completed"
    DOCUMENT_MISSING = "document_missing"
    STALE_LEASE = "stale_lease"
    LEASE_REQUIRED = "lease_required"
    FILENAME_MISMATCH = "filename_mismatch"
    SOURCE_MISMATCH = "source_mismatch"
    IMPLAUSIBLE_RESULT = "implausible_result"
    FOREIGN_TEXT = "foreign_text"
    REJECTED_BY_DATABASE = "rejected_by_database"

    @property
    def is_written(self) -> bool:
        """Whether the result stands in the database under the offered token."""
        return self in (Outcome.WRITTEN, Outcome.ALREADY_WRITTEN)


class ErrorClass(StrEnum):
    """What kind of failure ``fail_ocr_job`` is told of.

    ``document``: may pass; tried again after a backoff until attempts are used up.
    ``permanent``: another attempt would fail alike; the job is dead at once.
    ``infrastructure``: not the document's fault; spends no attempt, feeds the circuit.
    """

    DOCUMENT = "document"
    PERMANENT = "permanent"
    INFRASTRUCTURE = "infrastructure"


class FailureAnswer(StrEnum):
    """What became of a job whose failure was reported."""

    RETRY = "retry"
    DEAD = "dead"
    STALE_LEASE = "stale_lease"


@dataclass(frozen=True, slots=True)
class FileToIngest:
    """A file for ``ingest_ocr_documents``; ``file_hash`` is SHA-256 in lower hex."""

    filename: str
    file_path: str | None = None
    file_hash: str | None = None
    file_size: int | None = None
    mime_type: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentFile:
    """Where a document's file is, and the hash that it is known by."""

    document_id: DocumentId
    file_path: str
    file_hash: str | None


@dataclass(frozen=True, slots=True)
class EnqueuedJob:
    """One answer of ``enqueue_ocr_jobs``: the live job of a document."""

    document_id: DocumentId
    job_id: DocumentId


@dataclass(frozen=True, slots=True)
class IngestedDocument:
    """One answer of ``ingest_ocr_documents``.

    ``ordinal`` counts the input from 1. ``created`` is False for a file that was there
    already; ``document_id`` is the existing document's then.
    """

    ordinal: int
    document_id: DocumentId
    created: bool


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job.

    ``lease_token`` is the right to write this document's result. ``lease`` is how long
    it lasts from the claim, by the database's clock, unless it is extended.
    """

    job_id: DocumentId
    document_id: DocumentId
    filename: str
    file_path: str | None
    file_hash: str | None
    file_size: int | None
    mime_type: str | None
    priority: int
    attempt: int
    max_attempts: int
    lease_token: UUID
    lease_expires_at: datetime
    lease: timedelta


@dataclass(frozen=True, slots=True)
class LeaseExtension:
    """A lease that still is the caller's, and its new end."""

    document_id: DocumentId
    lease_expires_at: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """A result to offer; ``confidence`` is 0 to 100."""

    document_id: DocumentId
    expected_filename: str
    ocr_text: str
    confidence: float
    word_count: int
    processing_time_ms: int
    lease_token: UUID | None = None
    source_hash: str | None = None
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of one result of a batch; ``detail`` says why it was refused."""

    document_id: DocumentId | None
    outcome: Outcome
    detail: str | None


@dataclass(frozen=True, slots=True)
class StuckJob:
    """A document in processing without a sign of life."""

    document_id: DocumentId
    filename: str
    worker_id: str | None
    started_at: datetime | None
    minutes_stuck: int
    last_heartbeat: datetime | None


@dataclass(frozen=True, slots=True)
class Consistency:
    """The validator's row.

    ``data_integrity_score`` is 0 to 100; ``counts`` has one number per kind of
    finding, as ``find_inconsistencies`` lists them.
    """

    orphaned_queue_items: int
    documents_without_files: int
    inconsistent_ocr_states: int
    data_integrity_score: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """One finding of the validator."""

    kind: str
    document_id: DocumentId | None
    job_id: DocumentId | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class RepairAction:
    """What a repair did, or would do."""

    kind: str
    action: str
    affected: int
