"""The faults, and the plan that says when each of them strikes.

A plan is made from the seed alone. What a fault hits depends on what is running at that
moment, as far as it has to.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from ocr_guardrails import Guardrails
from tests.chaos.cluster import OPERATOR, Cluster, Fleet
from tests.chaos.proxy import Proxy

__all__ = ["DRAWN", "Faults", "Strike", "make_plan"]

#: How often each strikes in a full run, and in a quick one.
DRAWN: dict[str, tuple[int, int]] = {
    "kill a worker (SIGKILL)": (24, 5),
    "stop a worker past its lease (SIGSTOP)": (16, 4),
    "terminate backends": (40, 8),
    "stop the server immediately, start it again": (4, 1),
    "cut every connection": (8, 2),
    "use up max_connections": (4, 1),
    "fill the disk": (3, 1),
    "hold rows until timeouts fire": (40, 10),
    "leave a transaction open that holds xmin": (6, 2),
    "operator: age jobs and reset_stuck_ocr_jobs()": (12, 3),
    "operator: cancel and requeue": (20, 4),
    "operator: requeue completed documents": (20, 4),
    "operator: retry_failed_ocr_jobs()": (12, 3),
    "operator: pause and resume": (6, 2),
    "operator: repair, validate, refresh": (6, 2),
    "plain DELETE of documents": (16, 4),
}


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault of the plan; ``seed`` makes the choices within it."""

    at: float
    fault: str
    seed: int


def make_plan(seed: int, seconds: float, *, quick: bool) -> list[Strike]:
    dice = random.Random(seed)
    strikes = [
        Strike(dice.uniform(0.05, 0.95) * seconds, fault, dice.randrange(2**32))
        for fault, counts in DRAWN.items()
        for _ in range(counts[quick])
    ]
    return sorted(strikes, key=lambda strike: strike.at)


