"""`request_size`: the largest request body, by its Content-Length and while it streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stoa_proxy.core.body_limit import BodyRefusals, refuse_large_body, stricter_limit
from stoa_proxy.core.policy import (
    Phase,
    Policy,
    PolicyContext,
    PolicyType,
    Repeat,
    always_public,
)
from stoa_proxy.core.problems import Respond
from stoa_proxy.foundation.units import parse_size
from stoa_proxy.policies.parsing import check_keys

_LENGTH: Final = frozenset({"content-length"})


@dataclass(frozen=True, slots=True)
class RequestSize(Policy):
    """`maximum` in bytes; the engine counts a body without a length and ends the call over it."""

    maximum: int

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Refuse with 413 what is announced as larger; bound what is streamed."""
        length = context.head.value("content-length")
        # The framing has let digits pass only (RFC 9112, 6.3).
        if length is not None and int(length) > self.maximum:
            return refuse_large_body(self.maximum, found="announced")
        context.max_body = stricter_limit(context.max_body, self.maximum)
        return None

    @property
    def header_names(self) -> frozenset[str]:
        """The announced length."""
        return _LENGTH

    def reads_client(self, context: PolicyContext) -> bool:
        """Return False."""
        return False

    def repeat(self, context: PolicyContext) -> Repeat | None:
        """Return that nothing is left, where there is no body."""
        return None if context.head.has_body else Repeat()


def parse_request_size(policy_id: str, config: Mapping[str, object]) -> RequestSize:
    """Return a RequestSize for `{max}`. Raises ValueError."""
    check_keys(config, ("max",))
    try:
        return RequestSize(parse_size(config.get("max")))
    except ValueError as error:
        raise ValueError(f"config.max: {error}") from None


POLICY = PolicyType(
    "request_size",
    Phase.BODY_SIZE,
    parse_request_size,
    '`{"max": size}`; 413 above it, by Content-Length and while a body streams',
    statuses=(413,),
    is_public=always_public,
    states=(BodyRefusals,),
)
