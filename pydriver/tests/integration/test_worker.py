"""The worker keeps its side of the rules, whatever happens around it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from io import BytesIO
from typing import Any

import psycopg
import pypdfium2
import pytest
from PIL import Image

from ocr_guardrails import BatchOutcome, Guardrails, Job, Outcome
from ocr_guardrails import worker as worker_module
from ocr_guardrails.embedded import Server
from ocr_guardrails.engines import EngineError, PageText
from ocr_guardrails.engines.null import NullEngine
from ocr_guardrails.migrate import migrate
from ocr_guardrails.models import ErrorClass
from ocr_guardrails.pages import PageLimits, lift_pillow_limit
from ocr_guardrails.worker import (
    Checkpoint,
    Event,
    EventKind,
    Recognition,
    Steps,
    Summary,
    Worker,
    WorkerOptions,
    offer,
    recognise,
)

from ..conftest import ServerUnderTest
from ..unit.test_pages import ENCRYPTED_PDF, png_header
from .conftest import Bench, png_saying, until


def pdf(pages: int) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for number in range(pages):
        document.new_page(72 + number, 72)
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()


class HeldEngine(NullEngine):
    """Reads a page only when it is let go."""

    name = "held"

    def __init__(self) -> None:
        self.pages = 0
        self.reached = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def recognize(self, image: Image.Image) -> PageText:
        self.pages += 1
        self.reached.release()
        assert self.go.acquire(timeout=60)
        return super().recognize(image)


class Running:
    """A worker in the background, and what it tells."""

    def __init__(self, worker: Worker, events: list[Event]) -> None:
        self.worker = worker
        self.events = events
        self._thread = threading.Thread(target=worker.run, daemon=True)
        self._thread.start()

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]

    def finish(self) -> Summary:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.worker.summary

    def stop(self) -> Summary:
        self.worker.stop()
        return self.finish()


def start(
    bench: Bench,
    make_engine: Callable[[], Any] = NullEngine,
    *,
    steps: Steps | None = None,
    **options: Any,
) -> Running:
    events: list[Event] = []
    options = {"worker_id": "w-test", "poll_interval": 0.1, "drain": True, **options}
    worker = Worker(
        bench.connect,
        make_engine,
        WorkerOptions(**options),
        steps=steps,
        on_event=events.append,
    )
    return Running(worker, events)


def history(bench: Bench, *columns: str) -> list[tuple[Any, ...]]:
    return bench.rows(
        f"select {', '.join(columns)} from ocr_job_history order by finished_at"
    )


def await_idle(bench: Bench, last_query: str) -> None:
    """Wait until the worker has looked, found nothing, and waits itself."""
    until(
        lambda: bench.value(
            "select count(*) from pg_stat_activity where datname = current_database()"
            " and application_name = 'w-test' and state = 'idle'"
            " and strpos(query, %s) > 0",
            last_query,
        ),
        "the worker waits",
    )


def test_it_drains_the_queue_and_names_its_engine_and_source(bench: Bench) -> None:
    for number in range(20):
        bench.add_file(f"{number:02}.png", png_saying(f"text of {number:02}.png"))
    bench.ingest()
    running = start(bench, threads=4, batch_size=2)
    summary = running.finish()
    assert (summary.written, summary.pages, summary.waiting) == (20, 20, 0)
    assert summary.retry == summary.dead == summary.lost == summary.released == 0
    wrong = bench.rows(
        "select filename, ocr_text from documents"
        " where ocr_text is distinct from 'text of ' || filename"
        " or ocr_source_hash is distinct from file_hash or ocr_word_count <> 3"
    )
    assert wrong == []
    assert set(history(bench, "outcome", "engine")) == {("written", "null 1")}


def test_what_is_wrong_with_a_file_is_its_jobs_failure_and_never_the_workers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as the command does for its process
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    lift_pillow_limit()
    contents = {
        "empty.png": b"",
        "text.png": b"a letter that somebody renamed",
        "huge.png": png_header(20_000, 10_000),
        "locked.pdf": ENCRYPTED_PDF,
        "broken.pdf": b"%PDF-1.7\ngarbage",
        "cut.png": png_saying("cut off", size=(300, 300))[:-40],
        "missing.png": png_saying("missing"),
        "good.png": png_saying("good text"),
    }
    for name, content in contents.items():
        bench.add_file(name, content)
    assert bench.ingest().created == len(contents)
    (bench.folder / "missing.png").unlink()

    summary = start(bench, threads=2).finish()

    assert (summary.written, summary.dead, summary.retry) == (1, 6, 1)
    assert summary.waiting == 1
    said = dict(bench.rows("select filename, ocr_error from documents"))
    for name, words in {
        "empty.png": "The file is empty.",
        "text.png": "no image and no PDF",
        "huge.png": "20000 x 10000 pixels are 200 megapixels, more than 100",
        "locked.pdf": "encrypted",
        "broken.pdf": "corrupt",
        "cut.png": "cannot be decoded",
    }.items():
        assert words in said[name], name
        assert bench.status(name) == "failed", name
    assert bench.status("missing.png") == "pending"
    assert bench.rows(
        "select attempts, error_message from ocr_queue where status = 'pending'"
    ) == [(1, f"There is no file at {bench.folder}/missing.png.")]


def test_a_missing_file_that_comes_back_is_read(bench: Bench) -> None:
    bench.add("late.png")
    path = bench.folder / "late.png"
    content = path.read_bytes()
    path.unlink()
    assert start(bench).finish().retry == 1
    path.write_bytes(content)
    bench.make_due()
    assert start(bench).finish().written == 1


def test_the_pages_of_a_pdf_are_read_one_by_one_with_progress(bench: Bench) -> None:
    bench.add("three.pdf", pdf(3))
    engine = HeldEngine()
    running = start(bench, lambda: engine)
    progress = "select progress_current, progress_total from ocr_queue"
    for done in range(3):
        assert engine.reached.acquire(timeout=60)
        assert bench.rows(progress) == [(done, 3)]
        engine.go.release()
    assert running.finish().pages == 3
    assert bench.value("select ocr_text from documents").split("\f") == [
        "page of 200 by 200 pixels",
        "page of 203 by 200 pixels",
        "page of 206 by 200 pixels",
    ]


def test_heartbeats_keep_a_slow_job(bench: Bench) -> None:
    bench.add("slow.png")
    engine = HeldEngine()
    running = start(bench, lambda: engine, lease=timedelta(seconds=1))
    assert engine.reached.acquire(timeout=60)
    (first,) = bench.rows("select lease_expires_at from ocr_queue")
    # longer than the lease, by the database's own clock
    until(
        lambda: bench.value("select now() > %s + interval '1 second'", *first),
        "the first lease has passed",
    )
    assert bench.guardrails.claim_ocr_jobs("w-other") == []
    engine.go.release()
    assert running.finish().written == 1
    assert history(bench, "outcome", "attempt") == [("written", 1)]


def test_a_worker_that_lost_its_lease_stops_and_offers_nothing(bench: Bench) -> None:
    document_id = bench.add("three.pdf", pdf(3))
    engine = HeldEngine()
    running = start(bench, lambda: engine)
    assert engine.reached.acquire(timeout=60)
    assert bench.guardrails.cancel_ocr_job(document_id, "not wanted")
    engine.go.release()
    summary = running.finish()
    assert (summary.lost, summary.written, engine.pages) == (1, 0, 1)
    assert bench.value("select count(*) from ocr_incidents") == 0


def test_a_heartbeat_that_finds_the_lease_gone_is_heard_before_the_offer(
    bench: Bench,
) -> None:
    document_id = bench.add("one.png")
    engine = HeldEngine()
    running = start(bench, lambda: engine, lease=timedelta(seconds=1))
    assert engine.reached.acquire(timeout=60)
    assert bench.guardrails.cancel_ocr_job(document_id, "not wanted")
    (live,) = running.worker._leases.all()
    until(live.lost.is_set, "the heartbeat saw that the lease is gone")
    engine.go.release()
    assert running.finish().lost == 1
    assert bench.value("select count(*) from ocr_incidents") == 0


def test_a_late_worker_is_refused_while_another_one_works(bench: Bench) -> None:
    bench.add("page.png")
    late_engine, new_engine = HeldEngine(), HeldEngine()
    late = start(bench, lambda: late_engine, worker_id="w-late", heartbeats=False)
    assert late_engine.reached.acquire(timeout=60)
    bench.expire_leases()
    new = start(bench, lambda: new_engine, worker_id="w-new", poll_interval=0.05)

    def is_taken_over() -> bool:
        bench.make_due()
        return new_engine.reached.acquire(timeout=0.05)

    until(is_taken_over, "the second worker has the job")

    late_engine.go.release()
    until(lambda: EventKind.LOST in late.kinds(), "the late worker was refused")
    assert bench.status("page.png") == "processing"
    new_engine.go.release()
    assert new.finish().written == 1
    assert late.finish().refused == {"stale_lease": 1}
    assert bench.rows("select reason, worker_id from ocr_incidents") == [
        ("stale_lease", "w-new")
    ]
    assert history(bench, "outcome", "worker_id") == [
        ("expired", "w-late"),
        ("written", "w-new"),
    ]


def test_a_file_that_was_exchanged_on_disk_is_refused_by_its_hash(
    bench: Bench,
) -> None:
    bench.add("page.png")
    bench.add_file("page.png", png_saying("text of another file"))
    summary = start(bench).finish()
    assert (summary.written, summary.retry) == (0, 1)
    assert summary.refused == {"source_mismatch": 1}
    message = bench.value("select error_message from ocr_queue")
    assert message.startswith("source_mismatch: ")


def test_the_hash_is_of_the_bytes_that_were_read(bench: Bench) -> None:
    bench.add("page.png")
    path = bench.folder / "page.png"
    read: list[bytes] = []

    def exchange(
        data: bytes, engine: Any, limits: PageLimits, checkpoint: Checkpoint
    ) -> Recognition:
        # the file is replaced between the reading and the recognition
        path.write_bytes(png_saying("text of another file"))
        read.append(data)
        return recognise(data, engine, limits, checkpoint)

    assert start(bench, steps=Steps(recognise=exchange)).finish().written == 1
    assert bench.rows("select ocr_text, ocr_source_hash from documents") == [
        ("text of page.png", hashlib.sha256(read[0]).hexdigest())
    ]


@pytest.mark.parametrize(
    ("error", "answer", "error_class"),
    [
        (RuntimeError("segmentation failed"), EventKind.RETRY, "document"),
        (SystemExit("an engine that exits"), EventKind.RETRY, "document"),
        (RecursionError(), EventKind.RETRY, "document"),
        (MemoryError(), EventKind.RETRY, "document"),
        (RuntimeError("a\0b\ud800"), EventKind.RETRY, "document"),
        (EngineError("no", ErrorClass.PERMANENT), EventKind.DEAD, "permanent"),
        (
            EngineError("no", ErrorClass.INFRASTRUCTURE),
            EventKind.RETRY,
            "infrastructure",
        ),
    ],
)
def test_whatever_an_engine_raises_is_the_jobs_failure(
    bench: Bench, error: BaseException, answer: EventKind, error_class: str
) -> None:
    class Failing(NullEngine):
        def recognize(self, image: Image.Image) -> PageText:
            raise error

    bench.add("page.png")
    running = start(bench, Failing)
    running.finish()
    assert running.kinds()[-1] is answer
    assert history(bench, "error_class", "engine") == [(error_class, "null 1")]


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_a_text_that_postgresql_cannot_hold_fails_its_job(
    bench: Bench, text: str
) -> None:
    class Odd(NullEngine):
        def recognize(self, image: Image.Image) -> PageText:
            return PageText(text, 90.0)

    bench.add("page.png")
    summary = start(bench, Odd).finish()
    assert (summary.retry, summary.written) == (1, 0)
    assert summary.refused == {"rejected_by_database": 1}
    assert bench.status("page.png") == "pending"


def test_an_engine_with_an_impossible_confidence_fails_its_job(bench: Bench) -> None:
    class Sure(NullEngine):
        def recognize(self, image: Image.Image) -> PageText:
            return PageText("text", 150.0)

    bench.add("page.png")
    assert start(bench, Sure).finish().retry == 1
    assert "confidence" in bench.value("select error_message from ocr_queue")


def test_an_offer_whose_answer_was_lost_is_made_again(bench: Bench) -> None:
    bench.add("page.png")
    calls: list[Outcome] = []

    def cut(
        guardrails: Guardrails, finished: Sequence[tuple[Job, Recognition]]
    ) -> list[BatchOutcome]:
        answers = offer(guardrails, finished)
        calls.extend(answer.outcome for answer in answers)
        if len(calls) == 1:
            # committed, and the connection is gone before the answer arrives
            assert isinstance(guardrails._source, psycopg.Connection)
            guardrails._source.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return answers

    running = start(bench, steps=Steps(offer=cut))
    assert running.finish().written == 1
    assert calls == [Outcome.WRITTEN, Outcome.ALREADY_WRITTEN]
    assert "Database connection lost" in running.worker.summary.notes[0]
    assert bench.value("select count(*) from ocr_incidents") == 0


class HeldOffer:
    """Makes its first offer only when it is let go; knows how many came together."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.reached = threading.Event()
        self.go = threading.Event()

    def __call__(
        self, guardrails: Guardrails, finished: Sequence[tuple[Job, Recognition]]
    ) -> list[BatchOutcome]:
        self.sizes.append(len(finished))
        self.reached.set()
        assert self.go.wait(60)
        return offer(guardrails, finished)


