"""Makes each call in the database and in the model, and compares them.

Compared are the answer or SQLSTATE and, afterwards, everything that a session can see.
Then the guarantees are checked against what was seen alone, without the model.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Json

from .oracle import (
    LEASE,
    SECOND,
    STRUCTURAL,
    Claim,
    Document,
    Job,
    Offer,
    Oracle,
    Refused,
    Span,
    Time,
    Waits,
)

Connection = psycopg.Connection[Any]

SESSIONS = 3
SHARED = "this very page of ten words stands in many files"
#: No index row can hold it, since it does not compress.
TOO_LONG = "".join(random.Random(4).choices("0123456789abcdefghijklmnop", k=9000))

# An index of the user's own, so that writing can fail.
USERS_INDEX = "create index if not exists users_index on documents (ocr_text)"

EMPTY = """
delete from documents;
delete from ocr_queue;
delete from ocr_job_history;
delete from ocr_incidents;
delete from ocr_previous_results;
delete from ocr_settings;
delete from ocr_queue_state;
insert into ocr_settings (backoff_base, circuit_cooldown, expiry_sweep_interval)
values ('0', '1 minute', '0');
insert into ocr_queue_state default values;
"""

# Left to itself a table of a few rows that are deleted all the time grows.
TIDY = (
    "vacuum documents",
    "vacuum ocr_queue",
    "vacuum ocr_incidents",
    "vacuum ocr_job_history",
    "vacuum ocr_previous_results",
    "vacuum ocr_settings",
    "vacuum ocr_queue_state",
)

SEE = """
select json_build_object(
    'now', (extract(epoch from clock_timestamp()) * 1000000)::bigint,
    'begun', (extract(epoch from now()) * 1000000)::bigint,
    'documents', array(
        select json_build_object(
            'id', d.id, 'filename', d.filename, 'path', d.file_path,
            'hash', d.file_hash, 'status', d.ocr_status, 'text', d.ocr_text,
            'confidence', d.ocr_confidence, 'words', d.ocr_word_count,
            'milliseconds', d.ocr_processing_time_ms, 'engine', d.ocr_engine,
            'source', d.ocr_source_hash, 'lease', d.ocr_lease_token,
            'result_token', d.ocr_result_token, 'claims', d.ocr_claims,
            'error', d.ocr_error,
            'updated', (extract(epoch from d.updated_at) * 1000000)::bigint
        )
        from documents as d
    ),
    'jobs', array(
        select json_build_object(
            'id', q.id, 'document', q.document_id, 'status', q.status,
            'priority', q.priority, 'attempts', q.attempts,
            'max_attempts', q.max_attempts, 'worker', q.worker_id,
            'run_after', (extract(epoch from q.run_after) * 1000000)::bigint,
            'lease_ends', (extract(epoch from q.lease_expires_at) * 1000000)::bigint,
            'started', (extract(epoch from q.started_at) * 1000000)::bigint,
            'heartbeat', (extract(epoch from q.heartbeat_at) * 1000000)::bigint,
            'current', q.progress_current, 'total', q.progress_total
        )
        from ocr_queue as q
        order by q.created_at, q.id
    ),
    'history', array(
        select json_build_object(
            'document', h.document_id, 'outcome', h.outcome, 'class', h.error_class,
            'worker', h.worker_id, 'attempt', h.attempt, 'token', h.lease_token,
            'finished', (extract(epoch from h.finished_at) * 1000000)::bigint
        )
        from ocr_job_history as h
    ),
    'incidents', array(
        select json_build_object(
            'reason', i.reason, 'document', i.document_id,
            'offered', i.offered_token, 'live', i.live_token,
            'application', i.application_name
        )
        from ocr_incidents as i
    ),
    'previous', array(
        select json_build_object(
            'document', r.document_id, 'text', r.ocr_text, 'token', r.ocr_result_token
        )
        from ocr_previous_results as r
        order by r.id
    ),
    'findings', array(
        select json_build_object(
            'kind', f.kind, 'document', coalesce(f.document_id, q.document_id)
        )
        from find_inconsistencies(1000) as f
        left join ocr_queue as q on q.id = f.job_id
    ),
    'validation', (select row_to_json(v) from validate_database_consistency() as v),
    'state', (
        select json_build_object(
            'is_paused', t.paused_at is not null, 'circuit', t.circuit_state,
            'changed', (extract(epoch from t.circuit_changed_at) * 1000000)::bigint,
            'until', (extract(epoch from t.circuit_open_until) * 1000000)::bigint
        )
        from ocr_queue_state as t
    )
)
"""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a worker got from its claim, and the text that it reads from the file."""

    document: UUID
    token: UUID | None
    filename: str
    version: int
    file_hash: str | None = None

    @property
    def text(self) -> str:
        return text_of(self.document, self.version)

    @property
    def source(self) -> str:
        """The SHA-256 of the bytes that the worker reads."""
        return self.file_hash or hash_of(self.document, self.version)


