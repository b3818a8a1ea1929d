"""OCR Guardrails: keeps an OCR result on the document that it was read from.

Everything is decided in the database; this package installs it there, calls it, and
works on its queue. See ``Guardrails`` for the functions and ``Worker`` for the worker.
"""

from ocr_guardrails.client import Guardrails
from ocr_guardrails.errors import (
    AlreadyCompleted,
    DocumentMissing,
    IllegalStateChange,
    ImplausibleResult,
    InvalidArgument,
    OcrGuardrailsError,
    QueueClosed,
    ResultFinal,
    StaleLease,
)
from ocr_guardrails.models import (
    BatchOutcome,
    Consistency,
    DocumentFile,
    DocumentId,
    EnqueuedJob,
    ErrorClass,
    FailureAnswer,
    FileToIngest,
    Inconsistency,
    IngestedDocument,
    Job,
    LeaseExtension,
    Outcome,
    RepairAction,
    Result,
    StuckJob,
)

__all__ = [
    "AlreadyCompleted",
    "BatchOutcome",
    "Consistency",
    "DocumentFile",
    "DocumentId",
    "DocumentMissing",
    "EnqueuedJob",
    "ErrorClass",
    "FailureAnswer",
    "FileToIngest",
    "Guardrails",
    "IllegalStateChange",
    "ImplausibleResult",
    "Inconsistency",
    "IngestedDocument",
    "InvalidArgument",
    "Job",
    "LeaseExtension",
    "OcrGuardrailsError",
    "Outcome",
    "QueueClosed",
    "RepairAction",
    "Result",
    "ResultFinal",
    "StaleLease",
    "StuckJob",
]
