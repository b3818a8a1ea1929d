"""The workers, and the faults that happen to them. One code for both runs.

What differs between the runs is only the ``Store``: how a job is claimed and how a
result is written. The workers make the same mistakes in front of both. Where a fault
needs two workers to meet, they wait for each other, so that a run does not depend on
luck; every wait has a limit, and a fault that did not come about is not counted.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import UUID

from ocr_guardrails.demo.faults import Fault, FaultPlan, Kind

MEETING = 60.0  # seconds that a worker waits for another one
STARVED = 2.0  # seconds without a next job after which a late writer gives up
POLL = 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """What an engine read from some bytes; ``confidence`` is 0 to 100."""

    text: str
    confidence: float
    milliseconds: int

    @property
    def word_count(self) -> int:
        """The number of words of the text."""
        return len(self.text.split())


class Reader(Protocol):
    """An OCR engine, used by one thread at a time."""

    @property
    def engine(self) -> str:
        """Name and version."""

    def read(self, content: bytes) -> Reading:
        """Read an image or a PDF."""


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed job. Plain tables know no lease token."""

    document_id: UUID
    number: int
    filename: str
    path: Path
    lease_token: UUID | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A reading, with the SHA-256 of the very bytes that were read."""

    reading: Reading
    source_hash: str


class Store(Protocol):
    """One connection to the tables, as a worker uses them."""

    def claim(self) -> Task | None:
        """Take the next job, if there is one."""

    def write(self, task: Task, offer: Offer) -> bool:
        """Offer a result. False when it was refused and the job is still ours."""

    def give_up(self, task: Task, error: str) -> None:
        """Report that this attempt has failed."""

    def close(self) -> None:
        """Close the connection."""


class Operator(Protocol):
    """What is done from outside: by an operator, a monitor, a dashboard."""

    def reset(self, document_id: UUID) -> None:
        """Run the reset of stuck jobs, half an hour after this one was claimed."""

    def remaining(self) -> int:
        """How many jobs workers can still expect to get."""

    def rescue(self) -> int:
        """The last reset, half an hour later; answers how many jobs came back."""

    def completed(self) -> int:
        """How many documents are completed."""


@dataclass(eq=False)
class LateWrite:
    """A read that hung. Its thread sleeps on, and will write when it wakes up."""

    task: Task
    kind: Kind
    owner: Worker
    is_reset: bool = False
    mixed_up: threading.Event = field(default_factory=threading.Event)
    retaken: threading.Event = field(default_factory=threading.Event)
    is_let_go: bool = False
    _wake: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Let the read come back, and wait until it has done what it does."""
        self._wake.set()
        self._thread.join()

    def _write(self) -> None:
        self._wake.wait()
        if self.is_let_go or self.owner.current is None:
            return
        try:
            self.owner.store.write(self.task, self.owner.current)
        except BaseException as error:
            self.owner.scene.give_up(error)


