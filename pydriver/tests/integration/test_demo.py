"""The whole demo, small, on a real server; only the OCR is not real."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from rich.console import Console

from ocr_guardrails.cli import main
from ocr_guardrails.demo import reading
from ocr_guardrails.demo.faults import Kind
from ocr_guardrails.demo.guarded import GuardedStore
from ocr_guardrails.demo.pages import draw_samples
from ocr_guardrails.demo.run import Options, run_demo
from ocr_guardrails.demo.workload import Offer, Reading, Task

PAGES = 20


class KnowingReader:
    """Reads nothing: it knows the demo's pages by their bytes."""

    engine = "knowing 1"
    texts: dict[str, str]

    def read(self, content: bytes) -> Reading:
        return Reading(self.texts[hashlib.sha256(content).hexdigest()], 95.0, 1)


OpenReader = Callable[[], KnowingReader]


@pytest.fixture
def open_reader(tmp_path: Path) -> Callable[[int], OpenReader]:
    """Makes readers that know the pages of a seed."""

    def learn(seed: int) -> OpenReader:
        samples = draw_samples(tmp_path / f"seed-{seed}", seed, PAGES)
        texts = {sample.sha256: sample.truth or "" for sample in samples}

        class Reader(KnowingReader):
            pass

        Reader.texts = texts
        return Reader

    return learn


@pytest.mark.parametrize(("seed", "workers"), [(1, 4), (2, 2), (3, 3)])
def test_plain_tables_come_to_harm_and_guarded_ones_do_not(
    empty_database: str,
    open_reader: Callable[[int], OpenReader],
    seed: int,
    workers: int,
) -> None:
    out = Console(file=io.StringIO(), width=100)
    options = Options(
        empty_database, pages=PAGES, seed=seed, workers=workers, killed_lease=1
    )

    result = run_demo(options, out, open_reader(seed))
    plain, guarded = result.plain, result.guarded

    # A hung read whose worker finds no other page to take has nothing to mix up, and
    # is let go; with so few pages that may be one of them. The rest must come about.
    for facts in (plain, guarded):
        missing = sum(
            result.plan.count(kind) - facts.happened.get(kind, 0) for kind in Kind
        )
        assert missing <= 1

    # The late writer after the other's result, and the page read for another.
    assert plain.foreign == (
        plain.happened[Kind.LATE_AFTER] + plain.happened[Kind.SHARED_FILE]
    )
    # The late writer's, the overtaken worker's, and the second delivery's.
    assert plain.overwritten == (
        plain.happened[Kind.LATE_AFTER]
        + plain.happened[Kind.LATE_DURING]
        + plain.happened[Kind.DUPLICATE]
    )
    assert plain.lost == 1
    assert guarded.is_clean
    assert (guarded.foreign, guarded.overwritten, guarded.lost) == (0, 0, 0)
    assert guarded.completed == PAGES
    assert Counter(guarded.refused) == Counter(
        already_completed=guarded.happened[Kind.LATE_AFTER],
        source_mismatch=guarded.happened[Kind.SHARED_FILE],
        stale_lease=guarded.happened[Kind.LATE_DURING],
    )
    assert guarded.repeated == guarded.happened[Kind.DUPLICATE]

    for incident in result.incidents:
        if incident.reason == "source_mismatch":
            assert incident.read_from is not None
        else:
            assert incident.text_of is not None
        if incident.reason == "stale_lease":
            # Another lease was live; with few workers the same one's again, perhaps.
            assert incident.holder is not None


def test_the_demo_finds_out_when_the_guards_are_off(
    empty_database: str,
    open_reader: Callable[[int], OpenReader],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A late writer shares the connection of its worker.
    one_at_a_time = threading.Lock()

    def write_past_the_guards(store: GuardedStore, task: Task, offer: Offer) -> bool:
        connection = store._connection
        with one_at_a_time, connection.transaction():
            connection.execute("set local session_replication_role = replica")
            connection.execute(
                "update documents set ocr_text = %s, ocr_status = 'completed',"
                " ocr_confidence = 90, ocr_word_count = 1, ocr_completed_at = now(),"
                " ocr_lease_token = null where id = %s",
                [offer.reading.text, task.document_id],
            )
            connection.execute(
                "delete from ocr_queue where document_id = %s", [task.document_id]
            )
        return True

    monkeypatch.setattr(GuardedStore, "write", write_past_the_guards)
    result = run_demo(
        Options(empty_database, pages=PAGES, seed=1, workers=3, killed_lease=1),
        Console(file=io.StringIO(), width=100),
        open_reader(1),
    )
    happened = result.guarded.happened
    assert result.guarded.foreign == (
        happened[Kind.LATE_AFTER] + happened[Kind.SHARED_FILE]
    )
    assert result.guarded.foreign > 0
    assert not result.guarded.is_clean


def schemas(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select nspname from pg_namespace where nspname like 'ocr_demo%'"
        )
        return {row[0] for row in rows}


def test_the_command_with_files_of_the_users_own(
    empty_database: str,
    open_reader: Callable[[int], OpenReader],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "EngineReader", open_reader(4))
    folder = tmp_path / "seed-4"
    (folder / "broken.png").write_text("no image, and unknown to the reader")
    demo = ["--dsn", empty_database, "--json", "demo", "--docs", str(folder)]

    answer = CliRunner().invoke(main, [*demo, "--keep"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert told["plain"]["foreign_text"] in (1, 2)
    assert told["guarded"]["foreign_text"] == 0
    assert told["guarded"]["completed"] == told["guarded"]["documents"] == PAGES
    assert "broken.png is left out" in answer.stderr
    assert schemas(empty_database) == {"ocr_demo", "ocr_demo_plain"}

    # A second time in place of the first; on a server of the user's nothing stays.
    answer = CliRunner().invoke(main, demo)
    assert answer.exit_code == 0, answer.output
    assert schemas(empty_database) == set()


def test_a_schema_that_is_not_the_demos_is_left_alone(
    empty_database: str, open_reader: Callable[[int], OpenReader]
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("create schema ocr_demo_plain")
        connection.execute("create table ocr_demo_plain.mine ()")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "EngineReader", open_reader(1))
        answer = CliRunner().invoke(
            main, ["--dsn", empty_database, "demo", "--pages", str(PAGES)]
        )
    assert answer.exit_code == 1
    assert "was not made by the demo" in answer.output
    with psycopg.connect(empty_database) as connection:
        connection.execute("select from ocr_demo_plain.mine")


def test_too_few_files_are_told(
    empty_database: str,
    open_reader: Callable[[int], OpenReader],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "EngineReader", open_reader(1))
    empty = tmp_path / "empty"
    empty.mkdir()
    answer = CliRunner().invoke(
        main, ["--dsn", empty_database, "demo", "--docs", str(empty)]
    )
    assert answer.exit_code == 1
    assert "at least 12 documents" in answer.output
