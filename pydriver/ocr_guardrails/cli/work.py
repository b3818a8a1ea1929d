"""``ingest`` and ``work``: from a folder of files to texts on the right documents."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

import click
import psycopg
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ocr_guardrails.cli.output import (
    console,
    duration,
    pairs,
    parse_duration,
    print_json,
    safe,
    short,
    size,
)
from ocr_guardrails.client import Guardrails
from ocr_guardrails.engines import EngineOptions, EngineUnavailable, load_engine
from ocr_guardrails.ingest import find_files
from ocr_guardrails.ingest import ingest as ingest_files
from ocr_guardrails.pages import PageLimits, lift_pillow_limit
from ocr_guardrails.processes import (
    ProcessesFailed,
    ProcessSpec,
    WorkerProcesses,
    make_worker,
)
from ocr_guardrails.worker import (
    Event,
    EventKind,
    QueueState,
    Summary,
    Worker,
    WorkerOptions,
)

if TYPE_CHECKING:
    from ocr_guardrails.cli import Context

__all__ = ["commands"]

NOT_ALL = 3
"""Exit code: it worked, but not for every file."""

_SHOWN_UNREADABLE = 10
_SHOWN_FILES = 4


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH…"
)
@click.option(
    "--priority",
    type=click.IntRange(0, 10),
    help="Priority of the jobs, 10 is done first. [default: 5]",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Files hashed at a time.",
)
@click.pass_obj
def ingest(
    context: Context, paths: tuple[Path, ...], priority: int | None, threads: int
) -> None:
    """Enqueue the images and PDFs in files and folders.

    A file whose content is there already is skipped, so the same folder may be
    ingested again at any time. In folders, hidden files and other kinds of files are
    left out.

    Exit codes: 0 all files are in, 3 some could not be read.
    """
    with (
        context.connect() as connection,
        _bar(context.json) as step,
    ):
        total = sum(1 for _ in find_files(paths, lambda _: None)) if step else 0
        done = 0

        def on_file(path: Path) -> None:
            nonlocal done
            done += 1
            if step:
                step(f"Ingesting: {done} of {total} files", path.name)

        summary = ingest_files(
            connection, paths, priority=priority, threads=threads, on_file=on_file
        )
    if context.json:
        print_json(
            {**asdict(summary), "files": summary.files},
        )
    else:
        out = console()
        out.print(
            f"{summary.files} files ({size(summary.bytes)}): {summary.created} new, "
            f"{summary.existing} already there, {len(summary.unreadable)} unreadable"
        )
        for unreadable in summary.unreadable[:_SHOWN_UNREADABLE]:
            out.print(safe(f"  {unreadable.path}: {unreadable.reason}"))
        hidden = len(summary.unreadable) - _SHOWN_UNREADABLE
        if hidden > 0:
            out.print(f"  and {hidden} more (all of them: --json)")
    if summary.unreadable:
        sys.exit(NOT_ALL)


@click.command()
@click.option(
    "--engine",
    default="auto",
    show_default=True,
    help="auto, rapidocr, tesseract, or module:factory.",
)
@click.option(
    "--language",
    "languages",
    multiple=True,
    help="A language for engines that take one, as in eng or deu; may be repeated.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    help="Documents at a time in each process. [default: CPUs, 4 at most]",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Worker processes. With several, a crash of native code ends one of them "
    "and it is started again.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Jobs that a thread claims at once.",
)
@click.option(
    "--drain/--forever",
    default=True,
    help="End when the queue is done, or go on and wait for more. [default: drain]",
)
@click.option(
    "--wait-retries",
    is_flag=True,
    help="With --drain: also wait for jobs that are to be tried again later.",
)
@click.option(
    "--lease",
    type=parse_duration,
    metavar="DURATION",
    help="How long a job is ours without a heartbeat, as in 90s or 5min. "
    "[default: the database's setting]",
)
@click.option(
    "--grace",
    type=parse_duration,
    metavar="DURATION",
    default="5s",
    show_default=True,
    help="After SIGTERM or Ctrl-C: time for what is in hand before it is given back.",
)
@click.option("--worker-id", help="Name of this worker. [default: host:process:thread]")
@click.option(
    "--dpi",
    type=click.IntRange(50, 1200),
    default=200,
    show_default=True,
    help="Resolution at which PDF pages are rendered.",
)
@click.option(
    "--max-megapixels",
    type=click.IntRange(1, 4000),
    default=100,
    show_default=True,
    help="Larger pages are refused before they are decoded.",
)
@click.pass_obj
def work(
    context: Context,
    engine: str,
    languages: tuple[str, ...],
    threads: int | None,
    processes: int,
    batch: int,
    drain: bool,
    wait_retries: bool,
    lease: timedelta | None,
    grace: timedelta,
    worker_id: str | None,
    dpi: int,
    max_megapixels: int,
) -> None:
    """Read the text of queued documents, until the queue is done.

    SIGTERM and Ctrl-C stop it: nothing more is claimed, and what is not finished
    within the grace time goes back to the queue at once. A second Ctrl-C quits hard;
    the jobs come back when their leases expire.

    Exit codes: 0 done or stopped, 1 an error, 3 some jobs are dead (see incidents,
    and retry-failed).
    """
    spec = ProcessSpec(
        dsn=context.resolve_dsn(),
        schema=context.schema,
        engine=engine,
        engine_options=EngineOptions(languages=languages),
        options=WorkerOptions(
            worker_id=worker_id,
            threads=threads or min(4, _cpus()),
            batch_size=batch,
            lease=lease,
            drain=drain,
            wait_retries=wait_retries,
            grace=grace.total_seconds(),
            limits=PageLimits(dpi=dpi, max_pixels=max_megapixels * 1_000_000),
        ),
    )
    lift_pillow_limit()
    try:
        if processes > 1:
            # Told once and here, rather than by every child.
            load_engine(engine, spec.engine_options)
        summary, abandoned = _run(context, spec, processes)
    except (EngineUnavailable, ProcessesFailed) as error:
        raise click.ClickException(str(error)) from error
    if context.json:
        print_json(asdict(summary))
    else:
        _print_summary(console(), summary)
    code = NOT_ALL if summary.dead else 0
    if abandoned:
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _run(context: Context, spec: ProcessSpec, processes: int) -> tuple[Summary, bool]:
    total = _count_open(context) if spec.options.drain else None
    with _Progress(context.json, total) as progress:
        worker: Worker | WorkerProcesses
        if processes > 1:
            worker = WorkerProcesses(spec, processes, progress)
        else:
            worker = make_worker(spec, progress)
        with _stopped_by_signals(worker):
            summary = worker.run()
    return summary, isinstance(worker, Worker) and worker.is_abandoned


class _Stoppable(Protocol):
    def stop(self) -> None: ...


@contextmanager
def _stopped_by_signals(worker: _Stoppable) -> Iterator[None]:
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        del frame
        if not asked:
            asked = True
            os.write(2, b"Stopping. Ctrl-C again quits at once.\n")
            worker.stop()
        elif number == signal.SIGINT:
            if isinstance(worker, WorkerProcesses):
                worker.kill()
            os._exit(130)

    before = {
        number: signal.signal(number, handle)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Progress:
    """Shows a worker's events: one live line on a terminal, else a line a job."""

    def __init__(self, silent: bool, total: int | None) -> None:
        self._silent = silent
        self._total = total
        self._console = console(stderr=True)
        self._began = time.monotonic()
        self._summary = Summary()
        self._current: dict[str, str] = {}
        self._live: Live | None = None

    def __enter__(self) -> _Progress:
        if not self._silent and self._console.is_terminal:
            self._live = Live(
                get_renderable=self._line,
                console=self._console,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        self._summary.add(event)
        key = f"{event.worker_id}/{event.document_id}"
        name = short(event.filename or str(event.document_id), 28)
        if event.kind is EventKind.STARTED:
            self._current[key] = name
            return
        if event.kind is EventKind.PAGE:
            if (event.pages or 0) > 1:
                self._current[key] = f"{name} {event.page}/{event.pages}"
            return
        self._current.pop(key, None)
        worth_a_line = event.kind is not EventKind.WRITTEN or self._live is None
        if worth_a_line and not self._silent:
            self._console.print(safe(_describe(event)), overflow="fold")

    def _line(self) -> Group:
        summary = self._summary
        seconds = time.monotonic() - self._began
        done = f"{summary.written}" + (f" of {self._total}" if self._total else "")
        counts = [f"{done} done"]
        for name in ("retry", "dead", "lost", "released"):
            if count := getattr(summary, name):
                counts.append(f"{count} {name}")
        counts.append(f"{summary.written / seconds:.2g} docs/s" if seconds > 1 else "…")
        # Changed by other threads meanwhile; a copy is one step.
        current = list(self._current.values())
        shown = ", ".join(current[:_SHOWN_FILES])
        if len(current) > _SHOWN_FILES:
            shown += f" and {len(current) - _SHOWN_FILES} more"
        return Group(
            Text("  ".join(counts), style="bold", no_wrap=True, overflow="ellipsis"),
            Text(f"  {shown or 'waiting for jobs'}", no_wrap=True, overflow="ellipsis"),
        )


def _describe(event: Event) -> str:
    if event.kind is EventKind.NOTE:
        return f"note      {event.message}"
    seconds = duration(event.seconds) if event.seconds is not None else ""
    line = f"{event.kind.value:<9} {event.filename}  {seconds}"
    return f"{line}  {event.message}" if event.message else line


@contextmanager
def _bar(silent: bool) -> Iterator[Callable[[str, str], None] | None]:
    out = console(stderr=True)
    if silent or not out.is_terminal:
        yield None
        return
    with out.status("Looking for files") as status:
        yield lambda text, name: status.update(
            Text(f"{text}  {short(name, 40)}", no_wrap=True, overflow="ellipsis")
        )


def _print_summary(out: Console, summary: Summary) -> None:
    speed = summary.written / summary.seconds if summary.seconds else 0.0
    shown: dict[str, object] = {
        "written": f"{summary.written} documents, {summary.pages} pages"
    }
    texts = {
        "retry": "failed, to be tried again",
        "dead": "dead: attempts used up, or no attempt can help",
        "lost": "leases lost on the way, nothing written",
        "released": "given back unfinished",
    }
    for name, text in texts.items():
        if count := getattr(summary, name):
            shown[name] = f"{count}  ({text})"
    for reason, count in sorted(summary.refused.items()):
        shown[f"refused: {reason}"] = count
    if summary.waiting:
        shown["waiting"] = f"{summary.waiting} jobs wait to be tried again"
    shown["time"] = f"{duration(summary.seconds)}  ({speed:.2g} documents/s)"
    out.print(pairs(shown))
    if summary.dead:
        out.print("See why: ocr-guardrails stats, incidents; again: retry-failed")


def _count_open(context: Context) -> int | None:
    with context.connect(autocommit=True) as connection:
        try:
            state = QueueState.read(Guardrails(connection))
        except psycopg.errors.InsufficientPrivilege:
            return None
    return state.due + state.waiting + state.processing


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


commands: list[click.Command] = [ingest, work]
