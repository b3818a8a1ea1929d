"""The order of the SQL files, their checksums, and the script."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ocr_guardrails import sqlfiles
from ocr_guardrails.sqlfiles import db_dir


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small db/ with the real loader."""
    root = tmp_path / "db"
    for path, text in {
        "repeatable.py": (db_dir() / "repeatable.py").read_text(),
        "privileges.sql": "-- privileges",
        "functions/working/b.sql": "-- b",
        "functions/working/a.sql": "-- a",
        "functions/internal/z.sql": "-- z",
        "functions/operating/o.sql": "-- o",
        "functions/producing/p.sql": "-- p",
        # the loader reads its query there
        "functions/internal/list_loaded_objects.sql": "$function$select$function$",
        "views/v.sql": "-- v",
        "triggers/t.sql": "-- t",
        "tests/never.sql": "-- never",
        "migrations/0001_one.sql": "create table one ();\n",
        "migrations/0001_one.rollback.sql": "drop table one;\n",
        "migrations/post-apply.py": "",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_the_order_of_loading(root: Path) -> None:
    files = sqlfiles.repeatable_files(root)
    assert [file.path for file in files] == [
        "functions/internal/list_loaded_objects.sql",
        "functions/internal/z.sql",
        "functions/producing/p.sql",
        "functions/working/a.sql",
        "functions/working/b.sql",
        "functions/operating/o.sql",
        "views/v.sql",
        "triggers/t.sql",
        "privileges.sql",
    ]
    assert files[1].text == "-- z"


def test_a_file_that_would_never_be_loaded_is_an_error(root: Path) -> None:
    (root / "functions" / "misplaced.sql").touch()
    with pytest.raises(Exception, match=r"misplaced\.sql"):
        sqlfiles.repeatable_files(root)


def test_line_endings_do_not_change_a_checksum(root: Path) -> None:
    before = sqlfiles.checksums(root)
    path = root / "migrations" / "0001_one.sql"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert sqlfiles.checksums(root) == before


def test_released_migrations_are_frozen(root: Path) -> None:
    names = ["0001_one.rollback.sql", "0001_one.sql"]
    assert sqlfiles.write_checksums(root) == names
    assert sqlfiles.write_checksums(root) == []
    (root / "migrations" / "0002_two.sql").touch()
    assert sqlfiles.edited_migrations(root) == []
    assert sqlfiles.write_checksums(root) == ["0002_two.sql"]
    (root / "migrations" / "0001_one.sql").write_text("create table other ();\n")
    (root / "migrations" / "0002_two.sql").unlink()
    assert sqlfiles.edited_migrations(root) == ["0001_one.sql", "0002_two.sql"]
    with pytest.raises(ValueError, match=r"0001_one\.sql"):
        sqlfiles.write_checksums(root)
    sqlfiles.write_checksums(root, overwrite=True)
    assert sqlfiles.edited_migrations(root) == []


def test_the_checksums_are_of_the_form_of_sha256sum(root: Path) -> None:
    sqlfiles.write_checksums(root)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "checksums.txt"],
        cwd=root / "migrations",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("0002_two.py", "from yoyo import step\nstep('select 1')\n", "only SQL"),
        (
            "0002_two.sql",
            "-- transactional: false\nselect 1;\n",
            "inside a transaction",
        ),
    ],
)
def test_what_cannot_be_in_the_script_is_an_error(
    root: Path, name: str, text: str, message: str
) -> None:
    (root / "migrations" / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        sqlfiles.install_script("public", root)


def test_the_wheel_carries_the_sql_and_not_its_tests(tmp_path: Path) -> None:
    source = db_dir().parent
    if not (source / "pyproject.toml").is_file():
        pytest.skip("not a checkout")
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    packaged = {n for n in names if n.startswith("ocr_guardrails/db/")}
    wanted = [
        *sqlfiles.migration_files(),
        *(db_dir() / file.path for file in sqlfiles.repeatable_files()),
        db_dir() / "repeatable.py",
        db_dir() / "migrations" / "post-apply.py",
    ]
    missing = {
        f"ocr_guardrails/db/{path.relative_to(db_dir()).as_posix()}" for path in wanted
    } - packaged
    assert missing == set()
    assert not {n for n in packaged if n.startswith("ocr_guardrails/db/tests/")}
    assert "ocr_guardrails/py.typed" in names
