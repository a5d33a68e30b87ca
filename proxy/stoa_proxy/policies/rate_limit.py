"""`rate_limit`: requests per window, counted by consumer, address, tenant or a header."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import intern

from stoa_proxy.core.counters import Limit
from stoa_proxy.core.policy import Phase, Policy, PolicyContext, PolicyType, always_public
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.foundation.client_network import client_network
from stoa_proxy.foundation.interning import interned
from stoa_proxy.foundation.units import parse_duration
from stoa_proxy.policies.parsing import check_keys, is_token, read_positive

_BY = ("consumer", "ip", "tenant")


@dataclass(frozen=True, slots=True)
class RateLimit(Policy):
    """One limit; its counters belong to `policy_id`, so that new numbers count on."""

    policy_id: str
    limit: Limit
    by: str = "consumer"

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Refuse with 429 over the limit."""
        # A window and a bucket count differently, so each has a counter of its own.
        kind = "b" if self.limit.burst else "w"
        key = ("policy", self.policy_id, context.route.api_id, kind, *self._subject(context))
        return count_request(context, [(key, self.limit)])

    def _subject(self, context: PolicyContext) -> tuple[str, str]:
        consumer = context.consumer
        if self.by == "tenant":
            return "tenant", consumer.tenant_id if consumer else context.route.tenant_id
        if self.by == "consumer" and consumer is not None:
            return "consumer", consumer.id
        if self.by.startswith("header:"):
            value = context.head.value(self.by.removeprefix("header:").lower())
            if value is not None:
                # Callers choose the value: its digest bounds what one counter costs.
                raw = value.encode("utf-8", "surrogateescape")
                return "header", hashlib.sha256(raw).hexdigest()
        return "ip", client_network(context.head.client_address)


def count_request(
    context: PolicyContext, limits: Sequence[tuple[tuple[str, ...], Limit]]
) -> Respond | None:
    """Count the request against all `limits`; 429 when one of them refuses (RFC 6585, 4)."""
    if not limits:
        return None
    result = context.counters.hit(context.route.tenant_id, limits)
    shown = context.limit_result
    # The response shows the limit that refuses, or the one with the least left.
    if shown is None or not result.allowed or result.remaining < shown.remaining:
        context.limit_result = result
    if result.allowed:
        return None
    # Retry-After is in whole seconds (RFC 9110, 10.2.3), and 0 would invite a storm.
    wait = str(max(1, math.ceil(result.reset)))
    detail = f"The limit is {result.limit} requests; try again in {wait} s."
    return problem(429, "Too many requests", detail, [("Retry-After", wait)])


def parse_rate_limit(policy_id: str, config: Mapping[str, object]) -> RateLimit:
    """Return a RateLimit for `{requests, window, by, burst}`.

    STOA gateway 0.9.25 writes `{maxRequests, intervalSeconds}`, which is read, too.

    Raises ValueError.
    """
    if "maxRequests" in config or "intervalSeconds" in config:
        check_keys(config, ("maxRequests", "intervalSeconds"))
        interval = read_positive(config, "intervalSeconds")
        limit = Limit(read_positive(config, "maxRequests"), float(interval))
        return RateLimit(policy_id, interned(limit))
    check_keys(config, ("requests", "window", "by", "burst"))
    try:
        window = parse_duration(config.get("window"))
    except ValueError as error:
        raise ValueError(f"config.window: {error}") from None
    burst = read_positive(config, "burst") if config.get("burst") is not None else None
    limit = Limit(read_positive(config, "requests"), window, burst)
    return RateLimit(policy_id, interned(limit), _read_by(config.get("by", "consumer")))


def _read_by(value: object) -> str:
    if value in _BY:
        return intern(str(value))
    if isinstance(value, str) and value.startswith("header:") and is_token(value[7:]):
        return intern(value)
    raise ValueError("config.by must be 'consumer', 'ip', 'tenant' or 'header:<name>'")


POLICY = PolicyType(
    "rate_limit",
    Phase.RATE_LIMITING,
    parse_rate_limit,
    '`{"requests": int > 0, "window": duration, '
    '"by": "consumer"\\|"ip"\\|"tenant"\\|"header:<name>" = "consumer", "burst"?: int}`, or '
    'STOA\'s `{"maxRequests", "intervalSeconds"}`',
    statuses=(429,),
    is_shared=False,  # each has counters of its own
    is_public=always_public,
)
