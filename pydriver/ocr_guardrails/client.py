"""A thin, typed driver: one method for each SQL function, under the same name.

It holds no rule of its own. What a function does, returns and raises is in its
COMMENT in the database; the docstrings here say what Python makes of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, LiteralString, TypeVar
from uuid import UUID

from psycopg import Connection, Cursor, sql
from psycopg.adapt import PyFormat
from psycopg.rows import RowFactory, RowMaker, dict_row, no_result, scalar_row
from psycopg.types.json import Json

from ocr_guardrails.connection import SchemaConnection
from ocr_guardrails.errors import InvalidArgument, translated
from ocr_guardrails.models import (
    BatchOutcome,
    Consistency,
    DocumentFile,
    DocumentId,
    EnqueuedJob,
    ErrorClass,
    FailureAnswer,
    FileToIngest,
    Inconsistency,
    IngestedDocument,
    Job,
    LeaseExtension,
    Outcome,
    RepairAction,
    Result,
    StuckJob,
)

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

__all__ = ["Guardrails"]

Row = dict[str, Any]
T = TypeVar("T")

# psycopg types a number by its value (7 is a smallint), and functions are found by the
# types of their arguments. Identifiers are left alone: their type is the schema's.
_TYPES: Mapping[str, str] = {
    "p_actual_hashes": "text[]",
    "p_batch_size": "integer",
    "p_confidence": "double precision",
    "p_confidences": "double precision[]",
    "p_current": "integer",
    "p_dry_run": "boolean",
    "p_engine": "text",
    "p_engines": "text[]",
    "p_error": "text",
    "p_error_class": "text",
    "p_error_like": "text",
    "p_expected_filename": "text",
    "p_expected_filenames": "text[]",
    "p_fence": "bigint",
    "p_files": "json",
    "p_lease": "interval",
    "p_lease_token": "uuid",
    "p_lease_tokens": "uuid[]",
    "p_limit": "integer",
    "p_max_attempts": "integer",
    "p_months_ahead": "integer",
    "p_name": "text",
    "p_ocr_text": "text",
    "p_ocr_texts": "text[]",
    "p_owner": "text",
    "p_present": "boolean[]",
    "p_priority": "integer",
    "p_processing_time_ms": "integer",
    "p_processing_times_ms": "integer[]",
    "p_raise_if_closed": "boolean",
    "p_reason": "text",
    "p_results": "json",
    "p_run_after": "timestamptz",
    "p_source_hash": "text",
    "p_source_hashes": "text[]",
    "p_threshold_minutes": "integer",
    "p_timeout": "interval",
    "p_total": "integer",
    "p_ttl": "interval",
    "p_value": "text",
    "p_word_count": "integer",
    "p_word_counts": "integer[]",
    "p_worker_id": "text",
}

# Sent in psycopg's binary form: a long text in an array would else be searched for
# quotes, letter by letter and on both sides.
_BINARY = frozenset(
    {
        "p_confidences",
        "p_engines",
        "p_expected_filenames",
        "p_lease_tokens",
        "p_ocr_texts",
        "p_processing_times_ms",
        "p_source_hashes",
        "p_word_counts",
    }
)

# Left out when None, so that the function's own default holds. A None for any other
# argument is sent, and refused by name where NULL makes no sense.
_OMITTABLE = frozenset(
    {
        "p_after",
        "p_batch_size",
        "p_dry_run",
        "p_error_class",
        "p_error_like",
        "p_lease",
        "p_limit",
        "p_max_attempts",
        "p_months_ahead",
        "p_priority",
        "p_raise_if_closed",
        "p_run_after",
        "p_threshold_minutes",
        "p_timeout",
    }
)

# The one addition to a function's own columns: how long the leases last. A worker has
# to know how often to extend them, and its clock may differ from the database's.
_LEASE: LiteralString = (
    "answer.*, answer.lease_expires_at - statement_timestamp() as lease"
)


class Guardrails:
    """The package's functions, over a psycopg 3 connection or a connection pool.

    With a connection the caller owns the transaction: nothing here commits or rolls
    back, and an error leaves the transaction to the caller, as psycopg does. With a
    pool every call is a transaction of its own.

    Without ``schema`` the functions are found through the connection's search_path;
    with it they are named in full, which also works behind a pooler that does not let
    a client set its search_path. ``ocr_guardrails.connection.connect`` sees to that by
    itself.

    Arguments that are left out, or None, take the SQL function's own default. Errors
    are those of ``ocr_guardrails.errors``.
    """

    def __init__(
        self,
        connection: Connection[Any] | ConnectionPool[Any],
        *,
        schema: str | None = None,
    ) -> None:
        self._source = connection
        if schema is None and isinstance(connection, SchemaConnection):
            schema = connection.schema
        self._schema = schema

    # -- producing ---------------------------------------------------------------------

    def ingest_ocr_documents(
        self, files: Sequence[FileToIngest], *, priority: int | None = None
    ) -> list[IngestedDocument]:
        """Insert and enqueue the files whose hash is not there yet.

        Answers one row per file, in input order. Calls ``ingest_ocr_documents``.
        """
        return self._models(
            IngestedDocument,
            "ingest_ocr_documents",
            p_files=_json([_as_row(file) for file in files]),
            p_priority=priority,
        )

    def enqueue_ocr_job(
        self,
        document_id: DocumentId,
        *,
        priority: int | None = None,
        run_after: datetime | None = None,
        max_attempts: int | None = None,
    ) -> DocumentId:
        """Enqueue a document and answer its live job's id.

        Raises DocumentMissing, AlreadyCompleted. Calls ``enqueue_ocr_job``.
        """
        return self._id(
            "enqueue_ocr_job",
            p_document_id=document_id,
            p_priority=priority,
            p_run_after=run_after,
            p_max_attempts=max_attempts,
        )

    def enqueue_ocr_jobs(
        self,
        document_ids: Sequence[DocumentId],
        *,
        priority: int | None = None,
        run_after: datetime | None = None,
        max_attempts: int | None = None,
    ) -> list[EnqueuedJob]:
        """Enqueue many documents, all or none, and answer the live job of each.

        Raises DocumentMissing, AlreadyCompleted. Calls ``enqueue_ocr_jobs``.
        """
        return self._models(
            EnqueuedJob,
            "enqueue_ocr_jobs",
            p_document_ids=list(document_ids),
            p_priority=priority,
            p_run_after=run_after,
            p_max_attempts=max_attempts,
        )

    def enqueue_pending_documents(self, limit: int | None = None) -> int:
        """Enqueue pending documents that have no live job; answers how many.

        Calls ``enqueue_pending_documents``.
        """
        return int(self._scalar("enqueue_pending_documents", p_limit=limit))

    def requeue_document(
        self, document_id: DocumentId, reason: str, *, priority: int | None = None
    ) -> DocumentId:
        """Set a document's result aside and enqueue it; answers the job's id.

        Raises DocumentMissing. Calls ``requeue_document``.
        """
        return self._id(
            "requeue_document",
            p_document_id=document_id,
            p_reason=reason,
            p_priority=priority,
        )

    def restore_previous_result(self, document_id: DocumentId) -> bool:
        """Bring the set-aside result back; False when there is none.

        Calls ``restore_previous_result``.
        """
        return bool(self._scalar("restore_previous_result", p_document_id=document_id))

    # -- working -----------------------------------------------------------------------

    def claim_ocr_jobs(
        self,
        worker_id: str,
        batch_size: int | None = None,
        *,
        lease: timedelta | None = None,
        raise_if_closed: bool | None = None,
    ) -> list[Job]:
        """Take pending jobs, each under a new lease.

        Raises QueueClosed if ``raise_if_closed``. Calls ``claim_ocr_jobs``.
        """
        return self._call(
            "claim_ocr_jobs",
            {
                "p_worker_id": worker_id,
                "p_batch_size": batch_size,
                "p_lease": lease,
                "p_raise_if_closed": raise_if_closed,
            },
            _rows_of(Job),
            columns=_LEASE,
        )

    def extend_ocr_leases(
        self,
        document_ids: Sequence[DocumentId],
        lease_tokens: Sequence[UUID],
        *,
        lease: timedelta | None = None,
    ) -> list[LeaseExtension]:
        """Extend many leases at once.

        A document that is missing from the answer is lost: stop working on it. Calls
        ``extend_ocr_leases``.
        """
        return self._models(
            LeaseExtension,
            "extend_ocr_leases",
            p_document_ids=list(document_ids),
            p_lease_tokens=list(lease_tokens),
            p_lease=lease,
        )

    def report_ocr_progress(
        self, document_id: DocumentId, lease_token: UUID, current: int, total: int
    ) -> bool:
        """Report pages done; False when the lease is no longer ours.

        Calls ``report_ocr_progress``.
        """
        return bool(
            self._scalar(
                "report_ocr_progress",
                p_document_id=document_id,
                p_lease_token=lease_token,
                p_current=current,
                p_total=total,
            )
        )

    def update_ocr_safe(
        self,
        document_id: DocumentId,
        expected_filename: str,
        ocr_text: str,
        confidence: float,
        word_count: int,
        processing_time_ms: int,
        *,
        lease_token: UUID | None = None,
        source_hash: str | None = None,
        engine: str | None = None,
    ) -> bool:
        """Offer a result; True when it stands in the database under this token.

        False leaves everything as it was and an incident that says why. A text with a
        NUL or a lone surrogate, which PostgreSQL cannot hold, is InvalidArgument and
        is not sent. Calls ``update_ocr_safe``.
        """
        return bool(
            self._scalar(
                "update_ocr_safe",
                p_document_id=document_id,
                p_expected_filename=expected_filename,
                p_ocr_text=ocr_text,
                p_confidence=confidence,
                p_word_count=word_count,
                p_processing_time_ms=processing_time_ms,
                p_lease_token=lease_token,
                p_source_hash=source_hash,
                p_engine=engine,
            )
        )

    def update_ocr_batch_safe(self, results: Sequence[Result]) -> list[BatchOutcome]:
        """Offer many results; answers an outcome for each, in input order.

        One result that the database cannot take (a NUL, a NaN) does not take the
        others down. Calls ``update_ocr_arrays_safe``, or ``update_ocr_batch_safe``
        where a value has no place in an array of its type.
        """
        arrays = _arrays(results)
        if arrays is not None:
            rows = self._call("update_ocr_arrays_safe", arrays, dict_row)
        else:
            rows = self._call(
                "update_ocr_batch_safe",
                {"p_results": _json([_offered(result) for result in results])},
                dict_row,
            )
        return [
            BatchOutcome(row["document_id"], Outcome(row["outcome"]), row["detail"])
            for row in rows
        ]

    def fail_ocr_job(
        self,
        document_id: DocumentId,
        lease_token: UUID,
        error: str,
        error_class: ErrorClass | str | None = None,
        *,
        engine: str | None = None,
    ) -> FailureAnswer:
        """Report a failed attempt. Calls ``fail_ocr_job``."""
        return FailureAnswer(
            self._scalar(
                "fail_ocr_job",
                p_document_id=document_id,
                p_lease_token=lease_token,
                p_error=error,
                p_error_class=None if error_class is None else str(error_class),
                p_engine=engine,
            )
        )

    def release_ocr_job(self, document_id: DocumentId, lease_token: UUID) -> bool:
        """Give a claimed job back without spending an attempt.

        False when the lease is no longer ours. Calls ``release_ocr_job``.
        """
        return bool(
            self._scalar(
                "release_ocr_job",
                p_document_id=document_id,
                p_lease_token=lease_token,
            )
        )

    # -- operating ---------------------------------------------------------------------

    def find_stuck_ocr_jobs(
        self, threshold_minutes: int | None = None
    ) -> list[StuckJob]:
        """Documents in processing without a sign of life for that long.

        Calls ``find_stuck_ocr_jobs``.
        """
        return self._models(
            StuckJob, "find_stuck_ocr_jobs", p_threshold_minutes=threshold_minutes
        )

    def reset_stuck_ocr_jobs(self, threshold_minutes: int | None = None) -> int:
        """Return exactly those to the queue; answers how many.

        Calls ``reset_stuck_ocr_jobs``.
        """
        return int(
            self._scalar("reset_stuck_ocr_jobs", p_threshold_minutes=threshold_minutes)
        )

    def cancel_ocr_job(self, document_id: DocumentId, reason: str) -> bool:
        """Cancel a document's live job; False when it has none.

        Calls ``cancel_ocr_job``.
        """
        return bool(
            self._scalar("cancel_ocr_job", p_document_id=document_id, p_reason=reason)
        )

    def retry_failed_ocr_jobs(
        self, limit: int | None = None, *, error_like: str | None = None
    ) -> int:
        """Give dead jobs new attempts; answers how many.

        Calls ``retry_failed_ocr_jobs``.
        """
        return int(
            self._scalar(
                "retry_failed_ocr_jobs", p_limit=limit, p_error_like=error_like
            )
        )

    def pause_ocr_queue(self, reason: str) -> bool:
        """Let no more jobs be claimed; True when this changed something.

        Calls ``pause_ocr_queue``.
        """
        return bool(self._scalar("pause_ocr_queue", p_reason=reason))

    def resume_ocr_queue(self) -> bool:
        """Let jobs be claimed again; True when this changed something.

        Calls ``resume_ocr_queue``.
        """
        return bool(self._scalar("resume_ocr_queue"))

    def validate_database_consistency(self) -> Consistency:
        """Count what is inconsistent. Calls ``validate_database_consistency``."""
        (row,) = self._call("validate_database_consistency", {}, dict_row)
        named = {
            field.name: row.pop(field.name)
            for field in fields(Consistency)
            if field.name != "counts"
        }
        return Consistency(**named, counts=row)

    def find_inconsistencies(self, limit: int | None = None) -> list[Inconsistency]:
        """List what the validator counts. Calls ``find_inconsistencies``."""
        return self._models(Inconsistency, "find_inconsistencies", p_limit=limit)

    def repair_database_consistency(
        self, *, dry_run: bool | None = None
    ) -> list[RepairAction]:
        """Repair what can be; a dry run only says what it would do.

        Calls ``repair_database_consistency``.
        """
        return self._models(
            RepairAction, "repair_database_consistency", p_dry_run=dry_run
        )

    def find_document_files(
        self, after: DocumentId | None = None, limit: int | None = None
    ) -> list[DocumentFile]:
        """The files that documents have, in order of the documents' ids.

        Those from the first id after ``after``. Calls ``find_document_files``.
        """
        return self._models(
            DocumentFile, "find_document_files", p_after=after, p_limit=limit
        )

    def record_ocr_file_checks(
        self,
        document_ids: Sequence[DocumentId],
        present: Sequence[bool],
        actual_hashes: Sequence[str | None],
    ) -> int:
        """Tell what a look at the documents' files found; answers how many.

        Calls ``record_ocr_file_checks``.
        """
        return int(
            self._scalar(
                "record_ocr_file_checks",
                p_document_ids=list(document_ids),
                p_present=list(present),
                p_actual_hashes=list(actual_hashes),
            )
        )

    def refresh_ocr_stats(self) -> bool:
        """Refresh ``ocr_stats``; False when another refresh is under way.

        Calls ``refresh_ocr_stats``.
        """
        return bool(self._scalar("refresh_ocr_stats"))

    def set_ocr_setting(self, name: str, value: str | None) -> None:
        """Change a setting; None is NULL. Calls ``set_ocr_setting``."""
        self._scalar("set_ocr_setting", p_name=name, p_value=value)

    def set_guard_mode(self, mode: Literal["observe", "enforce"]) -> str:
        """Observe or enforce on adopted tables; the mode before.

        To enforce on large tables ``ocr_guardrails.adopt.enforce`` goes before it,
        which keeps the locks short. Calls ``set_guard_mode``.
        """
        return str(self._scalar("set_guard_mode", p_mode=mode))

    def lock_resource(self, name: str, *, timeout: timedelta | None = None) -> bool:
        """Take a named lock that is held to the end of the transaction.

        False when it was not free in time. Needs a connection: over a pool the
        transaction ends with the call. Calls ``lock_resource``.
        """
        if not isinstance(self._source, Connection):
            raise TypeError(
                "lock_resource needs a connection: over a pool its transaction, and "
                "the lock with it, would end with the call"
            )
        return bool(self._scalar("lock_resource", p_name=name, p_timeout=timeout))

    def acquire_lease_lock(self, name: str, owner: str, ttl: timedelta) -> int | None:
        """Take a named lock that outlives the connection, or None.

        The number grows with every holder. Calls ``acquire_lease_lock``.
        """
        fence = self._scalar(
            "acquire_lease_lock", p_name=name, p_owner=owner, p_ttl=ttl
        )
        return None if fence is None else int(fence)

    def release_lease_lock(self, name: str, fence: int) -> bool:
        """Give a named lock back; False when it is no longer ours.

        Calls ``release_lease_lock``.
        """
        return bool(self._scalar("release_lease_lock", p_name=name, p_fence=fence))

    def create_ocr_history_partitions(self, months_ahead: int | None = None) -> int:
        """Make the coming partitions of the history; answers how many.

        Calls ``create_ocr_history_partitions``.
        """
        return int(
            self._scalar("create_ocr_history_partitions", p_months_ahead=months_ahead)
        )

    # -- reading -----------------------------------------------------------------------

    def read(
        self,
        relation: str,
        *,
        columns: Sequence[str] = (),
        limit: int | None = None,
        latest_by: str | None = None,
    ) -> list[Row]:
        """The rows of one of the package's views or tables, as dictionaries.

        Without ``columns`` all of them. ``latest_by`` names the column to order by, the
        highest value first.
        """
        query = sql.SQL("select {} from {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns))
            if columns
            else sql.SQL("*"),
            _name(self._schema, relation),
        )
        if latest_by is not None:
            query += sql.SQL(" order by {} desc").format(sql.Identifier(latest_by))
        if limit is not None:
            query += sql.SQL(" limit {}").format(sql.Literal(limit))
        with translated(), self._connection() as connection:
            return connection.cursor(row_factory=dict_row).execute(query).fetchall()

    def read_document_files(self, page_size: int = 1000) -> Iterator[DocumentFile]:
        """All documents that have a file, in order of their ids, a page at a time.

        Calls ``find_document_files`` for each.
        """
        after: DocumentId | None = None
        while True:
            page = self.find_document_files(after, page_size)
            yield from page
            if len(page) < page_size:
                return
            after = page[-1].document_id

    # -- calling -----------------------------------------------------------------------

    def _connection(self) -> AbstractContextManager[Connection[Any]]:
        if isinstance(self._source, Connection):
            return nullcontext(self._source)
        return self._source.connection()

    def _call(
        self,
        function: str,
        arguments: Mapping[str, Any],
        rows: RowFactory[T],
        *,
        columns: LiteralString = "*",
    ) -> list[T]:
        given = {
            name: value
            for name, value in arguments.items()
            if value is not None or name not in _OMITTABLE
        }
        for name, value in given.items():
            if isinstance(value, str):
                _refuse_unsendable(name, value)
        query = _query(self._schema, function, tuple(given), columns)
        with translated(), self._connection() as connection:
            cursor = connection.cursor(row_factory=rows)
            return cursor.execute(query, given, prepare=_prepare(connection)).fetchall()

    def _scalar(self, function: str, /, **arguments: Any) -> Any:
        (value,) = self._call(function, arguments, scalar_row)
        return value

    def _id(self, function: str, /, **arguments: Any) -> DocumentId:
        value: DocumentId = self._scalar(function, **arguments)
        return value

    def _models(
        self, model: Callable[..., T], function: str, /, **arguments: Any
    ) -> list[T]:
        return self._call(function, arguments, _rows_of(model))


@lru_cache(maxsize=256)
def _query(
    schema: str | None,
    function: str,
    arguments: tuple[str, ...],
    columns: LiteralString,
) -> LiteralString:
    passed = sql.SQL(", ").join(
        sql.SQL("{} => {}{}").format(
            sql.Identifier(name),
            sql.Placeholder(
                name, PyFormat.BINARY if name in _BINARY else PyFormat.AUTO
            ),
            sql.SQL("::" + _TYPES[name] if name in _TYPES else ""),
        )
        for name in arguments
    )
    query = sql.SQL("select {} from {}({}) as {}").format(
        sql.SQL(columns),
        _name(schema, function),
        passed,
        sql.Identifier("answer"),
    )
    # As text, since psycopg would put a composed one together at every execution.
    return query.as_string(None)


def _name(schema: str | None, name: str) -> sql.Identifier:
    return sql.Identifier(name) if schema is None else sql.Identifier(schema, name)


def _prepare(connection: Connection[Any]) -> bool | None:
    # Preparing at once spares a hot call its parsing and planning. Where the
    # connection's owner switched preparing off (a pooler), it stays off.
    return None if connection.prepare_threshold is None else True


@lru_cache(maxsize=64)
def _rows_of(model: Callable[..., T]) -> RowFactory[T]:
    """Makes the rows of an answer into models, without a dictionary for each."""
    names = _field_names(model)

    def factory(cursor: Cursor[Any]) -> RowMaker[T]:
        result = cursor.pgresult
        if result is None or not result.nfields:
            return no_result
        columns = tuple(result.fname(index) for index in range(result.nfields))
        return _maker(model, names, columns)

    return factory


@lru_cache(maxsize=256)
def _maker(
    model: Callable[..., T], names: tuple[str, ...], columns: tuple[bytes | None, ...]
) -> RowMaker[T]:
    # By name and not by position: a later version of a function may answer more.
    positions = [columns.index(name.encode()) for name in names]
    if positions == list(range(len(columns))):
        return lambda values: model(*values)
    pick = itemgetter(*positions)
    return lambda values: model(*pick(values))


@lru_cache(maxsize=64)
def _field_names(model: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(model))


def _as_row(model: Any) -> Row:
    # The models are flat: no need for the deep copy that dataclasses.asdict() makes.
    return {name: getattr(model, name) for name in _field_names(model.__class__)}


def _arrays(results: Sequence[Result]) -> Row | None:
    """The results as arguments of ``update_ocr_arrays_safe``.

    None where an array would refuse, as a whole, what is to be judged one by one: a
    text that PostgreSQL cannot hold, a number out of range, an id of another type.
    """
    if not results or not all(map(_fits_array, results)):
        return None
    ids = [result.document_id for result in results]
    if len(set(map(type, ids))) > 1:
        return None
    return {
        "p_document_ids": ids,
        "p_expected_filenames": [result.expected_filename for result in results],
        "p_ocr_texts": [result.ocr_text for result in results],
        "p_confidences": [float(result.confidence) for result in results],
        "p_word_counts": [result.word_count for result in results],
        "p_processing_times_ms": [result.processing_time_ms for result in results],
        "p_lease_tokens": [result.lease_token for result in results],
        "p_source_hashes": _none_if_none(result.source_hash for result in results),
        "p_engines": _none_if_none(result.engine for result in results),
    }


def _fits_array(result: Result) -> bool:
    return (
        isinstance(result.document_id, (UUID, int))
        and isinstance(result.lease_token, UUID)
        and _is_integer(result.word_count)
        and _is_integer(result.processing_time_ms)
        and _is_text(result.expected_filename)
        and _is_text(result.ocr_text)
        and (result.source_hash is None or _is_text(result.source_hash))
        and (result.engine is None or _is_text(result.engine))
    )


def _is_integer(value: object) -> bool:
    return type(value) is int and -(2**31) <= value < 2**31


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _none_if_none(values: Iterable[str | None]) -> list[str | None] | None:
    # psycopg cannot tell the type of an array of nothing but None in binary form.
    listed = list(values)
    return None if all(value is None for value in listed) else listed


def _offered(result: Result) -> Row:
    offered = _as_row(result)
    # JSON has no NaN and no infinities. As words they reach the database, which
    # refuses that one result and says why.
    confidence = float(result.confidence)
    if not math.isfinite(confidence):
        sign = "-" if confidence < 0 else ""
        offered["confidence"] = "NaN" if math.isnan(confidence) else f"{sign}Infinity"
    return offered


def _json(value: object) -> Json:
    return Json(value, dumps=_dumps)


def _dumps(value: object) -> bytes:
    # Control characters are escaped either way, so that a NUL arrives as \u0000 and is
    # judged by the database. A lone surrogate has no UTF-8 form: escaped it arrives,
    # too, and only its own element is refused.
    try:
        return json.dumps(
            value, default=str, allow_nan=False, ensure_ascii=False
        ).encode()
    except UnicodeEncodeError:
        return json.dumps(value, default=str, allow_nan=False).encode()


def _refuse_unsendable(argument: str, value: str) -> None:
    offset = value.find("\0")
    if offset >= 0:
        raise InvalidArgument(
            f"{argument} must not contain a NUL character (found at offset {offset})",
            hint="PostgreSQL text cannot hold it: remove it or fix what produced it.",
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"{argument} must not contain a lone surrogate "
            f"(found at offset {error.start})",
            hint="It has no UTF-8 form: replace it or fix what produced it.",
        ) from error
