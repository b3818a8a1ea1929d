"""The demo from beginning to end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from psycopg import Connection
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ocr_guardrails.connection import connect
from ocr_guardrails.demo import report
from ocr_guardrails.demo.faults import Fault, FaultPlan, Kind, plan_faults
from ocr_guardrails.demo.gauge import count_overwrites, drop_schema, find_results
from ocr_guardrails.demo.guarded import (
    GuardedOperator,
    GuardedStore,
    install_guarded,
)
from ocr_guardrails.demo.pages import Sample, draw_samples, find_samples
from ocr_guardrails.demo.report import Incident, RunReport
from ocr_guardrails.demo.truth import judge
from ocr_guardrails.demo.unsafe import PlainOperator, PlainStore, install_plain
from ocr_guardrails.demo.victim import Orders, kill_worker
from ocr_guardrails.demo.workload import (
    Operator,
    Reader,
    RunFacts,
    Store,
    run_workload,
)
from ocr_guardrails.models import Outcome

PLAIN_SCHEMA = "ocr_demo_plain"
GUARDED_SCHEMA = "ocr_demo"

OpenReader = Callable[[], Reader]


@dataclass(frozen=True, slots=True)
class Options:
    """How the demo is run.

    ``docs`` is a folder of the user's own files. ``killed_lease`` is how many seconds
    the leases of the killed workers last; five minutes would be more than a demo has.
    """

    dsn: str
    docs: Path | None = None
    pages: int = 40
    seed: int = 1
    workers: int = 4
    killed_lease: float = 3.0
    plain_schema: str = PLAIN_SCHEMA
    guarded_schema: str = GUARDED_SCHEMA


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Both runs, what was planned for them, and the guarded one's incidents."""

    plain: RunReport
    guarded: RunReport
    plan: FaultPlan
    samples: Sequence[Sample]
    incidents: Sequence[Incident]

    def tell(self, console: Console) -> None:
        """Print all of it, for people."""
        report.print_result(
            console,
            self.plain,
            self.guarded,
            self.plan,
            self.samples,
            self.incidents,
        )


class TooFewDocumentsError(Exception):
    """The folder does not hold enough files that can be read."""


class Show:
    """Progress: a bar on a terminal, some lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show how far a phase is, by the number of things done."""
        if not self.console.is_terminal:
            self.console.print(f"{name} …", highlight=False)
            told = 0

            def tell(done: int) -> None:
                nonlocal told
                quarter = 4 * done // total if total else 4
                if told < quarter < 4:
                    self.console.print(f"  {done} of {total}", highlight=False)
                told = max(told, quarter)

            yield tell
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(f"{name:<46}", total=total)
            yield lambda done: progress.update(task, completed=done)


