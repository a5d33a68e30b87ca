"""Adds cycle id and gateway to log records that are written during a cycle."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.report.recap import recap_counts

log = logging.getLogger(__name__)

_cycle: ContextVar[tuple[str, str] | None] = ContextVar("cycle", default=None)


@contextmanager
def in_cycle(gateway: str) -> Iterator[str]:
    """Give records that are logged inside, on threads as well, a new id of eight hex digits."""
    number = secrets.token_hex(4)
    # asyncio.to_thread copies context variables, so records of threads get them as well.
    token = _cycle.set((number, gateway))
    try:
        yield number
    finally:
        _cycle.reset(token)


class CycleFilter(logging.Filter):
    """Adds `cycle` and `gateway` to records of a cycle; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields, unless whoever logged has given them."""
        known = _cycle.get()
        if known is not None:
            record.__dict__.setdefault("cycle", known[0])
            record.__dict__.setdefault("gateway", known[1])
        return True


_REFUSED: Final = frozenset({Status.FAILED, Status.QUARANTINED, Status.BLOCKED})


def log_result(result: CycleResult) -> None:
    """Log the result of a cycle in one line; at debug level where there was nothing to do."""
    report = result.report
    name, counts = report.plan.gateway, recap_counts(report)
    if report.error is not None:
        log.warning("%s: %s", name, report.error, extra={"reason": result.reason})
        return
    refused = [o for o in report.outcomes if o.status in _REFUSED]
    if refused:
        _log_refused(name, refused, counts)
        return
    has_changes = bool(report.outcomes)
    message = _counts_text(counts) or "nothing here"
    log.log(logging.INFO if has_changes else logging.DEBUG, "%s: %s", name, message)


def _log_refused(name: str, refused: list[Outcome], counts: dict[str, int]) -> None:
    """Log what was not applied at warning, with the reason of the first: the cause of the rest."""
    # What is blocked only follows from what failed.
    first = min(refused, key=lambda outcome: outcome.status is Status.BLOCKED)
    message = first.message or "the gateway gave no reason"
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    log.warning(
        "%s: %s; %s: %s%s",
        name,
        _counts_text(counts),
        first.change.key,
        message,
        more,
        extra={"reason": first.reason},
    )


def _counts_text(counts: dict[str, int]) -> str:
    return " ".join(f"{word}={count}" for word, count in counts.items() if count)
