"""Loads the repeatable SQL whenever yoyo has applied a migration."""

import importlib.util
from pathlib import Path

from yoyo import step

# By path: plain yoyo runs this file where the Python package may not be installed.
_spec = importlib.util.spec_from_file_location(
    "ocr_guardrails_repeatable",
    Path(__file__).resolve().parent.parent / "repeatable.py",
)
if _spec is None or _spec.loader is None:
    raise FileNotFoundError("repeatable.py")
_repeatable = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_repeatable)

step(_repeatable.load)
