"""What has to hold when the run is over, looked up in the database and in the logs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from ocr_guardrails import Guardrails
from tests.chaos.texts import FILENAME, unseal

__all__ = ["Check", "Offers", "check_database", "check_server_log", "read_offers"]

Row = tuple[Any, ...]
_SHOWN = 3
_WRITTEN = ("written", "already_written")
#: A plain UPDATE that a trigger refuses is rolled back whole: the error is evidence.
_NO_INCIDENT = ("error", "no such document")


@dataclass(slots=True)
class Check:
    """One promise: how many cases break it, and the first few of them."""

    name: str
    violations: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: object) -> None:
        self.violations += 1
        if len(self.examples) < _SHOWN:
            self.examples.append(str(example)[:300])


@dataclass(slots=True)
class Offers:
    """What the workers were answered."""

    lines: list[dict[str, Any]]
    counts: Counter[str]

    @property
    def hopeless(self) -> int:
        return sum(self.counts[kind] for kind in ("late", "swap", "plain"))

    @property
    def honest(self) -> int:
        return self.counts["honest"]


def read_offers(folder: Path) -> Offers:
    """All logs of a run. A line that a kill cut short was not counted."""
    lines: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("*.jsonl")):
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if line["kind"] == "end":
                continue
            lines.append(line)
            counts[line["kind"]] += 1
            counts[f"{line['kind']}: {line['outcome']}"] += 1
    return Offers(lines, counts)


def check_server_log(lines: Sequence[str]) -> list[Check]:
    """What the server's log must not contain."""
    deadlocks = Check("deadlocks in the server's log (G12)")
    crashes = Check("crashes of the server that nobody caused")
    died = re.compile(r"PANIC:|TRAP:|terminated by signal (?!9|15)")
    for line in lines:
        if "deadlock detected" in line:
            deadlocks.add(line)
        if died.search(line):
            crashes.add(line)
    return [deadlocks, crashes]


def check_database(
    connection: psycopg.Connection[Any],
    offers: Offers,
    expected: Sequence[str],
    deleted: set[str],
) -> list[Check]:
    """The promises, against every row that is left. ``expected`` are file paths."""
    rows = _Rows.read(connection)
    return [
        _check_texts(rows),
        _check_fences(rows),
        _check_hopeless(offers),
        _check_nothing_is_lost(rows, expected, deleted),
        _check_nothing_is_stuck(connection, rows),
        _check_written_rows(rows),
        _check_acknowledged(rows, offers),
        _check_incidents(connection, offers),
        _check_validator(connection),
    ]


@dataclass(slots=True)
class _Rows:
    """The documents, and every result that stands or was set aside."""

    documents: list[Row]
    results: list[Row]
    written: Counter[tuple[Any, Any]]

    @classmethod
    def read(cls, connection: psycopg.Connection[Any]) -> _Rows:
        documents = connection.execute(
            "select id, file_path, filename, ocr_status, ocr_text, ocr_result_token,"
            " ocr_error from documents"
        ).fetchall()
        results = connection.execute(
            "select d.id, d.file_path, d.ocr_text, d.ocr_result_token"
            " from documents as d where d.ocr_status = 'completed'"
            " union all"
            " select d.id, d.file_path, r.ocr_text, r.ocr_result_token"
            " from ocr_previous_results as r"
            " inner join documents as d on d.id = r.document_id"
        ).fetchall()
        history = connection.execute(
            "select h.document_id, h.lease_token, count(*) from ocr_job_history as h"
            " where h.outcome = 'written' group by 1, 2"
        ).fetchall()
        return cls(documents, results, Counter({(d, t): n for d, t, n in history}))


def _check_texts(rows: _Rows) -> Check:
    check = Check("foreign texts (G1, G7)")
    for document_id, path, text, _ in rows.results:
        said = unseal(text)
        if said is None or said.file_path != path:
            check.add(f"{document_id} ({path}): {text}")
    return check


def _check_fences(rows: _Rows) -> Check:
    check = Check("texts of another lease than the one that they stand under (G2)")
    for document_id, _, text, token in rows.results:
        said = unseal(text)
        if said is None or said.token != str(token):
            check.add(f"{document_id} under {token}: {text}")
    return check


