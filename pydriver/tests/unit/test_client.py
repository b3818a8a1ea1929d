"""What the client sends, as far as it can be seen without a server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ocr_guardrails.client import (
    _arrays,
    _dumps,
    _offered,
    _query,
    _refuse_unsendable,
)
from ocr_guardrails.errors import (
    BY_SQLSTATE,
    InvalidArgument,
    OcrGuardrailsError,
    translated,
)
from ocr_guardrails.models import Result

RESULT = Result(
    document_id=UUID(int=1),
    expected_filename="a.png",
    ocr_text="text",
    confidence=1.0,
    word_count=1,
    processing_time_ms=1,
)


@pytest.mark.parametrize(
    ("text", "said"),
    [("ab\0c", "NUL character .*offset 2"), ("a\ud800", "lone surrogate .*offset 1")],
)
def test_what_postgresql_cannot_hold_is_told_by_argument(text: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=f"p_ocr_text .*{said}") as caught:
        _refuse_unsendable("p_ocr_text", text)
    assert caught.value.sqlstate == "22023"


@pytest.mark.parametrize(
    ("confidence", "sent"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (99.5, 99.5),
    ],
)
def test_a_number_that_json_lacks_is_sent_as_a_word(
    confidence: float, sent: object
) -> None:
    offered = _offered(
        Result(
            document_id=1,
            expected_filename="a",
            ocr_text="",
            confidence=confidence,
            word_count=0,
            processing_time_ms=0,
        )
    )
    assert json.loads(_dumps([offered]))[0]["confidence"] == sent


def test_json_escapes_what_is_to_be_judged_by_the_database() -> None:
    assert rb"\u0000" in _dumps({"ocr_text": "\0"})
    assert rb"\ud800" in _dumps({"ocr_text": "\ud800"})
    assert "ü".encode() in _dumps({"ocr_text": "ü"})


def test_a_batch_travels_as_arrays() -> None:
    one = replace(RESULT, lease_token=UUID(int=2), engine="e 1")
    two = replace(one, document_id=UUID(int=3), ocr_text="ü€", engine=None)
    arrays = _arrays([one, two])
    assert arrays is not None
    assert arrays["p_document_ids"] == [UUID(int=1), UUID(int=3)]
    assert arrays["p_ocr_texts"] == ["text", "ü€"]
    assert arrays["p_engines"] == ["e 1", None]
    # nothing but None has no type
    assert arrays["p_source_hashes"] is None
    query = _query(None, "update_ocr_arrays_safe", ("p_ocr_texts",), "*")
    assert "%(p_ocr_texts)b::text[]" in query


@pytest.mark.parametrize(
    "changed",
    [
        {"ocr_text": "a\0b"},
        {"ocr_text": "a\ud800"},
        {"ocr_text": None},
        {"expected_filename": "a\0b"},
        {"engine": "a\0b"},
        {"source_hash": 7},
        {"word_count": 2**31},
        {"word_count": None},
        {"processing_time_ms": -(2**31) - 1},
        {"processing_time_ms": 1.5},
        {"lease_token": None},
        {"lease_token": "00000000-0000-0000-0000-000000000002"},
        {"document_id": "00000000-0000-0000-0000-000000000001"},
        {"document_id": 1},
    ],
)
def test_what_an_array_would_refuse_as_a_whole_travels_as_json(
    changed: dict[str, Any],
) -> None:
    good = replace(RESULT, lease_token=UUID(int=2))
    assert _arrays([good, good]) is not None
    assert _arrays([good, replace(good, **changed)]) is None


def test_arguments_are_named_and_typed() -> None:
    query = _query("ocr", "claim_ocr_jobs", ("p_worker_id", "p_batch_size"), "*")
    assert query == (
        'select * from "ocr"."claim_ocr_jobs"("p_worker_id" => %(p_worker_id)s::text, '
        '"p_batch_size" => %(p_batch_size)s::integer) as "answer"'
    )


@pytest.mark.parametrize("sqlstate", sorted(BY_SQLSTATE))
def test_errors_are_told_apart_by_sqlstate_and_stay_psycopgs(sqlstate: str) -> None:
    class Raised(psycopg.DatabaseError):
        pass

    Raised.sqlstate = sqlstate
    original = Raised("what happened")
    with pytest.raises(psycopg.DatabaseError) as caught, translated():
        raise original
    assert type(caught.value) is BY_SQLSTATE[sqlstate]
    assert isinstance(caught.value, OcrGuardrailsError)
    assert caught.value.sqlstate == sqlstate
    assert caught.value.__cause__ is original
    assert str(caught.value) == "what happened"


def test_other_errors_pass_as_they_are() -> None:
    original = psycopg.OperationalError("gone")
    with pytest.raises(psycopg.OperationalError) as caught, translated():
        raise original
    assert caught.value is original
