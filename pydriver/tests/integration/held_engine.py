"""An engine for worker processes: says that it was reached, and waits to be let go.

Named to the command as ``module:factory``; its files lie in the folder that the
environment variable HELD_ENGINE names.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from PIL import Image

from ocr_guardrails.engines import EngineOptions, PageText

FOLDER = "HELD_ENGINE"
REACHED, GO = "reached", "go"


class Held:
    """Waits in its first page until the file ``go`` is there."""

    name = "held"
    version = "1"

    def __init__(self, options: EngineOptions) -> None:
        self._folder = Path(os.environ[FOLDER])

    def recognize(self, image: Image.Image) -> PageText:
        (self._folder / REACHED).touch()
        while not (self._folder / GO).exists():
            time.sleep(0.02)
        return PageText("held text", 90.0)


class Crashing(Held):
    """Takes its process along, as native code can, but only once."""

    name = "crashing"

    def recognize(self, image: Image.Image) -> PageText:
        if not (self._folder / REACHED).exists():
            (self._folder / REACHED).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().recognize(image)
