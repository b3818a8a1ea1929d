"""One worker of the chaos run, in a process of its own that may be killed or stopped.

Started as ``python -m tests.chaos.worker_process SPEC``. An honest one is the package's
reference worker with the reading of files replaced. A loser holds on to leases that it
has lost and offers under them: its own text late, its text for other documents that are
being worked on, and plain UPDATEs of both kinds. Nothing that it offers may be written.

Every answer goes into a log at once, a line each, so that a kill loses those of the
last call at most.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ocr_guardrails import Guardrails
from ocr_guardrails.connection import connect
from ocr_guardrails.engines import EngineOptions, load_engine
from ocr_guardrails.models import BatchOutcome, DocumentId, Job, Result
from ocr_guardrails.pages import PageLimits
from ocr_guardrails.worker import (
    Checkpoint,
    Recognition,
    Steps,
    Worker,
    WorkerOptions,
    offer,
)
from tests.chaos.texts import FILENAME, file_hash, file_path, seal

__all__ = ["Spec", "main"]

#: As exit code: the database could not be reached at the start, or a timeout that fired
#: ten times in a row. Neither loses a job; nothing else may end a worker.
DATABASE_REFUSED = 3
_ENDLESS_TIMEOUT = ("55P03", "57014")
HOPELESS_SESSION = "chaos loser"


@dataclass(frozen=True, slots=True)
class Spec:
    """All that a worker of the run has to know.

    ``lease`` and ``work`` (the longest that a page takes) are in seconds; so is
    ``clock_offset``, by which the worker's own clock is wrong. ``timeouts``: some of
    its connections have a short statement_timeout or lock_timeout. ``drain``: it ends
    when nothing is left to do.
    """

    name: str
    dsn: str
    log: str
    seed: int
    is_loser: bool = False
    lease: float = 2.0
    work: float = 0.02
    batch_size: int = 1
    clock_offset: float = 0.0
    timeouts: bool = False
    drain: bool = False
    pause: float = 0.01

    def to_argument(self) -> str:
        return json.dumps(asdict(self))


class Log:
    """One line for each answer, in a file of this process alone."""

    def __init__(self, folder: str, name: str) -> None:
        path = Path(folder) / f"{name}.{os.getpid()}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, kind: str, document_id: object, **values: object) -> None:
        line = {"kind": kind, "document": str(document_id), **values}
        os.write(self._file, (json.dumps(line, default=str) + "\n").encode())


def _connecting(spec: Spec, dice: random.Random) -> Callable[[], psycopg.Connection]:
    def open_connection() -> psycopg.Connection[Any]:
        dsn = spec.dsn
        if spec.timeouts:
            limit = dice.choice(("-c statement_timeout=60", "-c lock_timeout=20"))
            given = str(conninfo_to_dict(dsn).get("options") or "")
            dsn = make_conninfo(dsn, options=f"{given} {limit}".strip())
        return connect(dsn)

    return open_connection


# -- honest ----------------------------------------------------------------------------


def _work(spec: Spec, log: Log, dice: random.Random) -> int:
    def fetch(job: Job, limits: PageLimits) -> bytes:
        return (job.file_path or "").encode()

    def recognise(
        data: bytes, engine: object, limits: PageLimits, checkpoint: Checkpoint
    ) -> Recognition:
        checkpoint(1, 1)
        time.sleep(dice.uniform(0, spec.work))
        path = data.decode()
        return Recognition(path, 90.0, 16, 1, file_hash(path), "null 1", 1)

    def offer_sealed(
        guardrails: Guardrails, finished: Sequence[tuple[Job, Recognition]]
    ) -> list[BatchOutcome]:
        sealed: list[tuple[Job, Recognition]] = []
        for job, recognition in finished:
            text = seal(recognition.text, job.lease_token, uuid.uuid4())
            words = len(text.split())
            sealed.append((job, replace(recognition, text=text, word_count=words)))
        answers = offer(guardrails, sealed)
        for (job, recognition), answer in zip(sealed, answers, strict=True):
            log.write(
                "honest",
                job.document_id,
                token=job.lease_token,
                outcome=answer.outcome.value,
                text=recognition.text,
            )
        return answers

    connect_anew = _connecting(spec, dice)
    connections = 0

    def open_connection() -> psycopg.Connection[Any]:
        nonlocal connections
        connections += 1
        return connect_anew()

    worker = Worker(
        open_connection,
        lambda: load_engine("null", EngineOptions()),
        WorkerOptions(
            worker_id=spec.name,
            batch_size=spec.batch_size,
            lease=timedelta(seconds=spec.lease),
            drain=spec.drain,
            wait_retries=True,
            poll_interval=0.3,
            grace=2.0,
        ),
        steps=Steps(fetch, recognise, offer_sealed),
    )
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    try:
        summary = worker.run()
    except psycopg.Error as error:
        # The first one is opened before the worker begins.
        if connections > 1 and error.sqlstate not in _ENDLESS_TIMEOUT:
            raise
        said = " ".join(str(error).split())
        print(f"{error.sqlstate or 'at the start'}: {said}", file=sys.stderr)
        return DATABASE_REFUSED
    log.write("end", "", notes=summary.notes)
    return 0


# -- losers ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Lease:
    """A lease that was lost, and the file that was read under it."""

    document_id: DocumentId
    file_path: str
    token: uuid.UUID


def _forged(dice: random.Random) -> _Lease:
    """What a loser offers under before it has lost anything: nobody's lease."""
    return _Lease(uuid.uuid4(), file_path(dice.randrange(10**6)), uuid.uuid4())