def text_of(document_id: UUID, version: int) -> str:
    return f"page of {document_id} version {version}: one two three four five six seven"


def hash_of(document_id: UUID, version: int) -> str:
    return hashlib.sha256(f"{document_id} {version}".encode()).hexdigest()


class Difference(AssertionError):
    """The database does not do what the contract says."""


class Bench:
    """One database with several sessions, which serves one example after the other."""

    def __init__(self, dsn: str, lock_timeout: str = "10s") -> None:
        self.connections: list[Connection] = [
            psycopg.connect(
                dsn,
                autocommit=True,
                prepare_threshold=3,
                application_name=f"session {n}",
                options=f"-c lock_timeout={lock_timeout} -c deadlock_timeout=20ms "
                "-c synchronous_commit=off",
            )
            for n in range(SESSIONS)
        ]
        self.observer: Connection = psycopg.connect(
            dsn, autocommit=True, prepare_threshold=1
        )
        self.observer.execute(USERS_INDEX)
        self._examples = 0
        self.calls: Counter[str] = Counter()
        self.reset()

    def close(self) -> None:
        for connection in (*self.connections, self.observer):
            connection.close()

    def reset(self) -> None:
        """Begin an example on empty tables."""
        for connection in self.connections:
            connection.rollback()
        if self._examples % 50 == 0:
            for statement in TIDY:
                self.observer.execute(statement.encode())
        self._examples += 1
        self.observer.execute(EMPTY.encode(), prepare=False)
        self.oracle = Oracle()
        self._ids: dict[int, UUID] = {}
        self._generations: Counter[int] = Counter()
        self.tickets: dict[UUID, list[Ticket]] = {}
        self._begun: dict[int, int] = {}
        state = self._look(self.observer)
        self.oracle.now = state["now"]
        self.oracle.circuit_changed = state["state"]["changed"]

    # Running a call on both sides

    def call(
        self,
        session: int,
        statement: str,
        arguments: Mapping[str, object],
        model: Callable[[list[tuple[Any, ...]]], object],
        answer: Callable[[list[tuple[Any, ...]]], object],
    ) -> list[tuple[Any, ...]] | None:
        """Run it in the database and in the model; the rows, or None when refused."""
        named = re.search(r"(\w+_\w+)\(%|(\w+_\w+)\(\)", statement)
        name = named[0].split("(")[0] if named else " ".join(statement.split()[:3])
        self.calls[name] += 1
        connection = self.connections[session]
        before = self.oracle.copy()
        self.oracle.session = session
        self.oracle.application = f"session {session}"
        rows: list[tuple[Any, ...]] = []
        raised = ""
        try:
            cursor = connection.execute(statement.encode(), arguments)
            rows = cursor.fetchall() if cursor.description else [(cursor.rowcount,)]
        except psycopg.Error as error:
            raised = error.sqlstate or "unknown"
            if raised == "40P01":
                raise Difference(f"{statement}: deadlock: {error}") from error
        expected_error = ""
        expected: object = None
        try:
            expected = model(rows)
        except Refused as refused:
            expected_error = refused.sqlstate
        except Waits:
            expected_error = "55P03"
        if expected_error:
            self.oracle = before
            self.oracle.session = session
        if raised != expected_error:
            raise Difference(
                f"{statement} {arguments}: raised {raised or 'nothing'}, "
                f"the contract says {expected_error or 'nothing'}"
            )
        if raised:
            if self.oracle.is_open(session):
                self.rollback(session)
            else:
                self.check(session)
            return None
        actual = answer(rows)
        if actual != expected:
            raise Difference(
                f"{statement} {arguments}: answered {actual}, "
                f"the contract says {expected}"
            )
        self.check(session)
        return rows

    def scalar(
        self,
        session: int,
        statement: str,
        arguments: Mapping[str, object],
        model: Callable[[], object],
    ) -> None:
        """A call with one value as its answer."""
        self.call(
            session, statement, arguments, lambda rows: model(), lambda rows: rows[0][0]
        )

    def begin(self, session: int) -> None:
        connection = self.connections[session]
        connection.execute("begin")
        state = self._look(connection)
        self._begun[session] = state["begun"]
        self.oracle.begin(session)

    def commit(self, session: int) -> None:
        self._end(session, commit=True)

    def rollback(self, session: int) -> None:
        self._end(session, commit=False)

    def _end(self, session: int, *, commit: bool) -> None:
        self.connections[session].execute("commit" if commit else "rollback")
        self.oracle.end(session, commit=commit)
        self._begun.pop(session, None)
        self.check(session)

    # Comparing

    def check(self, session: int) -> None:
        """Compare what the session sees, then what every other one sees."""
        self._compare(self.connections[session], session)
        if self._begun:
            for other in self._begun:
                if other != session:
                    self._compare(self.connections[other], other)
            self._compare(self.observer, None)

    def _look(self, connection: Connection) -> dict[str, Any]:
        row = connection.execute(SEE.encode(), prepare=True).fetchone()
        assert row is not None
        state: dict[str, Any] = row[0]
        return state

    def _compare(self, connection: Connection, session: int | None) -> None:
        oracle = self.oracle
        state = self._look(connection)
        low = min([oracle.now, *self._begun.values()])
        oracle.session = session
        documents = oracle.seen_by(session)
        _same("documents", {UUID(d["id"]) for d in state["documents"]}, set(documents))
        jobs: dict[UUID, list[dict[str, Any]]] = {}
        for row in state["jobs"]:
            jobs.setdefault(UUID(row["document"]), []).append(row)
        previous: dict[UUID, list[tuple[str, str | None]]] = {}
        for row in state["previous"]:
            previous.setdefault(UUID(row["document"]), []).append(
                (row["text"], row["token"])
            )
        span = (low, state["now"])
        for row in state["documents"]:
            document = documents[UUID(row["id"])]
            _compare_document(document, row)
            _compare_jobs(document, jobs.get(document.id, []), span)
            _same(
                f"set-aside results of {document.id}",
                previous.get(document.id, []),
                [(r.text, _text(r.token)) for r in document.previous],
            )
        _same("documents of jobs", set(jobs) - set(documents), set())
        _same(
            "history",
            _counted(state["history"], _HISTORY),
            _texts(oracle.rows_seen_by(oracle.history, session)),
        )
        _same(
            "incidents",
            _counted(state["incidents"], _INCIDENT),
            _texts(oracle.rows_seen_by(oracle.incidents, session)),
        )
        _same(
            "findings",
            Counter((f["kind"], f["document"]) for f in state["findings"]),
            Counter(
                {
                    (kind, str(d)): n
                    for (kind, d), n in oracle.findings(state["begun"]).items()
                }
            ),
        )
        _same("pause", state["state"]["is_paused"], oracle.is_paused)
        _same("circuit", state["state"]["circuit"], oracle.circuit)
        oracle.circuit_changed = _seen(
            "circuit_changed_at",
            state["state"]["changed"],
            oracle.circuit_changed,
            span,
        )
        oracle.circuit_until = _seen(
            "circuit_open_until", state["state"]["until"], oracle.circuit_until, span
        )
        oracle.infrastructure = [
            row["finished"]
            for row in state["history"]
            if row["class"] == "infrastructure"
        ]
        oracle.now = max(oracle.now, state["now"])
        check_guarantees(
            state, {str(d.id) for d in documents.values() if d.is_mixed_up}
        )

    # What the rules are made of

    def document_id(self, slot: int) -> UUID:
        """The document of this slot; a deleted one is followed by another."""
        return self._ids.setdefault(slot, UUID(int=(slot + 1) << 64))

    def ticket(self, slot: int, which: str) -> Ticket:
        """A lease: of this document, the one before, of another one, none, invented."""
        document_id = self.document_id(slot)
        tickets = self.tickets.get(document_id, [])
        document = self.oracle.documents.get(document_id)
        unclaimed = Ticket(
            document_id,
            UUID(int=99),
            document.filename if document else "scan.pdf",
            document.version if document else 0,
            document.hash if document else None,
        )
        if which == "own":
            return tickets[-1] if tickets else unclaimed
        if which == "older":
            return tickets[-2] if len(tickets) > 1 else unclaimed
        if which == "other":
            others = [t[-1] for d, t in self.tickets.items() if d != document_id]
            return others[-1] if others else unclaimed
        if which == "none":
            ticket = tickets[-1] if tickets else unclaimed
            return replace(ticket, token=None)
        return unclaimed

    def insert(self, session: int, slot: int, *, has_hash: bool) -> None:
        if self.document_id(slot) in self.oracle.documents:
            return
        if self.document_id(slot) in self.oracle.seen_by(None):
            # deleted by a transaction that is open still
            return
        self._generations[slot] += 1
        document_id = UUID(int=((slot + 1) << 64) + self._generations[slot])
        self._ids[slot] = document_id
        file_hash = hash_of(document_id, 0) if has_hash else None
        self.call(
            session,
            "insert into documents (id, filename, file_hash, file_size) "
            "values (%(id)s, 'scan.pdf', %(hash)s, 10)",
            {"id": document_id, "hash": file_hash},
            lambda rows: self.oracle.insert(document_id, "scan.pdf", file_hash),
            lambda rows: None,
        )

    def ingest(self, session: int, which: Sequence[int]) -> None:
        """Files for slots that are empty, or that hold what this has brought."""
        documents = self.oracle.documents
        files: list[tuple[int, str]] = []
        for slot in which:
            file_hash = hash_of(UUID(int=slot), 77)
            document = documents.get(self.document_id(slot))
            if document is None or document.hash == file_hash:
                files.append((slot, file_hash))
        self.call(
            session,
            "select document_id, created from ingest_ocr_documents(%(files)s)",
            {
                "files": Json(
                    [{"filename": "scan.pdf", "file_hash": h} for _, h in files]
                )
            },
            lambda rows: self.oracle.ingest(
                [("scan.pdf", h) for _, h in files], [row[0] for row in rows]
            ),
            lambda rows: [row[1] for row in rows],
        )
        for slot, file_hash in files:
            self._ids[slot] = next(
                d.id for d in self.oracle.documents.values() if d.hash == file_hash
            )

    def claim(self, session: int, batch: int, *, raise_if_closed: bool = False) -> None:
        worker = f"worker {session}"

        def model(rows: list[tuple[Any, ...]]) -> object:
            claimed = [Claim(row[0], row[1]) for row in rows]
            return self.oracle.claim(
                worker, batch, claimed, raise_if_closed=raise_if_closed
            )

        rows = self.call(
            session,
            "select document_id, lease_token, filename, file_hash from "
            "claim_ocr_jobs(%(worker)s, %(batch)s, p_raise_if_closed => %(raise)s)",
            {"worker": worker, "batch": batch, "raise": raise_if_closed},
            model,
            lambda rows: [row[0] for row in rows],
        )
        for document_id, token, filename, file_hash in rows or []:
            document = self.oracle.documents[document_id]
            _same(
                "claimed file",
                (filename, file_hash),
                (document.filename, document.hash),
            )
            self.tickets.setdefault(document_id, []).append(
                Ticket(document_id, token, filename, document.version, file_hash)
            )

    def offer(
        self, slot: int, which: str, filename: str, source: str, text: str
    ) -> Offer:
        ticket = self.ticket(slot, which)
        contents, confidence, words = {
            "own": (ticket.text, 90.0, 12),
            "shared": (SHARED, 90.0, 10),
            "short": ("ok", 90.0, 1),
            "empty page": ("", 10.0, 0),
            "empty but sure": ("", 90.0, 0),
            "crowded": ("ok", 90.0, 3),
            "too long": (TOO_LONG, 90.0, 1),
            "nul": (ticket.text, 90.0, 12),
            "confidence 150": (ticket.text, 150.0, 12),
        }[text]
        return Offer(
            self.document_id(slot),
            ticket.filename if filename == "right" else "wrong.pdf",
            contents,
            confidence,
            words,
            ticket.token,
            {"right": ticket.source, "absent": None}.get(
                source, hash_of(UUID(int=0), 0)
            ),
            is_too_long=text == "too long",
            has_nul=text == "nul",
        )

    def write(self, session: int, offer: Offer) -> None:
        if offer.has_nul:
            # no driver sends one as an argument
            return
        self.scalar(
            session,
            "select update_ocr_safe(%(document)s, %(filename)s, %(text)s, "
            "%(confidence)s, %(words)s, %(milliseconds)s, %(token)s, %(source)s, "
            "%(engine)s)",
            {
                "document": offer.document,
                "filename": offer.filename,
                "text": offer.text,
                "confidence": offer.confidence,
                "words": offer.words,
                "milliseconds": offer.milliseconds,
                "token": offer.token,
                "source": offer.source,
                "engine": offer.engine,
            },
            lambda: self.oracle.write(offer),
        )

    def write_batch(self, session: int, offers: Sequence[Offer]) -> None:
        results = [
            {
                "document_id": str(o.document),
                "expected_filename": o.filename,
                "ocr_text": o.text + ("\0" if o.has_nul else ""),
                "confidence": o.confidence,
                "word_count": o.words,
                "processing_time_ms": o.milliseconds,
                "lease_token": _text(o.token),
                "source_hash": o.source,
                "engine": o.engine,
            }
            for o in offers
        ]
        self.call(
            session,
            "select document_id, outcome from update_ocr_batch_safe(%(results)s)",
            {"results": Json(results)},
            lambda rows: [
                (o.document, outcome)
                for o, outcome in zip(
                    offers, self.oracle.write_batch(offers), strict=True
                )
            ],
            lambda rows: [(row[0], row[1]) for row in rows],
        )

    def extend(self, session: int, offers: Sequence[tuple[UUID, UUID]]) -> None:
        unique = dict(offers)
        pairs = list(unique.items())
        self.call(
            session,
            "select document_id from extend_ocr_leases(%(documents)s::uuid[], "
            "%(tokens)s::uuid[], '10 minutes')",
            {"documents": list(unique), "tokens": list(unique.values())},
            lambda rows: self.oracle.extend(pairs, 2 * LEASE),
            lambda rows: {row[0] for row in rows},
        )

    def plain_update(self, session: int, slot: int, changes: dict[str, Any]) -> None:
        """A plain UPDATE of documents."""
        document_id = self.document_id(slot)
        self.call(
            session,
            "update documents set "
            + ", ".join(f"{column} = %({column})s" for column in changes)
            + " where id = %(id)s",
            {**changes, "id": document_id},
            lambda rows: self.oracle.update_document(document_id, changes),
            lambda rows: rows[0][0],
        )

    def plain_job(self, session: int, slot: int, change: str) -> None:
        """A plain statement on ocr_queue alone."""
        document_id = self.document_id(slot)
        self.call(
            session,
            {
                "insert": "insert into ocr_queue (document_id) values (%(id)s)",
                "delete": "delete from ocr_queue where document_id = %(id)s",
                "reset": "update ocr_queue set status = 'pending', worker_id = null, "
                "started_at = null, lease_expires_at = null "
                "where document_id = %(id)s and status = 'processing'",
                "kill": "update ocr_queue set status = 'failed', completed_at = now(), "
                "lease_expires_at = null where document_id = %(id)s "
                "and status in ('pending', 'processing')",
                "start": "update ocr_queue set status = 'processing', "
                "worker_id = 'by hand', started_at = now(), "
                "lease_expires_at = now() + interval '5 minutes' "
                "where document_id = %(id)s and status = 'pending'",
            }[change],
            {"id": document_id},
            lambda rows: self.oracle.update_job(document_id, change),
            lambda rows: rows[0][0],
        )

    def set(self, name: str, value: object) -> None:
        text = None if value is None else str(value).lower()
        if name == "backoff_base":
            text = f"{value} seconds"
            value = int(str(value)) * SECOND
        self.call(
            2,
            "select set_ocr_setting(%(name)s, %(value)s)",
            {"name": name, "value": text},
            lambda rows: setattr(self.oracle.settings, name, value),
            lambda rows: None,
        )

    def settle_backoff(self) -> None:
        """Make what waits out a random backoff wait for a known time."""
        if not self.oracle.settings.backoff_base:
            return
        self.observer.execute(
            "update ocr_queue set run_after = clock_timestamp() + interval '1 hour' "
            "where run_after > clock_timestamp()"
        )
        low = self.oracle.now
        for document in self.oracle.documents.values():
            for job in document.jobs:
                if isinstance(job.run_after, int) and job.run_after > low:
                    job.run_after = Span(60 * 60 * SECOND)
        self.check(2)

    def pass_time(self, minutes: int) -> None:
        by = sql.Literal(f"{minutes} minutes")
        for table, columns in {
            "ocr_queue": (
                *("run_after", "created_at", "started_at", "heartbeat_at"),
                *("lease_expires_at", "completed_at"),
            ),
            "documents": ("updated_at", "created_at"),
            "ocr_job_history": ("finished_at",),
            "ocr_queue_state": ("circuit_changed_at", "circuit_open_until"),
        }.items():
            self.observer.execute(
                sql.SQL("update {} set {}").format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(
                        sql.SQL("{0} = {0} - {1}::interval").format(
                            sql.Identifier(column), by
                        )
                        for column in columns
                    ),
                )
            )
        self.oracle.pass_time(minutes * 60 * SECOND)
        self.check(2)

    # The end of an example

    def drain(self) -> None:
        """Nothing is lost (G9): everything that is left can be brought to its end."""
        observer = self.observer
        texts: dict[str, str] = {}
        self.pass_time(61)
        observer.execute("select resume_ocr_queue()")
        observer.execute(
            "update ocr_settings set max_concurrent_jobs = null, "
            "foreign_text_policy = 'off', circuit_threshold = 1000"
        )
        observer.execute("select repair_database_consistency(false)")
        observer.execute("select reset_stuck_ocr_jobs(1)")
        observer.execute("select retry_failed_ocr_jobs()")
        observer.execute(
            "select enqueue_ocr_job(id) from documents where ocr_status <> 'completed'"
        )
        # one claim for a circuit's probe, one that closes it, one for the rest
        for _ in range(10):
            rows = observer.execute(
                "select document_id, filename, lease_token, file_hash "
                "from claim_ocr_jobs('the last one', 100)"
            ).fetchall()
            for document_id, filename, token, file_hash in rows:
                texts[str(document_id)] = f"the last page of {document_id}"
                written = observer.execute(
                    "select update_ocr_safe(%s, %s, %s, 90, 5, 1, %s, %s)",
                    [document_id, filename, texts[str(document_id)], token, file_hash]
                    if file_hash
                    else [
                        *(document_id, filename, texts[str(document_id)], token),
                        hash_of(UUID(int=0), 0),
                    ],
                ).fetchone()
                _same("the last result", written, (True,))
        state = self._look(observer)
        for row in state["documents"]:
            _same("a document in the end", row["status"], "completed")
            if row["id"] in texts:
                _same("its text", row["text"], texts[row["id"]])
        _same("jobs in the end", state["jobs"], [])
        _same("inconsistent states", state["validation"]["inconsistent_ocr_states"], 0)
        # an attempt that a plain statement ended has no history row for good
        check_guarantees(
            state, {str(d.id) for d in self.oracle.documents.values() if d.is_mixed_up}
        )


