"""The exceptions of the package, one class for each SQLSTATE of ``db/errors.md``.

All of them are ``psycopg.DatabaseError`` as well, so that ``except psycopg.Error``
goes on to work. Errors that the package's SQL does not raise by a code of its own
(a lost connection, a missing function) reach the caller as psycopg raised them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import psycopg

__all__ = [
    "BY_SQLSTATE",
    "AlreadyCompleted",
    "DocumentMissing",
    "IllegalStateChange",
    "ImplausibleResult",
    "InvalidArgument",
    "OcrGuardrailsError",
    "QueueClosed",
    "ResultFinal",
    "StaleLease",
    "translate",
    "translated",
]


class OcrGuardrailsError(psycopg.DatabaseError):
    """What the package's SQL raises; ``__cause__`` is psycopg's own exception.

    ``detail`` and ``hint`` are the server's, or None.
    """

    def __init__(
        self,
        message: str = "",
        *,
        sqlstate: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = sqlstate or type(self).sqlstate
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        if self.detail:
            lines.append(f"DETAIL: {self.detail}")
        if self.hint:
            lines.append(f"HINT: {self.hint}")
        return "\n".join(lines)


class InvalidArgument(OcrGuardrailsError, psycopg.DataError):
    """An argument is NULL or out of its range; nothing was changed."""

    sqlstate = "22023"


class DocumentMissing(OcrGuardrailsError):
    """No such document."""

    sqlstate = "OG001"


class StaleLease(OcrGuardrailsError):
    """A plain UPDATE did not present the document's live lease token (G2)."""

    sqlstate = "OG002"


class ResultFinal(OcrGuardrailsError):
    """A completed document's result cannot change (G4)."""

    sqlstate = "OG003"


class IllegalStateChange(OcrGuardrailsError):
    """The document or job cannot go from its state to the wanted one."""

    sqlstate = "OG004"


class ImplausibleResult(OcrGuardrailsError):
    """The result cannot be right (G6)."""

    sqlstate = "OG005"


class AlreadyCompleted(OcrGuardrailsError):
    """The document has a result already; ``requeue_document`` sets it aside."""

    sqlstate = "OG006"


class QueueClosed(OcrGuardrailsError):
    """The queue is paused or its circuit is open, and the caller asked to be told."""

    sqlstate = "OG007"


BY_SQLSTATE: Mapping[str, type[OcrGuardrailsError]] = MappingProxyType(
    {
        "22023": InvalidArgument,
        "OG001": DocumentMissing,
        "OG002": StaleLease,
        "OG003": ResultFinal,
        "OG004": IllegalStateChange,
        "OG005": ImplausibleResult,
        "OG006": AlreadyCompleted,
        "OG007": QueueClosed,
    }
)


def translate(error: psycopg.Error) -> psycopg.Error:
    """The package's exception for one of psycopg's, or that one itself."""
    if isinstance(error, OcrGuardrailsError):
        return error
    kind = BY_SQLSTATE.get(error.sqlstate or "")
    if kind is None:
        return error
    return kind(
        error.diag.message_primary or str(error),
        sqlstate=error.sqlstate,
        detail=error.diag.message_detail,
        hint=error.diag.message_hint,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Raise the package's exceptions instead of psycopg's generic ones."""
    try:
        yield
    except psycopg.Error as error:
        ours = translate(error)
        if ours is error:
            raise
        raise ours from error
