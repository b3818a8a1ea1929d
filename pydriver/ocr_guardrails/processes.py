"""Several worker processes under one parent.

A process of its own keeps a crash of native code (a decoder, an engine) from taking
the other workers along: the parent starts another one, and the job comes back when its
lease expires. Each child tells its events through a pipe of its own, since a lock that
all shared would be left locked by one that was killed.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import psycopg

from ocr_guardrails.connection import connect
from ocr_guardrails.engines import EngineOptions, load_engine
from ocr_guardrails.pages import lift_pillow_limit
from ocr_guardrails.worker import (
    Event,
    EventKind,
    Summary,
    Worker,
    WorkerOptions,
    default_worker_id,
)

__all__ = ["ProcessSpec", "ProcessesFailed", "WorkerProcesses", "make_worker"]

_RESTART_DELAY = 1.0  # seconds; longer with every crash in a row
_POLL = 0.2


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """All that a child needs to become a worker."""

    dsn: str
    schema: str
    engine: str
    engine_options: EngineOptions
    options: WorkerOptions


class ProcessesFailed(Exception):
    """A worker process could not work; the message is the one that it ended with."""


def make_worker(
    spec: ProcessSpec, on_event: Callable[[Event], None] | None = None
) -> Worker:
    """The worker that a spec describes, in this process."""

    def open_connection() -> psycopg.Connection[Any]:
        return connect(spec.dsn, spec.schema)

    return Worker(
        open_connection,
        functools.partial(load_engine, spec.engine, spec.engine_options),
        spec.options,
        on_event=on_event,
    )


class WorkerProcesses:
    """As many workers as asked for, each in its own process."""

    def __init__(
        self,
        spec: ProcessSpec,
        count: int,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.summary = Summary()
        self._spec = spec
        self._count = count
        self._on_event = on_event
        self._stopping = False
        self._children: dict[int, tuple[BaseProcess, Connection]] = {}

    def stop(self) -> None:
        """Let every worker stop as ``Worker.stop`` does."""
        self._stopping = True
        for process, _ in list(self._children.values()):
            if process.is_alive() and process.pid:
                process.terminate()

    def kill(self) -> None:
        """End all processes at once; their jobs come back by lease expiry."""
        for process, _ in list(self._children.values()):
            process.kill()

    def run(self) -> Summary:
        """Work until all processes have ended. Raises ProcessesFailed."""
        began = time.monotonic()
        crashes = dict.fromkeys(range(1, self._count + 1), 0)
        starts: dict[int, float] = dict.fromkeys(crashes, 0.0)
        failure: str | None = None
        while starts or self._children:
            for number in [n for n, at in starts.items() if at <= time.monotonic()]:
                del starts[number]
                if not self._stopping:
                    self._children[number] = self._start(number)
            if self._stopping:
                starts.clear()
            ended, said = self._read()
            failure = failure or said
            for number in ended:
                process, pipe = self._children.pop(number)
                pipe.close()
                process.join()
                if (process.exitcode or 0) > 0 and not failure:
                    failure = f"Worker process {number} ended: see its messages."
                # A negative code is the signal that killed it, ours or its own fault.
                crashed = (process.exitcode or 0) < 0 and not self._stopping
                if crashed:
                    crashes[number] += 1
                    starts[number] = time.monotonic() + _RESTART_DELAY * crashes[number]
                    self._note(
                        f"Worker process {number} was ended by signal "
                        f"{-(process.exitcode or 0)}; another one is started. Its job "
                        "comes back when its lease expires."
                    )
            if failure and not self._stopping:
                self.stop()
        self.summary.seconds = time.monotonic() - began
        if failure:
            raise ProcessesFailed(failure)
        return self.summary

    def _start(self, number: int) -> tuple[BaseProcess, Connection]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        name = self._spec.options.worker_id
        options = replace(
            self._spec.options, worker_id=f"{name}:p{number}" if name else None
        )
        process = context.Process(
            target=_child,
            args=(replace(self._spec, options=options), theirs),
            name=f"ocr-guardrails worker {number}",
        )
        with _sigint_ignored():
            process.start()
        theirs.close()
        if self._stopping:
            process.terminate()
        return process, ours

    def _read(self) -> tuple[list[int], str | None]:
        """Take in what the children said; answers who has ended and what was wrong."""
        ended: list[int] = []
        failure: str | None = None
        numbers = {pipe: number for number, (_, pipe) in self._children.items()}
        for pipe in wait(list(numbers), _POLL):
            assert isinstance(pipe, Connection)  # noqa: S101
            try:
                said = pipe.recv()
            except (EOFError, OSError):
                ended.append(numbers[pipe])
                continue
            if isinstance(said, Event):
                self._emit(said)
            elif isinstance(said, Summary):
                if said.waiting is not None:
                    self.summary.waiting = said.waiting
            else:
                failure = str(said)
        return ended, failure

    def _note(self, message: str) -> None:
        self._emit(Event(EventKind.NOTE, default_worker_id(), message=message))

    def _emit(self, event: Event) -> None:
        self.summary.add(event)
        if self._on_event:
            self._on_event(event)


@contextlib.contextmanager
def _sigint_ignored() -> Iterator[None]:
    # A child inherits this, and so is deaf to Ctrl-C from its first moment on.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _child(spec: ProcessSpec, pipe: Connection) -> None:
    # Ctrl-C reaches the whole group; what it means is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lift_pillow_limit()
    sending = threading.Lock()

    def tell(said: object) -> None:
        # A parent that is gone hears nothing; the worker stops because of that.
        with sending, contextlib.suppress(OSError):
            pipe.send(said)

    worker = make_worker(spec, tell)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    threading.Thread(target=_stop_with_parent, args=(worker,), daemon=True).start()
    code = 0
    try:
        tell(worker.run())
    except Exception as error:
        if not isinstance(error, psycopg.Error):
            traceback.print_exc(file=sys.stderr)
        tell(f"{type(error).__name__}: {error}")
        code = 1
    finally:
        pipe.close()
    if worker.is_abandoned:
        os._exit(code)
    sys.exit(code)


def _stop_with_parent(worker: Worker) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        worker.stop()