def check_guarantees(state: dict[str, Any], mixed_up: set[str]) -> None:
    """G1, G4, G5, G9 and G10 by what is seen alone.

    ``mixed_up`` are the documents that plain one-table statements were run against.
    """
    documents = {row["id"]: row for row in state["documents"]}
    live = Counter(
        row["document"] for row in state["jobs"] if row["status"] != "failed"
    )
    working = {
        row["document"] for row in state["jobs"] if row["status"] == "processing"
    }
    written = Counter(
        (row["document"], row["token"])
        for row in state["history"]
        if row["outcome"] == "written"
    )
    if any(n > 1 for n in live.values()):
        raise Difference("G5: two live jobs of one document")
    if any(n > 1 for n in written.values()):
        raise Difference("G10: two history rows of one result")
    for document_id, row in documents.items():
        status = row["status"]
        if (status == "completed") != (row["text"] is not None):
            raise Difference(f"G3: {status} with text {row['text']}")
        named = re.match(r"page of (\S+) version", row["text"] or "")
        if named and named[1] != document_id:
            raise Difference(f"G1: {document_id} carries {row['text']}")
        if status == "completed" and not written[document_id, row["result_token"]]:
            raise Difference(f"G10: {document_id} has no history row of its result")
        if (status == "processing") != (row["lease"] is not None):
            raise Difference(f"G2: {document_id} is {status}, lease {row['lease']}")
        if document_id in mixed_up:
            continue
        if (status == "processing") != (document_id in working):
            raise Difference(f"G5: {document_id} is {status}, and its job is not")
        if status in ("completed", "failed") and live[document_id]:
            raise Difference(f"G5: {document_id} is {status} and has a live job")
        claims = row["claims"]
        ended = sum(
            1
            for h in state["history"]
            if h["document"] == document_id and h["token"] is not None
        )
        if claims != ended + (status == "processing"):
            raise Difference(
                f"G10: {document_id} has {claims} claims and {ended} history rows"
            )
    wrong = {
        (f["kind"], f["document"])
        for f in state["findings"]
        if f["kind"] in STRUCTURAL and f["document"] not in mixed_up
    }
    if wrong:
        raise Difference(f"the validator finds {wrong}")
    counts = Counter(f["kind"] for f in state["findings"])
    for kind, count in counts.items():
        _same(f"the validator's count of {kind}", state["validation"][kind], count)
    if (state["validation"]["data_integrity_score"] == 100) != (not counts):
        raise Difference("the validator's score does not fit its findings")


