"""The guarded way: the package, through its driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from bench.harness import (
    Ready,
    Server,
    Workload,
    has_lz4,
    processes,
    vacuum_analyze,
    verify_documents,
    verify_empty,
)
from bench.systems.handwritten import CONFIDENCE, MILLISECONDS, texts
from ocr_guardrails import Guardrails, Outcome, Result
from ocr_guardrails.migrate import migrate

ENGINE = "bench 1"


def install(dsn: str, policy: str, compression: str | None) -> None:
    """Install the package, with this foreign_text_policy."""
    migrate(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        Guardrails(connection).set_ocr_setting("foreign_text_policy", policy)
        if compression:
            connection.execute(
                sql.SQL(
                    "alter table documents alter column ocr_text set compression {}"
                ).format(sql.SQL("lz4" if compression == "lz4" else "pglz"))
            )


def fill(dsn: str, documents: int) -> None:
    """A backlog: documents that wait, each with a hash of its file, and their jobs."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "insert into documents (filename, file_hash)"
            " select 'scan-' || g || '.pdf',"
            "     encode(sha256(convert_to(g::text, 'UTF8')), 'hex')"
            " from generate_series(1, %s) as g",
            [documents],
        )
        guard = Guardrails(connection)
        while guard.enqueue_pending_documents(10_000):
            pass
    vacuum_analyze(dsn)


def verify(dsn: str, documents: int) -> None:
    """Raise unless all of it is done, with a history row each and no incident."""
    with psycopg.connect(dsn) as connection:
        verify_documents(connection, documents)
        verify_empty(connection, "select count(*) from ocr_queue")
        verify_empty(connection, "select count(*) from ocr_incidents")
        row = connection.execute(
            "select count(*) from ocr_job_history where outcome = 'written'"
        ).fetchone()
        if row != (documents,):
            raise AssertionError(f"{documents} history rows: {row}")


def process_one(
    guard: Guardrails, name: str, text: Callable[[], str], words: int
) -> int:
    """One call for the claim, one for the result; how many jobs there were."""
    jobs = guard.claim_ocr_jobs(name)
    for job in jobs:
        written = guard.update_ocr_safe(
            job.document_id,
            job.filename,
            text(),
            CONFIDENCE,
            words,
            MILLISECONDS,
            lease_token=job.lease_token,
            source_hash=job.file_hash,
            engine=ENGINE,
        )
        if not written:
            raise AssertionError(f"refused: {job}")
    return len(jobs)


def process_many(
    guard: Guardrails, name: str, text: Callable[[], str], words: int, batch: int
) -> int:
    """The same for a batch."""
    jobs = guard.claim_ocr_jobs(name, batch)
    if not jobs:
        return 0
    results = [
        Result(
            document_id=job.document_id,
            expected_filename=job.filename,
            ocr_text=text(),
            confidence=CONFIDENCE,
            word_count=words,
            processing_time_ms=MILLISECONDS,
            lease_token=job.lease_token,
            source_hash=job.file_hash,
            engine=ENGINE,
        )
        for job in jobs
    ]
    for answer in guard.update_ocr_batch_safe(results):
        if answer.outcome != Outcome.WRITTEN:
            raise AssertionError(f"refused: {answer}")
    return len(jobs)


def work_one(number: int, ready: Ready, dsn: str, workload: Workload) -> None:
    """A worker that takes one job at a time."""
    name, words, text = f"worker-{number}", workload.word_count, texts(workload, number)
    with psycopg.connect(dsn, autocommit=True) as connection:
        guard = Guardrails(connection)
        ready()
        while process_one(guard, name, text, words):
            pass


def work_many(
    number: int, ready: Ready, dsn: str, workload: Workload, batch: int
) -> None:
    """A worker that takes batches."""
    name, words, text = f"worker-{number}", workload.word_count, texts(workload, number)
    with psycopg.connect(dsn, autocommit=True) as connection:
        guard = Guardrails(connection)
        ready()
        while process_many(guard, name, text, words, batch):
            pass


@dataclass(frozen=True)
class Guarded:
    """Through the driver, ``ocr_guardrails.Guardrails``."""

    batch: int
    policy: str = "record"
    compression: str | None = None

    kind = "guarded"

    @property
    def version(self) -> str:
        """The package is measured as it is in this tree."""
        return ""

    @property
    def name(self) -> str:
        """Its name in every table."""
        how = "one at a time" if self.batch == 1 else f"batches of {self.batch}"
        parts = ["guarded", how]
        if self.policy != "record":
            parts.append(f"foreign text {self.policy}")
        if self.compression:
            parts.append(self.compression)
        return ", ".join(parts)

    @property
    def note(self) -> str:
        """How it works, in a sentence."""
        if self.batch == 1:
            calls = "claim_ocr_jobs() and update_ocr_safe()"
        else:
            calls = "claim_ocr_jobs() and update_ocr_batch_safe()"
        check = {
            "record": "foreign texts recorded, the default",
            "refuse": "foreign texts refused",
            "off": "without the check for foreign texts",
        }[self.policy]
        return f"The driver of this package: {calls}, {check}."

    def unavailable(self, server: Server) -> str | None:
        """Texts cannot be stored with lz4 where the server was built without."""
        if self.compression == "lz4" and not has_lz4(server):
            return "this server was built without lz4"
        return None

    def install(self, dsn: str) -> None:
        """Install the package."""
        install(dsn, self.policy, self.compression)

    def fill(self, dsn: str, documents: int) -> None:
        """Make a backlog."""
        fill(dsn, documents)

    def drain(self, dsn: str, workers: int, workload: Workload) -> float:
        """Work it off; the seconds it took."""
        if self.batch == 1:
            return processes(workers, work_one, (dsn, workload))
        return processes(workers, work_many, (dsn, workload, self.batch))

    def verify(self, dsn: str, documents: int) -> None:
        """Raise unless all of it is done."""
        verify(dsn, documents)