def test_results_that_are_finished_meanwhile_are_offered_together(
    bench: Bench,
) -> None:
    held = HeldOffer()
    # one thread that claims one job at a time
    running = start(bench, steps=Steps(offer=held), drain=False)
    bench.add("0.png")
    assert held.reached.wait(60)
    for number in range(1, 5):
        bench.add(f"{number}.png")
    until(lambda: len(running.worker._offers._waiting) == 4, "the others wait")
    assert bench.statuses() == {"processing": 5}
    held.go.set()
    until(lambda: bench.statuses() == {"completed": 5}, "all are written")
    assert running.stop().written == 5
    assert held.sizes == [1, 4]
    assert history(bench, "outcome") == [("written",)] * 5


def test_a_lone_result_is_offered_while_the_next_page_is_read(bench: Bench) -> None:
    bench.add("a.png")
    bench.add("b.png")
    engine = HeldEngine()
    running = start(bench, lambda: engine, batch_size=2)
    engine.go.release()
    assert engine.reached.acquire(timeout=60)
    assert engine.reached.acquire(timeout=60)
    until(
        lambda: bench.statuses() == {"completed": 1, "processing": 1},
        "the first is written while the second is read",
    )
    engine.go.release()
    assert running.finish().written == 2


def test_reading_waits_when_too_much_is_left_to_offer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_OFFERED_RESULTS", 2)
    held = HeldOffer()
    running = start(bench, steps=Steps(offer=held), drain=False)
    bench.add("0.png")
    assert held.reached.wait(60)
    for number in range(1, 8):
        bench.add(f"{number}.png")
    # one is on its way, two wait, and the thread stands there with the fourth
    until(
        lambda: bench.statuses() == {"processing": 4, "pending": 4}, "the thread waits"
    )
    held.go.set()
    until(lambda: bench.statuses() == {"completed": 8}, "all are written")
    assert running.stop().written == 8
    assert max(held.sizes) == 2