_HISTORY = ("document", "outcome", "class", "worker", "attempt", "token")
_INCIDENT = ("reason", "document", "offered", "live", "application")


def _counted(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[key] for key in keys) for row in rows)


def _texts(rows: Counter[Any]) -> Counter[tuple[Any, ...]]:
    return Counter(
        {
            tuple(str(v) if isinstance(v, UUID) else v for v in row): n
            for row, n in rows.items()
        }
    )


def _text(token: UUID | None) -> str | None:
    return None if token is None else str(token)


def _same(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        shown = [
            json.dumps(v, default=str) if isinstance(v, list) else v
            for v in (actual, expected)
        ]
        if isinstance(actual, Counter) and isinstance(expected, Counter):
            shown = [dict(actual - expected), dict(expected - actual)]
        raise Difference(f"{what}: {shown[0]}, the contract says {shown[1]}")


def _compare_document(document: Document, row: Mapping[str, Any]) -> None:
    result = document.result
    expected = {
        "filename": document.filename,
        "path": document.path,
        "hash": document.hash,
        "status": document.status,
        "lease": _text(document.lease),
        "claims": document.claims,
        "text": result.text if result else None,
        "confidence": result.confidence if result else None,
        "words": result.words if result else None,
        "milliseconds": result.milliseconds if result else None,
        "engine": result.engine if result else None,
        "source": result.source if result else None,
        "result_token": _text(result.token) if result else None,
    }
    for column, value in expected.items():
        _same(f"{column} of document {document.id}", row[column], value)
    if document.status == "completed":
        _same(f"error of document {document.id}", row["error"], None)
    document.updated = row["updated"]


def _compare_jobs(
    document: Document, rows: Sequence[Mapping[str, Any]], span: tuple[int, int]
) -> None:
    _same(
        f"jobs of {document.id}",
        sorted(row["status"] for row in rows),
        sorted(job.status for job in document.jobs),
    )
    unseen = {row["id"]: row for row in rows}
    for job in sorted(document.jobs, key=lambda job: job.id is None):
        if job.id is None:
            row = next(r for r in unseen.values() if r["status"] == job.status)
            job.id = UUID(row["id"])
        _same(f"job {job.id} of {document.id} is there", str(job.id) in unseen, True)
        _compare_job(job, unseen.pop(str(job.id)), span)


def _compare_job(job: Job, row: Mapping[str, Any], span: tuple[int, int]) -> None:
    what = f"of job of {row['document']}"
    _same(f"status {what}", row["status"], job.status)
    _same(f"priority {what}", row["priority"], job.priority)
    _same(
        f"attempts {what}",
        (row["attempts"], row["max_attempts"]),
        (job.attempts, job.max_attempts),
    )
    _same(f"worker {what}", row["worker"], job.worker)
    _same(
        f"progress {what}",
        (row["current"], row["total"]),
        job.progress or (None, None),
    )
    job.run_after = _seen(f"run_after {what}", row["run_after"], job.run_after, span)
    job.lease_ends = _seen(f"lease {what}", row["lease_ends"], job.lease_ends, span)
    job.started = _seen(f"started_at {what}", row["started"], job.started, span)
    job.heartbeat = _seen(f"heartbeat {what}", row["heartbeat"], job.heartbeat, span)


def _seen(
    what: str, actual: int | None, expected: Time, span: tuple[int, int]
) -> int | None:
    """Compare a time, and return it as it was seen."""
    if isinstance(expected, Span):
        low = span[0] + expected.plus
        high = span[1] + expected.plus + expected.slack
        if actual is None or not low <= actual <= high:
            raise Difference(f"{what}: {actual}, the contract says {low} to {high}")
    else:
        _same(what, actual, expected)
    return actual
