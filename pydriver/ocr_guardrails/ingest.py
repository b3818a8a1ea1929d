"""From folders of files to documents in the queue."""

from __future__ import annotations

import hashlib
import mimetypes
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from ocr_guardrails.client import Guardrails
from ocr_guardrails.models import FileToIngest, IngestedDocument

__all__ = [
    "SUFFIXES",
    "IngestSummary",
    "Unreadable",
    "check_file",
    "find_files",
    "ingest",
]

_KINDS = "bmp gif jp2 jpeg jpg pbm pdf pgm png pnm ppm tif tiff webp"
SUFFIXES = frozenset(f".{kind}" for kind in _KINDS.split(" "))

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"\0\0\0\x0cjP  ", "image/jp2"),
)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that was not ingested, and why."""

    path: str
    reason: str


@dataclass(slots=True)
class IngestSummary:
    """How many files were found new, and how many were there already."""

    created: int = 0
    existing: int = 0
    bytes: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)

    @property
    def files(self) -> int:
        """All files that were looked at."""
        return self.created + self.existing + len(self.unreadable)


def find_files(
    paths: Iterable[str | Path], unreadable: Callable[[Unreadable], None]
) -> Iterator[Path]:
    """Images and PDFs below the paths, absolute, in order of their names.

    In folders they are known by their suffix, and hidden files and folders are left
    out; a file that is named itself is taken whatever it is called. Links are
    followed, each folder is visited once.
    """
    seen: set[tuple[int, int]] = set()
    for path in paths:
        # Not resolve(): the name that the user knows is the one to store.
        start = Path(os.path.abspath(path))  # noqa: PTH100
        if start.is_dir():
            yield from _walk(start, seen, unreadable)
        elif start.exists():
            yield start
        else:
            unreadable(Unreadable(_printable(start), "There is no such file."))


def ingest(
    connection: psycopg.Connection[Any],
    paths: Sequence[str | Path],
    *,
    schema: str | None = None,
    priority: int | None = None,
    threads: int = 4,
    batch_size: int = 100,
    on_file: Callable[[Path], None] | None = None,
) -> IngestSummary:
    """Hash the files below the paths and enqueue those that are not there yet.

    Each batch is a transaction of its own, or part of the caller's. What is wrong with
    one file is in the answer and stops nothing; psycopg.Error is raised for what is
    wrong with the database. ``on_file`` is called as each file is done.
    """
    summary = IngestSummary()
    guardrails = Guardrails(connection, schema=schema)
    batch: list[tuple[Path, FileToIngest]] = []

    def flush() -> None:
        for (path, _), answer in zip(
            batch,
            _ingest_batch(connection, guardrails, batch, priority),
            strict=True,
        ):
            if isinstance(answer, Unreadable):
                summary.unreadable.append(answer)
            elif answer.created:
                summary.created += 1
            else:
                summary.existing += 1
            if on_file:
                on_file(path)
        batch.clear()

    with ThreadPoolExecutor(threads, thread_name_prefix="hash") as pool:
        found = find_files(paths, summary.unreadable.append)
        for path, described in _in_order(pool, _describe, found, threads * 4):
            if isinstance(described, Unreadable):
                summary.unreadable.append(described)
                if on_file:
                    on_file(path)
                continue
            summary.bytes += described.file_size or 0
            batch.append((path, described))
            if len(batch) >= batch_size:
                flush()
    flush()
    return summary


def check_file(path: str) -> tuple[bool, str | None]:
    """Whether there is a file, and its SHA-256 if it can be read."""
    described = _describe(Path(path))
    if isinstance(described, Unreadable):
        return Path(path).is_file(), None
    return True, described.file_hash


def _walk(
    folder: Path,
    seen: set[tuple[int, int]],
    unreadable: Callable[[Unreadable], None],
) -> Iterator[Path]:
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        unreadable(Unreadable(_printable(folder), _reason(error)))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        try:
            is_folder = entry.is_dir()
        except OSError:
            is_folder = False
        if is_folder:
            yield from _walk(path, seen, unreadable)
        elif path.suffix.lower() in SUFFIXES:
            yield path


def _in_order(
    pool: ThreadPoolExecutor,
    work: Callable[[Path], FileToIngest | Unreadable],
    paths: Iterable[Path],
    window: int,
) -> Iterator[tuple[Path, FileToIngest | Unreadable]]:
    # A window and not pool.map(), which would list a million files before the first.
    pending: deque[tuple[Path, Future[FileToIngest | Unreadable]]] = deque()
    for path in paths:
        pending.append((path, pool.submit(work, path)))
        if len(pending) >= window:
            done, future = pending.popleft()
            yield done, future.result()
    for done, future in pending:
        yield done, future.result()


def _describe(path: Path) -> FileToIngest | Unreadable:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return Unreadable(
            _printable(path), "Its path is not valid UTF-8, which PostgreSQL needs."
        )
    try:
        if not path.is_file():
            return Unreadable(str(path), "It is not a regular file.")
        with path.open("rb") as file:
            head = file.read(1024)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        return Unreadable(str(path), _reason(error))
    return FileToIngest(
        filename=path.name,
        file_path=str(path),
        file_hash=digest,
        file_size=size,
        mime_type=_mime_type(head, path),
    )


def _mime_type(head: bytes, path: Path) -> str | None:
    for magic, mime_type in _MAGIC:
        if head.startswith(magic):
            return mime_type
    if b"%PDF-" in head:
        return "application/pdf"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return mimetypes.guess_type(path.name)[0]


def _ingest_batch(
    connection: psycopg.Connection[Any],
    guardrails: Guardrails,
    batch: Sequence[tuple[Path, FileToIngest]],
    priority: int | None,
) -> list[IngestedDocument | Unreadable]:
    if not batch:
        return []
    try:
        with connection.transaction():
            return list(
                guardrails.ingest_ocr_documents(
                    [file for _, file in batch], priority=priority
                )
            )
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        # A constraint of the user's own, say. Which file it was is found out one by
        # one, and the others are in.
        if len(batch) == 1:
            (path, _) = batch[0]
            return [Unreadable(str(path), str(error).splitlines()[0])]
    answers: list[IngestedDocument | Unreadable] = []
    for one in batch:
        answers += _ingest_batch(connection, guardrails, [one], priority)
    return answers


def _reason(error: OSError) -> str:
    return f"{error.strerror or error}."


def _printable(path: Path) -> str:
    return str(path).encode(errors="backslashreplace").decode()