def test_an_offer_that_raises_takes_no_other_result_down(bench: Bench) -> None:
    held = HeldOffer()

    def picky(
        guardrails: Guardrails, finished: Sequence[tuple[Job, Recognition]]
    ) -> list[BatchOutcome]:
        if any(job.filename == "c.png" for job, _ in finished):
            held.sizes.append(len(finished))
            raise ValueError("cannot be sent")
        return held(guardrails, finished)

    running = start(bench, steps=Steps(offer=picky), drain=False)
    bench.add("a.png")
    assert held.reached.wait(60)
    for name in ("b.png", "c.png", "d.png"):
        bench.add(name)
    until(lambda: len(running.worker._offers._waiting) == 3, "the others wait")
    held.go.set()
    until(lambda: bench.status("d.png") == "completed", "the last is written")
    summary = running.stop()
    assert (summary.written, summary.retry) == (3, 1)
    # a, then all the others, then each of them alone
    assert held.sizes == [1, 3, 1, 1, 1]
    assert bench.status("c.png") == "pending"
    assert "cannot be sent" in bench.value("select error_message from ocr_queue")


def test_a_lease_that_is_lost_while_its_result_waits_offers_nothing(
    bench: Bench,
) -> None:
    held = HeldOffer()
    running = start(
        bench, steps=Steps(offer=held), lease=timedelta(seconds=1), drain=False
    )
    bench.add("a.png")
    assert held.reached.wait(60)
    document_id = bench.add("b.png")
    until(lambda: len(running.worker._offers._waiting) == 1, "the second waits")
    assert bench.guardrails.cancel_ocr_job(document_id, "not wanted")
    (waiting,) = running.worker._offers._waiting
    until(waiting.live.lost.is_set, "the heartbeat saw that the lease is gone")
    held.go.set()
    until(lambda: EventKind.LOST in running.kinds(), "the second is let go")
    summary = running.stop()
    assert (summary.written, summary.lost) == (1, 1)
    assert held.sizes == [1]
    assert bench.status("b.png") == "failed"
    assert bench.value("select count(*) from ocr_incidents") == 0


