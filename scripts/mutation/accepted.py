"""The mutants that may survive, each with the reason why no test could kill it."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .generate import Mutant


@dataclass(frozen=True, slots=True)
class Entry:
    """Mutants that survive for one reason.

    ``file`` is a pattern below db/, ``kind`` and ``code`` are exact; ``numbers`` are
    those of several equal ones in a file, all of them when empty.
    """

    file: str
    kind: str
    code: str
    numbers: tuple[int, ...]
    reason: str

    def covers(self, mutant: Mutant) -> bool:
        return (
            fnmatch.fnmatchcase(mutant.file, self.file)
            and mutant.kind == self.kind
            and mutant.code == self.code
            and (not self.numbers or mutant.number in self.numbers)
        )


class ListError(Exception):
    """The list is not well-formed."""


def read(path: Path) -> list[Entry]:
    """The entries of the list; each has a reason."""
    entries: list[Entry] = []
    for raw in tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", []):
        reason = str(raw.get("reason", "")).strip()
        if not reason:
            raise ListError(f"{path.name}: no reason for {raw}")
        codes = raw["code"] if isinstance(raw["code"], list) else [raw["code"]]
        entries += [
            Entry(
                raw["file"],
                raw["kind"],
                code,
                tuple(raw.get("numbers", ())),
                " ".join(reason.split()),
            )
            for code in codes
        ]
    return entries


def obsolete(entries: Sequence[Entry], mutants: Sequence[Mutant]) -> list[Entry]:
    """The entries that name no mutant any more."""
    return [e for e in entries if not any(e.covers(mutant) for mutant in mutants)]


def reason_for(mutant: Mutant, entries: Sequence[Entry]) -> str | None:
    """Why a mutant may survive, None where it may not."""
    return next((e.reason for e in entries if e.covers(mutant)), None)
