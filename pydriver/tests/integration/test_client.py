"""The driver calls every function, and tells errors and outcomes apart."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from ocr_guardrails import (
    AlreadyCompleted,
    DocumentMissing,
    ErrorClass,
    FailureAnswer,
    FileToIngest,
    Guardrails,
    InvalidArgument,
    Job,
    Outcome,
    QueueClosed,
    Result,
    ResultFinal,
)

from .conftest import Bench

WORKER = "w-test"


def files(count: int, *, filename: str = "scan.png") -> list[FileToIngest]:
    return [
        FileToIngest(
            filename=filename,
            file_path=f"/scans/{number}/{filename}",
            file_hash=f"{number:064x}",
            file_size=number,
            mime_type="image/png",
        )
        for number in range(1, count + 1)
    ]


def result_for(job: Job, text: str = "some text", confidence: float = 90.0) -> Result:
    return Result(
        document_id=job.document_id,
        expected_filename=job.filename,
        ocr_text=text,
        confidence=confidence,
        word_count=len(text.split()),
        processing_time_ms=5,
        lease_token=job.lease_token,
        source_hash=job.file_hash,
        engine="test 1",
    )


def claimed(bench: Bench, count: int = 1) -> list[Job]:
    bench.guardrails.ingest_ocr_documents(files(count))
    jobs = bench.guardrails.claim_ocr_jobs(WORKER, count)
    assert len(jobs) == count
    return jobs


def offer(guardrails: Guardrails, result: Result) -> bool:
    return guardrails.update_ocr_safe(
        result.document_id,
        result.expected_filename,
        result.ocr_text,
        result.confidence,
        result.word_count,
        result.processing_time_ms,
        lease_token=result.lease_token,
        source_hash=result.source_hash,
        engine=result.engine,
    )


def test_ingest_answers_in_order_and_knows_what_is_there(bench: Bench) -> None:
    (a, b) = files(2)
    first = bench.guardrails.ingest_ocr_documents([a], priority=7)
    again = bench.guardrails.ingest_ocr_documents([b, a, b])
    assert [each.created for each in first] == [True]
    assert [each.ordinal for each in again] == [1, 2, 3]
    assert [each.created for each in again] == [True, False, False]
    assert again[1].document_id == first[0].document_id
    assert again[2].document_id == again[0].document_id


def test_a_claim_says_all_that_a_worker_needs(bench: Bench) -> None:
    bench.guardrails.ingest_ocr_documents(files(1), priority=7)
    (job,) = bench.guardrails.claim_ocr_jobs(WORKER, lease=timedelta(seconds=90))
    assert (job.filename, job.file_path, job.file_hash, job.file_size) == (
        "scan.png",
        "/scans/1/scan.png",
        f"{1:064x}",
        1,
    )
    assert (job.priority, job.attempt, job.max_attempts) == (7, 1, 3)
    assert timedelta(seconds=89) < job.lease <= timedelta(seconds=91)
    assert bench.guardrails.claim_ocr_jobs(WORKER) == []


def test_a_result_is_written_once_and_its_repetition_is_true(bench: Bench) -> None:
    (job,) = claimed(bench)
    assert offer(bench.guardrails, result_for(job)) is True
    assert offer(bench.guardrails, result_for(job)) is True
    assert offer(bench.guardrails, replace(result_for(job), lease_token=uuid4())) is (
        False
    )
    assert bench.rows("select ocr_text, ocr_engine from documents") == [
        ("some text", "test 1")
    ]


def test_progress_failure_release_and_extension_are_fenced(bench: Bench) -> None:
    ours, lost, failing = claimed(bench, 3)
    guardrails = bench.guardrails
    guardrails.reset_stuck_ocr_jobs(30)
    assert guardrails.release_ocr_job(lost.document_id, lost.lease_token)
    kept = guardrails.extend_ocr_leases(
        [ours.document_id, lost.document_id], [ours.lease_token, lost.lease_token]
    )
    assert [each.document_id for each in kept] == [ours.document_id]
    assert guardrails.report_ocr_progress(ours.document_id, ours.lease_token, 1, 3)
    assert not guardrails.report_ocr_progress(lost.document_id, lost.lease_token, 1, 3)
    assert not guardrails.release_ocr_job(lost.document_id, lost.lease_token)
    answers = [
        guardrails.fail_ocr_job(job.document_id, job.lease_token, "why", error_class)
        for job, error_class in (
            (lost, None),
            (ours, ErrorClass.DOCUMENT),
            (failing, ErrorClass.PERMANENT),
        )
    ]
    assert answers == [
        FailureAnswer.STALE_LEASE,
        FailureAnswer.RETRY,
        FailureAnswer.DEAD,
    ]


def test_errors_have_a_class_each(bench: Bench) -> None:
    (job,) = claimed(bench)
    guardrails = bench.guardrails
    with pytest.raises(DocumentMissing):
        guardrails.enqueue_ocr_job(uuid4())
    with pytest.raises(InvalidArgument, match="p_threshold_minutes") as caught:
        guardrails.find_stuck_ocr_jobs(-60)
    assert isinstance(caught.value, psycopg.DataError)
    assert caught.value.__cause__ is not None
    for confidence in (float("nan"), float("inf"), -0.1, 100.1):
        with pytest.raises(InvalidArgument, match="p_confidence"):
            offer(guardrails, result_for(job, confidence=confidence))
    assert offer(guardrails, result_for(job))
    with pytest.raises(AlreadyCompleted):
        guardrails.enqueue_ocr_job(job.document_id)
    guardrails.pause_ocr_queue("maintenance")
    assert guardrails.claim_ocr_jobs(WORKER) == []
    with pytest.raises(QueueClosed, match="maintenance"):
        guardrails.claim_ocr_jobs(WORKER, raise_if_closed=True)


def test_an_error_of_plain_sql_has_its_class_too(bench: Bench) -> None:
    from ocr_guardrails.errors import translated

    (job,) = claimed(bench)
    assert offer(bench.guardrails, result_for(job))
    with pytest.raises(ResultFinal), translated():
        bench.connection.execute("update documents set ocr_text = 'other'")


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_a_text_that_postgresql_cannot_hold_is_not_sent(
    bench: Bench, text: str
) -> None:
    (job,) = claimed(bench)
    with pytest.raises(InvalidArgument, match=r"p_ocr_text .* offset 1"):
        offer(bench.guardrails, result_for(job, text))
    # and neither the connection nor the job is the worse for it
    assert offer(bench.guardrails, result_for(job))


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("a\0b", 90.0),
        ("a\ud800b", 90.0),
        ("text", float("nan")),
        ("text", float("inf")),
        ("text", float("-inf")),
        ("text", 100.1),
    ],
)
def test_one_bad_result_takes_none_of_its_batch_down(
    bench: Bench, text: str, confidence: float
) -> None:
    jobs = claimed(bench, 100)
    results = [result_for(job, f"text {number}") for number, job in enumerate(jobs, 1)]
    results[49] = result_for(jobs[49], text, confidence)
    outcomes = bench.guardrails.update_ocr_batch_safe(results)
    assert [each.document_id for each in outcomes] == [job.document_id for job in jobs]
    assert [n for n, each in enumerate(outcomes) if not each.outcome.is_written] == [49]
    assert outcomes[49].outcome is Outcome.REJECTED_BY_DATABASE
    assert outcomes[49].detail
    assert bench.statuses() == {"completed": 99, "pending": 1}


@pytest.mark.parametrize("number", [2**31, -1])
def test_a_number_that_no_column_holds_is_refused_alone(
    bench: Bench, number: int
) -> None:
    good, bad = (result_for(job) for job in claimed(bench, 2))
    outcomes = bench.guardrails.update_ocr_batch_safe(
        [good, replace(bad, word_count=number, ocr_text="other")]
    )
    assert [each.outcome for each in outcomes] == [
        Outcome.WRITTEN,
        Outcome.REJECTED_BY_DATABASE,
    ]


def test_ids_may_be_given_as_text(bench: Bench) -> None:
    one, two = claimed(bench, 2)
    outcomes = bench.guardrails.update_ocr_batch_safe(
        [
            replace(result_for(one), document_id=str(one.document_id)),
            replace(result_for(two, "other"), lease_token=None),
        ]
    )
    assert [each.outcome for each in outcomes] == [Outcome.WRITTEN] * 2
    assert [each.document_id for each in outcomes] == [one.document_id, two.document_id]


def test_nothing_to_offer_has_no_outcome(bench: Bench) -> None:
    assert bench.guardrails.update_ocr_batch_safe([]) == []


def test_a_text_that_an_index_cannot_hold_is_refused_alone(bench: Bench) -> None:
    bench.connection.execute(
        "create index on documents using gin (to_tsvector('simple', ocr_text))"
    )
    jobs = claimed(bench, 100)
    results = [result_for(job, f"text {number}") for number, job in enumerate(jobs, 1)]
    # more different words than a tsvector has room for
    huge = " ".join(f"word{number:07}" for number in range(150_000))
    results[49] = result_for(jobs[49], huge)
    outcomes = bench.guardrails.update_ocr_batch_safe(results)
    assert [n for n, each in enumerate(outcomes) if not each.outcome.is_written] == [49]
    assert outcomes[49].outcome is Outcome.REJECTED_BY_DATABASE
    assert (outcomes[49].detail or "").startswith("54000")


def test_a_text_of_many_megabytes_arrives(bench: Bench) -> None:
    single, batched = claimed(bench, 2)
    huge = "ä€𝄞 " * 1_000_000
    assert offer(bench.guardrails, result_for(single, huge))
    (outcome,) = bench.guardrails.update_ocr_batch_safe(
        [result_for(batched, huge + "!")]
    )
    assert outcome.outcome.is_written
    assert bench.rows("select length(ocr_text) from documents order by 1") == [
        (4_000_000,),
        (4_000_001,),
    ]


def test_a_late_result_is_refused_after_another_worker_took_over(
    bench: Bench,
) -> None:
    (late,) = claimed(bench)
    # given: the job of w-test was reset and is w-new's now
    bench.connection.execute(
        "update ocr_queue set started_at = now() - interval '2 hours',"
        " heartbeat_at = now() - interval '2 hours'"
    )
    assert [job.worker_id for job in bench.guardrails.find_stuck_ocr_jobs(30)] == [
        WORKER
    ]
    assert bench.guardrails.reset_stuck_ocr_jobs(30) == 1
    bench.make_due()
    (new,) = bench.guardrails.claim_ocr_jobs("w-new")
    assert new.document_id == late.document_id
    assert bench.status("scan.png") == "processing"

    # when, then: the late one has no effect by any door
    assert offer(bench.guardrails, result_for(late, "late text")) is False
    (outcome,) = bench.guardrails.update_ocr_batch_safe([result_for(late, "late")])
    assert outcome.outcome is Outcome.STALE_LEASE
    assert offer(bench.guardrails, result_for(new, "right text")) is True
    assert bench.value("select ocr_text from documents") == "right text"
    assert [row["reason"] for row in bench.guardrails.read("ocr_recent_incidents")] == [
        "stale_lease",
        "stale_lease",
    ]


def test_a_neighbours_id_is_refused_by_hash_under_one_filename(bench: Bench) -> None:
    one, other = claimed(bench, 2)
    crossed = replace(result_for(one), source_hash=other.file_hash)
    (outcome,) = bench.guardrails.update_ocr_batch_safe([crossed])
    assert outcome.outcome is Outcome.SOURCE_MISMATCH


def test_what_an_operator_does(bench: Bench) -> None:
    done, dead, cancelled = claimed(bench, 3)
    guardrails = bench.guardrails
    offer(guardrails, result_for(done))
    guardrails.fail_ocr_job(dead.document_id, dead.lease_token, "bad page", "permanent")
    assert guardrails.cancel_ocr_job(cancelled.document_id, "not wanted") is True
    assert guardrails.retry_failed_ocr_jobs(error_like="%bad%") == 1
    assert guardrails.requeue_document(done.document_id, "blurred")
    assert guardrails.restore_previous_result(done.document_id) is True
    assert guardrails.enqueue_pending_documents(10) >= 0
    assert guardrails.pause_ocr_queue("maintenance") is True
    assert guardrails.resume_ocr_queue() is True
    assert guardrails.resume_ocr_queue() is False
    consistency = guardrails.validate_database_consistency()
    assert consistency.data_integrity_score == 100
    assert consistency.counts
    assert not any(consistency.counts.values())
    assert all(
        action.affected == 0 for action in guardrails.repair_database_consistency()
    )
    assert guardrails.record_ocr_file_checks(
        [done.document_id, dead.document_id], [True, True], [done.file_hash, None]
    ) == (2)
    assert guardrails.refresh_ocr_stats() is True
    guardrails.set_ocr_setting("default_lease", "10 minutes")
    guardrails.set_ocr_setting("max_concurrent_jobs", "3")
    guardrails.set_ocr_setting("max_concurrent_jobs", None)
    (settings,) = guardrails.read("ocr_settings")
    assert settings["default_lease"] == timedelta(minutes=10)
    assert settings["max_concurrent_jobs"] is None
    with pytest.raises(InvalidArgument):
        guardrails.set_ocr_setting("no_such_setting", "1")
    assert guardrails.create_ocr_history_partitions(3) >= 0


def test_named_locks(bench: Bench) -> None:
    guardrails = bench.guardrails
    fence = guardrails.acquire_lease_lock("nightly", "one", timedelta(minutes=1))
    assert fence is not None
    assert guardrails.acquire_lease_lock("nightly", "two", timedelta(minutes=1)) is None
    assert guardrails.release_lease_lock("nightly", fence) is True
    second = guardrails.acquire_lease_lock("nightly", "two", timedelta(minutes=1))
    assert second is not None
    assert second > fence
    assert guardrails.release_lease_lock("nightly", fence) is False
    with (
        bench.connect() as holder,
        bench.connect() as other,
        holder.transaction(),
        other.transaction(),
    ):
        assert Guardrails(holder).lock_resource("import") is True
        assert Guardrails(other).lock_resource("import") is False
        assert not Guardrails(other).lock_resource(
            "import", timeout=timedelta(milliseconds=50)
        )


def test_the_caller_owns_the_transaction(bench: Bench) -> None:
    with bench.connect() as connection:
        Guardrails(connection).ingest_ocr_documents(files(1))
        connection.rollback()
    assert bench.value("select count(*) from documents") == 0


def test_over_a_pool_each_call_is_a_transaction(bench: Bench) -> None:
    with ConnectionPool(bench.dsn, min_size=1, max_size=2, open=True) as pool:
        guardrails = Guardrails(pool, schema="public")
        guardrails.ingest_ocr_documents(files(1))
        (job,) = guardrails.claim_ocr_jobs(WORKER)
        assert offer(guardrails, result_for(job))
        with pytest.raises(DocumentMissing):
            guardrails.enqueue_ocr_job(uuid4())
        assert guardrails.read("ocr_queue_overview") == []
        with pytest.raises(TypeError, match="needs a connection"):
            guardrails.lock_resource("import")
    assert bench.statuses() == {"completed": 1}


def test_identifiers_may_be_given_as_text(bench: Bench) -> None:
    (job,) = claimed(bench)
    (kept,) = bench.guardrails.extend_ocr_leases(
        [str(job.document_id)], [job.lease_token]
    )
    assert kept.document_id == job.document_id
    assert bench.guardrails.release_ocr_job(str(job.document_id), job.lease_token)


def test_a_thousand_documents_of_one_filename_through_16_sessions(
    bench: Bench,
) -> None:
    bench.guardrails.ingest_ocr_documents(files(1000))
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with bench.connect() as connection:
                connection.autocommit = True
                guardrails = Guardrails(connection)
                while jobs := guardrails.claim_ocr_jobs(f"w-{number}", 7):
                    outcomes = guardrails.update_ocr_batch_safe(
                        [result_for(job, f"text of {job.file_path}") for job in jobs]
                    )
                    assert all(each.outcome is Outcome.WRITTEN for each in outcomes)
        except BaseException as error:
            failures.append(error)

    sessions = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for session in sessions:
        session.start()
    for session in sessions:
        session.join()
    assert failures == []
    assert bench.statuses() == {"completed": 1000}
    wrong = bench.value(
        "select count(*) from documents where ocr_text <> 'text of ' || file_path"
    )
    assert wrong == 0
    assert bench.value("select count(*) from ocr_queue") == 0
    assert bench.value("select count(*) from ocr_job_history") == 1000