def test_heartbeats_keep_what_waits_to_be_offered(bench: Bench) -> None:
    bench.add("a.png")
    held = HeldOffer()
    running = start(bench, steps=Steps(offer=held), lease=timedelta(seconds=1))
    assert held.reached.wait(60)
    (first,) = bench.rows("select lease_expires_at from ocr_queue")
    until(
        lambda: bench.value("select now() > %s + interval '1 second'", *first),
        "the first lease has passed",
    )
    assert bench.guardrails.claim_ocr_jobs("w-other") == []
    held.go.set()
    assert running.finish().written == 1
    assert history(bench, "outcome", "attempt") == [("written", 1)]


def test_stopped_it_still_offers_what_it_has_read(bench: Bench) -> None:
    held = HeldOffer()
    running = start(bench, steps=Steps(offer=held), drain=False, grace=60.0)
    bench.add("a.png")
    assert held.reached.wait(60)
    for name in ("b.png", "c.png"):
        bench.add(name)
    until(lambda: len(running.worker._offers._waiting) == 2, "the others wait")
    running.worker.stop()
    until(lambda: not running.worker.is_abandoned, "the reading thread has ended")
    held.go.set()
    summary = running.finish()
    assert (summary.written, summary.released) == (3, 0)


def test_what_waits_when_the_grace_is_over_is_given_back(bench: Bench) -> None:
    held = HeldOffer()
    running = start(bench, steps=Steps(offer=held), grace=0.0, drain=False)
    bench.add("a.png")
    assert held.reached.wait(60)
    bench.add("b.png")
    until(lambda: len(running.worker._offers._waiting) == 1, "the second waits")
    summary = running.stop()
    assert (summary.released, summary.written) == (1, 0)
    assert bench.status("b.png") == "pending"
    # the answer to the first one still comes, and is the database's
    held.go.set()
    until(lambda: bench.status("a.png") == "completed", "the first is written")


