"""db/errors.md, the SQL and the driver's exceptions name the same errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ocr_guardrails import errors
from ocr_guardrails.errors import OcrGuardrailsError

DB = Path(__file__).resolve().parents[3] / "db"
CODE = re.compile(r"\bOG\d{3}\b")
#: Where the SQL raises it: an errcode, or the argument of a helper that raises it.
RAISED = re.compile(r"'(OG\d{3})'")
#: Where it catches one again, which nobody outside gets to see.
CAUGHT = re.compile(r"\bwhen\s+sqlstate\s+'(OG\d{3})'", re.IGNORECASE)
#: A row of the catalogue begins with the code, with or without backquotes.
ROW = re.compile(r"^\|\s*`?(OG\d{3})`?\s*\|", re.MULTILINE)


def without_comments(sql: str) -> str:
    """The statements alone: a comment that names a code does not raise it."""
    return re.sub(r"--[^\n]*", "", sql)


def installed_sql() -> list[Path]:
    return [
        path
        for path in sorted(DB.rglob("*.sql"))
        if "tests" not in path.relative_to(DB).parts
    ]


def raised() -> set[str]:
    codes: set[str] = set()
    for path in installed_sql():
        sql = without_comments(path.read_text("utf-8"))
        codes |= set(RAISED.findall(sql)) - set(CAUGHT.findall(sql))
    return codes


def catalogued() -> list[str]:
    return ROW.findall((DB / "errors.md").read_text("utf-8"))


def exceptions() -> dict[str, type[OcrGuardrailsError]]:
    found: dict[str, type[OcrGuardrailsError]] = {}
    pending = list(OcrGuardrailsError.__subclasses__())
    while pending:
        kind = pending.pop()
        pending.extend(kind.__subclasses__())
        state = kind.__dict__.get("sqlstate")
        if isinstance(state, str) and CODE.fullmatch(state):
            assert state not in found, f"{kind} and {found[state]} share {state}"
            found[state] = kind
    return found


def test_the_sql_raises_errors_of_the_package_s_class() -> None:
    assert raised(), f"no 'OGnnn' in {DB}: the test would hold on nothing"


def test_every_error_of_the_sql_is_in_the_catalogue_and_no_other_is() -> None:
    assert sorted(raised()) == sorted(set(catalogued()))


def test_the_catalogue_names_each_error_once() -> None:
    assert len(catalogued()) == len(set(catalogued()))


def test_every_error_of_the_sql_has_an_exception_and_no_other_has() -> None:
    assert sorted(raised()) == sorted(exceptions())


def test_every_exception_is_what_its_code_is_translated_to() -> None:
    ours = {
        code: kind for code, kind in errors.BY_SQLSTATE.items() if CODE.fullmatch(code)
    }
    assert ours == exceptions()


@pytest.mark.parametrize("path", installed_sql(), ids=lambda path: path.name)
def test_a_code_that_sql_mentions_is_one_that_some_sql_raises(path: Path) -> None:
    text = path.read_text("utf-8")
    assert set(CODE.findall(text)) - set(CAUGHT.findall(text)) <= raised()
