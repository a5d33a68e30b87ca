"""Values as spans, snapshots and traces show them."""

from __future__ import annotations

from stoa_proxy.core.match import Target
from stoa_proxy.http.redaction import scrub_path


def shown_url(target: Target) -> str:
    """Return the URL of a call without its query, and without what looks like a token."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{target.scheme}://{host}:{target.port}{scrub_path(target.path)}"


def milliseconds(seconds: float) -> float:
    """Return seconds as milliseconds, to a microsecond."""
    return round(seconds * 1000, 3)


def microseconds(seconds: float) -> float:
    """Return seconds as microseconds, to a tenth."""
    return round(seconds * 1_000_000, 1)
