"""The contract as a small model in Python: what each call answers and leaves behind.

It knows nothing of SQL. Each public method is one call of the package or one plain
statement; it returns the answer, or raises ``Refused`` with the SQLSTATE. Whoever calls
it puts the model back as it was when a call is refused (``Oracle.copy``).

Several transactions may be open at a time (``begin``). Every call that names a document
locks it; a document that another transaction holds is waited for (``Waits``) or, by the
calls that wait for nobody, passed over.

Times are microseconds since 1970. What the database's clock decides is a ``Span`` until
it has been seen.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

SECOND = 1_000_000
MINUTE = 60 * SECOND
LEASE = 5 * MINUTE
CIRCUIT_WINDOW = MINUTE
CIRCUIT_COOLDOWN = MINUTE
BACKOFF_CAP = 60 * MINUTE

WRITTEN = "written"
REJECTED = "rejected_by_database"
STANDS = (WRITTEN, "already_written")

#: What plain one-table statements can cause, and nothing else may.
STRUCTURAL = {
    "processing_without_job",
    "job_of_completed_document",
    "job_of_failed_document",
    "job_without_processing_document",
}


class Refused(Exception):
    """The database raises this SQLSTATE, and nothing changes."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class Waits(Exception):
    """Another transaction holds what the call needs."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time between the begin and the end of the call, plus so much."""

    plus: int = 0
    slack: int = 0


Time = int | Span | None


@dataclass(slots=True)
class Job:
    """A row of ocr_queue."""

    id: UUID | None = None
    status: str = "pending"
    priority: int = 5
    attempts: int = 0
    max_attempts: int = 3
    run_after: Time = Span()
    worker: str | None = None
    lease_ends: Time = None
    started: Time = None
    heartbeat: Time = None
    progress: tuple[int, int] | None = None

    @property
    def live(self) -> bool:
        return self.status != "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """What stands in the result columns of a completed document."""

    text: str
    confidence: float
    words: int
    milliseconds: int | None
    engine: str | None
    source: str | None
    token: UUID | None


@dataclass(slots=True)
class Document:
    """A row of documents with the jobs and set-aside results that belong to it."""

    id: UUID
    filename: str
    path: str | None = None
    hash: str | None = None
    size: int | None = None
    status: str = "pending"
    result: Result | None = None
    lease: UUID | None = None
    claims: int = 0
    jobs: list[Job] = field(default_factory=list)
    previous: list[Result] = field(default_factory=list)
    #: As last seen; the model does not predict it.
    updated: int = 0
    #: How often the file was replaced: which text a worker reads.
    version: int = 0
    #: A plain statement changed one table of the two.
    is_mixed_up: bool = False

    @property
    def job(self) -> Job | None:
        return next((job for job in self.jobs if job.live), None)

    @property
    def is_worked_on(self) -> bool:
        return self.job is not None and self.job.status == "processing"


@dataclass(frozen=True, slots=True)
class Claim:
    """A row of claim_ocr_jobs(); the token is the database's own choice."""

    document: UUID
    token: UUID


@dataclass(frozen=True, slots=True)
class Offer:
    """The arguments of update_ocr_safe(), or an element of a batch."""

    document: UUID
    filename: str
    text: str
    confidence: float
    words: int
    token: UUID | None
    source: str | None
    #: The text is one that an index of the user's own cannot hold.
    is_too_long: bool = False
    #: The text has a NUL in it.
    has_nul: bool = False
    milliseconds: int = 7
    engine: str = "engine 1"


@dataclass(slots=True)
class Settings:
    """The settings that the search changes."""

    require_lease_token: bool = False
    require_source_hash: bool = False
    foreign_text_policy: str = "record"
    foreign_text_min_words: int = 10
    max_concurrent_jobs: int | None = None
    default_max_attempts: int = 3
    circuit_threshold: int = 10
    backoff_base: int = 0


