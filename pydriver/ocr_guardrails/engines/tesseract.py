"""The tesseract command, where it is installed."""

from __future__ import annotations

import csv
import os
import re
import subprocess
from collections.abc import Iterable
from io import BytesIO
from shutil import which
from typing import TYPE_CHECKING

from ocr_guardrails.engines import (
    EngineError,
    EngineOptions,
    EngineUnavailable,
    PageText,
)
from ocr_guardrails.models import ErrorClass

if TYPE_CHECKING:
    from PIL import Image

_WORD = "5"


class TesseractEngine:
    """Runs ``tesseract`` once for each page."""

    name = "tesseract"

    def __init__(self, options: EngineOptions | None = None) -> None:
        options = options or EngineOptions()
        found = which("tesseract")
        if found is None:
            raise EngineUnavailable(
                "The tesseract command is not on PATH "
                "(Debian: apt install tesseract-ocr)."
            )
        self._command = [found, "stdin", "stdout"]
        if options.languages:
            self._command += ["-l", "+".join(options.languages)]
        self._timeout = options.page_timeout
        # More OpenMP threads than this cost more than they give on one page.
        self._environment = {**os.environ, "OMP_THREAD_LIMIT": str(options.threads)}
        self.version = self._ask_version(found)

    def recognize(self, image: Image.Image) -> PageText:
        """Read one page; an EngineError when the command fails or takes too long."""
        picture = BytesIO()
        image.save(picture, "PNG", compress_level=1)
        dpi = image.info.get("dpi")
        resolution = ["--dpi", str(round(dpi[0]))] if dpi and dpi[0] >= 70 else []
        done = self._run([*self._command, *resolution, "tsv"], picture.getvalue())
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()[-500:]
            raise EngineError(f"tesseract ended with {done.returncode}: {said}")
        return read_tsv(done.stdout.decode(errors="replace").splitlines())

    def _run(
        self, command: list[str], picture: bytes
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                command,
                input=picture,
                capture_output=True,
                timeout=self._timeout,
                env=self._environment,
                check=False,
                # Ctrl-C goes to the whole group of the terminal; the worker decides
                # what becomes of the page in hand.
                start_new_session=True,
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                f"tesseract did not finish the page in {self._timeout:g} seconds"
            ) from error
        except OSError as error:
            raise EngineError(
                f"tesseract cannot be started: {error}", ErrorClass.INFRASTRUCTURE
            ) from error

    def _ask_version(self, command: str) -> str:
        done = subprocess.run(
            [command, "--version"], capture_output=True, text=True, check=False
        )
        found = re.search(r"tesseract v?(\S+)", done.stdout + done.stderr)
        if found is None:
            raise EngineUnavailable(f"{command} does not say its version.")
        return found.group(1)


def read_tsv(lines: Iterable[str]) -> PageText:
    """Put tesseract's table of words together again.

    Words of a line are joined by spaces, paragraphs are parted by an empty line.
    """
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    text: list[str] = []
    weight, confidence = 0, 0.0
    before: tuple[str | None, ...] = ()
    for row in rows:
        word = (row.get("text") or "").strip()
        if row.get("level") != _WORD or not word:
            continue
        paragraph = (row["block_num"], row["par_num"])
        line = (*paragraph, row["line_num"])
        if text:
            same_line, same_paragraph = line == before, paragraph == before[:2]
            text.append(" " if same_line else "\n" if same_paragraph else "\n\n")
        text.append(word)
        before = line
        weight += len(word)
        confidence += max(0.0, float(row["conf"])) * len(word)
    if weight == 0:
        return PageText("", 0.0)
    return PageText("".join(text), min(100.0, confidence / weight))
