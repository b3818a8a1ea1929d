"""Which files an ingest finds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocr_guardrails.ingest import Unreadable, find_files


def found(*paths: str | Path) -> tuple[list[Path], list[Unreadable]]:
    unreadable: list[Unreadable] = []
    return list(find_files(paths, unreadable.append)), unreadable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.PNG", "a.pdf", "notes.txt", ".hidden.png", "sub/c.tiff"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "d.png").write_bytes(b"x")
    return tmp_path


def test_images_and_pdfs_in_order_without_hidden_ones(folder: Path) -> None:
    files, unreadable = found(folder)
    assert [str(f.relative_to(folder)) for f in files] == [
        "a.pdf",
        "b.PNG",
        "sub/c.tiff",
    ]
    assert unreadable == []


def test_a_named_file_is_taken_whatever_it_is_called(folder: Path) -> None:
    assert found(folder / "notes.txt")[0] == [folder / "notes.txt"]


def test_paths_are_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert found("sub")[0] == [folder / "sub" / "c.tiff"]


def test_a_loop_of_links_ends(folder: Path) -> None:
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "sub" / "broken.png").symlink_to(folder / "nothing")
    files, _ = found(folder)
    assert [f.name for f in files] == ["a.pdf", "b.PNG", "broken.png", "c.tiff"]


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    files, unreadable = found(tmp_path / "nothing")
    assert files == []
    assert unreadable == [Unreadable(f"{tmp_path}/nothing", "There is no such file.")]


def test_a_folder_that_cannot_be_read_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: Path) -> object:
        if path.name == "sub":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    files, unreadable = found(folder)
    assert [f.name for f in files] == ["a.pdf", "b.PNG"]
    assert unreadable == [Unreadable(f"{folder}/sub", "Permission denied.")]