def test_a_limit_of_concurrent_jobs_does_not_let_the_worker_sleep(
    bench: Bench,
) -> None:
    bench.guardrails.set_ocr_setting("max_concurrent_jobs", "1")
    for number in range(4):
        bench.add(f"{number}.png")
    # no notification comes: a thread that waits is called after each write
    running = start(bench, threads=2, poll_interval=3600.0)
    assert running.finish().written == 4


def test_all_threads_wake_up_while_there_is_work_for_all(bench: Bench) -> None:
    engines: list[HeldEngine] = []

    def make_engine() -> HeldEngine:
        engines.append(HeldEngine())
        return engines[-1]

    running = start(bench, make_engine, threads=3, drain=False, poll_interval=3600.0)
    until(
        lambda: (
            bench.value(
                "select count(*) from pg_stat_activity"
                " where datname = current_database() and state = 'idle'"
                " and strpos(query, 'claim_ocr_jobs') > 0"
            )
            == 3
        ),
        "all three wait",
    )
    for number in range(3):
        bench.add_file(f"{number}.png", png_saying(f"text of {number}.png"))
    # one transaction, so one notification
    bench.ingest()
    for engine in engines:
        assert engine.reached.acquire(timeout=60)
    for engine in engines:
        engine.go.release()
    until(lambda: bench.statuses() == {"completed": 3}, "all are read")
    running.stop()