class Loser:
    """Takes leases, loses them, and goes on as if it still had them."""

    def __init__(self, spec: Spec, log: Log, dice: random.Random) -> None:
        self._spec = spec
        self._log = log
        self._dice = dice
        self._connect = _connecting(spec, dice)
        self._lost: deque[_Lease] = deque(maxlen=100)
        self._victims: list[uuid.UUID] = []
        self.stopping = False

    def run(self) -> None:
        while not self.stopping:
            try:
                with contextlib.closing(self._connect()) as connection:
                    connection.autocommit = True
                    connection.execute(
                        "select set_config('application_name', %s, false)",
                        [f"{HOPELESS_SESSION} {self._spec.name}"],
                    )
                    while not self.stopping:
                        self._round(connection)
            except psycopg.Error:
                time.sleep(self._dice.uniform(0, 0.3))

    def _round(self, connection: psycopg.Connection[Any]) -> None:
        guardrails = Guardrails(connection)
        jobs = guardrails.claim_ocr_jobs(
            self._spec.name,
            self._spec.batch_size,
            lease=timedelta(seconds=self._spec.lease),
        )
        self._lost.extend(self._lose(guardrails, jobs))
        self._victims = [
            row[0]
            for row in connection.execute(
                "select q.document_id from ocr_queue as q"
                " where q.status = 'processing' limit 40"
            )
        ]
        for _ in range(6):
            if not self.stopping:
                self._offer(connection, guardrails)
                time.sleep(self._dice.uniform(0, self._spec.pause))

    def _lose(self, guardrails: Guardrails, jobs: list[Job]) -> list[_Lease]:
        lost = []
        for job in jobs:
            lease = _Lease(job.document_id, job.file_path or "", job.lease_token)
            way = self._dice.random()
            if way < 0.9:
                if guardrails.release_ocr_job(job.document_id, job.lease_token):
                    lost.append(lease)
            elif way < 0.97:
                guardrails.fail_ocr_job(
                    job.document_id, job.lease_token, "a loser gave up", "document"
                )
                lost.append(lease)
            # else: left to expire, and not offered before that is certain
        return lost

    def _offer(
        self, connection: psycopg.Connection[Any], guardrails: Guardrails
    ) -> None:
        lease = self._dice.choice(self._lost) if self._lost else _forged(self._dice)
        kind = self._dice.choice(("late", "swap", "swap", "plain"))
        target = lease.document_id
        if kind != "late" and self._victims:
            target = self._dice.choice(self._victims)
        text = seal(lease.file_path, lease.token, uuid.uuid4())
        words = len(text.split())
        if kind == "plain":
            outcome = self._update(connection, target, lease, text, words)
        elif self._dice.random() < 0.5:
            (answer,) = guardrails.update_ocr_batch_safe(
                [
                    Result(
                        target, FILENAME, text, 90.0, words, 1, lease.token,
                        engine="loser",
                    )
                ]
            )  # fmt: skip
            outcome = answer.outcome.value
        else:
            stands = guardrails.update_ocr_safe(
                target,
                FILENAME,
                text,
                90.0,
                words,
                1,
                lease_token=lease.token,
                engine="loser",
            )
            outcome = "written" if stands else "refused"
        self._log.write(kind, target, token=lease.token, outcome=outcome, text=text)

    def _update(
        self,
        connection: psycopg.Connection[Any],
        target: object,
        lease: _Lease,
        text: str,
        words: int,
    ) -> str:
        try:
            done = connection.execute(
                "update documents set ocr_status = 'completed', ocr_text = %s,"
                " ocr_confidence = 90, ocr_word_count = %s, ocr_result_token = %s,"
                " ocr_processing_time_ms = 1"
                " where id = %s",
                [text, words, lease.token, target],
            )
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith("OG"):
                raise
            return f"error {error.sqlstate}"
        return "written" if done.rowcount else "no such document"


def main(argument: str) -> int:
    spec = Spec(**json.loads(argument))
    dice = random.Random(spec.seed)
    if spec.clock_offset:
        right = time.time
        time.time = lambda: right() + spec.clock_offset
        os.environ["PGTZ"] = "Pacific/Kiritimati"
    log = Log(spec.log, spec.name)
    if not spec.is_loser:
        return _work(spec, log, dice)
    loser = Loser(spec, log, dice)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        loser.stopping = True

    signal.signal(signal.SIGTERM, stop)
    loser.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
