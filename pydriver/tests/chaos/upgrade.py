"""Workers and plain SQL clients at full rate while the SQL is replaced under them.

Each migration loads every function, trigger and view again, in one transaction, and
every other time in another wording, so that what the sessions have cached is outdated
each time.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from ocr_guardrails.migrate import migrate
from ocr_guardrails.sqlfiles import db_dir, repeatable_files
from tests.chaos import report
from tests.chaos.checks import (
    Check,
    check_database,
    check_server_log,
    read_offers,
)
from tests.chaos.cluster import DATABASE, Cluster, Fleet, errors_in_log
from tests.chaos.run import Options
from tests.chaos.texts import FILENAME, file_hash, file_path, seal
from tests.chaos.worker_process import Spec

__all__ = ["run"]

#: What a client may be told and repeats: nothing has been done then. Not among them:
#: a function that is missing for an instant, or a cached plan that no longer fits.
_RETRYABLE = ("40001", "40P01", "55P03", "57014")
_SQL_NUMBERS = 1_000_000


def other_wording(folder: Path) -> Path:
    """A copy of the SQL whose every PL/pgSQL body and view reads otherwise."""
    root = Path(shutil.copytree(db_dir(), folder / "db"))
    changed = 0
    for file in repeatable_files(root):
        text = file.text.replace("end;\n$function$;", "-- again\nend;\n$function$;")
        changed += text != file.text
        (root / file.path).write_text(text, encoding="utf-8")
    if changed < 20:
        raise ValueError(f"only {changed} files could be worded otherwise")
    return root


@dataclass(slots=True)
class _Clients:
    """Plain SQL: what an application does beside the workers."""

    cluster: Cluster
    seed: int
    calls: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    paths: list[str] = field(default_factory=list)
    acknowledged: list[dict[str, Any]] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, count: int) -> None:
        for number in range(count):
            thread = threading.Thread(target=self._run, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        if any(thread.is_alive() for thread in self._threads):
            self.errors["a client does not end"] += 1

    def _run(self, number: int) -> None:
        dice = random.Random(self.seed + number)
        names = iter(range(_SQL_NUMBERS * (number + 1), _SQL_NUMBERS * (number + 2)))
        with psycopg.connect(
            self.cluster.server.dsn(DATABASE),
            autocommit=True,
            application_name=f"chaos client {number}",
        ) as connection:
            while not self._stopping.is_set():
                action = dice.choice(
                    (self._add, self._add, self._complete, self._complete,
                     self._touch, self._read, self._refresh, self._delete)
                )  # fmt: skip
                try:
                    action(connection, names, number)
                    self.calls[action.__name__.strip("_")] += 1
                except psycopg.Error as error:
                    first = str(error).splitlines()[0]
                    self.errors[f"{error.sqlstate} {first}"] += 1
                time.sleep(dice.uniform(0, 0.02))

    def _add(self, connection: psycopg.Connection[Any], names: Any, _: int) -> None:
        path = file_path(next(names))
        with connection.transaction():
            ((document_id,),) = connection.execute(
                "insert into documents (filename, file_path, file_hash)"
                " values (%s, %s, %s) returning id",
                [FILENAME, path, file_hash(path)],
            )
            connection.execute("select enqueue_ocr_job(%s)", [document_id])
        self.paths.append(path)

    def _complete(
        self, connection: psycopg.Connection[Any], _: Any, number: int
    ) -> None:
        jobs = connection.execute(
            "select c.document_id, c.file_path, c.lease_token"
            " from claim_ocr_jobs(%s, 2, interval '30 seconds') as c",
            [f"client-{number}"],
        ).fetchall()
        for document_id, path, token in jobs:
            text = seal(path, token, uuid.uuid4())
            # Repeated under the same token, it is either done or not: both are seen.
            for _attempt in range(5):
                try:
                    connection.execute(
                        "update documents set ocr_status = 'completed', ocr_text = %s,"
                        " ocr_confidence = 90, ocr_word_count = %s,"
                        " ocr_result_token = %s where id = %s",
                        [text, len(text.split()), token, document_id],
                    )
                except psycopg.Error as error:
                    first = str(error).splitlines()[0]
                    self.errors[f"{error.sqlstate} {first}"] += 1
                else:
                    self.acknowledged.append(
                        {
                            "kind": "client",
                            "document": str(document_id),
                            "token": str(token),
                            "outcome": "written",
                            "text": text,
                        }
                    )
                    break

    def _touch(self, connection: psycopg.Connection[Any], _: Any, __: int) -> None:
        connection.execute(
            "update documents set updated_at = now() where id in"
            " (select d.id from documents as d limit 5 for no key update skip locked)"
        )

    def _read(self, connection: psycopg.Connection[Any], _: Any, __: int) -> None:
        for view in (
            "ocr_queue_overview",
            "ocr_worker_activity",
            "ocr_recent_incidents",
            "ocr_processing_rate",
            "ocr_stats",
        ):
            connection.execute(f"select * from {view} limit 5".encode()).fetchall()

    def _refresh(self, connection: psycopg.Connection[Any], _: Any, __: int) -> None:
        connection.execute("select refresh_ocr_stats()")

    def _delete(self, connection: psycopg.Connection[Any], _: Any, __: int) -> None:
        row = connection.execute(
            "select id, file_path from documents where ocr_status = 'completed' limit 1"
        ).fetchone()
        if row:
            self.deleted.add(row[1])
            connection.execute("delete from documents where id = %s", [row[0]])


def run(options: Options, say: Callable[[str], None]) -> tuple[bool, str]:
    """Whether nothing failed, was lost or misplaced, and the figures."""
    rounds, documents = (6, 1500) if options.quick else (20, 6000)
    dice = random.Random(options.seed)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ocrg-up-"))
        roots = [other_wording(Path(folder)), db_dir()]
        cluster = stack.enter_context(Cluster.running(options.bin_dir, None))
        fleet = Fleet(cluster.logs)
        stack.callback(fleet.stop, 1, kill=True)
        clients = _Clients(cluster, dice.randrange(2**31))
        stack.callback(clients.stop)
        cluster.ingest(range(documents // 4))
        fleet.start(_workers(cluster, dice, 6))
        clients.start(3)
        began = time.monotonic()
        for number in range(rounds):
            migrate(
                cluster.server.dsn(DATABASE), root=roots[number % 2], lock_timeout=60
            )
            step = range(
                number * documents // rounds, (number + 1) * documents // rounds
            )
            cluster.ingest(step)
            time.sleep(0.3)
        seconds = time.monotonic() - began
        say(f"{rounds} migrations under load in {seconds:.0f} s; draining")
        clients.stop()
        gentle = fleet.stop(30)
        drainers = Fleet(cluster.logs)
        drainers.start(_workers(cluster, dice, 2, drain=True), restart=False)
        gentle = drainers.join(120) and gentle

        offers = read_offers(cluster.logs)
        lines = cluster.log_lines()
        logged = errors_in_log(lines)
        # A completion of plain SQL is held to the same checks as a worker's.
        offers.lines += [{**line, "kind": "honest"} for line in clients.acknowledged]
        with cluster.operator() as connection:
            checks = check_database(
                connection,
                offers,
                [file_path(n) for n in range(documents)] + clients.paths,
                clients.deleted,
            )
        checks += check_server_log(lines)
        failed = Check("calls that failed with an error that nobody repeats")
        for error, count in clients.errors.items():
            if not error.startswith(_RETRYABLE):
                failed.add(f"{count} times {error}")
        ended = Check("workers that ended, or did not")
        told = [*fleet.unexpected, *drainers.unexpected, *fleet.ends, *drainers.ends]
        for said in told if gentle else [*told, "a worker did not end when asked"]:
            ended.add(said)
        idle = Check("kinds of calls that were never made")
        wanted = ("add", "complete", "touch", "read", "refresh", "delete")
        for name in wanted:
            if not clients.calls[name]:
                idle.add(name)
        if not offers.counts["honest: written"]:
            idle.add("a worker's result")
        checks += [failed, ended, idle]

    calls = sum(clients.calls.values())
    written = offers.counts["honest: written"]
    head = (
        f"`scripts/chaos.py upgrade --seed {options.seed}`: {rounds} migrations in "
        f"{seconds:.0f} seconds under 6 workers ({written} results) and 3 clients "
        f"({calls} calls of plain SQL, {len(clients.acknowledged)} results)."
    )
    say(head)
    rows = [(c.name, str(c.violations)) for c in checks]
    errors = [(e, str(n)) for e, n in logged.most_common()]
    for name, found in rows:
        say(f"    {found:>4}  {name}")
    for error, times in errors:
        say(f"    logged {times} times: {error}")
    for check in checks:
        for example in check.examples:
            say(f"BROKEN: {check.name}: {example}")
    text = [head, "", *report.table(("Check", "violations"), rows), ""]
    text += (
        report.table(("Errors that calls met, all repeated", "times"), errors)
        if errors
        else ["No call met an error, so none had to be repeated."]
    )
    return not any(c.violations for c in checks), "\n".join(text)


def _workers(
    cluster: Cluster, dice: random.Random, count: int, *, drain: bool = False
) -> list[Spec]:
    return [
        Spec(
            name=f"{'drainer' if drain else 'worker'}-{number}",
            dsn=cluster.server.dsn(DATABASE),
            log=str(cluster.logs),
            seed=dice.randrange(2**31),
            lease=30,
            work=0.005,
            batch_size=1 + number,
            drain=drain,
        )
        for number in range(count)
    ]
