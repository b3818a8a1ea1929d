"""What each guard costs: the same cycle with one of them taken out.

One session claims, one document or a hundred at a time, and writes the results. What
its backend spends on these calls is counted in CPU time, which neither the disk nor the
client is part of. Every variant has a database of its own; they take turns, A B C, A B
C, …, and what a guard costs is the difference to the guarded way in the same round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, LiteralString

import click
import psycopg

from bench import harness
from bench.systems import guarded, handwritten
from ocr_guardrails import Guardrails

GUARDED = "guarded"
HANDWRITTEN = "handwritten, without any"

#: What is taken out, and how.
GUARDS: dict[str, LiteralString] = {
    "CHECK constraints": """
        do $do$
        declare
            v_constraint record;
        begin
            for v_constraint in
                select c.conrelid::regclass as relation, c.conname as name
                from pg_constraint as c
                where
                    c.contype = 'c'
                    and c.conislocal
                    and c.conrelid in (
                        'documents'::regclass, 'ocr_queue'::regclass,
                        'ocr_job_history'::regclass
                    )
            loop
                execute format(
                    'alter table %s drop constraint %I',
                    v_constraint.relation, v_constraint.name
                );
            end loop;
        end
        $do$
    """,
    # With it goes the CHECK that a token stands on a document in processing alone,
    # since it is the trigger that takes the token off.
    "trigger_validate_ocr_consistency": """
        drop trigger trigger_validate_ocr_consistency on documents;
        alter table documents drop constraint check_ocr_lease
    """,
    "trigger_cleanup_completed_ocr_queue": """
        drop trigger trigger_cleanup_completed_ocr_queue on documents
    """,
    "indexes of the history": """
        drop index idx_ocr_job_history_document_id;
        drop index idx_ocr_job_history_finished_at
    """,
    "search for foreign texts": """
        update ocr_settings set foreign_text_policy = 'off';
        drop index idx_documents_ocr_text_hash
    """,
    "pinned search_path and plans": """
        do $do$
        declare
            v_function record;
        begin
            for v_function in
                select p.oid::regprocedure as name
                from pg_proc as p
                where
                    p.pronamespace = current_schema()::regnamespace
                    and p.proconfig is not null
            loop
                execute format('alter function %s reset all', v_function.name);
                execute format('alter function %s security invoker', v_function.name);
            end loop;
        end
        $do$
    """,
}
#: What the functions set for themselves, for the variant in which they do not.
SETTINGS = (
    "set plan_cache_mode = force_generic_plan",
    "set enable_seqscan = off",
    "set enable_sort = off",
    "set enable_hashjoin = off",
    "set enable_mergejoin = off",
    "set jit = off",
)


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    #: Documents of a run by batch size.
    documents: dict[int, int]


QUICK = Size(9, {1: 100, 100: 500})
FULL = Size(41, {1: 200, 100: 2_000})


def cpu(pid: int) -> float:
    """Microseconds of CPU that a process has used, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e3


class Variant:
    """One database, one session, one way through the cycle."""

    def __init__(
        self, server: harness.Server, number: int, name: str, backlog: int
    ) -> None:
        self.name = name
        dsn = harness.make_database(server, f"bench_guards_{number}")
        self._workload = harness.Workload()
        self._text = handwritten.texts(self._workload, 0)
        if name == HANDWRITTEN:
            handwritten.install(dsn, None)
            handwritten.fill(dsn, backlog)
        else:
            guarded.install(dsn, "record", None)
            guarded.fill(dsn, backlog)
        self.connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=0)
        if name in GUARDS:
            self.connection.execute(GUARDS[name], prepare=False)
        if name == "pinned search_path and plans":
            for setting in SETTINGS:
                self.connection.execute(setting)
        self._guard = Guardrails(self.connection)

    def run(self, documents: int, batch: int) -> float:
        """Work off a part of the backlog; the backend's CPU per document, in µs."""
        pid = self.connection.info.backend_pid
        began = cpu(pid)
        done = sum(self._work(batch) for _ in range(documents // batch))
        spent = cpu(pid) - began
        if done != documents:
            raise AssertionError(f"{self.name}: {done} of {documents} documents")
        return spent / documents

    def _work(self, batch: int) -> int:
        words = self._workload.word_count
        if self.name == HANDWRITTEN:
            c = self.connection
            if batch == 1:
                return handwritten.process_one(c, "bench", self._text, words)
            return handwritten.process_many(c, "bench", self._text, words, batch)
        if batch == 1:
            return guarded.process_one(self._guard, "bench", self._text, words)
        return guarded.process_many(self._guard, "bench", self._text, words, batch)


def measure(
    server: harness.Server, size: Size, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """All variants, round by round; the figures are those of ``tables`` and samples."""
    names = [GUARDED, *GUARDS, HANDWRITTEN]
    # All of it beforehand: a VACUUM in between would have every statement planned anew.
    backlog = (size.rounds + 1) * sum(size.documents.values())
    variants = [
        Variant(server, number, name, backlog) for number, name in enumerate(names)
    ]
    samples: dict[str, dict[str, list[float]]] = {}
    for batch, documents in size.documents.items():
        spent: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(size.rounds + 1):
            for variant in variants:
                cost = variant.run(documents, batch)
                # The first one plans the statements.
                if turn:
                    spent[variant.name].append(cost)
            say(f"batches of {batch}, round {turn} of {size.rounds}")
        samples[str(batch)] = spent
    for variant in variants:
        variant.connection.close()
    return {"tables": [table(samples)], "samples": samples}


def table(samples: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """One row for each variant, for each batch size its CPU and what it saves."""
    rows = []
    for name in next(iter(samples.values())):
        cells: list[str] = [name if name in (GUARDED, HANDWRITTEN) else f"no {name}"]
        for spent in samples.values():
            cells.append(f"{statistics.median(spent[name]):.0f}")
            saved = statistics.median(
                theirs - own
                for theirs, own in zip(spent[GUARDED], spent[name], strict=True)
            )
            cells.append("" if name == GUARDED else f"{saved:.0f}")
        rows.append(cells)
    columns = ["way"]
    for batch in samples:
        how = "one at a time" if batch == "1" else f"batches of {batch}"
        columns += [f"{how}, µs", "less than guarded"]
    return {
        "title": "What each guard costs",
        "note": "CPU of one backend per document, claim and result together; medians, "
        "differences inside one round. What several guards share is counted with each.",
        "columns": columns,
        "rows": rows,
    }


@click.command()
@harness.common_options
def command(quick: bool, output: Path | None, bin_dir: Path | None) -> None:
    """The same cycle with one guard after the other taken out."""
    size = QUICK if quick else FULL
    with harness.running_server(bin_dir, {"autovacuum": "off"}) as server:
        environment = harness.environment(server)
        results = measure(server, size, harness.say)
    options = {"quick": quick, **asdict(size)}
    harness.write_json(output, harness.result("guards", options, environment, results))
