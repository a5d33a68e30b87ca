"""The bound of a request's body: by its Content-Length, and while it streams."""

from __future__ import annotations

from stoa_proxy.core.problems import Respond, problem


def stricter_limit(current: int | None, maximum: int) -> int:
    """Return the stricter of two bounds in bytes; None is no bound."""
    return maximum if current is None else min(current, maximum)


def refuse_large_body(maximum: int) -> Respond:
    """Return the refusal of a body of more than `maximum` bytes: 413 (RFC 9110, 15.5.14)."""
    detail = f"A request body may have {maximum} bytes."
    return problem(413, "Content too large", detail, kind="content-too-large")
