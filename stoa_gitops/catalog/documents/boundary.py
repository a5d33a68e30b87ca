"""The boundary around the reading of one document: whatever it raises becomes a finding there."""

from __future__ import annotations

import logging

from stoa_gitops.catalog.findings import Finding

log = logging.getLogger(__name__)


def internal_finding(
    error: BaseException, *, document: int = 0, line: int | None = None
) -> Finding:
    """Return the finding about a document whose reading raised an exception that no code expected.

    Raises the error again where it is none of the document: an interrupt, the end of the process.
    """
    # PyO3 raises a Rust panic as PanicException, which is no Exception and cannot be imported.
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    log.error("unexpected error while reading a document", exc_info=error)
    return Finding(
        "document.internal",
        f"unexpected error while reading this document ({type(error).__name__})",
        hint="it is an error of this program: report it with the document and the log",
        document=document,
        line=line,
    )