#: outcome, error class, worker, attempt, lease token
HistoryRow = tuple[UUID, str, str | None, str | None, int | None, UUID | None]
#: reason, document, offered token, live token, application name
IncidentRow = tuple[str, UUID, UUID | None, UUID | None, str]


@dataclass(slots=True)
class Evidence:
    """An append-only row, and the transaction that has yet to commit it."""

    row: HistoryRow | IncidentRow
    session: int | None


class Oracle:
    """The whole state, and one method for each call."""

    def __init__(self) -> None:
        self.documents: dict[UUID, Document] = {}
        self.settings = Settings()
        self.history: list[Evidence] = []
        self.incidents: list[Evidence] = []
        self.is_paused = False
        self.circuit = "closed"
        self.circuit_changed: Time = 0
        self.circuit_until: Time = None
        self.probe: tuple[UUID, UUID] | None = None
        #: When infrastructure errors were recorded, as last seen.
        self.infrastructure: list[int] = []
        #: The latest time that was seen.
        self.now = 0
        self.application = ""
        self.session: int | None = None
        self._open: set[int] = set()
        self._owner: dict[UUID, int] = {}
        self._before: dict[UUID, Document | None] = {}

    # Transactions

    def copy(self) -> Oracle:
        return copy.deepcopy(self)

    def begin(self, session: int) -> None:
        self._open.add(session)

    def is_open(self, session: int) -> bool:
        return session in self._open

    def end(self, session: int, *, commit: bool) -> None:
        for document_id in [d for d, owner in self._owner.items() if owner == session]:
            before = self._before.pop(document_id)
            del self._owner[document_id]
            if not commit:
                self.documents.pop(document_id, None)
                if before is not None:
                    self.documents[document_id] = before
        for rows in (self.history, self.incidents):
            for row in [row for row in rows if row.session == session]:
                if commit:
                    row.session = None
                else:
                    rows.remove(row)
        self._open.discard(session)

    def seen_by(self, session: int | None) -> dict[UUID, Document]:
        """The documents as a session sees them, without what others did not commit."""
        seen = dict(self.documents)
        for document_id, before in self._before.items():
            if self._owner[document_id] != session:
                seen.pop(document_id, None)
                if before is not None:
                    seen[document_id] = before
        return seen

    def rows_seen_by(
        self, rows: Iterable[Evidence], session: int | None
    ) -> Counter[HistoryRow | IncidentRow]:
        return Counter(r.row for r in rows if r.session is None or r.session == session)

    def _hold(self, document_id: UUID) -> None:
        if self.session in self._open and document_id not in self._owner:
            assert self.session is not None
            self._owner[document_id] = self.session
            self._before[document_id] = copy.deepcopy(self.documents.get(document_id))

    def _lock(self, document_id: UUID) -> Document | None:
        if self._owner.get(document_id, self.session) != self.session:
            if self._before[document_id] is not None:
                raise Waits
            return None
        document = self.documents.get(document_id)
        if document is not None:
            self._hold(document_id)
        return document

    def _free(self, matches: Callable[[Document], object]) -> list[Document]:
        return [
            d
            for d in self.documents.values()
            if self._owner.get(d.id, self.session) == self.session and matches(d)
        ]

    def _lock_existing(self, document_id: UUID) -> Document:
        document = self._lock(document_id)
        if document is None:
            raise Refused("OG001")
        return document

    # Producing

    def insert(self, document_id: UUID, filename: str, file_hash: str | None) -> None:
        self._hold(document_id)
        self.documents[document_id] = Document(
            document_id, filename, hash=file_hash, size=10
        )

    def ingest(
        self, files: Sequence[tuple[str, str]], ids: Sequence[UUID]
    ) -> list[bool]:
        """``ids`` are those that the database gave; returns what was created."""
        created: list[bool] = []
        for (filename, file_hash), document_id in zip(files, ids, strict=True):
            known = [d for d in self.documents.values() if d.hash == file_hash]
            created.append(not known)
            if not known:
                self.insert(document_id, filename, file_hash)
                self._start(self.documents[document_id], 5)
            else:
                assert document_id in {d.id for d in known}
        return created

    def _start(
        self, document: Document, priority: int, max_attempts: int | None = None
    ) -> None:
        self._hold(document.id)
        document.jobs = [job for job in document.jobs if job.live]
        assert document.job is None
        document.jobs.append(
            Job(
                priority=priority,
                max_attempts=max_attempts or self.settings.default_max_attempts,
            )
        )
        document.status = "pending"

    def enqueue(
        self,
        document_ids: Sequence[UUID],
        priority: int = 5,
        max_attempts: int | None = None,
    ) -> list[UUID]:
        found = [self._lock(d) for d in document_ids]
        documents = {d.id: d for d in found if d is not None}
        if None in found:
            raise Refused("OG001")
        if any(d.status == "completed" for d in documents.values()):
            raise Refused("OG006")
        for document in documents.values():
            if document.job is not None:
                continue
            if document.status == "processing":
                self._end_lease(document, "expired", "retry", is_spent=False)
            else:
                self._start(document, priority, max_attempts)
        return list(documents)

    def enqueue_pending(self) -> int:
        jobless = self._free(lambda d: d.status == "pending" and d.job is None)
        for document in jobless:
            self._start(document, 5)
        return len(jobless)

    def requeue(self, document_id: UUID, priority: int) -> None:
        document = self._lock_existing(document_id)
        if document.status == "completed":
            assert document.result is not None
            document.previous.append(document.result)
            document.result = None
        elif document.status == "processing":
            self._end_lease(document, "cancelled", "retry", is_spent=False)
        document.jobs = []
        self._start(document, priority)

    def restore(self, document_id: UUID) -> bool:
        document = self._lock_existing(document_id)
        if document.status == "completed":
            raise Refused("OG006")
        if not document.previous:
            return False
        if document.status == "processing":
            self._end_lease(document, "cancelled", "retry", is_spent=False)
        document.status = "completed"
        document.result = document.previous.pop()
        document.jobs = []
        return True

    # Working

    def claim(
        self,
        worker: str,
        batch: int,
        claimed: Sequence[Claim],
        *,
        raise_if_closed: bool = False,
    ) -> list[UUID]:
        """The documents in the order in which they are claimed.

        ``claimed`` is what the database answered: its tokens are taken over, and jobs
        that are due at the very same time may come in any order.
        """
        tokens = {c.document: c.token for c in claimed}
        self._sweep()
        is_probe = False
        if self.is_paused:
            if raise_if_closed:
                raise Refused("OG007")
            return []
        if self.circuit != "closed":
            admitted, is_probe = self._admit_probe()
            if not admitted:
                if raise_if_closed:
                    raise Refused("OG007")
                return []
            if is_probe:
                batch = 1
        if self.settings.max_concurrent_jobs is not None:
            working = sum(d.is_worked_on for d in self.documents.values())
            batch = min(batch, self.settings.max_concurrent_jobs - working)

        def is_due(document: Document) -> bool:
            job = document.job
            return (
                job is not None
                and job.status == "pending"
                and _at(job.run_after, self.now) <= self.now
            )

        def place(document: Document) -> tuple[int, int, bool, int]:
            job = document.job
            assert job is not None
            return (
                -job.priority,
                _at(job.run_after, self.now),
                document.id not in tokens,
                job.id.int if job.id else 0,
            )

        taken: list[UUID] = []
        for document in sorted(self._free(is_due), key=place):
            if len(taken) >= batch:
                break
            self._hold(document.id)
            if document.status == "completed":
                document.jobs = []
                continue
            job = document.job
            assert job is not None
            document.status = "processing"
            document.lease = tokens.get(document.id)
            document.claims += 1
            job.status = "processing"
            job.attempts = min(job.attempts + 1, job.max_attempts)
            job.worker = worker
            job.started = job.heartbeat = Span()
            job.lease_ends = Span(LEASE)
            job.progress = None
            taken.append(document.id)
        if is_probe and taken:
            token = tokens.get(taken[0])
            assert token is not None, "the circuit's probe was not claimed"
            self._set_circuit("half_open")
            self.probe = (taken[0], token)
        return taken

    def _sweep(self) -> None:
        for document in self._free(
            lambda d: (
                d.job is not None
                and d.job.status == "processing"
                and _at(d.job.lease_ends, self.now) < self.now
            )
        ):
            self._hold(document.id)
            if document.status == "processing":
                self._end_lease(document, "expired", "retry", is_spent=True)

    def extend(self, offers: Sequence[tuple[UUID, UUID]], lease: int) -> set[UUID]:
        for document_id, _ in offers:
            self._lock(document_id)
        extended: set[UUID] = set()
        for document_id, token in offers:
            document = self._lock(document_id)
            if document is None or document.lease != token:
                continue
            job = document.job
            if job is not None and job.status == "processing":
                job.heartbeat = Span()
                job.lease_ends = Span(lease)
                extended.add(document_id)
        return extended

    def progress(self, document_id: UUID, token: UUID, pages: tuple[int, int]) -> bool:
        document = self._lock(document_id)
        if document is None or document.lease != token:
            return False
        job = document.job
        if job is None or job.status != "processing":
            return False
        job.heartbeat = Span()
        job.progress = pages
        return True

    def judge(self, offer: Offer, document: Document | None) -> str:
        """The outcome before the database has had its say: the table of the design."""
        settings = self.settings
        if document is None:
            return "document_missing"
        if document.status == "completed":
            assert document.result is not None
            is_same = document.result.token == offer.token and offer.token is not None
            return "already_written" if is_same else "already_completed"
        if document.status != "processing":
            return "stale_lease"
        if offer.token is not None and offer.token != document.lease:
            return "stale_lease"
        if offer.token is None and (
            document.claims > 1 or settings.require_lease_token
        ):
            return "lease_required"
        if offer.filename != document.filename:
            return "filename_mismatch"
        if offer.source is None:
            if settings.require_source_hash:
                return "source_mismatch"
        elif document.hash is not None and document.hash != offer.source:
            return "source_mismatch"
        if not offer.text.strip() and offer.confidence > 50:
            return "implausible_result"
        if offer.words > len(offer.text):
            return "implausible_result"
        return WRITTEN

    def _foreign(self, offer: Offer, document: Document) -> bool:
        if self.settings.foreign_text_policy == "off":
            return False
        if max(offer.words, len(offer.text.split())) < (
            self.settings.foreign_text_min_words
        ):
            return False
        return any(
            d.id != document.id
            and d.result is not None
            and d.result.text == offer.text
            and not (d.hash is not None and d.hash == document.hash)
            for d in self.seen_by(self.session).values()
        )

    def _offer(self, offer: Offer) -> str:
        document = self._lock(offer.document)
        outcome = self.judge(offer, document)
        is_invalid = not 0 <= offer.confidence <= 100
        if outcome in (WRITTEN, "implausible_result") and is_invalid:
            outcome = REJECTED
        is_foreign = (
            outcome == WRITTEN
            and document is not None
            and self._foreign(offer, document)
        )
        if is_foreign and self.settings.foreign_text_policy == "refuse":
            outcome = "foreign_text"
        if outcome == WRITTEN:
            assert document is not None
            if offer.is_too_long:
                raise Refused("54000")
            if is_foreign:
                self._record("foreign_text", offer, document)
            self._complete(
                document,
                Result(
                    offer.text,
                    offer.confidence,
                    offer.words,
                    offer.milliseconds,
                    offer.engine,
                    offer.source or document.hash,
                    document.lease,
                ),
            )
        elif outcome != "already_written":
            self._record(outcome, offer, document)
        return outcome

    def _complete(self, document: Document, result: Result) -> None:
        job = document.job
        self._history(
            document,
            "written",
            None,
            job.worker if job else None,
            job.attempts if job else None,
        )
        document.status = "completed"
        document.result = result
        document.lease = None
        document.jobs = []

    def write(self, offer: Offer) -> bool:
        if not 0 <= offer.confidence <= 100:
            raise Refused("22023")
        if offer.has_nul:
            raise Refused("22021")
        return self._offer(offer) in STANDS

    def write_batch(self, offers: Sequence[Offer]) -> list[str]:
        for offer in offers:
            self._lock(offer.document)
        outcomes: list[str] = []
        for offer in offers:
            if offer.has_nul:
                outcome = REJECTED
                self._record(outcome, offer, self._lock(offer.document))
            else:
                try:
                    outcome = self._offer(offer)
                except Refused:
                    outcome = REJECTED
                    self._record(outcome, offer, self._lock(offer.document))
            outcomes.append(outcome)
        for offer, outcome in zip(offers, outcomes, strict=True):
            document = self._lock(offer.document)
            if outcome != REJECTED or document is None:
                continue
            token = offer.token
            if (
                token is None
                and document.claims == 1
                and not self.settings.require_lease_token
            ):
                token = document.lease
            if token is not None:
                self.fail(offer.document, token, "document")
        return outcomes

    def fail(self, document_id: UUID, token: UUID, error_class: str) -> str:
        document = self._lock(document_id)
        if document is None or document.lease != token:
            return "stale_lease"
        status = self._end_lease(
            document,
            "failed" if error_class == "permanent" else "retry",
            "dead" if error_class == "permanent" else "retry",
            is_spent=error_class != "infrastructure",
            has_backoff=True,
            error_class=error_class,
        )
        self._count_failure(document_id, token, error_class)
        return "dead" if status == "failed" else "retry"

    def release(self, document_id: UUID, token: UUID) -> bool:
        document = self._lock(document_id)
        if document is None or document.lease != token:
            return False
        self._end_lease(document, "released", "retry", is_spent=False)
        return True

    # Operating

    def find_stuck(self, minutes: int) -> set[UUID]:
        return {
            d.id for d in self.seen_by(self.session).values() if self._stuck(d, minutes)
        }

    def _stuck(self, document: Document, minutes: int) -> bool:
        job = document.job
        if job is None or job.status != "processing":
            return document.status == "processing"
        limit = self.now - minutes * MINUTE
        return (
            _at(job.started, self.now) <= limit
            and max(_at(job.started, self.now), _at(job.heartbeat, 0)) <= limit
        )

    def reset_stuck(self, minutes: int) -> int:
        count = 0
        for document in self._free(lambda d: self._stuck(d, minutes)):
            self._hold(document.id)
            if document.status == "processing":
                self._end_lease(document, "expired", "retry", is_spent=True)
                count += 1
        return count

    def cancel(self, document_id: UUID) -> bool:
        document = self._lock_existing(document_id)
        if document.status == "processing":
            self._end_lease(document, "cancelled", "remove", is_spent=False)
            return True
        job = document.job
        if job is None or job.status != "pending":
            return False
        self._history(document, "cancelled", None, None, job.attempts)
        document.jobs.remove(job)
        if document.status == "pending":
            document.status = "failed"
        return True

    def retry_failed(self) -> int:
        dead = self._free(
            lambda d: d.status == "failed" and d.job is None and d.jobs != []
        )
        for document in dead:
            self._hold(document.id)
            document.jobs = document.jobs[-1:]
            job = document.jobs[0]
            job.status = "pending"
            job.attempts = 0
            job.run_after = Span()
            job.worker = None
            job.started = None
            document.status = "pending"
        return len(dead)

    def pause(self, is_paused: bool) -> bool:
        changed = self.is_paused != is_paused
        self.is_paused = is_paused
        return changed

    # Plain SQL

    def delete(self, document_id: UUID) -> int:
        if self._lock(document_id) is None:
            return 0
        del self.documents[document_id]
        return 1

    def update_document(self, document_id: UUID, changes: dict[str, Any]) -> int:
        """A plain UPDATE; the keys are the columns of documents."""
        document = self._lock(document_id)
        if document is None:
            return 0
        new_status = changes.get("ocr_status", document.status)
        new_lease = changes.get("ocr_lease_token", document.lease)
        is_result_changed = any(
            key in changes and changes[key] != self._column(document, key)
            for key in (
                "ocr_text",
                "ocr_confidence",
                "ocr_word_count",
                "ocr_result_token",
                "ocr_source_hash",
            )
        )
        has_new_claim = changes.get("ocr_claims", document.claims) == (
            document.claims + 1
        )
        if "ocr_claims" in changes and (
            new_status != "processing" or new_lease == document.lease
        ):
            raise Refused("OG004")
        if document.status == "completed":
            if new_status != "completed" or is_result_changed:
                raise Refused("OG003")
            if new_lease is not None:
                raise Refused("23514")
        elif new_status == "completed":
            self._complete_plainly(document, changes)
            return 1
        elif is_result_changed:
            raise Refused("OG004")
        elif document.status == new_status == "processing" and self._is_file_replaced(
            document, changes
        ):
            self._restart_on_new_file(document)
        elif new_status == "processing":
            if (document.status, document.lease) != (new_status, new_lease):
                if new_lease is None or not has_new_claim:
                    raise Refused("OG004")
                # a claim that passes the queue by
                document.claims += 1
                document.is_mixed_up = True
            document.status, document.lease = new_status, new_lease
        elif new_status != document.status:
            job = document.job
            if job is not None and (
                job.status == "processing" or new_status == "failed"
            ):
                raise Refused("OG004")
            document.status, document.lease = new_status, None
        elif new_lease is not None:
            raise Refused("23514")
        self._change_file(document, changes)
        return 1

    def _complete_plainly(self, document: Document, changes: dict[str, Any]) -> None:
        offer = Offer(
            document.id,
            changes.get("filename", document.filename),
            changes["ocr_text"],
            changes["ocr_confidence"],
            changes["ocr_word_count"],
            changes.get("ocr_result_token"),
            changes.get("ocr_source_hash"),
        )
        strict = copy.copy(self)
        strict.settings = replace(
            self.settings, require_lease_token=True, require_source_hash=False
        )
        outcome = strict.judge(offer, document)
        if outcome in ("implausible_result", "source_mismatch"):
            raise Refused("OG005")
        if outcome != WRITTEN or self._is_file_replaced(document, changes):
            raise Refused("OG002")
        self._complete(
            document,
            Result(
                offer.text,
                offer.confidence,
                offer.words,
                None,
                None,
                offer.source or document.hash,
                offer.token,
            ),
        )

    def _column(self, document: Document, column: str) -> object:
        if document.result is None:
            return None
        return {
            "ocr_text": document.result.text,
            "ocr_confidence": document.result.confidence,
            "ocr_word_count": document.result.words,
            "ocr_result_token": document.result.token,
            "ocr_source_hash": document.result.source,
        }[column]

    def _is_file_replaced(self, document: Document, changes: dict[str, Any]) -> bool:
        return (
            changes.get("filename", document.filename) != document.filename
            or changes.get("file_path", document.path) != document.path
            or (
                document.hash is not None
                and changes.get("file_hash", document.hash) != document.hash
            )
        )

    def _change_file(self, document: Document, changes: dict[str, Any]) -> None:
        if self._is_file_replaced(document, changes):
            document.version += 1
        document.filename = changes.get("filename", document.filename)
        document.path = changes.get("file_path", document.path)
        document.hash = changes.get("file_hash", document.hash)

    def _restart_on_new_file(self, document: Document) -> None:
        job = document.job
        is_running = job is not None and job.status == "processing"
        self._history(
            document,
            "cancelled",
            None,
            job.worker if job and is_running else None,
            job.attempts if job and is_running else None,
        )
        if job is not None and is_running:
            job.status = "pending"
            job.attempts = 0
            job.run_after = Span()
            job.worker = job.started = job.heartbeat = job.lease_ends = None
            job.progress = None
        elif job is None:
            document.jobs.append(Job())
        document.status = "pending"
        document.lease = None

    def update_job(self, document_id: UUID, change: str) -> int:
        """A plain statement on ocr_queue alone, by name."""
        document = self.documents.get(document_id)
        if change == "insert":
            if document is None:
                raise Refused("23503")
            if document.job is not None:
                raise Refused("23505")
            # No lease is lost and no state contradicts another where it is pending.
            document.is_mixed_up |= document.status != "pending"
            document.jobs.append(Job())
            return 1
        if document is None:
            return 0
        job = document.job
        if change == "delete":
            count = len(document.jobs)
            document.is_mixed_up |= count > 0
            document.jobs = []
            return count
        if job is None:
            return 0
        if change == "reset":
            if job.status != "processing":
                return 0
            if job.attempts >= job.max_attempts:
                raise Refused("23514")
            job.status = "pending"
            job.worker = job.started = job.lease_ends = None
        elif change == "kill":
            job.status = "failed"
            job.lease_ends = None
        elif change == "start":
            if job.status != "pending":
                return 0
            job.status = "processing"
            job.worker = "by hand"
            job.started = Span()
            job.lease_ends = Span(LEASE)
        else:
            raise AssertionError(change)
        document.is_mixed_up = True
        return 1

    def pass_time(self, microseconds: int) -> None:
        """Everything that has a time is so much older."""
        for document in self.documents.values():
            document.updated -= microseconds
            for job in document.jobs:
                for name in ("run_after", "lease_ends", "started", "heartbeat"):
                    value = getattr(job, name)
                    if value is not None:
                        setattr(job, name, value - microseconds)
        self.infrastructure = [t - microseconds for t in self.infrastructure]
        for name in ("circuit_changed", "circuit_until"):
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, value - microseconds)

    # What is wrong

    def findings(self, now: int) -> Counter[tuple[str, UUID]]:
        """What find_inconsistencies() lists, as pairs of kind and document."""
        found: Counter[tuple[str, UUID]] = Counter()
        documents = self.seen_by(self.session)
        carriers: dict[str, list[Document]] = {}
        for d in documents.values():
            if d.status == "processing" and not d.is_worked_on:
                found["processing_without_job", d.id] += 1
            elif (
                d.status == "pending"
                and d.job is None
                and d.updated < now - 60 * MINUTE
            ):
                found["pending_without_job", d.id] += 1
            elif (
                d.result is not None
                and d.hash is not None
                and d.result.source not in (None, d.hash)
            ):
                found["replaced_file_result", d.id] += 1
            if d.result is not None:
                carriers.setdefault(d.result.text, []).append(d)
            if d.job is None:
                continue
            if d.status == "completed":
                found["job_of_completed_document", d.id] += 1
            elif d.is_worked_on and d.status != "processing":
                found["job_without_processing_document", d.id] += 1
            elif d.status == "failed":
                found["job_of_failed_document", d.id] += 1
        for sharing in carriers.values():
            hashes = {d.hash for d in sharing}
            if len(sharing) > 1 and (len(hashes) > 1 or None in hashes):
                for d in sharing:
                    assert d.result is not None
                    if d.result.words >= self.settings.foreign_text_min_words:
                        found["shared_text", d.id] += 1
        return found

    # Parts of several calls

    def _end_lease(
        self,
        document: Document,
        outcome: str,
        following: str,
        *,
        is_spent: bool,
        has_backoff: bool = False,
        error_class: str | None = None,
    ) -> str:
        job = document.job
        attempt = job.attempts if job else None
        worker = job.worker if job else None
        if following == "remove":
            status = "failed"
            if job is not None:
                document.jobs.remove(job)
        elif following == "dead" or (
            is_spent and job is not None and job.attempts >= job.max_attempts
        ):
            status = "failed"
        else:
            status = "pending"
        if following != "remove":
            backoff = 0
            if has_backoff and job is not None:
                backoff = min(BACKOFF_CAP, self.settings.backoff_base * 2**job.attempts)
            if job is None and status == "pending":
                document.jobs.append(
                    Job(max_attempts=self.settings.default_max_attempts)
                )
            elif job is not None:
                job.status = status
                if status == "pending":
                    job.worker = job.started = None
                    if not is_spent:
                        job.attempts = max(job.attempts - 1, 0)
                if has_backoff:
                    job.run_after = Span(0, backoff)
                elif _at(job.run_after, self.now) > self.now:
                    job.run_after = Span()
                job.heartbeat = job.lease_ends = None
                job.progress = None
        self._history(
            document,
            "failed" if (outcome, status) == ("retry", "failed") else outcome,
            error_class,
            worker,
            attempt,
        )
        document.status = status
        document.lease = None
        return status

    def _history(
        self,
        document: Document,
        outcome: str,
        error_class: str | None,
        worker: str | None,
        attempt: int | None,
    ) -> None:
        row = (document.id, outcome, error_class, worker, attempt, document.lease)
        self.history.append(Evidence(row, self._transaction()))

    def _record(self, reason: str, offer: Offer, document: Document | None) -> None:
        row = (
            reason,
            offer.document,
            offer.token,
            document.lease if document else None,
            self.application,
        )
        self.incidents.append(Evidence(row, self._transaction()))

    def _transaction(self) -> int | None:
        return self.session if self.session in self._open else None

    # The circuit

    def _set_circuit(self, state: str) -> None:
        self.circuit = state
        self.circuit_changed = Span()
        self.circuit_until = Span(CIRCUIT_COOLDOWN) if state == "open" else None
        self.probe = None

    def _admit_probe(self) -> tuple[bool, bool]:
        """Whether the claim may go ahead, and whether it is the probe."""
        if self.circuit == "open":
            is_over = _at(self.circuit_until, self.now) <= self.now
            return is_over, is_over
        assert self.probe is not None
        document = self.documents.get(self.probe[0])
        if document is not None:
            result = document.result
            if result is not None and result.token == self.probe[1]:
                self._set_circuit("closed")
                return True, False
            job = document.job
            if (
                document.lease == self.probe[1]
                and job is not None
                and job.status == "processing"
                and _at(job.lease_ends, self.now) >= self.now
            ):
                return False, False
        return True, True

    def _count_failure(self, document_id: UUID, token: UUID, error_class: str) -> None:
        is_infrastructure = error_class == "infrastructure"
        if is_infrastructure:
            self.infrastructure.append(self.now)
        if self.circuit == "half_open" and self.probe == (document_id, token):
            self._set_circuit("open" if is_infrastructure else "closed")
        elif is_infrastructure and self.circuit == "closed":
            since = max(self.now - CIRCUIT_WINDOW, _at(self.circuit_changed, self.now))
            recent = sum(t > since for t in self.infrastructure[:-1]) + 1
            if recent >= self.settings.circuit_threshold:
                self._set_circuit("open")


def _at(time: Time, now: int) -> int:
    """A time that was seen, or what stands for one that was not seen yet."""
    if time is None:
        return 0
    return time if isinstance(time, int) else now + time.plus
