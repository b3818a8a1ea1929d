"""Documents, jobs and a driver on the fresh database of each test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image, PngImagePlugin

from ocr_guardrails import Guardrails
from ocr_guardrails.ingest import IngestSummary, ingest

Connection = psycopg.Connection[Any]

DEADLINE = 60.0
"""Seconds after which something that should happen counts as not happening."""


def png_saying(text: str, *, size: tuple[int, int] = (8, 8)) -> bytes:
    """A PNG that the null engine reads as this text."""
    described = PngImagePlugin.PngInfo()
    described.add_text("Description", text)
    buffer = BytesIO()
    Image.new("L", size).save(buffer, "PNG", pnginfo=described)
    return buffer.getvalue()


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that other threads or processes do."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"After {DEADLINE:.0f} seconds still not: {what}")
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Bench:
    """The queue of one test: its database, files and driver."""

    dsn: str
    connection: Connection
    folder: Path
    guardrails: Guardrails

    def connect(self) -> Connection:
        return psycopg.connect(self.dsn)

    def add_file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def ingest(self) -> IngestSummary:
        return ingest(self.connection, [self.folder])

    def add(self, name: str, data: bytes | None = None) -> Any:
        """A file and its document; answers the document's id."""
        content = png_saying(f"text of {name}") if data is None else data
        self.add_file(name, content)
        self.ingest()
        return self.value("select id from documents where filename = %s", name)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode(), values).fetchall()

    def value(self, query: str, *values: object) -> Any:
        ((value,),) = self.rows(query, *values)
        return value

    def status(self, name: str) -> str:
        return str(
            self.value("select ocr_status from documents where filename = %s", name)
        )

    def statuses(self) -> dict[str, int]:
        return dict(self.rows("select ocr_status, count(*) from documents group by 1"))

    def expire_leases(self, worker_id: str | None = None) -> None:
        """As if the leases' time had passed, and that of the next look for them.

        All of them, or those of one worker.
        """
        self.connection.execute(
            "update ocr_queue set lease_expires_at = now() - interval '1 minute'"
            " where status = 'processing' and worker_id = coalesce(%s, worker_id)",
            [worker_id],
        )
        self.connection.execute("select setval('ocr_expiry_sweep_clock', 1)")

    def make_due(self) -> None:
        """As if the backoff's time had passed."""
        self.connection.execute(
            "update ocr_queue set run_after = now() where status = 'pending'"
        )


@pytest.fixture
def bench(database: str, connection: Connection, tmp_path: Path) -> Iterator[Bench]:
    """A fresh queue; after the test it has to be consistent."""
    folder = tmp_path / "scans"
    folder.mkdir()
    made = Bench(database, connection, folder, Guardrails(connection))
    yield made
    findings = made.guardrails.find_inconsistencies()
    assert findings == []
