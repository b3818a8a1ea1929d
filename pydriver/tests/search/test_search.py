"""A search for calls that leave the contract, in sequences that nobody thought of.

Hypothesis makes sequences of calls by several sessions. Each is run in the database and
in a model of the contract (``oracle.py``), and after every one everything that can be
seen is compared (``bench.py``). What differs is shrunk to the shortest sequence.

``make test`` always runs the same short search. With OCR_GUARDRAILS_SOAK_SECONDS it
goes on for so long, with seeds that count up from OCR_GUARDRAILS_SEED (default: the
time) and are printed.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from .bench import Bench, hash_of
from .oracle import Refused

SOAK_SECONDS = float(os.environ.get("OCR_GUARDRAILS_SOAK_SECONDS", "0"))

#: Half of the offers are right, so that work gets done; shrinking goes to the left.
slots = st.integers(0, 2)
workers = st.integers(0, 1)
tokens = st.sampled_from(["own"] * 5 + ["older", "older", "other", "none", "invented"])
filenames = st.sampled_from(["right"] * 7 + ["wrong"])
sources = st.sampled_from(["right"] * 4 + ["absent"] * 3 + ["wrong"])
texts = st.sampled_from(
    ["own"] * 6
    + ["shared"] * 3
    + ["short", "empty page", "empty but sure", "crowded", "too long"]
    + ["nul", "confidence 150"]
)
STEPS = 40

offers = st.tuples(slots, tokens, filenames, sources, texts)
leases = st.tuples(slots, tokens)
classes = st.sampled_from(["document", "document", "infrastructure", "permanent"])
jobs = st.sampled_from(["reset", "delete", "insert", "kill", "start"])
updates = st.sampled_from(
    [
        *("complete", "complete", "complete", "complete"),
        *("complete implausible", "complete other source", "complete and rename"),
        *("change text", "change confidence", "clear text"),
        *("to pending", "to processing", "to failed"),
        *("forge lease", "drop lease", "forge claims", "claim by hand"),
        *("rename", "move", "replace", "forget hash"),
    ]
)
Lease = tuple[int, str]
OfferOf = tuple[int, str, str, str, str]


class Calls(RuleBasedStateMachine):
    """The calls that both searches make."""

    bench: ClassVar[Bench]
    #: How long a call waits for a lock; then it counts as one that would wait.
    lock_timeout: ClassVar[str] = "10s"

    def __init__(self) -> None:
        super().__init__()
        self.bench.reset()

    def ready(self, session: int) -> None:
        """Before a call of this session."""

    def _token(self, lease: Lease) -> UUID:
        return self.bench.ticket(*lease).token or UUID(int=99)

    @rule(slot=slots, has_hash=st.booleans())
    def insert(self, slot: int, has_hash: bool) -> None:
        self.ready(2)
        self.bench.insert(2, slot, has_hash=has_hash)

    @rule(
        slot=slots,
        priority=st.sampled_from([5, 0, 10, 11]),
        attempts=st.sampled_from([None, 1, 2]),
    )
    def enqueue(self, slot: int, priority: int, attempts: int | None) -> None:
        self.ready(2)
        document_id = self.bench.document_id(slot)

        def model(rows: list[tuple[Any, ...]]) -> object:
            if priority > 10:
                raise Refused("22023")
            self.bench.oracle.enqueue([document_id], priority, attempts)
            return self._job_id(document_id) or (rows and rows[0][0])

        self.bench.call(
            2,
            "select enqueue_ocr_job(%(id)s, %(priority)s, p_max_attempts => %(max)s)",
            {"id": document_id, "priority": priority, "max": attempts},
            model,
            lambda rows: rows[0][0],
        )

    def _job_id(self, document_id: UUID) -> UUID | None:
        job = self.bench.oracle.documents[document_id].job
        return job.id if job else None

    @rule(which=st.lists(slots, min_size=1, max_size=3))
    def enqueue_many(self, which: list[int]) -> None:
        self.ready(2)
        ids = [self.bench.document_id(slot) for slot in which]
        self.bench.call(
            2,
            "select document_id from enqueue_ocr_jobs(%(ids)s::uuid[])",
            {"ids": ids},
            lambda rows: set(self.bench.oracle.enqueue(ids)),
            lambda rows: {row[0] for row in rows},
        )

    @rule()
    def enqueue_pending(self) -> None:
        self.ready(2)
        self.bench.scalar(
            2,
            "select enqueue_pending_documents()",
            {},
            lambda: self.bench.oracle.enqueue_pending(),
        )

    @rule(worker=workers, batch=st.integers(1, 3))
    def claim(self, worker: int, batch: int) -> None:
        self.ready(worker)
        self.bench.claim(worker, batch)

    @rule(worker=workers)
    def claim_one(self, worker: int) -> None:
        """Once more, since most else needs a lease."""
        self.ready(worker)
        self.bench.claim(worker, 1)

    @rule(worker=workers, offer=offers)
    def write(self, worker: int, offer: OfferOf) -> None:
        self.ready(worker)
        self.bench.write(worker, self.bench.offer(*offer))

    @rule(worker=workers, slot=slots)
    def write_rightly(self, worker: int, slot: int) -> None:
        """As most workers do."""
        self.ready(worker)
        self.bench.write(worker, self.bench.offer(slot, "own", "right", "right", "own"))

    @rule(worker=workers, batch=st.lists(offers, min_size=1, max_size=3))
    def write_batch(self, worker: int, batch: list[OfferOf]) -> None:
        self.ready(worker)
        self.bench.write_batch(worker, [self.bench.offer(*offer) for offer in batch])

    @rule(worker=workers, held=st.lists(leases, min_size=1, max_size=3))
    def extend(self, worker: int, held: list[Lease]) -> None:
        self.ready(worker)
        self.bench.extend(
            worker,
            [(self.bench.document_id(lease[0]), self._token(lease)) for lease in held],
        )

    @rule(worker=workers, lease=leases)
    def extend_one(self, worker: int, lease: Lease) -> None:
        """As a worker with one job does."""
        self.extend(worker, [lease])

    @rule(worker=workers, lease=leases, done=st.integers(0, 3))
    def progress(self, worker: int, lease: Lease, done: int) -> None:
        self.ready(worker)
        document_id, token = self.bench.document_id(lease[0]), self._token(lease)
        self.bench.scalar(
            worker,
            "select report_ocr_progress(%(id)s, %(token)s, %(done)s, 3)",
            {"id": document_id, "token": token, "done": done},
            lambda: self.bench.oracle.progress(document_id, token, (done, 3)),
        )

    @rule(worker=workers, lease=leases, error_class=classes)
    def fail(self, worker: int, lease: Lease, error_class: str) -> None:
        self.ready(worker)
        document_id, token = self.bench.document_id(lease[0]), self._token(lease)
        self.bench.scalar(
            worker,
            "select fail_ocr_job(%(id)s, %(token)s, 'unreadable', %(class)s)",
            {"id": document_id, "token": token, "class": error_class},
            lambda: self.bench.oracle.fail(document_id, token, error_class),
        )
        self.bench.settle_backoff()

    @rule(worker=workers, lease=leases)
    def release(self, worker: int, lease: Lease) -> None:
        self.ready(worker)
        document_id, token = self.bench.document_id(lease[0]), self._token(lease)
        self.bench.scalar(
            worker,
            "select release_ocr_job(%(id)s, %(token)s)",
            {"id": document_id, "token": token},
            lambda: self.bench.oracle.release(document_id, token),
        )

    @rule(minutes=st.sampled_from([30, 1]))
    def reset_stuck(self, minutes: int) -> None:
        self.ready(2)
        self.bench.call(
            2,
            "select document_id from find_stuck_ocr_jobs(%(minutes)s)",
            {"minutes": minutes},
            lambda rows: self.bench.oracle.find_stuck(minutes),
            lambda rows: {row[0] for row in rows},
        )
        self.bench.scalar(
            2,
            "select reset_stuck_ocr_jobs(%(minutes)s)",
            {"minutes": minutes},
            lambda: self.bench.oracle.reset_stuck(minutes),
        )

    @rule(slot=slots)
    def cancel(self, slot: int) -> None:
        self.ready(2)
        document_id = self.bench.document_id(slot)
        self.bench.scalar(
            2,
            "select cancel_ocr_job(%(id)s, 'not wanted')",
            {"id": document_id},
            lambda: self.bench.oracle.cancel(document_id),
        )

    @rule(slot=slots, priority=st.sampled_from([5, 9]))
    def requeue(self, slot: int, priority: int) -> None:
        self.ready(2)
        document_id = self.bench.document_id(slot)
        self.bench.call(
            2,
            "select requeue_document(%(id)s, 'read again', %(priority)s)",
            {"id": document_id, "priority": priority},
            lambda rows: self.bench.oracle.requeue(document_id, priority),
            lambda rows: None,
        )

    @rule(slot=slots)
    def restore(self, slot: int) -> None:
        self.ready(2)
        document_id = self.bench.document_id(slot)
        self.bench.scalar(
            2,
            "select restore_previous_result(%(id)s)",
            {"id": document_id},
            lambda: self.bench.oracle.restore(document_id),
        )

    @rule()
    def retry_failed(self) -> None:
        self.ready(2)
        self.bench.scalar(
            2,
            "select retry_failed_ocr_jobs()",
            {},
            lambda: self.bench.oracle.retry_failed(),
        )

    @rule(slot=slots)
    def delete(self, slot: int) -> None:
        self.ready(2)
        document_id = self.bench.document_id(slot)
        self.bench.call(
            2,
            "delete from documents where id = %(id)s",
            {"id": document_id},
            lambda rows: self.bench.oracle.delete(document_id),
            lambda rows: rows[0][0],
        )

    @rule(slot=slots, update=updates, which=tokens)
    def plain_update(self, slot: int, update: str, which: str) -> None:
        self.ready(2)
        changes = self._changes(slot, update, which)
        self.bench.plain_update(2, slot, changes)

    @rule(
        slot=slots,
        update=st.sampled_from(["change text", "change confidence", "clear text"]),
    )
    def tamper(self, slot: int, update: str) -> None:
        """What nobody may do to a result."""
        self.plain_update(slot, update, "own")

    def _changes(self, slot: int, update: str, which: str) -> dict[str, Any]:
        document_id = self.bench.document_id(slot)
        document = self.bench.oracle.documents.get(document_id)
        ticket = self.bench.ticket(slot, which)
        complete = {
            "ocr_status": "completed",
            "ocr_text": ticket.text,
            "ocr_confidence": 80.0,
            "ocr_word_count": 12,
            "ocr_result_token": ticket.token,
        }
        version = document.version if document else 0
        claims = document.claims if document else 0
        is_renamed = document is not None and document.filename != "scan.pdf"
        other = hash_of(UUID(int=0), 0)
        changes: dict[str, dict[str, Any]] = {
            "complete": complete,
            "complete implausible": {**complete, "ocr_word_count": 1000},
            "complete other source": {**complete, "ocr_source_hash": other},
            "complete and rename": {**complete, "filename": "another.pdf"},
            "change text": {"ocr_text": "by hand"},
            "change confidence": {"ocr_confidence": 1.0},
            "clear text": {"ocr_text": None},
            "to pending": {"ocr_status": "pending"},
            "to processing": {"ocr_status": "processing"},
            "to failed": {"ocr_status": "failed"},
            "forge lease": {"ocr_lease_token": UUID(int=98)},
            "drop lease": {"ocr_lease_token": None},
            "forge claims": {"ocr_claims": claims + 1},
            "claim by hand": {
                "ocr_status": "processing",
                "ocr_lease_token": UUID(int=97 + (claims << 64)),
                "ocr_claims": claims + 1,
            },
            "rename": {"filename": "scan.pdf" if is_renamed else "renamed.pdf"},
            "move": {"file_path": f"/elsewhere/{version}"},
            "replace": {"file_hash": hash_of(document_id, version + 1)},
            "forget hash": {"file_hash": None},
        }
        return changes[update]


class OneByOne(Calls):
    """Every call is a transaction of its own."""

    @initialize()
    def begin(self) -> None:
        """One is completed, one claimed, one waits: short ways to the point."""
        for slot in (2, 0, 1):
            self.bench.insert(2, slot, has_hash=slot == 0)
            self.enqueue(slot, 5, None)
            if slot != 1:
                self.claim(0, 1)
            if slot == 2:
                self.write_rightly(0, slot)

    @rule(worker=workers)
    def claim_or_be_told(self, worker: int) -> None:
        self.bench.claim(worker, 1, raise_if_closed=True)

    @rule(which=st.lists(slots, min_size=1, max_size=3))
    def ingest(self, which: list[int]) -> None:
        self.bench.ingest(2, which)

    @rule(minutes=st.sampled_from([7, 2, 31]))
    def pass_time(self, minutes: int) -> None:
        self.bench.pass_time(minutes)

    @rule(is_paused=st.booleans())
    def pause(self, is_paused: bool) -> None:
        self.bench.scalar(
            2,
            "select pause_ocr_queue('maintenance')"
            if is_paused
            else "select resume_ocr_queue()",
            {},
            lambda: self.bench.oracle.pause(is_paused),
        )

    @rule(slot=slots, change=jobs)
    def plain_job(self, slot: int, change: str) -> None:
        self.bench.plain_job(2, slot, change)

    @rule(
        setting=st.sampled_from(
            [
                ("foreign_text_policy", "refuse"),
                ("foreign_text_policy", "off"),
                ("foreign_text_policy", "record"),
                ("require_lease_token", True),
                ("require_lease_token", False),
                ("require_source_hash", True),
                ("require_source_hash", False),
                ("max_concurrent_jobs", 1),
                ("max_concurrent_jobs", None),
                ("default_max_attempts", 1),
                ("circuit_threshold", 1),
                ("circuit_threshold", 2),
                ("backoff_base", 600),
                ("backoff_base", 0),
            ]
        )
    )
    def set(self, setting: tuple[str, object]) -> None:
        self.bench.set(*setting)

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:
            self.bench.drain()


class Interleaved(Calls):
    """Up to three transactions are open at a time, and some of them are rolled back."""

    lock_timeout = "25ms"

    @initialize()
    def begin(self) -> None:
        """Two documents that wait and one that is worked on."""
        for slot in range(3):
            self.bench.insert(2, slot, has_hash=slot == 0)
            self.enqueue(slot, 10 - slot, None)
        self.commit(2)
        self.claim(0, 1)
        self.commit(0)

    def ready(self, session: int) -> None:
        if not self.bench.oracle.is_open(session):
            self.bench.begin(session)

    @rule(session=st.integers(0, 2))
    def commit(self, session: int) -> None:
        if self.bench.oracle.is_open(session):
            self.bench.commit(session)

    @rule(session=st.integers(0, 2))
    def roll_back(self, session: int) -> None:
        if self.bench.oracle.is_open(session):
            self.bench.rollback(session)

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:
            for session in range(3):
                self.commit(session)
            self.bench.drain()


def search(
    machine: type[Calls], dsn: str, examples: int, *, number: int | None
) -> Bench:
    """Run so many sequences; by the seed of this number, or always the same ones."""
    bench = Bench(dsn, machine.lock_timeout)
    bound = type(machine.__name__, (machine,), {"bench": bench})
    if number is not None:
        seed(number)(bound)
    try:
        run_state_machine_as_test(
            bound,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                derandomize=number is None,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=False,
                report_multiple_bugs=False,
            ),
        )
    finally:
        bench.close()
    return bench


# Shrinking what was found may take minutes.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("machine", "examples"), [(OneByOne, 40), (Interleaved, 8)])
def test_every_sequence_keeps_the_contract(
    machine: type[Calls], examples: int, database: str
) -> None:
    bench = search(machine, database, examples, number=None)
    # what was never called was not searched
    assert {"update_ocr_safe", "update_ocr_batch_safe", "claim_ocr_jobs"} <= set(
        bench.calls
    )


@pytest.mark.skipif(not SOAK_SECONDS, reason="OCR_GUARDRAILS_SOAK_SECONDS is not set")
@pytest.mark.timeout(SOAK_SECONDS + 1800)
def test_a_long_search_finds_nothing(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    number = int(os.environ.get("OCR_GUARDRAILS_SEED") or time.time())
    end = time.monotonic() + SOAK_SECONDS
    rounds = 0
    while time.monotonic() < end:
        machine, examples = ((OneByOne, 100), (Interleaved, 20))[rounds % 2]
        with capsys.disabled():
            print(f"{machine.__name__}, OCR_GUARDRAILS_SEED={number}", flush=True)
        search(machine, database, examples, number=number)
        rounds += 1
        number += rounds % 2 == 0
