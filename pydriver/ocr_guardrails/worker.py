"""The reference worker: claims jobs, reads the files, offers the results.

All rules are the database's. What the worker adds is care for its own side of them:
it hashes the very bytes that it reads the text from, extends its leases in the
background, stops working on a job that it lost, tells the classes of failure apart,
and gives its jobs back when it has to stop.

Results are offered by a thread of their own, so that a commit costs the next document
no time. It never waits for company: a lone result is offered at once, and those that
are finished while an offer is on its way are offered together next. Where documents
take longer than a commit, that is one result at a time; the faster they come, the fewer
commits. The price is that a process that is killed may leave more than one finished
document to be read again; their leases are kept up to the answer, so nothing else is
at stake.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from random import SystemRandom
from typing import Any, TypeVar

import psycopg

from ocr_guardrails.client import Guardrails
from ocr_guardrails.connection import is_pooled
from ocr_guardrails.engines import Engine
from ocr_guardrails.errors import InvalidArgument
from ocr_guardrails.models import (
    BatchOutcome,
    DocumentId,
    ErrorClass,
    FailureAnswer,
    Job,
    Outcome,
    Result,
)
from ocr_guardrails.pages import PageLimits, open_pages, read_file

__all__ = [
    "Checkpoint",
    "Event",
    "EventKind",
    "LeaseLost",
    "QueueState",
    "Recognition",
    "Steps",
    "Summary",
    "Worker",
    "WorkerOptions",
    "default_worker_id",
    "fetch",
    "offer",
    "recognise",
]

T = TypeVar("T")
Connect = Callable[[], "psycopg.Connection[Any]"]

_CHANNEL = "ocr_jobs"
_TICK = 0.2  # seconds; how soon the waiting loops see that they should end
_BACKOFF_BASE, _BACKOFF_CAP = 0.1, 10.0  # seconds
_REPEATS = 10  # of a call that fails on a connection that is well
_MESSAGE_LIMIT = 2000  # characters of an error that are kept
_PAGE_SEPARATOR = "\f"
# Of one offer, and of what may wait for the next one before the threads wait, too.
_OFFERED_RESULTS, _OFFERED_CHARACTERS = 100, 4_000_000

# Jitter needs no secrecy, but a forked process needs numbers of its own.
_random = SystemRandom()

# Classes of SQLSTATE that say nothing about the call: it may be repeated, without end
# while the server is away or has no room (53), else a few times. Every call of a worker
# can be: a result is recognised by its token, and a claim whose answer was lost comes
# back when its lease expires.
_CONNECTION_GONE = ("08", "57P", "53", "25006")
_TRY_AGAIN = ("40001", "40P01", "55P03", "57014")

# Refusals that another attempt would meet again.
_REFUSED_FOR_GOOD = (Outcome.IMPLAUSIBLE_RESULT, Outcome.FOREIGN_TEXT)
_NOT_OURS = (
    Outcome.STALE_LEASE,
    Outcome.DOCUMENT_MISSING,
    Outcome.ALREADY_COMPLETED,
)


class EventKind(StrEnum):
    """What a worker tells while it works."""

    STARTED = "started"
    PAGE = "page"
    WRITTEN = "written"
    RETRY = "retry"
    DEAD = "dead"
    LOST = "lost"
    RELEASED = "released"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; the first seven kinds name their job.

    ``page`` counts from 1 and is the one that begins. ``seconds`` is what the job took.
    ``outcome`` is there when a result was offered.
    """

    kind: EventKind
    worker_id: str
    document_id: DocumentId | None = None
    filename: str | None = None
    message: str | None = None
    page: int | None = None
    pages: int | None = None
    seconds: float | None = None
    outcome: Outcome | None = None


