"""The calls whose races are made from a table.

A new public function belongs here, or into ``ALONE`` with the reason why not.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What db/tests/isolation/pairs/setup.sql can make of the one document.
STATES = (
    "new",
    "pending",
    "processing",
    "expired",
    "taken",
    "completed",
    "failed",
    "aside",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call on the one document, as a session makes it."""

    name: str
    #: The public function, or None for plain SQL.
    function: str | None
    #: One statement; {who} is the session that makes it.
    sql: str
    #: The states in which it has something to do.
    states: tuple[str, ...]
    #: What it answers where it has passed over what another session holds.
    passes_over: tuple[str, ...] = ()
    #: What it answers where it was refused, beside errors; nothing has changed then.
    refused: tuple[str, ...] = ()
    #: Its pairs are run by every ``make test``, the others by ``make proof``.
    often: bool = True
    #: Its pairs are also run at the stricter isolation levels, and where the calls are
    #: stopped in the middle.
    strict: bool = False

    @property
    def waits(self) -> bool:
        """Whether it may wait for who holds the document or the job."""
        return self.function is None or not self.passes_over


CALLS = (
    Call(
        "claim",
        "claim_ocr_jobs",
        "select claim('{who}') as claimed;",
        ("pending", "expired"),
        passes_over=("0",),
        strict=True,
    ),
    Call(
        "extend",
        "extend_ocr_leases",
        "select count(*) from extend_ocr_leases(array[doc()], array[late()]);",
        ("processing", "expired"),
        refused=("0",),
    ),
    Call(
        "report",
        "report_ocr_progress",
        "select report_ocr_progress(doc(), late(), 1, 2) as reported;",
        ("processing",),
        refused=("f",),
    ),
    Call(
        "write",
        "update_ocr_safe",
        "select update_ocr_safe(doc(), '1.pdf', 'late by {who}', 90, 3, 10, late());",
        ("processing", "expired"),
        refused=("f",),
        strict=True,
    ),
    Call(
        "batch",
        "update_ocr_batch_safe",
        "select outcome from update_ocr_batch_safe(result('late by {who}', late()));",
        ("processing",),
        refused=("stale_lease", "already_completed", "document_missing"),
    ),
    Call(
        "fail",
        "fail_ocr_job",
        "select fail_ocr_job(doc(), late(), 'torn page') as failed;",
        ("processing",),
        refused=("stale_lease",),
        strict=True,
    ),
    Call(
        "release",
        "release_ocr_job",
        "select release_ocr_job(doc(), late()) as released;",
        ("processing",),
        refused=("f",),
    ),
    Call(
        "reset",
        "reset_stuck_ocr_jobs",
        "select reset_stuck_ocr_jobs(30) as reset;",
        ("processing",),
        passes_over=("0",),
        strict=True,
    ),
    Call(
        "cancel",
        "cancel_ocr_job",
        "select cancel_ocr_job(doc(), 'not needed') as cancelled;",
        ("pending", "processing"),
        refused=("f",),
        strict=True,
    ),
    Call(
        "requeue",
        "requeue_document",
        "select requeue_document(doc(), 'read again') is not null as requeued;",
        ("pending", "processing", "completed", "failed"),
        strict=True,
    ),
    Call(
        "retry",
        "retry_failed_ocr_jobs",
        "select retry_failed_ocr_jobs() as retried;",
        ("failed",),
        passes_over=("0",),
    ),
    Call(
        "repair",
        "repair_database_consistency",
        "select kind, affected from repair_database_consistency(false);",
        ("new",),
        passes_over=("pending_without_job 0",),
    ),
    Call(
        "delete",
        None,
        "delete from documents where id = doc() returning true as deleted;",
        ("pending", "processing", "completed", "failed"),
        strict=True,
    ),
    Call(
        "touch",
        None,
        "update documents set mime_type = '{who}' where id = doc() "
        "returning mime_type;",
        ("pending", "processing", "completed"),
        strict=True,
    ),
    Call(
        "complete",
        None,
        "update documents set ocr_status = 'completed', ocr_text = 'late by {who}', "
        "ocr_confidence = 90, ocr_word_count = 3, ocr_result_token = late() "
        "where id = doc() returning ocr_status;",
        ("processing",),
        strict=True,
    ),
    Call(
        "enqueue",
        "enqueue_ocr_job",
        "select enqueue_ocr_job(doc()) is not null as enqueued;",
        ("new", "pending", "failed"),
    ),
    Call(
        "restore",
        "restore_previous_result",
        "select restore_previous_result(doc()) as restored;",
        ("aside",),
        refused=("f",),
    ),
    Call(
        "arrays",
        "update_ocr_arrays_safe",
        "select outcome from update_ocr_arrays_safe(array[doc()], array['1.pdf'], "
        "array['late by {who}'], array[90], array[3], array[10], array[late()]);",
        ("processing",),
        refused=("stale_lease", "already_completed", "document_missing"),
        often=False,
    ),
    Call(
        "replace",
        None,
        "update documents set file_hash = repeat('2', 64) where id = doc() "
        "returning true as replaced;",
        ("pending", "processing"),
        often=False,
    ),
    Call(
        "hurry",
        None,
        "update ocr_queue set priority = 10 where document_id = doc() "
        "returning priority;",
        ("pending", "processing", "failed"),
        # an UPDATE that waited for a job which then went does not see the one that
        # has come in its place
        passes_over=("",),
        often=False,
    ),
    Call(
        "enqueue_many",
        "enqueue_ocr_jobs",
        "select count(*) as enqueued from enqueue_ocr_jobs(array[doc()]);",
        ("new", "failed"),
        often=False,
    ),
    Call(
        "sweep_up",
        "enqueue_pending_documents",
        "select enqueue_pending_documents() as enqueued;",
        ("new",),
        passes_over=("0",),
        often=False,
    ),
    Call(
        "ingest",
        "ingest_ocr_documents",
        "select created from ingest_ocr_documents(files());",
        ("pending",),
        often=False,
    ),
    Call(
        "check_file",
        "record_ocr_file_checks",
        "select record_ocr_file_checks(array[doc()], array[true], "
        "array[repeat('1', 64)]) as checked;",
        ("pending", "completed"),
        passes_over=("0",),
        often=False,
    ),
    Call(
        "validate",
        "validate_database_consistency",
        "select data_integrity_score as score, inconsistent_ocr_states as states "
        "from validate_database_consistency();",
        ("new", "processing"),
        often=False,
    ),
)
CALL = {call.name: call for call in CALLS}


