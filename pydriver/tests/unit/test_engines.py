"""Engines are found by name, and what they read is put together."""

from __future__ import annotations

import sys
from io import BytesIO
from shutil import which
from types import ModuleType

import pytest
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from ocr_guardrails.engines import (
    Engine,
    EngineError,
    EngineOptions,
    EngineUnavailable,
    PageText,
    load_engine,
)
from ocr_guardrails.engines.tesseract import TesseractEngine, read_tsv

TEXT = "Invoice 48213\nNorthern Harbour Supplies"

needs_tesseract = pytest.mark.skipif(
    which("tesseract") is None, reason="the tesseract command is not installed"
)


def page_with(text: str) -> Image.Image:
    page = Image.new("RGB", (900, 300), "white")
    font = ImageFont.load_default(40)
    ImageDraw.Draw(page).multiline_text((60, 60), text, "black", font, spacing=20)
    return page


def test_an_unknown_engine_is_told_with_the_known_ones() -> None:
    with pytest.raises(EngineUnavailable, match=r"Known: .*rapidocr.*tesseract"):
        load_engine("no-such-engine")


def test_without_any_engine_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ocr_guardrails.engines.find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(EngineUnavailable, match="pip install 'ocr-guardrails"):
        load_engine()


def test_an_engine_is_plugged_in_by_module_and_factory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Mine:
        name = "mine"

        def __init__(self, options: EngineOptions) -> None:
            self.version = f"with {options.threads}"

        def recognize(self, image: Image.Image) -> PageText:
            return PageText("mine", 1.0)

    module = ModuleType("plugged_in")
    module.Mine = Mine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plugged_in", module)
    engine = load_engine("plugged_in:Mine", EngineOptions(threads=3))
    assert isinstance(engine, Engine)
    assert engine.version == "with 3"
    with pytest.raises(EngineUnavailable, match="cannot be loaded"):
        load_engine("plugged_in:Yours")


def test_the_null_engine_answers_the_description_of_a_png() -> None:
    described = PngImagePlugin.PngInfo()
    described.add_text("Description", "ten words")
    buffer = BytesIO()
    Image.new("L", (4, 4)).save(buffer, "PNG", pnginfo=described)
    engine = load_engine("null")
    assert engine.recognize(Image.open(buffer)) == PageText("ten words", 90.0)
    assert "4 by 4" in engine.recognize(Image.new("L", (4, 4))).text


def test_tesseracts_words_become_lines_and_paragraphs() -> None:
    names = "level page_num block_num par_num line_num word_num left top width height"
    header = "\t".join([*names.split(), "conf", "text"])

    def row(block: int, line: int, confidence: float, text: str) -> str:
        return f"5\t1\t{block}\t1\t{line}\t1\t0\t0\t9\t9\t{confidence}\t{text}"

    page = read_tsv(
        [
            header,
            "4\t1\t1\t1\t1\t0\t0\t0\t9\t9\t-1\t",
            row(1, 1, 90, 'a"b'),
            row(1, 1, 60, "c"),
            row(1, 2, 80, "d"),
            row(2, 1, 100, "e"),
            row(2, 1, -1, " "),
        ]
    )
    assert page.text == 'a"b c\nd\n\ne'
    assert page.confidence == pytest.approx((90 * 3 + 60 + 80 + 100) / 6)


def test_an_empty_page_has_no_confidence() -> None:
    assert read_tsv(["level\ttext"]) == PageText("", 0.0)


@needs_tesseract
def test_tesseract_reads_a_page() -> None:
    engine = load_engine("tesseract")
    page = engine.recognize(page_with(TEXT))
    assert page.text.split() == TEXT.split()
    assert 50 < page.confidence <= 100
    assert engine.version[0].isdigit()


@needs_tesseract
def test_tesseract_without_its_language_is_a_failure_of_the_job() -> None:
    engine = TesseractEngine(EngineOptions(languages=("tlh_none",)))
    with pytest.raises(EngineError, match="tlh_none"):
        engine.recognize(page_with(TEXT))


@needs_tesseract
def test_tesseract_is_stopped_when_a_page_takes_too_long() -> None:
    engine = TesseractEngine(EngineOptions(page_timeout=0.001))
    with pytest.raises(EngineError, match="did not finish"):
        engine.recognize(page_with(TEXT))


def test_rapidocr_reads_a_page_and_is_silent(
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("rapidocr")
    engine = load_engine("rapidocr")
    page = engine.recognize(page_with(TEXT))
    assert "48213" in page.text
    assert "Northern Harbour Supplies" in page.text
    assert page.text.index("48213") < page.text.index("Northern")
    assert 50 < page.confidence <= 100
    assert engine.recognize(Image.new("RGB", (80, 80), "white")) == PageText("", 0.0)
    assert capfd.readouterr() == ("", "")
