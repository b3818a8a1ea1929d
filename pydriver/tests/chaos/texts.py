"""Documents and their texts, made so that a text in a wrong place shows by itself.

All documents carry the same filename. A text names the file that it was read from and
the lease under which it was offered, so that one look at a row tells a foreign text
from its own, and a text of a lost lease from that of the live one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

__all__ = ["FILENAME", "Seal", "file_hash", "file_path", "seal", "unseal"]

FILENAME = "scan.pdf"
_SEALED = re.compile(
    r"the text that was read from (?P<file_path>\S+) and from no other file "
    r"under lease (?P<token>\S+) as offer (?P<offer>\S+)"
)


@dataclass(frozen=True, slots=True)
class Seal:
    """What a text says about itself."""

    file_path: str
    token: str
    offer: str


def file_path(number: int) -> str:
    """The path of a document's file, which is all there is of the file."""
    return f"chaos/{number:06}"


def file_hash(path: str) -> str:
    """The hash of the file, whose only content is its path."""
    return hashlib.sha256(path.encode()).hexdigest()


def seal(path: str, token: object, offer: object) -> str:
    """The text of a file, as offered once under a lease."""
    return (
        f"the text that was read from {path} and from no other file "
        f"under lease {token} as offer {offer}"
    )


def unseal(text: str | None) -> Seal | None:
    """What a text says about itself; None when it is none of ours."""
    found = _SEALED.fullmatch(text or "")
    return Seal(**found.groupdict()) if found else None