@dataclass(slots=True)
class Faults:
    """Strikes, counts what it struck, and remembers which documents it deleted."""

    cluster: Cluster
    fleet: Fleet
    proxy: Proxy
    lease: float
    counts: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    #: File paths; a DELETE whose answer is lost counts, so they are noted before.
    deleted: set[str] = field(default_factory=set)
    #: Errors of the operator's own statements, by SQLSTATE.
    refusals: Counter[str] = field(default_factory=Counter)
    _threads: list[threading.Thread] = field(default_factory=list)
    # A recovery that finds no room ends the server for good, which is no fault of ours.
    _storage: threading.Lock = field(default_factory=threading.Lock)

    def strike(self, strike: Strike) -> None:
        """Let a fault strike in a thread of its own."""
        action = self._actions()[strike.fault]
        thread = threading.Thread(target=self._run, args=(action, strike), daemon=True)
        thread.start()
        self._threads.append(thread)

    def join(self, seconds: float) -> None:
        """Wait until every fault is over."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        if late := [t for t in self._threads if t.is_alive()]:
            raise RuntimeError(f"{len(late)} faults do not end")

    def _run(
        self, action: Callable[[random.Random], int | None], strike: Strike
    ) -> None:
        try:
            struck = action(random.Random(strike.seed))
        except psycopg.Error as error:
            # It struck, and was itself struck by another one.
            self.refusals[error.sqlstate or "connection"] += 1
            struck = 1
        if struck is not None:
            self.counts[strike.fault] += struck

    def _actions(self) -> dict[str, Callable[[random.Random], int | None]]:
        return dict(
            zip(
                DRAWN,
                (
                    self._kill,
                    self._stop,
                    self._terminate,
                    self._restart,
                    self._cut,
                    self._exhaust,
                    self._fill,
                    self._hold_rows,
                    self._hold_xmin,
                    self._reset,
                    self._cancel_and_requeue,
                    self._requeue,
                    self._retry,
                    self._pause,
                    self._look_after,
                    self._delete,
                ),
                strict=True,
            )
        )

    # -- processes and connections -----------------------------------------------------

    def _kill(self, dice: random.Random) -> int:
        pid = self.fleet.pick(dice)
        return int(pid is not None and self.fleet.send(pid, signal.SIGKILL))

    def _stop(self, dice: random.Random) -> int:
        pid = self.fleet.pick(dice, losers=False)
        if pid is None or not self.fleet.send(pid, signal.SIGSTOP):
            return 0
        time.sleep(self.lease * dice.uniform(1.2, 2.0))
        self.fleet.send(pid, signal.SIGCONT)
        return 1

    def _terminate(self, dice: random.Random) -> int:
        with self.cluster.operator() as connection:
            done = connection.execute(
                "select pg_terminate_backend(s.pid) from ("
                "  select a.pid from pg_stat_activity as a"
                "  where a.datname = current_database()"
                "    and a.backend_type = 'client backend'"
                "    and a.application_name <> %s"
                "  order by random() limit %s) as s",
                [OPERATOR, dice.randint(1, 3)],
            )
            return done.rowcount

    def _restart(self, dice: random.Random) -> int:
        with self._storage:
            self.cluster.server.stop("immediate")
            time.sleep(dice.uniform(0, 1))
            self.cluster.server.start()
        return 1

    def _cut(self, dice: random.Random) -> int:
        self.proxy.cut_all()
        return 1

    def _exhaust(self, dice: random.Random) -> int:
        with contextlib.ExitStack() as stack:
            refused = 0
            # Longer only when the server is just being restarted.
            until = time.monotonic() + 20
            while time.monotonic() < until:
                try:
                    taken = psycopg.connect(
                        self.cluster.server.dsn(), application_name=OPERATOR
                    )
                    stack.callback(taken.close)
                except psycopg.OperationalError as error:
                    if "too many clients" in str(error):
                        if not refused:
                            until = time.monotonic() + dice.uniform(1, 2)
                        refused = 1
                        # Whoever is cut now does not get in again.
                        self.proxy.cut_all()
                    time.sleep(0.2)
            return refused

    def _fill(self, dice: random.Random) -> int | None:
        disk = self.cluster.disk
        if disk is None or disk.why_not is not None:
            why = disk.why_not if disk else None
            self.skipped["fill the disk"] = why or "not part of this run"
            return None
        with self._storage:
            try:
                disk.fill()
                time.sleep(dice.uniform(1.5, 2.5))
            finally:
                disk.empty()
        return 1

    # -- transactions in the way -------------------------------------------------------

    def _hold_rows(self, dice: random.Random) -> int:
        with self.cluster.operator() as connection, connection.transaction():
            held = connection.execute(
                "select from documents as d where d.id = any(array("
                "  select q.document_id from ocr_queue as q"
                "  where q.status = 'processing' limit 20))"
                " for update of d skip locked"
            ).rowcount
            time.sleep(dice.uniform(0.2, 0.7))
            return held

    def _hold_xmin(self, dice: random.Random) -> int:
        with self.cluster.operator() as connection:
            connection.execute("begin isolation level repeatable read")
            connection.execute("select count(*) from ocr_settings")
            time.sleep(dice.uniform(3, 8))
            connection.execute("commit")
            return 1

    # -- an operator -------------------------------------------------------------------

    def _some(
        self, connection: psycopg.Connection[Any], status: str, count: int
    ) -> list[Any]:
        rows = connection.execute(
            "select d.id from documents as d where d.ocr_status = %s"
            " order by random() limit %s",
            [status, count],
        )
        return [row[0] for row in rows]

    def _reset(self, dice: random.Random) -> int:
        with self.cluster.operator() as connection:
            connection.execute(
                "update ocr_queue set started_at = now() - interval '10 minutes',"
                " heartbeat_at = now() - interval '10 minutes'"
                " where id = any(array("
                "  select q.id from ocr_queue as q where q.status = 'processing'"
                "  limit 5 for update skip locked))"
            )
            Guardrails(connection).reset_stuck_ocr_jobs(5)
            return 1

    def _cancel_and_requeue(self, dice: random.Random) -> int:
        with self.cluster.operator() as connection:
            guardrails = Guardrails(connection)
            status = dice.choice(("processing", "pending"))
            for document_id in self._some(connection, status, 5):
                with self._by_chance():
                    guardrails.cancel_ocr_job(document_id, "cancelled in the run")
                    guardrails.requeue_document(document_id, "requeued in the run")
            return 1

    def _requeue(self, dice: random.Random) -> int:
        with self.cluster.operator() as connection:
            status = dice.choice(("completed", "completed", "processing"))
            for document_id in self._some(connection, status, 5):
                with self._by_chance():
                    Guardrails(connection).requeue_document(document_id, "once more")
            return 1

    def _retry(self, dice: random.Random) -> int:
        with self.cluster.operator() as connection:
            Guardrails(connection).retry_failed_ocr_jobs(1000)
            return 1

    def _pause(self, dice: random.Random) -> int:
        with self.cluster.operator() as connection:
            Guardrails(connection).pause_ocr_queue("paused in the run")
        time.sleep(dice.uniform(0.2, 0.6))
        with self.cluster.operator() as connection:
            Guardrails(connection).resume_ocr_queue()
        return 1

    def _look_after(self, dice: random.Random) -> int:
        with self.cluster.operator() as connection:
            guardrails = Guardrails(connection)
            guardrails.validate_database_consistency()
            guardrails.repair_database_consistency(dry_run=False)
            guardrails.enqueue_pending_documents()
            guardrails.refresh_ocr_stats()
            return 1

    def _delete(self, dice: random.Random) -> int:
        with self.cluster.operator() as connection:
            rows = connection.execute(
                "select d.id, d.file_path from documents as d"
                " where d.ocr_status = %s limit 3",
                [dice.choice(("processing", "processing", "pending", "completed"))],
            ).fetchall()
            self.deleted |= {path for _, path in rows}
            connection.execute(
                "delete from documents where id = any(%s)", [[row[0] for row in rows]]
            )
            return len(rows)

    @contextlib.contextmanager
    def _by_chance(self) -> Any:
        """A document that somebody deleted meanwhile is no reason to stop."""
        try:
            yield
        except psycopg.DatabaseError as error:
            if not (error.sqlstate or "").startswith("OG"):
                raise
            self.refusals[error.sqlstate or ""] += 1
