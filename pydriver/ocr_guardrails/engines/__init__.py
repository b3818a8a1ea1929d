"""OCR engines, and how one is found.

An engine is an object with a name, a version and ``recognize``. Others than the
shipped ones are plugged in by an entry point of the group ``ocr_guardrails.engines``
or named as ``module:factory``; the factory is called with an ``EngineOptions``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from ocr_guardrails.models import ErrorClass

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "ENTRY_POINT_GROUP",
    "Engine",
    "EngineError",
    "EngineFactory",
    "EngineOptions",
    "EngineUnavailable",
    "PageText",
    "load_engine",
]

ENTRY_POINT_GROUP = "ocr_guardrails.engines"


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of one page. ``confidence`` is 0 to 100, and 0 for an empty page."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an engine is made with.

    ``threads`` is how many CPU threads one engine may use: a worker runs several
    engines side by side. ``languages`` are the engine's own codes; empty: its default.
    ``page_timeout`` is in seconds, for engines that can be stopped.
    """

    threads: int = 1
    languages: tuple[str, ...] = ()
    page_timeout: float = 300


@runtime_checkable
class Engine(Protocol):
    """Turns the image of a page into text. One thread at a time uses it."""

    @property
    def name(self) -> str:
        """As it stands in the history, before the version."""

    @property
    def version(self) -> str:
        """The version of what does the recognition."""

    def recognize(self, image: Image.Image) -> PageText:
        """Read one page. An EngineError says how its job failed."""


EngineFactory = Callable[[EngineOptions], Engine]


class EngineUnavailable(Exception):
    """There is no such engine here; the message says what to install."""


class EngineError(Exception):
    """The engine could not read a page; any other exception counts as a document's."""

    def __init__(
        self, message: str, error_class: ErrorClass = ErrorClass.DOCUMENT
    ) -> None:
        super().__init__(message)
        self.error_class = error_class


def load_engine(name: str = "auto", options: EngineOptions | None = None) -> Engine:
    """Make an engine: ``auto``, ``rapidocr``, ``tesseract``, or a plugged-in one.

    ``auto`` is RapidOCR where it is installed, else the tesseract command. Raises
    EngineUnavailable.
    """
    options = options or EngineOptions()
    factory = _SHIPPED.get(name) or _entry_point(name)
    if factory is None and ":" in name:
        factory = _by_path(name)
    if factory is None:
        known = sorted({*_SHIPPED, *entry_points(group=ENTRY_POINT_GROUP).names})
        raise EngineUnavailable(
            f"There is no engine {name!r}. Known: {', '.join(known)}; or give "
            "module:factory."
        )
    return factory(options)


def _auto(options: EngineOptions) -> Engine:
    from shutil import which

    if find_spec("rapidocr") and find_spec("onnxruntime"):
        return _rapidocr(options)
    if which("tesseract"):
        return _tesseract(options)
    raise EngineUnavailable(
        "No OCR engine is installed. Either: pip install 'ocr-guardrails[ocr]' "
        "(RapidOCR, nothing else needed), or install the tesseract command "
        "(Debian: apt install tesseract-ocr)."
    )


def _rapidocr(options: EngineOptions) -> Engine:
    from ocr_guardrails.engines.rapid import RapidOcrEngine

    return RapidOcrEngine(options)


def _tesseract(options: EngineOptions) -> Engine:
    from ocr_guardrails.engines.tesseract import TesseractEngine

    return TesseractEngine(options)


def _null(options: EngineOptions) -> Engine:
    from ocr_guardrails.engines.null import NullEngine

    return NullEngine(options)


_SHIPPED: dict[str, EngineFactory] = {
    "auto": _auto,
    "null": _null,
    "rapidocr": _rapidocr,
    "tesseract": _tesseract,
}


def _entry_point(name: str) -> EngineFactory | None:
    for found in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            return cast(EngineFactory, found.load())
        except (ImportError, AttributeError) as error:
            raise EngineUnavailable(
                f"The engine {name!r} cannot be loaded from {found.value}: {error}"
            ) from error
    return None


def _by_path(path: str) -> EngineFactory:
    module, _, attribute = path.partition(":")
    try:
        return cast(EngineFactory, getattr(import_module(module), attribute))
    except (ImportError, AttributeError, ValueError) as error:
        raise EngineUnavailable(
            f"The engine {path!r} cannot be loaded: {error}"
        ) from error