@dataclass(slots=True)
class Summary:
    """What a worker did. ``refused`` counts refused results by outcome.

    ``waiting`` is the number of jobs that a drained queue left in backoff, if known;
    ``notes`` say what else an operator should know.
    """

    written: int = 0
    retry: int = 0
    dead: int = 0
    lost: int = 0
    released: int = 0
    pages: int = 0
    seconds: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    waiting: int | None = None
    notes: list[str] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Count an event."""
        kind = event.kind
        if kind is EventKind.NOTE:
            if event.message and event.message not in self.notes:
                self.notes.append(event.message)
        elif kind is EventKind.PAGE:
            self.pages += 1
        elif kind is not EventKind.STARTED:
            setattr(self, kind.value, getattr(self, kind.value) + 1)
        if event.outcome and not event.outcome.is_written:
            self.refused[event.outcome.value] += 1


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works.

    ``worker_id`` names it to the database; each thread adds its number. ``lease`` None
    is the database's setting. ``drain`` ends when nothing is left to wait for; with
    ``wait_retries`` that includes jobs in backoff. ``grace`` is how long, in seconds,
    a stopped worker goes on with what it has in hand. ``heartbeats`` are switched off
    only by tests and demonstrations of what happens then.
    """

    worker_id: str | None = None
    threads: int = 1
    batch_size: int = 1
    lease: timedelta | None = None
    drain: bool = False
    wait_retries: bool = False
    poll_interval: float = 3.0
    grace: float = 5.0
    limits: PageLimits = field(default_factory=PageLimits)
    heartbeats: bool = True


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was read from one file; ``source_hash`` is of the very bytes it was."""

    text: str
    confidence: float
    word_count: int
    pages: int
    source_hash: str
    engine: str
    processing_time_ms: int


class LeaseLost(Exception):
    """The lease is someone else's, or void: whatever was done is not to be offered."""


class _Released(Exception):
    """The worker has to stop; the job goes back unspent."""


Checkpoint = Callable[[int, int], None]
"""Called before each page with its number and the number of pages; may raise."""


def fetch(job: Job, limits: PageLimits) -> bytes:
    """Read the job's file, once and whole. Raises FileError."""
    return read_file(job.file_path, limits)


def recognise(
    data: bytes, engine: Engine, limits: PageLimits, checkpoint: Checkpoint
) -> Recognition:
    """Read the text of a file's bytes, page by page.

    Pages are parted by a form feed. The confidence is the pages' mean, weighted by
    their characters. Raises FileError, EngineError, and what ``checkpoint`` raises.
    """
    started = time.monotonic()
    source_hash = hashlib.sha256(data).hexdigest()
    texts: list[str] = []
    weight, confidence = 0, 0.0
    with open_pages(data, limits) as pages:
        for number, image in enumerate(pages, 1):
            checkpoint(number, len(pages))
            page = engine.recognize(image)
            texts.append(page.text)
            weight += len(page.text)
            confidence += page.confidence * len(page.text)
    text = _PAGE_SEPARATOR.join(texts) if weight else ""
    return Recognition(
        text=text,
        confidence=confidence / weight if weight else 0.0,
        word_count=len(text.split()),
        pages=len(texts),
        source_hash=source_hash,
        engine=f"{engine.name} {engine.version}",
        processing_time_ms=round((time.monotonic() - started) * 1000),
    )


def offer(
    guardrails: Guardrails, finished: Sequence[tuple[Job, Recognition]]
) -> list[BatchOutcome]:
    """Offer results, and learn what became of each, in order.

    The batch form judges by the same rules as ``update_ocr_safe`` and names the
    outcome, where that one answers true or false.
    """
    return guardrails.update_ocr_batch_safe(
        [
            Result(
                document_id=job.document_id,
                expected_filename=job.filename,
                ocr_text=recognition.text,
                confidence=recognition.confidence,
                word_count=recognition.word_count,
                processing_time_ms=recognition.processing_time_ms,
                lease_token=job.lease_token,
                source_hash=recognition.source_hash,
                engine=recognition.engine,
            )
            for job, recognition in finished
        ]
    )


