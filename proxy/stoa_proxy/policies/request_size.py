"""`request_size`: the largest request body, by what is announced and by what is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stoa_proxy.core.exchange import Policy, RequestContext, Respond
from stoa_proxy.core.problems import problem
from stoa_proxy.foundation.units import parse_size
from stoa_proxy.policies.parsing import check_keys


@dataclass(frozen=True, slots=True)
class RequestSize(Policy):
    """`maximum` bytes. The engine counts bodies that announce no length, and ends the call."""

    maximum: int

    def request_filter(self, context: RequestContext) -> Respond | None:
        """Refuse with 413 what is announced as larger; bound what is streamed."""
        length = context.head.value("content-length")
        if length is not None and int(length) > self.maximum:
            return too_large(self.maximum)
        known = context.max_body
        context.max_body = self.maximum if known is None else min(known, self.maximum)
        return None


def too_large(maximum: int) -> Respond:
    """The refusal of a body of more than `maximum` bytes."""
    return problem(413, "Content too large", f"A request body may have {maximum} bytes.")


def parse_request_size(policy_id: str, config: Mapping[str, object]) -> RequestSize:
    """A RequestSize from `{max}`. Raises ValueError."""
    check_keys(config, ("max",))
    try:
        return RequestSize(parse_size(config.get("max")))
    except ValueError as error:
        raise ValueError(f"config.max: {error}") from None
