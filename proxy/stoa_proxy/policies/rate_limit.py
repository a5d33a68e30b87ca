"""`rate_limit`: so many requests in a window, by consumer, address, tenant or a header."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from sys import intern

from stoa_proxy.core.counters import Limit, LimitResult
from stoa_proxy.core.exchange import Policy, RequestContext, Respond
from stoa_proxy.core.problems import problem
from stoa_proxy.foundation.interning import interned
from stoa_proxy.foundation.units import parse_duration
from stoa_proxy.policies.parsing import check_keys, is_token, read_positive

_BY = ("consumer", "ip", "tenant")


@dataclass(frozen=True, slots=True)
class RateLimit(Policy):
    """One limit; `policy_id` keeps its counters over updates of its numbers."""

    policy_id: str
    limit: Limit
    by: str = "consumer"

    def request_filter(self, context: RequestContext) -> Respond | None:
        """Refuse with 429 over the limit."""
        kind = "b" if self.limit.burst else "w"
        key = ("policy", self.policy_id, context.route.api_id, kind, *self._who(context))
        return count(context, [(key, self.limit)])

    def _who(self, context: RequestContext) -> tuple[str, str]:
        consumer = context.consumer
        if self.by == "tenant":
            return "tenant", consumer.tenant_id if consumer else context.route.tenant_id
        if self.by == "consumer" and consumer is not None:
            return "consumer", consumer.id
        if self.by.startswith("header:"):
            value = context.head.value(self.by.removeprefix("header:").lower())
            if value is not None:
                # Callers select_route the value: its digest bounds what one counter costs.
                return "header", hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
        return "ip", _network(context.head.client_address)


def count(
    context: RequestContext, limits: Sequence[tuple[tuple[str, ...], Limit]]
) -> Respond | None:
    """Record the request against `limits`; 429 when one of them refuses."""
    if not limits:
        return None
    verdict = context.counters.hit(limits)
    if context.verdict is None or not verdict.allowed or _is_tighter(verdict, context.verdict):
        context.verdict = verdict
    if verdict.allowed:
        return None
    wait = str(max(1, math.ceil(verdict.reset)))
    detail = f"The limit is {verdict.limit} requests; try again in {wait} s."
    return problem(429, "Too many requests", detail, [("Retry-After", wait)])


def _is_tighter(one: LimitResult, other: LimitResult) -> bool:
    return one.remaining < other.remaining


def _network(client_address: str) -> str:
    """An address, or the /64 of an IPv6 one: one host can have all of these."""
    try:
        address = ip_address(client_address.partition("%")[0])
    except ValueError:
        return client_address
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)


def parse_rate_limit(policy_id: str, config: Mapping[str, object]) -> RateLimit:
    """A RateLimit from `{requests, window, by, burst}` or `{maxRequests, intervalSeconds}`.

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
