"""The committed schema: what an installation amounts to, as a diff to review.

``make schema`` writes it anew.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import psycopg
import pytest

import reference
from ocr_guardrails.migrate import migrate
from ocr_guardrails.sqlfiles import db_dir

if TYPE_CHECKING:
    from tests.migration.conftest import Dump

# pg_dump writes some things otherwise in every major version.
MAJOR = 18


def test_a_fresh_installation_is_the_committed_schema(
    empty_database: str, dump: Dump
) -> None:
    with psycopg.connect(empty_database) as connection:
        major = connection.info.server_version // 10000
    if major != MAJOR:
        pytest.skip(f"db/schema.sql is compared on PostgreSQL {MAJOR}")
    migrate(empty_database)
    text = dump(
        empty_database,
        "--schema-only",
        # named after the month of the installation
        "--exclude-table=ocr_job_history_y*",
        # yoyo's own
        "--exclude-table=_yoyo_*",
        "--exclude-table=yoyo_lock",
    )
    text = re.sub(r"(?m)^-- Dumped .*\n", "", text).rstrip("\n") + "\n"
    committed = db_dir() / "schema.sql"
    if os.environ.get("OCR_GUARDRAILS_WRITE_SCHEMA"):
        committed.write_text(text, encoding="utf-8")
    assert committed.exists(), "`make schema` writes it"
    assert text == committed.read_text(encoding="utf-8"), "`make schema` renews it"


def test_the_reference_is_what_the_comments_say(
    connection: psycopg.Connection,
) -> None:
    written = reference.TARGET.read_text(encoding="utf-8")
    assert reference.render(connection) == written, "`make reference` renews it"
