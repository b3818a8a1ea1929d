"""From the bytes of a file to the images of its pages, with classed failures.

Whatever is wrong with a file ends as a FileError: a message for the operator, and the
class that tells ``fail_ocr_job`` what to do about it.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ocr_guardrails.models import ErrorClass

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "FileError",
    "FileMissing",
    "PageLimits",
    "Pages",
    "StorageError",
    "UnreadableFile",
    "lift_pillow_limit",
    "open_pages",
    "read_file",
]

# Pillow would try all its plugins, among them some that start other programs.
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000")
_POINTS_PER_INCH = 72
_REDUCED_IMAGE = 1  # bit of TIFF's NewSubfileType
_NEW_SUBFILE_TYPE = 254
_READ_CHUNK = 8 * 1024 * 1024

# PDFium is not thread-safe, documents of their own or not.
_pdfium = threading.Lock()


class FileError(Exception):
    """A file could not be turned into pages."""

    error_class = ErrorClass.DOCUMENT


class FileMissing(FileError):
    """There is no file at the path.

    Counts as the document's: the file may still be on its way or come back with its
    share, so the job is tried again after a backoff, and is dead when its attempts
    are used up.
    """


class UnreadableFile(FileError):
    """The file is there and no attempt will ever read it: empty, no image, corrupt,
    encrypted, too large."""

    error_class = ErrorClass.PERMANENT


class StorageError(FileError):
    """The storage failed, whatever file was asked for."""

    error_class = ErrorClass.INFRASTRUCTURE


@dataclass(frozen=True, slots=True)
class PageLimits:
    """How much of a file is taken on.

    ``max_pixels`` bounds one page (100 megapixels need 300 MB as RGB), ``max_bytes``
    the file, ``max_pages`` a document. ``dpi`` is what PDF pages are rendered at.
    """

    dpi: int = 200
    max_pixels: int = 100_000_000
    max_bytes: int = 1_000_000_000
    max_pages: int = 10_000


class Pages(Protocol):
    """The pages of one file, one image in memory at a time."""

    def __len__(self) -> int:
        """How many pages there are."""

    def __iter__(self) -> Iterator[Image.Image]:
        """The pages in order, as RGB or grey images. Raises FileError."""


def read_file(path: str | None, limits: PageLimits | None = None) -> bytes:
    """Read a document's file, whole.

    Raises FileMissing, UnreadableFile (a directory, a device, too large), StorageError.
    A denied permission is the document's own problem (plain FileError) where its
    folder can be read, else the storage's.
    """
    limits = limits or PageLimits()
    if not path:
        raise UnreadableFile("The document has no file_path.")
    try:
        # Without O_NONBLOCK a named pipe would block the worker for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnreadableFile(f"{path} is not a regular file.")
            return _read_all(path, descriptor, limits.max_bytes)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileMissing(f"There is no file at {path}.") from error
    except PermissionError as error:
        folder = Path(path).parent
        message = f"{path} may not be read: {error.strerror}."
        if os.access(folder, os.R_OK | os.X_OK):
            raise FileError(message) from error
        raise StorageError(message) from error
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UnreadableFile(f"The file_path {path!r} is no path: {error}.") from error


def _read_all(path: str, descriptor: int, max_bytes: int) -> bytes:
    # To the end and not by its size, which may change while it is read.
    chunks: list[bytes] = []
    size = 0
    while chunk := os.read(descriptor, _READ_CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise UnreadableFile(f"{path} is larger than {max_bytes} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


@contextmanager
def open_pages(data: bytes, limits: PageLimits | None = None) -> Iterator[Pages]:
    """Open the bytes of an image (a TIFF may have many pages) or of a PDF.

    Sizes are judged from the headers, before anything is decoded. Raises FileError.
    """
    limits = limits or PageLimits()
    if not data:
        raise UnreadableFile("The file is empty.")
    if b"%PDF-" in data[:1024]:
        with _open_pdf(data, limits) as pages:
            yield pages
    else:
        with _open_image(data, limits) as pages:
            yield pages


def lift_pillow_limit() -> None:
    """Leave the judgement of image sizes to PageLimits, in this process.

    Pillow's own limit warns at 89 and refuses at 179 megapixels, process-wide, and
    would speak before ours. A program that runs workers calls this; a library that
    others embed must not.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None


class _ImagePages:
    def __init__(self, image: Image.Image, limits: PageLimits) -> None:
        self._image = image
        self._limits = limits
        self._frames = self._find_frames()

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Image.Image]:
        for number, frame in enumerate(self._frames, 1):
            with _undecodable(f"Page {number} cannot be decoded"):
                self._image.seek(frame)
                _judge_size(number, *self._image.size, self._limits)
                page = _upright(self._image)
            yield page

    def _find_frames(self) -> list[int]:
        # The further frames of a GIF are an animation, those of a phone's JPEG are
        # previews; only a TIFF has pages.
        if self._image.format != "TIFF":
            return [0]
        frames: list[int] = []
        for frame in range(self._limits.max_pages + 1):
            try:
                self._image.seek(frame)
            except EOFError:
                break
            tags: Any = getattr(self._image, "tag_v2", {})
            if not tags.get(_NEW_SUBFILE_TYPE, 0) & _REDUCED_IMAGE:
                frames.append(frame)
        else:
            raise UnreadableFile(
                f"The file has more than {self._limits.max_pages} pages."
            )
        return frames or [0]