@dataclass(frozen=True, slots=True)
class Steps:
    """The three parts of a job, for whoever has to put something else in a place.

    ``offer`` is given one result or more, and is called again with the same ones when
    the connection was lost, or with each alone when it raised anything else.
    """

    fetch: Callable[[Job, PageLimits], bytes] = fetch
    recognise: Callable[[bytes, Engine, PageLimits, Checkpoint], Recognition] = (
        recognise
    )
    offer: Callable[
        [Guardrails, Sequence[tuple[Job, Recognition]]], list[BatchOutcome]
    ] = offer


def default_worker_id() -> str:
    """Host and process: what an operator needs to find the worker."""
    return f"{socket.gethostname()}:{os.getpid()}"


class _Database:
    """A connection that comes back.

    ``call`` repeats its work on a new connection for as long as the database is away,
    with exponential backoff and full jitter, until ``quitting``.
    """

    def __init__(
        self,
        connect: Connect,
        quitting: threading.Event,
        note: Callable[[str], None],
        prepare: Callable[[psycopg.Connection[Any]], None] | None = None,
    ) -> None:
        self._connect = connect
        self._quitting = quitting
        self._note = note
        self._prepare = prepare
        self._connection: psycopg.Connection[Any] | None = None

    def connection(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            connection = self._connect()
            # Every call is a transaction of its own.
            connection.autocommit = True
            if is_pooled(connection):
                # Another transaction may run on another server process.
                connection.prepare_threshold = None
            self._connection = connection
            if self._prepare:
                self._prepare(connection)
        return self._connection

    def call(self, work: Callable[[Guardrails], T]) -> T:
        attempt = 0
        while True:
            try:
                answer = work(Guardrails(self.connection()))
            except psycopg.Error as error:
                gone = self._is_gone(error)
                if not gone and not _is_state(error, _TRY_AGAIN):
                    raise
                if self._quitting.is_set() or (not gone and attempt >= _REPEATS):
                    raise
                if gone:
                    self.close()
                    if attempt == 0:
                        self._note(f"Database connection lost: {_first_line(error)}")
                attempt += 1
                self._quitting.wait(_backoff(attempt))
            else:
                return answer

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _is_gone(self, error: psycopg.Error) -> bool:
        if self._connection is None:
            return isinstance(error, psycopg.OperationalError)
        return self._connection.closed or _is_state(error, _CONNECTION_GONE)


class _Live:
    """A claimed job in this worker's hands."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.lost = threading.Event()
        self.started = time.monotonic()
        self._offering = False
        self._lock = threading.Lock()

    def begin_offer(self) -> None:
        """From here on only the database's answer counts.

        The heartbeat may find the document gone from its leases because the result is
        written, and must not talk us out of asking for the answer again.
        """
        with self._lock:
            if self.lost.is_set():
                raise LeaseLost
            self._offering = True

    def take_away(self) -> bool:
        """Have the job, unless its result is being offered."""
        with self._lock:
            if self._offering:
                return False
            self.lost.set()
            return True


class _Leases:
    """The jobs in hand, for the heartbeat and the shutdown."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[DocumentId, _Live] = {}

    def add(self, job: Job) -> _Live:
        live = _Live(job)
        with self._lock:
            # The same document again: we lost it, and were the ones to get it back.
            before = self._live.get(job.document_id)
            self._live[job.document_id] = live
        if before is not None:
            before.lost.set()
        return live

    def remove(self, live: _Live) -> None:
        with self._lock:
            if self._live.get(live.job.document_id) is live:
                del self._live[live.job.document_id]

    def all(self) -> list[_Live]:
        with self._lock:
            return list(self._live.values())


@dataclass(frozen=True, slots=True)
class _Finished:
    """A job whose text was read, by the thread of that name."""

    live: _Live
    worker_id: str
    recognition: Recognition


class _Offers:
    """The results that wait for the database: few, so that memory stays bounded."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[_Finished] = deque()
        self._characters = 0
        self._under_way = False
        self._closed = False

    def put(self, finished: _Finished) -> bool:
        """Hand a result over, when there is room; False if nobody takes any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room())
            if self._closed:
                return False
            self._waiting.append(finished)
            self._characters += len(finished.recognition.text)
            self._changed.notify_all()
            return True

    def take(self) -> list[_Finished]:
        """All that wait, up to what is offered at once; nothing once it is closed."""
        with self._changed:
            self._under_way = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._waiting)
            taken: list[_Finished] = []
            if self._closed:
                return taken
            characters = 0
            while self._waiting and len(taken) < _OFFERED_RESULTS:
                length = len(self._waiting[0].recognition.text)
                if taken and characters + length > _OFFERED_CHARACTERS:
                    break
                taken.append(self._waiting.popleft())
                characters += length
            self._characters -= characters
            self._under_way = bool(taken)
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Take no more; what waits is not offered any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_until_idle(self, timeout: float) -> bool:
        """Whether nothing is left to offer, at the latest after ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._closed or not (self._waiting or self._under_way), timeout
            )

    def _has_room(self) -> bool:
        return (
            len(self._waiting) < _OFFERED_RESULTS
            and self._characters < _OFFERED_CHARACTERS
        )


class _Bell:
    """Wakes one waiting thread for each ring, and one when it is time to poll.

    All of them would claim at once and all but one for nothing. A thread whose claim
    shows that there may be more passes the ring on to the next one. A ring that nobody
    waits for is kept: news that comes between a claim and the wait after it is not
    missed.
    """

    def __init__(self, interval: float) -> None:
        self._condition = threading.Condition()
        self._interval = interval
        self._poll_at = 0.0
        self._kept = False
        self._closed = False

    def ring(self) -> None:
        with self._condition:
            self._kept = True
            self._condition.notify()

    def pass_on(self) -> None:
        """Wake another one, if one waits: who calls this will claim again itself."""
        with self._condition:
            self._condition.notify()

    def answer(self) -> None:
        """To be called before a claim, which sees all that was rung for so far."""
        with self._condition:
            self._begin_claim()

    def wait(self) -> None:
        with self._condition:
            while not self._kept and not self._closed:
                left = self._poll_at - time.monotonic()
                if left <= 0 or self._condition.wait(left):
                    break
            # The others go on waiting: this one claims for them.
            self._begin_claim()

    def close(self) -> None:
        """Nobody waits any more."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _begin_claim(self) -> None:
        self._kept = False
        self._poll_at = time.monotonic() + self._interval * _random.uniform(0.8, 1.2)


