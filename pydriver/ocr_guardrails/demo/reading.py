"""The package's own engines, as the demo's workers use them."""

from __future__ import annotations

import time

from ocr_guardrails.demo.workload import Reading
from ocr_guardrails.engines import EngineOptions, load_engine
from ocr_guardrails.pages import open_pages


class EngineReader:
    """Reads images and PDFs, all their pages."""

    def __init__(self, engine: str = "auto") -> None:
        self._engine = load_engine(engine, EngineOptions(threads=1))

    @property
    def engine(self) -> str:
        """Name and version."""
        return f"{self._engine.name} {self._engine.version}"

    def read(self, content: bytes) -> Reading:
        """Read an image or a PDF. Raises FileError or EngineError."""
        started = time.monotonic()
        with open_pages(content) as pages:
            found = [self._engine.recognize(page) for page in pages]
        text = "\n".join(page.text for page in found if page.text)
        weight = sum(len(page.text) for page in found)
        confidence = sum(page.confidence * len(page.text) for page in found)
        return Reading(
            text=text.replace("\0", ""),
            confidence=confidence / weight if weight else 0.0,
            milliseconds=round((time.monotonic() - started) * 1000),
        )