def _check_hopeless(offers: Offers) -> Check:
    check = Check("results written for a worker without a lease (G2, G8)")
    for line in offers.lines:
        if line["kind"] != "honest" and line["outcome"] in _WRITTEN:
            check.add(line)
    return check


def _check_nothing_is_lost(
    rows: _Rows, expected: Sequence[str], deleted: set[str]
) -> Check:
    check = Check("lost documents (G9)")
    there = {row[1]: row for row in rows.documents}
    for path in expected:
        if path not in there:
            if path not in deleted:
                check.add(f"{path} is not there")
            continue
        _, _, filename, status, _, _, error = there[path]
        if filename != FILENAME or not (
            status == "completed" or (status == "failed" and error)
        ):
            check.add(f"{path} is {status}: {error}")
    return check


def _check_nothing_is_stuck(connection: psycopg.Connection[Any], rows: _Rows) -> Check:
    check = Check("documents and jobs that are stuck (G9)")
    for row in rows.documents:
        if row[3] in ("pending", "processing"):
            check.add(f"{row[1]} is {row[3]}")
    for row in connection.execute(
        "select q.document_id, q.status, q.run_after, q.lease_expires_at"
        " from ocr_queue as q where q.status in ('pending', 'processing')"
    ):
        check.add(f"a job: {row}")
    for stuck in Guardrails(connection).find_stuck_ocr_jobs(1):
        check.add(stuck)
    return check


def _check_written_rows(rows: _Rows) -> Check:
    check = Check("results without exactly one `written` row in the history (G3)")
    results = Counter((document_id, token) for document_id, _, _, token in rows.results)
    for key, count in results.items():
        if count != 1 or rows.written[key] != 1:
            check.add(f"{key}: {count} results, {rows.written[key]} rows")
    living = {row[0] for row in rows.documents}
    for key, count in rows.written.items():
        if key[0] in living and (count != 1 or key not in results):
            check.add(f"{key}: {count} rows, {results[key]} results")
    return check


def _check_acknowledged(rows: _Rows, offers: Offers) -> Check:
    check = Check("acknowledged results that are not there (G3, G11)")
    results = {(str(d), str(t)): text for d, _, text, t in rows.results}
    living = {str(row[0]) for row in rows.documents}
    for line in offers.lines:
        if line["outcome"] not in _WRITTEN or line["document"] not in living:
            continue
        text = results.get((line["document"], line["token"]))
        if text is None or (line["outcome"] == "written" and text != line["text"]):
            check.add(line)
    return check


def _check_incidents(connection: psycopg.Connection[Any], offers: Offers) -> Check:
    """Every refusal that a worker was told of: document, reason and text in one row.

    There may be more incidents than that: the answer to a refusal may be lost, too, and
    its worker offers again, or is killed.
    """
    check = Check("refused results that are not among the incidents (G10)")
    refused = [
        line
        for line in offers.lines
        if line["outcome"] not in _WRITTEN
        and not line["outcome"].startswith(_NO_INCIDENT)
    ]
    with connection.transaction():
        connection.execute(
            "create temporary table refused"
            " (document_id uuid, reason text, text text) on commit drop"
        )
        with (
            connection.cursor() as cursor,
            cursor.copy("copy refused from stdin") as copy,
        ):
            for line in refused:
                copy.write_row((line["document"], line["outcome"], line["text"]))
        for row in connection.execute(
            "select f.* from refused as f where not exists ("
            "  select from ocr_incidents as i"
            "  where i.document_id = f.document_id"
            "    and i.text_hash = hashtextextended(f.text, 0)"
            "    and (i.reason = f.reason or f.reason = 'refused'))"
        ):
            check.add(row)
    return check


def _check_validator(connection: psycopg.Connection[Any]) -> Check:
    check = Check("points that the validator takes off (of 100)")
    found = Guardrails(connection).validate_database_consistency()
    if found.data_integrity_score != 100:
        check.add(found)
        check.violations = round(100 - float(found.data_integrity_score)) or 1
    return check