@dataclass(eq=False)
class Scene:
    """Where a run is: who waits for whom, and what has come about so far."""

    plan: FaultPlan
    scratch: Path
    operator: Operator
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    crash: BaseException | None = None
    busy: int = 0
    database_seconds: float = 0.0
    meeting: int = 0
    readings: int = 0
    happened: Counter[Kind] = field(default_factory=Counter)
    started: set[int] = field(default_factory=set)
    done: dict[int, threading.Event] = field(default_factory=dict)
    copied: dict[int, threading.Event] = field(default_factory=dict)
    late: dict[int, LateWrite] = field(default_factory=dict)
    redelivered: list[tuple[Task, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for fault in self.plan:
            for number in fault.documents:
                self.done[number] = threading.Event()
                self.copied[number] = threading.Event()

    def give_up(self, error: BaseException) -> None:
        """Something went wrong that was not meant to: end the run."""
        with self.lock:
            self.crash = self.crash or error
        self.stop.set()

    def begin(self, number: int) -> Fault | None:
        """The fault in store for a document, the first time that it is taken."""
        with self.lock:
            fault = self.plan.of_document(number)
            if fault is None or number in self.started:
                return None
            self.started.add(number)
            return fault

    def happens(self, kind: Kind) -> None:
        """A fault has come about."""
        with self.lock:
            self.happened[kind] += 1

    def finished(self, number: int) -> None:
        """A result of this document was offered by a worker in its turn."""
        if number in self.done:
            self.done[number].set()

    def late_write(self, number: int) -> LateWrite | None:
        """The write that will come too late, for who has the document now."""
        with self.lock:
            return self.late.pop(number, None)

    def add_database_time(self, since: float) -> None:
        """Add up what workers spend on claiming a job or writing its result."""
        with self.lock:
            self.database_seconds += time.monotonic() - since

    @contextmanager
    def waiting_for_partner(self) -> Iterator[None]:
        """A worker can go on only when another one does."""
        with self.lock:
            self.meeting += 1
        try:
            yield
        finally:
            with self.lock:
                self.meeting -= 1

    def redelivery(self, worker: str) -> Task | None:
        """A job that another worker has already, delivered once more."""
        with self.lock:
            for at, (task, first) in enumerate(self.redelivered):
                if first != worker:
                    del self.redelivered[at]
                    return task
            return None


class Worker(threading.Thread):
    """A worker as one finds them: careful, but for its shared variables and files."""

    def __init__(self, name: str, store: Store, reader: Reader, scene: Scene) -> None:
        super().__init__(name=name, daemon=True)
        self.store = store
        self.reader = reader
        self.scene = scene
        # The mistake of the late writer: one variable for all of this worker's jobs.
        self.current: Offer | None = None
        self.left_behind: LateWrite | None = None
        self.overdue: LateWrite | None = None
        self.starved_since: float | None = None

    def run(self) -> None:
        """Work until the run is over."""
        try:
            while not self.scene.stop.is_set():
                if not self.work_once():
                    self.scene.stop.wait(POLL)
        except BaseException as error:
            self.scene.give_up(error)

    def work_once(self) -> bool:
        """Take one job and do it. False when there was none."""
        scene = self.scene
        with scene.lock:
            scene.busy += 1
        try:
            again = scene.redelivery(self.name)
            if again is not None:
                self.work_again(again)
                return True
            started = time.monotonic()
            task = self.store.claim()
            if task is None:
                self.starve()
                return False
            scene.add_database_time(started)
            self.starved_since = None
            self.work(task)
            return True
        finally:
            with scene.lock:
                scene.busy -= 1

    def work(self, task: Task) -> None:
        """Read a document and offer its text, or run into what is in store for it."""
        scene = self.scene
        fault = scene.begin(task.number)
        kind = fault.kind if fault else None
        overdue, self.overdue = self.overdue, None
        self.meet_late(task.number)
        late = self.left_behind
        if late and kind is not Kind.SHARED_FILE:
            # The job that hung shows no sign of life by now: it is reset.
            late.is_reset = True
            scene.operator.reset(late.task.document_id)
        if kind is Kind.DUPLICATE:
            with scene.lock:
                scene.redelivered.append((task, self.name))
        if fault and kind is Kind.SHARED_FILE:
            self.current = self.read_shared(task, fault)
        else:
            self.current = self.read_file(task.path)
        if overdue:
            self.wake_late(overdue)
        if late and late.is_reset:
            late.mixed_up.set()
            self.stand_back(late)
            self.left_behind = None
        if kind in (Kind.LATE_AFTER, Kind.LATE_DURING):
            self.left_behind = LateWrite(task, kind, self)
            with scene.lock:
                scene.late[task.number] = self.left_behind
        else:
            self.finish(task, self.current)

    def finish(self, task: Task, offer: Offer) -> None:
        """Offer what was read, and meet with whoever had this job before.

        A refused attempt is given up, to be tried again.
        """
        scene = self.scene
        late = scene.late_write(task.number)
        if late and late.kind is Kind.LATE_DURING:
            self.wake_late(late)
        started = time.monotonic()
        if not self.store.write(task, offer):
            self.store.give_up(task, "the result was refused")
        scene.add_database_time(started)
        scene.finished(task.number)
        if late and late.kind is Kind.LATE_AFTER:
            self.wake_late(late)

    # -- the late writer ---------------------------------------------------------------

    def meet_late(self, number: int) -> None:
        """Take over a document that hung with a worker before: mostly another one.

        With few workers it may be this very one. Its hung read then has the page in
        hand that was read since, or, to come after the result, the next one.
        """
        with self.scene.lock:
            late = self.scene.late.get(number)
        if late is None:
            return
        late.retaken.set()
        if late.owner is self:
            self.scene.late_write(number)
            if late.kind is Kind.LATE_DURING:
                self.wake_late(late)
            else:
                self.overdue = late

    def wake_late(self, late: LateWrite) -> None:
        """Let the read that hung come back, once its worker has another page."""
        if late.mixed_up.wait(MEETING):
            self.scene.happens(late.kind)
        else:
            late.is_let_go = True
        late.wake()

    def stand_back(self, late: LateWrite) -> None:
        """Leave the job that was reset to another worker, unless one has to wait."""
        patience = time.monotonic() + MEETING
        with self.scene.waiting_for_partner():
            while not (
                late.retaken.wait(POLL / 5)
                or self.scene.meeting > 1
                or self.scene.stop.is_set()
                or time.monotonic() > patience
            ):
                pass

    def starve(self) -> None:
        """Without a next job there is nothing to mix up: let the hung read end."""
        late = self.left_behind or self.overdue
        if late is None:
            return
        now = time.monotonic()
        self.starved_since = self.starved_since or now
        if now - self.starved_since > STARVED:
            self.scene.late_write(late.task.number)
            late.is_let_go = True
            late.wake()
            if late is self.left_behind:
                self.scene.operator.reset(late.task.document_id)
            self.left_behind = self.overdue = None

    # -- the shared file ---------------------------------------------------------------

    def read_shared(self, task: Task, fault: Fault) -> Offer:
        """Copy the page to a temporary file whose name is not this worker's alone."""
        scene = self.scene
        first, second = fault.documents
        shared = scene.scratch / f"page-{first}"
        if task.number == first:
            shared.write_bytes(task.path.read_bytes())
            scene.copied[first].set()
            with scene.waiting_for_partner():
                if scene.copied[second].wait(MEETING):
                    scene.happens(Kind.SHARED_FILE)
        else:
            scene.copied[first].wait(MEETING)
            shared.write_bytes(task.path.read_bytes())
            scene.copied[second].set()
        return self.read_file(shared)

    # -- the duplicate -----------------------------------------------------------------

    def work_again(self, task: Task) -> None:
        """Do a job that another worker has just done: it was delivered twice."""
        scene = self.scene
        offer = self.read_file(task.path)
        with scene.waiting_for_partner():
            if scene.done[task.number].wait(MEETING):
                scene.happens(Kind.DUPLICATE)
        self.store.write(task, offer)

    # ----------------------------------------------------------------------------------

    def read_file(self, path: Path) -> Offer:
        """Read a file, and take the hash of the very bytes that the engine gets."""
        content = path.read_bytes()
        reading = self.reader.read(content)
        with self.scene.lock:
            self.scene.readings += 1
        return Offer(reading, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What happened in a run, apart from its results."""

    seconds: float
    database_seconds: float
    readings: int
    happened: Counter[Kind]


def run_workload(
    *,
    plan: FaultPlan,
    scratch: Path,
    operator: Operator,
    stores: Sequence[Store],
    readers: Sequence[Reader],
    kill_worker: Callable[[Fault], bool],
    on_progress: Callable[[int], None],
    limit: float = 900.0,
) -> RunFacts:
    """Run one worker per store and reader until no job is left.

    ``kill_worker`` lets a process of its own take a job and die, before the workers
    start; it answers whether the job it took was the planned one. Raises what a worker
    raised, and TimeoutError after ``limit`` seconds.
    """
    scene = Scene(plan, scratch, operator)
    started = time.monotonic()
    for fault in plan.killed:
        if kill_worker(fault):
            scene.happens(fault.kind)
    workers = [
        Worker(f"worker-{number}", store, reader, scene)
        for number, (store, reader) in enumerate(
            zip(stores, readers, strict=True), start=1
        )
    ]
    for worker in workers:
        worker.start()
    try:
        while not scene.stop.wait(2 * POLL):
            on_progress(operator.completed())
            if time.monotonic() - started > limit:
                raise TimeoutError(f"the run did not end within {limit:.0f} seconds")
            if is_idle(scene, workers) and operator.rescue() == 0:
                break
    finally:
        scene.stop.set()
    for worker in workers:
        worker.join(MEETING)
    if scene.crash:
        raise scene.crash
    on_progress(operator.completed())
    return RunFacts(
        seconds=time.monotonic() - started,
        database_seconds=scene.database_seconds,
        readings=scene.readings,
        happened=scene.happened,
    )


def is_idle(scene: Scene, workers: Sequence[Worker]) -> bool:
    """Whether no job is left, and nobody has one in hand."""

    def at_rest() -> bool:
        with scene.lock:
            return not (
                scene.busy
                or scene.redelivered
                or any(worker.left_behind or worker.overdue for worker in workers)
            )

    # Twice, since a job may change hands between two looks.
    return all(at_rest() and scene.operator.remaining() == 0 for _ in range(2))