@dataclass(frozen=True, slots=True)
class Triple:
    """Three calls, each by a session of its own."""

    calls: tuple[str, str, str]
    states: tuple[str, ...]
    #: As of a call.
    often: bool = False


TRIPLES = (
    Triple(("write", "reset", "claim"), ("processing",), often=True),
    Triple(("write", "cancel", "claim"), ("pending", "processing"), often=True),
    Triple(("write", "requeue", "claim"), ("processing", "completed"), often=True),
    Triple(("write", "delete", "enqueue"), ("processing",), often=True),
    # one of the claims finds the lease expired
    Triple(("write", "claim", "claim"), ("expired",), often=True),
    Triple(("write", "cancel", "enqueue"), ("processing",)),
    Triple(("write", "release", "claim"), ("processing",)),
    Triple(("write", "replace", "claim"), ("processing",)),
    Triple(("batch", "reset", "claim"), ("processing",)),
    Triple(("complete", "reset", "claim"), ("processing",)),
    Triple(("fail", "reset", "claim"), ("processing",)),
    Triple(("extend", "reset", "claim"), ("processing",)),
    Triple(("extend", "claim", "claim"), ("expired",)),
    Triple(("claim", "cancel", "requeue"), ("pending",)),
    Triple(("claim", "retry", "requeue"), ("failed",)),
    Triple(("claim", "restore", "requeue"), ("aside",)),
)

#: Public functions that have no pairs here, and why.
ALONE = {
    "acquire_lease_lock": "touches no document or job; locks.spec",
    "create_ocr_history_partitions": "touches no document or job",
    "find_document_files": "reads",
    "find_inconsistencies": "reads what validate_database_consistency() counts",
    "find_stuck_ocr_jobs": "reads; reset_stuck_ocr_jobs() resets what it finds",
    "lock_resource": "touches no document or job; locks.spec",
    "pause_ocr_queue": "touches no document or job; claim_operating.spec",
    "refresh_ocr_stats": "reads; stats.spec",
    "release_lease_lock": "touches no document or job; locks.spec",
    "resume_ocr_queue": "touches no document or job; claim_operating.spec",
    "set_guard_mode": "the owner's, on adopted tables; test_adoption.py",
    "set_ocr_setting": "touches no document or job",
}