def test_a_restart_of_the_database_is_survived(
    server: ServerUnderTest, tmp_path: Any
) -> None:
    with Server.temporary(server.bin_dir) as own:
        dsn = own.dsn()
        migrate(dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            before = Bench(dsn, connection, tmp_path, Guardrails(connection))
            for number in range(6):
                before.add_file(f"{number}.png", png_saying(f"text of {number}.png"))
            before.ingest()
        engines: list[HeldEngine] = []

        def make_engine() -> HeldEngine:
            engines.append(HeldEngine())
            return engines[-1]

        running = start(before, make_engine, threads=2)
        for engine in engines:
            assert engine.reached.acquire(timeout=60)
        own.restart("immediate")
        for engine in engines:
            engine.go.release(6)
        summary = running.finish()
        assert (summary.written, summary.lost) == (6, 0)
        with psycopg.connect(dsn, autocommit=True) as connection:
            after = Bench(dsn, connection, tmp_path, Guardrails(connection))
            assert history(after, "outcome", "attempt") == [("written", 1)] * 6
            assert after.guardrails.find_inconsistencies() == []


def test_a_wrong_address_is_told_at_once() -> None:
    def nowhere() -> psycopg.Connection[Any]:
        return psycopg.connect("host=/nonexistent dbname=none")

    with pytest.raises(psycopg.OperationalError):
        Worker(nowhere, NullEngine).run()


def test_it_wakes_up_when_work_arrives(bench: Bench) -> None:
    running = start(bench, drain=False, poll_interval=3600.0)
    await_idle(bench, "claim_ocr_jobs")
    bench.add("page.png")
    until(lambda: bench.status("page.png") == "completed", "the page was read")
    running.stop()


def test_stopped_between_pages_it_gives_its_jobs_back_unspent(bench: Bench) -> None:
    bench.add("a.pdf", pdf(3))
    bench.add("b.pdf", pdf(4))
    engine = HeldEngine()
    running = start(bench, lambda: engine, batch_size=2, grace=0.0, drain=False)
    assert engine.reached.acquire(timeout=60)
    running.worker.stop()
    engine.go.release()
    summary = running.finish()
    assert (summary.released, summary.written, engine.pages) == (2, 0, 1)
    assert bench.rows("select status, attempts from ocr_queue") == [("pending", 0)] * 2
    assert history(bench, "outcome") == [("released",)] * 2


def test_stopped_with_grace_it_finishes_what_it_has_begun(bench: Bench) -> None:
    bench.add("a.pdf", pdf(2))
    bench.add("b.pdf", pdf(3))
    engine = HeldEngine()
    running = start(bench, lambda: engine, batch_size=2, grace=60.0)
    assert engine.reached.acquire(timeout=60)
    running.worker.stop()
    engine.go.release(9)
    summary = running.finish()
    assert (summary.written, summary.released, engine.pages) == (1, 1, 2)


def test_a_page_without_end_is_given_back_without_its_thread(bench: Bench) -> None:
    bench.add("page.png")
    engine = HeldEngine()
    running = start(bench, lambda: engine, grace=0.0)
    assert engine.reached.acquire(timeout=60)
    summary = running.stop()
    assert running.worker.is_abandoned
    assert summary.released == 1
    assert bench.rows("select status, attempts from ocr_queue") == [("pending", 0)]
    # and when the page comes to its end after all, nothing is offered
    engine.go.release()
    until(lambda: not running.worker.is_abandoned, "the thread has ended")
    assert bench.status("page.png") == "pending"
    assert bench.value("select count(*) from ocr_incidents") == 0


def test_a_paused_queue_ends_a_drain_with_a_note(bench: Bench) -> None:
    bench.add("page.png")
    bench.guardrails.pause_ocr_queue("maintenance")
    summary = start(bench).finish()
    assert summary.written == 0
    assert "paused" in summary.notes[0]


def test_a_drain_waits_for_the_jobs_of_others(bench: Bench) -> None:
    bench.add("page.png")
    (job,) = bench.guardrails.claim_ocr_jobs("w-other")
    running = start(bench)
    await_idle(bench, "ocr_queue_state")
    bench.guardrails.release_ocr_job(job.document_id, job.lease_token)
    assert running.finish().written == 1


def test_a_drain_waits_for_retries_when_told_to(bench: Bench) -> None:
    bench.guardrails.set_ocr_setting("backoff_base", "0")
    failed: list[int] = []

    class Once(NullEngine):
        def recognize(self, image: Image.Image) -> PageText:
            if not failed:
                failed.append(1)
                raise RuntimeError("the first time")
            return super().recognize(image)

    bench.add("page.png")
    summary = start(bench, Once, wait_retries=True).finish()
    assert (summary.retry, summary.written) == (1, 1)


def test_a_rendered_page_is_read_by_rapidocr(bench: Bench) -> None:
    pytest.importorskip("rapidocr")
    from ocr_guardrails.engines import load_engine

    from ..unit.test_engines import page_with

    buffer = BytesIO()
    page_with("Invoice 48213\nNorthern Harbour Supplies").save(buffer, "PNG")
    bench.add("invoice.png", buffer.getvalue())
    assert start(bench, lambda: load_engine("rapidocr")).finish().written == 1
    text, confidence, engine = bench.rows(
        "select ocr_text, ocr_confidence, ocr_engine from documents"
    )[0]
    assert "Northern Harbour" in text
    assert confidence > 50
    assert engine.startswith("rapidocr ")
