"""The bound of a request's body: by its Content-Length, and while it streams."""

from __future__ import annotations

from dataclasses import dataclass

from stoa_proxy.core.policy_states import OutcomeCounts
from stoa_proxy.core.problems import Respond, problem


@dataclass(frozen=True, slots=True)
class LargeBody(Respond):
    """The refusal of a body; `found` is how it was found too large, as `BodyRefusals` has it."""

    found: str = "streamed"


class BodyRefusals(OutcomeCounts):
    """Requests whose bodies were too large: by their Content-Length, or while they came."""

    metric = "stoa_request_size_refusals_total"
    text = "Requests with too large a body, by how it was found."
    label = "found"
    outcomes = ("announced", "streamed")


def stricter_limit(current: int | None, maximum: int) -> int:
    """Return the stricter of two bounds in bytes; None is no bound."""
    return maximum if current is None else min(current, maximum)


def refuse_large_body(maximum: int, *, found: str = "streamed") -> Respond:
    """Return the refusal of a body of more than `maximum` bytes: 413 (RFC 9110, 15.5.14)."""
    detail = f"A request body may have {maximum} bytes."
    refusal = problem(413, "Content too large", detail, kind="content-too-large")
    return LargeBody(refusal.status, refusal.headers, refusal.body, found=found)
