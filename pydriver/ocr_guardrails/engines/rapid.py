"""RapidOCR on the ONNX runtime: nothing but pip, the models are in its wheel."""

from __future__ import annotations

import logging
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_guardrails.engines import EngineOptions, EngineUnavailable, PageText

if TYPE_CHECKING:
    from PIL import Image

_INSTALL = "pip install 'ocr-guardrails[ocr]'"


class RapidOcrEngine:
    """RapidOCR with the models of its wheel; it never goes to the network."""

    name = "rapidocr"

    def __init__(self, options: EngineOptions | None = None) -> None:
        options = options or EngineOptions()
        if options.languages:
            raise EngineUnavailable(
                "RapidOCR takes no languages: the models of its wheel read Latin "
                "letters and Chinese. For other scripts use the tesseract engine."
            )
        found = find_spec("rapidocr")
        if found is None or found.origin is None or not find_spec("onnxruntime"):
            raise EngineUnavailable(f"RapidOCR is not installed: {_INSTALL}")
        # Where a model is missing RapidOCR would fetch it, in the middle of a job.
        models = Path(found.origin).parent / "models"
        for part in ("det", "cls", "rec"):
            if not any(part in path.name for path in models.glob("*.onnx")):
                raise EngineUnavailable(
                    f"This version of RapidOCR brings no {part} model: {_INSTALL}"
                )
        from rapidocr import RapidOCR

        # It logs every step, and every empty page as a warning, to a handler of its
        # own. What matters is in its answer.
        logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
        runtime = "EngineConfig.onnxruntime"
        self._ocr: Any = RapidOCR(
            params={
                "Global.log_level": "critical",
                f"{runtime}.intra_op_num_threads": options.threads,
                f"{runtime}.inter_op_num_threads": options.threads,
            }
        )
        self.version = version("rapidocr")

    def recognize(self, image: Image.Image) -> PageText:
        """Read one page, a line of text for each line found, from top to bottom."""
        answer = self._ocr(image.convert("RGB"))
        lines: list[str] = [str(line) for line in (answer.txts or ())]
        scores: list[float] = [float(score) for score in (answer.scores or ())]
        weight = sum(map(len, lines))
        if weight == 0:
            return PageText("", 0.0)
        confidence = sum(
            score * len(line) for score, line in zip(scores, lines, strict=True)
        )
        return PageText("\n".join(lines), min(100.0, 100 * confidence / weight))