class Worker:
    """Works on the queue with threads, each with an engine and a connection.

    Two more connections are the worker's own: one keeps the leases and listens for
    news, one offers the results.

    ``connect`` makes a connection; it is called again after a loss. ``make_engine`` is
    called once for each thread. ``on_event`` is called from all threads.
    """

    def __init__(
        self,
        connect: Connect,
        make_engine: Callable[[], Engine],
        options: WorkerOptions | None = None,
        *,
        steps: Steps | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.options = options or WorkerOptions()
        self.worker_id = self.options.worker_id or default_worker_id()
        self.summary = Summary()
        self._connect = connect
        self._make_engine = make_engine
        self._steps = steps or Steps()
        self._on_event = on_event
        self._leases = _Leases()
        # A plain flag, since a signal handler must not wait for a lock.
        self._stopping = False
        self._quitting = threading.Event()
        self._finished = threading.Event()
        self._deadline = float("inf")
        self._bell = _Bell(self.options.poll_interval)
        self._offers = _Offers()
        self._failure: BaseException | None = None
        self._deaf = 0
        self._event_lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    # -- from outside ------------------------------------------------------------------

    def stop(self) -> None:
        """Claim no more. What is in hand has ``grace`` seconds, then goes back.

        May be called from a signal handler.
        """
        if not self._stopping:
            self._deadline = time.monotonic() + self.options.grace
            self._stopping = True

    @property
    def is_abandoned(self) -> bool:
        """Whether ``run`` returned while a thread was still inside a page.

        Its job was given back. Such a program should leave by ``os._exit``: Python
        would wait for nothing, but native code does not like to be cut short.
        """
        return any(thread.is_alive() for thread in self._threads)

    def run(self) -> Summary:
        """Work until stopped or, with ``drain``, until nothing is left to wait for.

        Raises psycopg.Error when the database cannot be reached at the start or
        refuses to let us claim; a job never ends the worker.
        """
        began = time.monotonic()
        engines = [self._make_engine() for _ in range(self.options.threads)]
        # A wrong address should be told at once, not retried for ever.
        keeper = self._database(self._listen)
        keeper.connection()
        self._threads = [
            threading.Thread(
                target=self._guarded,
                args=(self._work, number, engine),
                name=f"ocr-{number}",
                daemon=True,
            )
            for number, engine in enumerate(engines, 1)
        ]
        background = [
            threading.Thread(
                target=self._guarded, args=(target, *arguments), name=name, daemon=True
            )
            for name, target, *arguments in (
                ("ocr-leases", self._keep_leases, keeper),
                ("ocr-offers", self._offer_results),
            )
        ]
        for thread in background + self._threads:
            thread.start()
        try:
            self._await_threads()
        finally:
            self._stopping = True
            self._quitting.set()
            self._finished.set()
            self._offers.close()
            for thread in background:
                thread.join(2)
        self.summary.seconds = time.monotonic() - began
        if self._failure is not None:
            raise self._failure
        return self.summary

    # -- threads -----------------------------------------------------------------------

    def _guarded(self, target: Callable[..., None], *arguments: Any) -> None:
        try:
            target(*arguments)
        except BaseException as error:
            if not self._quitting.is_set():
                self._failure = self._failure or error
                self.stop()

    def _await_threads(self) -> None:
        while self._is_busy(_TICK):
            if self._stopping:
                self._bell.close()
            if time.monotonic() >= self._deadline:
                break
        # Between pages the threads give their jobs back by themselves. One that is in
        # the middle of a long page does not get to: its job is given back for it.
        patience = time.monotonic() + 1
        while time.monotonic() < patience and self._is_busy(_TICK / 4):
            pass
        self._quitting.set()
        self._offers.close()
        if self._leases.all():
            self._give_back_all()

    def _is_busy(self, timeout: float) -> bool:
        """Whether a thread works or a result is on its way; looks for so long."""
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout)
                return True
        return not self._offers.wait_until_idle(timeout)

    def _give_back_all(self) -> None:
        database = self._database()
        try:
            for live in self._leases.all():
                if live.take_away():
                    self._release(database, live)
        except psycopg.Error as error:
            self._note(
                f"Jobs could not be given back ({_first_line(error)}); they return to "
                "the queue when their leases expire."
            )
        finally:
            database.close()

    def _work(self, number: int, engine: Engine) -> None:
        alone = self.options.threads == 1 and self.options.worker_id is not None
        worker_id = self.worker_id if alone else f"{self.worker_id}:{number}"
        database = self._database(
            lambda connection: _name_session(connection, worker_id)
        )
        slept = False
        try:
            while not self._stopping:
                self._bell.answer()
                jobs = database.call(
                    lambda guardrails: guardrails.claim_ocr_jobs(
                        worker_id, self.options.batch_size, lease=self.options.lease
                    )
                )
                if len(jobs) >= self.options.batch_size:
                    self._bell.pass_on()
                if jobs:
                    claimed = [self._leases.add(job) for job in jobs]
                    read = [
                        self._process(database, engine, worker_id, live)
                        for live in claimed
                    ]
                    if slept and any(read):
                        # Most likely the next claim finds nothing. It is made once the
                        # results are written, instead of now and then again.
                        self._bell.wait()
                    slept = False
                elif self.options.drain and self._is_drained(database):
                    self._bell.ring()  # the others need not wait any longer, either
                    break
                else:
                    self._bell.wait()
                    slept = True
        except psycopg.Error:
            # Told to quit while the database is away: leases expire by themselves.
            if not self._quitting.is_set():
                raise
        finally:
            database.close()

    def _keep_leases(self, database: _Database) -> None:
        beat_at = 0.0
        while not self._finished.is_set():
            live = self._leases.all()
            shortest = min((each.job.lease for each in live), default=None)
            if not self.options.heartbeats or shortest is None:
                beat_at = 0.0
            elif beat_at == 0.0:
                beat_at = time.monotonic() + shortest.total_seconds() / 3
            elif time.monotonic() >= beat_at:
                beat_at = time.monotonic() + shortest.total_seconds() / 3
                self._beat(database, live)
            self._hear(database)
        database.close()

    def _beat(self, database: _Database, live: list[_Live]) -> None:
        try:
            kept = database.call(
                lambda guardrails: guardrails.extend_ocr_leases(
                    [each.job.document_id for each in live],
                    [each.job.lease_token for each in live],
                    lease=self.options.lease,
                )
            )
        except psycopg.Error:
            if self._quitting.is_set():
                return
            raise
        ours = {extension.document_id for extension in kept}
        for each in live:
            if each.job.document_id not in ours:
                each.lost.set()

    def _hear(self, database: _Database) -> None:
        try:
            for _ in database.connection().notifies(timeout=_TICK, stop_after=1):
                self._bell.ring()
        except psycopg.OperationalError:
            # The threads poll meanwhile, and tell of the loss.
            database.close()
            self._deaf += 1
            self._quitting.wait(_backoff(self._deaf))
        else:
            self._deaf = 0

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        if is_pooled(connection):
            # LISTEN would stay with a server process that others use, too.
            self._note(
                "A pooler stands before the database, where no notification arrives: "
                f"new work is found within {self.options.poll_interval:g} seconds."
            )
        else:
            connection.execute(f"listen {_CHANNEL}")

    def _is_drained(self, database: _Database) -> bool:
        if self._leases.all():
            return False
        try:
            state = database.call(QueueState.read)
        except psycopg.ProgrammingError:
            # A role that may not look knows only what it has in hand.
            return True
        if state.paused:
            message = "The queue is paused: 'ocr-guardrails resume' lets it go on."
            if message not in self.summary.notes:
                self._note(message)
            return True
        if state.due or state.processing:
            return False
        self.summary.waiting = state.waiting
        return not (self.options.wait_retries and state.waiting)

    # -- one job -----------------------------------------------------------------------

    def _process(
        self, database: _Database, engine: Engine, worker_id: str, live: _Live
    ) -> bool:
        """Read one job's text; whether there is one, and it is about to be offered."""
        job = live.job
        live.started = time.monotonic()
        handed_over = False
        try:
            self._checkpoint(database, worker_id, live, 0, 0)
            self._tell(EventKind.STARTED, worker_id, live)
            data = self._steps.fetch(job, self.options.limits)
            recognition = self._steps.recognise(
                data,
                engine,
                self.options.limits,
                lambda page, pages: self._checkpoint(
                    database, worker_id, live, page, pages
                ),
            )
            del data
            if live.lost.is_set():
                raise LeaseLost
            handed_over = self._offers.put(_Finished(live, worker_id, recognition))
            if not handed_over:
                raise _Released
        except LeaseLost:
            self._tell(EventKind.LOST, worker_id, live, "The lease was lost.")
        except _Released:
            if live.take_away():
                self._release(database, live)
        except (Exception, SystemExit) as error:
            # Whatever an engine or a decoder comes up with is this job's failure.
            name = f"{engine.name} {engine.version}"
            self._fail(database, worker_id, name, live, error)
        finally:
            if not handed_over:
                self._leases.remove(live)
        return handed_over

    def _checkpoint(
        self, database: _Database, worker_id: str, live: _Live, page: int, pages: int
    ) -> None:
        if live.lost.is_set():
            raise LeaseLost
        if page == 0 and self._stopping:
            raise _Released
        if time.monotonic() >= self._deadline:
            raise _Released
        if page == 0:
            return
        job = live.job
        if pages > 1 and not database.call(
            lambda guardrails: guardrails.report_ocr_progress(
                job.document_id, job.lease_token, page - 1, pages
            )
        ):
            raise LeaseLost
        self._tell(EventKind.PAGE, worker_id, live, page=page, pages=pages)

    # -- results -----------------------------------------------------------------------

    def _offer_results(self) -> None:
        database = self._database(
            lambda connection: _name_session(connection, self.worker_id)
        )
        try:
            while finished := self._offers.take():
                begun = [each for each in finished if self._begin_offer(each)]
                if begun:
                    self._offer(database, begun)
                # A thread waits for that, or has claimed in vain because a job was
                # still ours: it counts against max_concurrent_jobs, and as not drained.
                self._bell.ring()
        finally:
            self._offers.close()
            database.close()

    def _begin_offer(self, finished: _Finished) -> bool:
        live = finished.live
        try:
            live.begin_offer()
        except LeaseLost:
            self._tell(EventKind.LOST, finished.worker_id, live, "The lease was lost.")
            self._leases.remove(live)
            return False
        return True

    def _offer(self, database: _Database, finished: list[_Finished]) -> None:
        read = [(each.live.job, each.recognition) for each in finished]
        try:
            answers = database.call(
                lambda guardrails: self._steps.offer(guardrails, read)
            )
        except Exception as error:
            if len(finished) > 1:
                # It may be about one of them, and not about the others.
                for each in finished:
                    self._offer(database, [each])
                return
            (each,) = finished
            self._give_up(database, each, error)
            return
        for each, answer in zip(finished, answers, strict=True):
            try:
                self._conclude(database, each, answer)
            except Exception as error:
                self._give_up(database, each, error)
            else:
                self._leases.remove(each.live)

    def _give_up(
        self, database: _Database, finished: _Finished, error: Exception
    ) -> None:
        try:
            self._fail(
                database,
                finished.worker_id,
                finished.recognition.engine,
                finished.live,
                error,
            )
        finally:
            self._leases.remove(finished.live)

    def _conclude(
        self, database: _Database, finished: _Finished, answer: BatchOutcome
    ) -> None:
        live = finished.live
        outcome = answer.outcome
        message = f"{outcome}: {answer.detail}" if answer.detail else str(outcome)
        kind = EventKind.LOST
        if outcome.is_written:
            kind, message = EventKind.WRITTEN, ""
        elif outcome not in _NOT_OURS:
            # The lease is still ours. Unless we say so, the job would wait for it to
            # expire.
            reported = database.call(
                lambda guardrails: guardrails.fail_ocr_job(
                    live.job.document_id,
                    live.job.lease_token,
                    _sendable(message),
                    ErrorClass.PERMANENT
                    if outcome in _REFUSED_FOR_GOOD
                    else ErrorClass.DOCUMENT,
                    engine=finished.recognition.engine,
                )
            )
            kind = _KINDS[reported]
            if kind is EventKind.LOST and outcome is Outcome.REJECTED_BY_DATABASE:
                # It has failed the job already.
                used_up = live.job.attempt >= live.job.max_attempts
                kind = EventKind.DEAD if used_up else EventKind.RETRY
        self._tell(kind, finished.worker_id, live, message, outcome=outcome)

    def _fail(
        self,
        database: _Database,
        worker_id: str,
        engine: str,
        live: _Live,
        error: BaseException,
    ) -> None:
        message, error_class = _describe(error)
        try:
            reported = database.call(
                lambda guardrails: guardrails.fail_ocr_job(
                    live.job.document_id,
                    live.job.lease_token,
                    _sendable(message),
                    error_class,
                    engine=engine,
                )
            )
        except psycopg.Error as second:
            self._tell(
                EventKind.LOST,
                worker_id,
                live,
                f"{message} (which could not be reported: {_first_line(second)})",
            )
        else:
            self._tell(_KINDS[reported], worker_id, live, message)

    def _release(self, database: _Database, live: _Live) -> None:
        job = live.job
        released = database.call(
            lambda guardrails: guardrails.release_ocr_job(
                job.document_id, job.lease_token
            )
        )
        kind = EventKind.RELEASED if released else EventKind.LOST
        self._tell(kind, self.worker_id, live)

    # -- telling -----------------------------------------------------------------------

    def _database(
        self, prepare: Callable[[psycopg.Connection[Any]], None] | None = None
    ) -> _Database:
        return _Database(self._connect, self._quitting, self._note, prepare)

    def _note(self, message: str) -> None:
        self._emit(Event(EventKind.NOTE, self.worker_id, message=message))

    def _tell(
        self,
        kind: EventKind,
        worker_id: str,
        live: _Live,
        message: str | None = None,
        *,
        page: int | None = None,
        pages: int | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        self._emit(
            Event(
                kind,
                worker_id,
                document_id=live.job.document_id,
                filename=live.job.filename,
                message=message or None,
                page=page,
                pages=pages,
                seconds=time.monotonic() - live.started,
                outcome=outcome,
            )
        )

    def _emit(self, event: Event) -> None:
        with self._event_lock:
            self.summary.add(event)
            if self._on_event:
                self._on_event(event)


@dataclass(frozen=True, slots=True)
class QueueState:
    """How many jobs the queue holds, and whether an operator paused it."""

    due: int
    waiting: int
    processing: int
    paused: bool

    @classmethod
    def read(cls, guardrails: Guardrails) -> QueueState:
        """As of now, from the views that people read, too."""
        due = waiting = processing = 0
        for row in guardrails.read("ocr_queue_overview"):
            if row["status"] == "processing":
                processing += row["jobs"]
            elif row["status"] == "pending":
                due += row["due_jobs"]
                waiting += row["jobs"] - row["due_jobs"]
        (state,) = guardrails.read("ocr_queue_state", columns=["paused_at"])
        return cls(due, waiting, processing, state["paused_at"] is not None)


_KINDS = {
    FailureAnswer.RETRY: EventKind.RETRY,
    FailureAnswer.DEAD: EventKind.DEAD,
    FailureAnswer.STALE_LEASE: EventKind.LOST,
}


def _describe(error: BaseException) -> tuple[str, ErrorClass]:
    """An error as the job's message, and its class."""
    error_class = getattr(error, "error_class", None)
    if isinstance(error_class, ErrorClass):
        return str(error), error_class
    if isinstance(error, psycopg.Error) and not isinstance(error, InvalidArgument):
        # What the database says of the result is the document's, what it says of
        # itself (no room, no right, no such function) is not.
        own = (error.sqlstate or "XX")[:2] in ("XX", "53", "57", "58", "42")
        return (
            f"{error.sqlstate}: {_first_line(error)}",
            ErrorClass.INFRASTRUCTURE if own else ErrorClass.DOCUMENT,
        )
    return f"{type(error).__name__}: {error}", ErrorClass.DOCUMENT


def _name_session(connection: psycopg.Connection[Any], worker_id: str) -> None:
    # So that an incident says which worker made the offer.
    connection.execute(
        "select set_config('application_name', %s, false)", [_sendable(worker_id)]
    )


def _sendable(message: str) -> str:
    # A path or an engine's message may hold what PostgreSQL text cannot.
    printable = message.replace("\0", "\\0").encode(errors="backslashreplace").decode()
    return printable[:_MESSAGE_LIMIT] or "unknown error"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _is_state(error: psycopg.Error, prefixes: tuple[str, ...]) -> bool:
    return (error.sqlstate or "").startswith(prefixes)


def _backoff(attempt: int) -> float:
    # Full jitter: workers that lost the same server do not come back in step.
    return _random.uniform(0, min(_BACKOFF_CAP, _BACKOFF_BASE * 2 ** min(attempt, 10)))
