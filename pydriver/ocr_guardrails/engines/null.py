"""An engine that reads nothing, for tests and for measuring all but the OCR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocr_guardrails.engines import EngineOptions, PageText

if TYPE_CHECKING:
    from PIL import Image


class NullEngine:
    """Answers a PNG's own ``Description``, or the size of the page, at once."""

    name = "null"
    version = "1"

    def __init__(self, options: EngineOptions | None = None) -> None:
        del options

    def recognize(self, image: Image.Image) -> PageText:
        """The description that the image carries, or its size."""
        described = image.info.get("Description")
        if isinstance(described, str):
            return PageText(described, 90.0 if described.strip() else 0.0)
        return PageText(f"page of {image.width} by {image.height} pixels", 90.0)
