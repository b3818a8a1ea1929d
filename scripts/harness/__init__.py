"""What scripts/run_tests.py is made of."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
