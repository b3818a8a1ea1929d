"""Files become pages, or a classed failure that says what is wrong."""

from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image

from ocr_guardrails.models import ErrorClass
from ocr_guardrails.pages import (
    FileError,
    FileMissing,
    PageLimits,
    UnreadableFile,
    lift_pillow_limit,
    open_pages,
    read_file,
)


@pytest.fixture(autouse=True)
def _limit_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    lift_pillow_limit()


def png_header(width: int, height: int) -> bytes:
    """A PNG of that size without its pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pdf(*sizes: tuple[int, int]) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for width, height in sizes:
        document.new_page(width, height)
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def sizes_of(data: bytes, limits: PageLimits | None = None) -> list[tuple[int, int]]:
    with open_pages(data, limits) as pages:
        found = [page.size for page in pages]
        assert len(pages) == len(found)
    return found


def refusal_of(data: bytes, limits: PageLimits | None = None) -> str:
    with pytest.raises(UnreadableFile) as caught:
        sizes_of(data, limits)
    assert caught.value.error_class is ErrorClass.PERMANENT
    return str(caught.value)


ENCRYPTED_PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj
4 0 obj<</Filter/Standard/V 1/R 2/O(01234567890123456789012345678901)
/U(01234567890123456789012345678901)/P -44>>endobj
trailer<</Root 1 0 R/Encrypt 4 0 R/ID[(0123456789abcdef)(0123456789abcdef)]>>
"""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"just text, renamed to .png", "no image and no PDF"),
        (encoded(Image.new("RGB", (90, 90), "red"))[:80], "Page 1 cannot be decoded"),
        (b"%PDF-1.7\ngarbage", "The PDF is corrupt"),
        (ENCRYPTED_PDF, "encrypted"),
        (png_header(20_000, 10_000), "200 megapixels, more than 100"),
    ],
)
def test_what_no_attempt_will_ever_read_is_permanent(data: bytes, said: str) -> None:
    assert said in refusal_of(data)


def test_a_huge_image_is_refused_before_it_is_decoded() -> None:
    # There is nothing behind the header that could be decoded.
    assert "20000 x 10000" in refusal_of(png_header(20_000, 10_000))


def test_pillows_own_limit_is_told_as_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "The image is too large" in refusal_of(encoded(Image.new("L", (90, 90))))


def test_the_limit_is_the_callers_even_below_pillows() -> None:
    assert "0.02 megapixels, more than 0.01" in refusal_of(
        encoded(Image.new("L", (200, 100))), PageLimits(max_pixels=10_000)
    )


def test_a_pdf_page_that_would_render_too_large_is_refused() -> None:
    assert "Page 2 is too large" in refusal_of(pdf((100, 100), (5000, 5000)))


def test_pdf_pages_are_rendered_at_the_wanted_resolution() -> None:
    assert sizes_of(pdf((72, 144), (144, 72)), PageLimits(dpi=100)) == [
        (100, 200),
        (200, 100),
    ]


def test_a_document_has_a_limit_of_pages() -> None:
    limits = PageLimits(max_pages=2)
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 90, 180)]
    tiff = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert "more than 2 pages" in refusal_of(tiff, limits)
    assert "more than 2 pages" in refusal_of(pdf((9, 9), (9, 9), (9, 9)), limits)


def test_every_frame_of_a_tiff_is_a_page() -> None:
    frames = [Image.new("L", (size, 9)) for size in (5, 6, 7)]
    tiff = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert sizes_of(tiff) == [(5, 9), (6, 9), (7, 9)]


def test_the_frames_of_an_animation_are_not_pages() -> None:
    frames = [Image.new("P", (8, 8), shade) for shade in (0, 90, 180)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert len(sizes_of(gif)) == 1


def test_a_photograph_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    assert sizes_of(encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)) == [
        (20, 40)
    ]


def test_transparency_lies_on_white_paper() -> None:
    with open_pages(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))) as pages:
        (page,) = pages
    assert page.mode == "RGB"
    assert page.getpixel((0, 0)) == (255, 255, 255)


def test_16_bits_are_scaled_and_not_clipped() -> None:
    wide = Image.new("I;16", (2, 1))
    wide.putpixel((0, 0), 0x2000)
    wide.putpixel((1, 0), 0xFFFF)
    with open_pages(encoded(wide)) as pages:
        (page,) = pages
    dark, bright = page.getpixel((0, 0)), page.getpixel((1, 0))
    assert (dark, bright) == (31, 255)


def test_a_missing_file_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="There is no file") as caught:
        read_file(str(tmp_path / "gone.png"))
    assert caught.value.error_class is ErrorClass.DOCUMENT


@pytest.mark.parametrize("path", [None, "", "a\0b"])
def test_what_is_no_path_is_permanent(path: str | None) -> None:
    with pytest.raises(UnreadableFile):
        read_file(path)


def test_a_named_pipe_does_not_block_the_worker(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(UnreadableFile, match="not a regular file"):
        read_file(str(pipe))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="not a regular file"):
        read_file(str(tmp_path))


def test_a_file_has_a_limit_of_bytes(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    file.write_bytes(b"x" * 11)
    with pytest.raises(UnreadableFile, match="larger than 10 bytes"):
        read_file(str(file), PageLimits(max_bytes=10))


def test_a_failing_storage_is_infrastructure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(FileError, match="Input/output error") as caught:
        read_file("/scans/a.png")
    assert caught.value.error_class is ErrorClass.INFRASTRUCTURE


@pytest.mark.parametrize(
    ("folder_is_readable", "error_class"),
    [(True, ErrorClass.DOCUMENT), (False, ErrorClass.INFRASTRUCTURE)],
)
def test_a_denied_file_is_not_a_denied_storage(
    monkeypatch: pytest.MonkeyPatch, folder_is_readable: bool, error_class: ErrorClass
) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    monkeypatch.setattr(os, "access", lambda *_: folder_is_readable)
    with pytest.raises(FileError, match="may not be read") as caught:
        read_file("/scans/a.png")
    assert caught.value.error_class is error_class