class _PdfPages:
    def __init__(self, document: Any, limits: PageLimits) -> None:
        self._document = document
        self._limits = limits
        with _pdfium:
            self._length = len(document)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Image.Image]:
        for number in range(1, self._length + 1):
            with _undecodable(f"Page {number} cannot be rendered"), _pdfium:
                page = self._document[number - 1]
                try:
                    image = self._render(number, page)
                finally:
                    page.close()
            yield image

    def _render(self, number: int, page: Any) -> Image.Image:
        scale = self._limits.dpi / _POINTS_PER_INCH
        width, height = page.get_size()
        _judge_size(number, round(width * scale), round(height * scale), self._limits)
        bitmap = page.render(scale=scale)
        try:
            # A copy: the image would else stand on memory that PDFium frees.
            image: Image.Image = bitmap.to_pil().convert("RGB").copy()
        finally:
            bitmap.close()
        image.info["dpi"] = (self._limits.dpi, self._limits.dpi)
        return image


@contextmanager
def _open_image(data: bytes, limits: PageLimits) -> Iterator[_ImagePages]:
    from PIL import Image, UnidentifiedImageError

    with _undecodable("The image cannot be opened"):
        try:
            image = Image.open(BytesIO(data), formats=_FORMATS)
        except UnidentifiedImageError as error:
            raise UnreadableFile(
                "The file is no image and no PDF that can be read."
            ) from error
        except Image.DecompressionBombError as error:
            raise UnreadableFile(f"The image is too large: {error}") from error
    with image:
        _judge_size(1, *image.size, limits)
        with _undecodable("The image cannot be opened"):
            pages = _ImagePages(image, limits)
        yield pages


@contextmanager
def _open_pdf(data: bytes, limits: PageLimits) -> Iterator[_PdfPages]:
    try:
        import pypdfium2
    except ImportError as error:
        raise FileError(
            "Reading PDFs needs pypdfium2: pip install 'ocr-guardrails[ocr]'"
        ) from error

    with _pdfium:
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            encrypted = "password" in str(error).lower()
            raise UnreadableFile(
                "The PDF is encrypted and needs a password."
                if encrypted
                else f"The PDF is corrupt: {error}."
            ) from error
    try:
        with _pdfium:
            # What was filled into a form is text of the document, too.
            if document.get_formtype():
                document.init_forms()
        pages = _PdfPages(document, limits)
        if not len(pages):
            raise UnreadableFile("The PDF has no pages.")
        if len(pages) > limits.max_pages:
            raise UnreadableFile(f"The PDF has more than {limits.max_pages} pages.")
        yield pages
    finally:
        with _pdfium:
            document.close()


def _judge_size(number: int, width: int, height: int, limits: PageLimits) -> None:
    if width * height > limits.max_pixels:
        raise UnreadableFile(
            f"Page {number} is too large: {width} x {height} pixels are "
            f"{width * height / 1e6:.3g} megapixels, more than "
            f"{limits.max_pixels / 1e6:g}."
        )
    if width < 1 or height < 1:
        raise UnreadableFile(f"Page {number} is empty: {width} x {height} pixels.")


@contextmanager
def _undecodable(what: str) -> Iterator[None]:
    # Decoders meet malformed bytes with whatever exception happens next: struct.error,
    # SyntaxError, IndexError, zlib.error and more, none of them documented.
    try:
        yield
    except FileError:
        raise
    except MemoryError as error:
        raise FileError(f"{what}: out of memory.") from error
    except Exception as error:
        raise UnreadableFile(
            f"{what}: {error or 'unknown error'} ({type(error).__name__})."
        ) from error


def _upright(frame: Image.Image) -> Image.Image:
    """A copy as the camera meant it, in 8 bits, transparency on white."""
    from PIL import Image, ImageOps

    info = dict(frame.info)
    image: Image.Image = ImageOps.exif_transpose(frame)
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    elif "A" in image.getbands() or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, with_alpha).convert("RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    if image is frame:
        image = frame.copy()
    image.info.update({key: info[key] for key in ("dpi", "Description") if key in info})
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255, which makes a 16-bit scan white.
    wide = image.convert("F")
    low, high = wide.getextrema()
    if not isinstance(low, float) or not isinstance(high, float) or high <= 255:
        return wide.convert("L")
    full = 65535.0 if high <= 65535 else high
    return wide.point(lambda value: value * (255.0 / full)).convert("L")
