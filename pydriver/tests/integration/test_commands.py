"""The commands, as scripts and people use them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ocr_guardrails.cli import main

from . import held_engine
from .conftest import Bench, png_saying, until

Spawn = Callable[..., subprocess.Popen[str]]


def run(bench: Bench, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--dsn", bench.dsn, *arguments])


def run_json(bench: Bench, *arguments: str, code: int = 0) -> Any:
    result = run(bench, "--json", *arguments)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def spawn(bench: Bench, tmp_path: Path) -> Iterator[Spawn]:
    """Starts the command as a process of its own, with the engine that is held."""
    started: list[subprocess.Popen[str]] = []
    environment = {
        **os.environ,
        "DATABASE_URL": bench.dsn,
        held_engine.FOLDER: str(tmp_path),
        "PYTHONPATH": os.pathsep.join(
            [str(Path(held_engine.__file__).parent), os.environ.get("PYTHONPATH", "")]
        ),
    }

    def start(*arguments: str) -> subprocess.Popen[str]:
        code = "from ocr_guardrails.cli import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def reached(tmp_path: Path) -> None:
    until((tmp_path / held_engine.REACHED).exists, "the engine was reached")


def test_ingest_and_work(bench: Bench) -> None:
    for number in range(5):
        bench.add_file(f"sub/{number}.png", png_saying(f"text {number}"))
    assert "5 files" in run(bench, "ingest", str(bench.folder)).output
    again = run(bench, "ingest", str(bench.folder))
    assert again.exit_code == 0
    assert "0 new, 5 already there, 0 unreadable" in again.output
    result = run(bench, "work", "--engine", "null", "--threads", "2")
    assert result.exit_code == 0, result.output
    assert "5 documents, 5 pages" in result.output
    assert bench.statuses() == {"completed": 5}


def test_ingest_tells_what_it_could_not_read(bench: Bench) -> None:
    bench.add_file("good.png", png_saying("good"))
    (bench.folder / "broken.png").symlink_to(bench.folder / "nothing")
    (bench.folder / os.fsdecode(b"caf\xe9.png")).write_bytes(png_saying("latin-1"))
    answer = run_json(bench, "ingest", str(bench.folder), "/no/such/place", code=3)
    assert (answer["created"], answer["files"]) == (1, 4)
    reasons = {Path(each["path"]).name: each["reason"] for each in answer["unreadable"]}
    assert reasons == {
        "place": "There is no such file.",
        "broken.png": "It is not a regular file.",
        "caf\\udce9.png": "Its path is not valid UTF-8, which PostgreSQL needs.",
    }


def test_a_dead_job_is_seen_in_the_exit_code(bench: Bench) -> None:
    bench.add("text.png", b"no image")
    answer = run_json(bench, "work", "--engine", "null", code=3)
    assert (answer["dead"], answer["written"]) == (1, 0)
    assert "no image and no PDF" in run(bench, "stats").output


def test_an_unknown_engine_is_an_error_in_words(bench: Bench) -> None:
    result = run(bench, "work", "--engine", "none-such")
    assert result.exit_code == 1
    assert "There is no engine 'none-such'" in result.output


def test_a_database_without_the_schema_is_an_error_in_words(
    empty_database: str, tmp_path: Path
) -> None:
    (tmp_path / "page.png").write_bytes(png_saying("text"))
    for command in (
        ["ingest", str(tmp_path)],
        ["work", "--engine", "null"],
        ["work", "--engine", "null", "--forever"],
        ["stuck"],
        ["stats"],
    ):
        result = CliRunner().invoke(main, ["--dsn", empty_database, *command])
        assert result.exit_code == 1
        assert "ocr-guardrails migrate" in result.output
        assert "Traceback" not in result.output


def test_sigterm_gives_the_job_back_and_ends_in_peace(
    bench: Bench, spawn: Spawn, tmp_path: Path
) -> None:
    bench.add("page.png")
    process = spawn("work", "--engine", "held_engine:Held", "--forever", "--grace", "0")
    reached(tmp_path)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "given back unfinished" in output
    assert bench.rows("select status, attempts from ocr_queue") == [("pending", 0)]
    assert bench.value("select outcome from ocr_job_history") == "released"


def test_a_second_ctrl_c_quits_hard(bench: Bench, spawn: Spawn, tmp_path: Path) -> None:
    bench.add("page.png")
    process = spawn("work", "--engine", "held_engine:Held", "--grace", "1h")
    reached(tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "Stopping" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert bench.status("page.png") == "processing"
    bench.expire_leases()
    bench.guardrails.claim_ocr_jobs("w-other")


def test_sigkill_is_recovered_by_the_expiry_of_the_lease(
    bench: Bench, spawn: Spawn, tmp_path: Path
) -> None:
    bench.add("page.png")
    process = spawn(
        "work",
        "--engine",
        "held_engine:Held",
        "--threads",
        "1",
        "--worker-id",
        "w-killed",
    )
    reached(tmp_path)
    process.kill()
    process.wait(60)
    assert bench.status("page.png") == "processing"
    bench.guardrails.set_ocr_setting("backoff_base", "0")
    bench.expire_leases()
    answer = run_json(
        bench, "work", "--engine", "null", "--threads", "1", "--worker-id", "w-new"
    )
    assert answer["written"] == 1
    assert bench.rows(
        "select outcome, worker_id, attempt from ocr_job_history order by finished_at"
    ) == [("expired", "w-killed", 1), ("written", "w-new", 2)]


def test_several_processes_drain_one_queue(bench: Bench) -> None:
    for number in range(8):
        bench.add_file(f"{number}.png", png_saying(f"text {number}"))
    bench.ingest()
    answer = run_json(
        bench, "work", "--engine", "null", "--processes", "2", "--threads", "2"
    )
    assert (answer["written"], answer["pages"]) == (8, 8)
    assert bench.statuses() == {"completed": 8}


def test_a_process_that_crashes_is_started_again(
    bench: Bench, spawn: Spawn, tmp_path: Path
) -> None:
    bench.add("page.png")
    bench.guardrails.set_ocr_setting("backoff_base", "0")
    (tmp_path / held_engine.GO).touch()
    process = spawn(
        "work", "--engine", "held_engine:Crashing", "--processes", "2", "--threads", "1"
    )
    reached(tmp_path)
    crashed = bench.value("select worker_id from ocr_queue")

    def is_done_by_another() -> bool:
        # its own lease, and not that of the process which has the job next
        bench.expire_leases(crashed)
        return bench.status("page.png") == "completed"

    until(is_done_by_another, "the job was done by another process")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "was ended by signal 9" in errors


def test_sigterm_reaches_every_process(
    bench: Bench, spawn: Spawn, tmp_path: Path
) -> None:
    bench.add("page.png")
    options = ["--forever", "--grace", "0", "--processes", "2"]
    process = spawn("work", "--engine", "held_engine:Held", *options)
    reached(tmp_path)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert bench.rows("select status, attempts from ocr_queue") == [("pending", 0)]


def test_check_looks_at_the_files_and_says_so_in_its_exit_code(bench: Bench) -> None:
    bench.add("kept.png")
    bench.add("gone.png")
    assert run(bench, "check").exit_code == 0
    content = (bench.folder / "gone.png").read_bytes()
    (bench.folder / "gone.png").unlink()
    found = run(bench, "check", "--files")
    assert found.exit_code == 1
    assert "2 files looked at" in found.output
    answer = run_json(bench, "check", code=1)
    assert answer["consistency"]["documents_without_files"] == 1
    (bench.folder / "gone.png").write_bytes(content)
    assert run_json(bench, "check", "--files")["files_checked"] == 2


def test_repair_only_says_what_it_would_do_until_told(bench: Bench) -> None:
    bench.add("page.png")
    assert "nothing to repair" in run(bench, "repair").output
    bench.connection.execute("delete from ocr_queue")
    bench.connection.execute(
        "alter table documents disable trigger user;"
        "update documents set ocr_status = 'processing', ocr_claims = 1,"
        " ocr_lease_token = gen_random_uuid();"
        "alter table documents enable trigger user"
    )
    before = bench.rows("select * from documents")
    said = run(bench, "repair")
    assert said.exit_code == 0
    assert "Nothing was changed" in said.output
    assert bench.rows("select * from documents") == before
    assert run_json(bench, "repair", "--apply")["applied"] is True
    assert bench.status("page.png") == "pending"


def test_what_an_operator_asks_and_does(bench: Bench) -> None:
    document_id = bench.add("page.png")
    (late,) = bench.guardrails.claim_ocr_jobs("w-late")
    assert "Nothing is stuck" in run(bench, "stuck").output
    bench.connection.execute(
        "update ocr_queue set started_at = now() - interval '2 hours',"
        " heartbeat_at = now() - interval '2 hours'"
    )
    assert run_json(bench, "stuck", "--minutes", "30")[0]["worker_id"] == "w-late"
    assert "w-late" in run(bench, "stuck").output
    assert "1 document reset." in run(bench, "reset-stuck").output

    assert run(bench, "incidents").output.startswith("No result was refused")
    bench.guardrails.update_ocr_safe(
        document_id, "page.png", "text", 90, 1, 5, lease_token=late.lease_token
    )
    shown = run(bench, "incidents").output
    assert "A late result was refused  page.png" in shown
    assert "w-late" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())
    assert run_json(bench, "incidents")[0]["reason"] == "stale_lease"

    assert "is paused" in run(bench, "pause", "moving house").output
    assert "paused already" in run(bench, "pause", "moving house").output
    assert run_json(bench, "resume") == {"changed": True}

    bench.make_due()
    assert run(bench, "work", "--engine", "null").exit_code == 0
    queued = run(bench, "requeue", str(document_id), "--reason", "blurred")
    assert "is queued" in queued.output
    assert bench.status("page.png") == "pending"
    assert "0 jobs back" in run(bench, "retry-failed").output
    assert "completed" in run(bench, "stats").output
    assert {row["ocr_status"] for row in run_json(bench, "stats")["ocr_stats"]} == {
        "pending",
        "processing",
        "completed",
        "failed",
    }


def test_settings(bench: Bench) -> None:
    assert "default_lease" in run(bench, "settings").output
    changed = run_json(bench, "settings", "default_lease", "10 minutes")
    assert changed == {"default_lease": 600.0}
    run(bench, "settings", "max_concurrent_jobs", "3")
    assert run_json(bench, "settings", "max_concurrent_jobs", "--null") == {
        "max_concurrent_jobs": None
    }
    for arguments in (["nothing", "1"], ["nothing"], ["default_lease", "soon"]):
        refused = run(bench, "settings", *arguments)
        assert refused.exit_code == 1
        assert "Traceback" not in refused.output


def test_a_wrong_identifier_is_an_error_in_words(bench: Bench) -> None:
    refused = run(bench, "requeue", "no-uuid", "--reason", "blurred")
    assert refused.exit_code == 1
    assert "no-uuid" in refused.output
