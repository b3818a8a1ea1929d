"""The demo's documents: drawn from a seed, or found in a folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ocr_guardrails.demo.pages import draw_samples, find_samples
from ocr_guardrails.demo.truth import likeness, pieces
from ocr_guardrails.pages import open_pages

PAGES = 40


def test_one_seed_draws_the_same_bytes_again(tmp_path: Path) -> None:
    first = draw_samples(tmp_path / "first", 7, 12)
    second = draw_samples(tmp_path / "second", 7, 12)
    assert [sample.sha256 for sample in first] == [sample.sha256 for sample in second]
    assert [sample.label for sample in first] == [sample.label for sample in second]
    assert [sample.truth for sample in first] == [sample.truth for sample in second]


def test_another_seed_draws_other_pages(tmp_path: Path) -> None:
    first = {sample.sha256 for sample in draw_samples(tmp_path / "first", 7, 12)}
    second = {sample.sha256 for sample in draw_samples(tmp_path / "second", 8, 12)}
    assert not first & second


def test_pages_differ_though_their_names_do_not(tmp_path: Path) -> None:
    samples = draw_samples(tmp_path, 1, PAGES)
    assert len({sample.sha256 for sample in samples}) == PAGES
    names = Counter(sample.filename for sample in samples)
    assert names["scan.pdf"] > 1
    assert names["scan.png"] > 1
    texts = [pieces(sample.truth or "") for sample in samples]
    assert all(
        likeness(text, other) < 0.75
        for turn, text in enumerate(texts)
        for other in texts[:turn]
    )


def test_drawn_files_are_images_and_pdfs_of_one_page(tmp_path: Path) -> None:
    samples = draw_samples(tmp_path, 1, 12)
    assert {sample.mime_type for sample in samples} == {"application/pdf", "image/png"}
    for sample in samples:
        with open_pages(sample.path.read_bytes()) as pages:
            assert len(list(pages)) == 1


def test_a_folder_gives_its_images_and_pdfs_in_order(tmp_path: Path) -> None:
    drawn = draw_samples(tmp_path / "drawn", 1, 4)
    folder = tmp_path / "own"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.PNG").write_bytes(drawn[0].path.read_bytes())
    (folder / "a.png").write_bytes(drawn[2].path.read_bytes())
    (folder / "sub" / "again.png").write_bytes(drawn[0].path.read_bytes())
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("no page")

    samples = find_samples(folder, 10)

    assert [sample.label for sample in samples] == ["a.png", "b.PNG"]
    assert [sample.number for sample in samples] == [0, 1]
    assert samples[0].sha256 == drawn[2].sha256
    assert samples[0].truth is None
    assert [sample.label for sample in find_samples(folder, 1)] == ["a.png"]