def run_demo(options: Options, console: Console, open_reader: OpenReader) -> DemoResult:
    """Make the documents, run both runs, and measure them.

    ``open_reader`` makes an OCR engine; it is called once for each worker. Leaves both
    schemas in the database. Raises TooFewDocumentsError, and what the database raises.
    """
    show = Show(console)
    with ExitStack() as stack:
        scratch = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="ocr-demo-"))
        )
        readers = [open_reader() for _ in range(options.workers)]
        samples = _make_samples(options, scratch / "pages", readers[0], show)
        try:
            plan = plan_faults(options.seed, len(samples))
        except ValueError as error:
            raise TooFewDocumentsError(
                f"{len(samples)} files can be read; {error}"
            ) from None
        # With few documents, many workers would leave no next job for a late writer.
        del readers[max(2, len(samples) // 6) :]
        console.print()
        report.print_faults(console, plan)
        connections: list[Connection[Any]] = []

        def open_connection(schema: str) -> Connection[Any]:
            connection = connect(options.dsn, schema, autocommit=True)
            stack.callback(connection.close)
            connections.append(connection)
            return connection

        run = _Runner(options, samples, plan, scratch, readers, show, open_connection)
        plain = run.plain()
        guarded, incidents = run.guarded()
    return DemoResult(plain, guarded, plan, samples, incidents)


def drop_schemas(options: Options) -> None:
    """Remove what the demo has made in the database."""
    with connect(options.dsn, autocommit=True) as connection:
        drop_schema(connection, options.plain_schema)
        drop_schema(connection, options.guarded_schema)


def _make_samples(
    options: Options, folder: Path, reader: Reader, show: Show
) -> list[Sample]:
    if options.docs is None:
        with show.phase(f"Drawing {options.pages} pages", options.pages) as tell:
            samples = draw_samples(folder, options.seed, options.pages)
            tell(len(samples))
        return samples
    found = find_samples(options.docs, options.pages)
    readable: list[Sample] = []
    with show.phase(f"Reading {len(found)} files, one by one", len(found)) as tell:
        for done, sample in enumerate(found, start=1):
            try:
                truth = reader.read(sample.path.read_bytes()).text
            except Exception as error:
                # Whatever is wrong with a file of the user's, the demo is not about it.
                show.console.print(f"  {sample.label} is left out: {error}")
            else:
                readable.append(replace(sample, number=len(readable), truth=truth))
            tell(done)
    return readable


class _Runner:
    """What both runs have in common."""

    def __init__(
        self,
        options: Options,
        samples: Sequence[Sample],
        plan: FaultPlan,
        scratch: Path,
        readers: Sequence[Reader],
        show: Show,
        open_connection: Callable[[str], Connection[Any]],
    ) -> None:
        self._options = options
        self._samples = samples
        self._plan = plan
        self._scratch = scratch
        self._readers = readers
        self._show = show
        self._open = open_connection
        self._numbers = {str(sample.path): sample.number for sample in samples}

    def plain(self) -> RunReport:
        """Run (a)."""
        schema = self._options.plain_schema
        connection = self._open(schema)
        install_plain(connection, schema, self._samples)
        facts = self._run(
            "(a) plain tables, the vulnerable UPDATE",
            schema,
            PlainOperator(self._open(schema)),
            [
                PlainStore(self._open(schema), worker, self._numbers)
                for worker in self._workers()
            ],
            guarded=False,
        )
        return self._measure(connection, facts, {}, 0)

    def guarded(self) -> tuple[RunReport, list[Incident]]:
        """Run (b)."""
        schema = self._options.guarded_schema
        connection = self._open(schema)
        install_guarded(connection, self._options.dsn, schema, self._samples)
        engine = self._readers[0].engine
        stores = [
            GuardedStore(self._open(schema), worker, self._numbers, engine)
            for worker in self._workers()
        ]
        facts = self._run(
            "(b) guarded, the package's functions",
            schema,
            GuardedOperator(self._open(schema)),
            stores,
            guarded=True,
        )
        refused = {
            str(reason): int(count)
            for reason, count in connection.execute(
                "select reason, count(*) from ocr_incidents"
                " group by reason order by reason"
            )
        }
        repeated = sum(store.outcomes[Outcome.ALREADY_WRITTEN] for store in stores)
        return (
            self._measure(connection, facts, refused, repeated),
            report.find_incidents(connection, self._samples),
        )

    def _workers(self) -> list[str]:
        return [f"worker-{turn + 1}" for turn in range(len(self._readers))]

    def _run(
        self,
        name: str,
        schema: str,
        operator: Operator,
        stores: Sequence[Store],
        *,
        guarded: bool,
    ) -> RunFacts:
        scratch = self._scratch / schema
        scratch.mkdir(parents=True)

        def kill(fault: Fault) -> bool:
            number = kill_worker(
                Orders(
                    dsn=self._options.dsn,
                    schema=schema,
                    worker=f"killed-{fault.documents[0] + 1}",
                    guarded=guarded,
                    between=fault.kind is Kind.KILLED_BETWEEN,
                    lease_seconds=self._options.killed_lease,
                    numbers=self._numbers,
                )
            )
            return number in fault.documents

        with self._show.phase(name, len(self._samples)) as tell:
            return run_workload(
                plan=self._plan,
                scratch=scratch,
                operator=operator,
                stores=stores,
                readers=self._readers,
                kill_worker=kill,
                on_progress=tell,
            )

    def _measure(
        self,
        connection: Connection[Any],
        facts: RunFacts,
        refused: Mapping[str, int],
        repeated: int,
    ) -> RunReport:
        found = find_results(connection)
        results = {
            sample.number: found[str(sample.path)].text
            for sample in self._samples
            if str(sample.path) in found
        }
        return RunReport(
            documents=len(self._samples),
            completed=sum(one.status == "completed" for one in found.values()),
            judgements=tuple(
                judge([sample.truth or "" for sample in self._samples], results)
            ),
            overwritten=count_overwrites(connection),
            refused=refused,
            repeated=repeated,
            readings=facts.readings,
            seconds=facts.seconds,
            database_seconds=facts.database_seconds,
            happened=facts.happened,
        )
