"""`rate_limit`: requests per window, counted by consumer, address, tenant or a header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stoa_proxy.core.limits import Limit
from stoa_proxy.core.policy import (
    Phase,
    Policy,
    PolicyContext,
    PolicyType,
    Repeat,
    always_public,
)
from stoa_proxy.core.problems import Respond
from stoa_proxy.foundation.interning import interned
from stoa_proxy.foundation.units import parse_duration
from stoa_proxy.policies.parsing import check_keys, read_positive
from stoa_proxy.policies.subjects import (
    names_of,
    note_result,
    read_by,
    refuse_excess,
    subject_of,
)

_SLIDING: Final = "sliding_window"
_BUCKET: Final = "token_bucket"
_ALGORITHMS: Final = (_SLIDING, _BUCKET)


@dataclass(frozen=True, slots=True)
class RateLimit(Policy):
    """One limit; its counters belong to `policy_id`, so that new numbers count on."""

    policy_id: str
    limit: Limit
    by: str = "consumer"

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Refuse with 429 over the limit."""
        return count_request(context, self._limits(context))

    @property
    def header_names(self) -> frozenset[str]:
        """What it counts by."""
        return names_of(self.by)

    def reads_client(self, context: PolicyContext) -> bool:
        """Whether it counts by addresses, as it does where nothing else is known."""
        return subject_of(context, self.by)[0] == "ip"

    def repeat(self, context: PolicyContext) -> Repeat:
        """Return that it is counted: whom it counts for follows from headers and client."""
        return Repeat(context.counters.repeat(context.route.tenant_id, self._limits(context)))

    def _limits(self, context: PolicyContext) -> list[tuple[tuple[str, ...], Limit]]:
        # They count differently, so each has a counter of its own.
        kind = "b" if self.limit.burst else "s" if self.limit.is_sliding else "w"
        key = ("policy", self.policy_id, context.route.api_id, kind, *subject_of(context, self.by))
        return [(key, self.limit)]


def count_request(
    context: PolicyContext, limits: Sequence[tuple[tuple[str, ...], Limit]]
) -> Respond | None:
    """Count the request against all `limits`; 429 when one of them refuses (RFC 6585, 4)."""
    if not limits:
        return None
    result = context.counters.hit(context.route.tenant_id, limits)
    if note_result(context, result):
        return None
    return refuse_excess(result, f"{result.limit} requests")


def parse_rate_limit(policy_id: str, config: Mapping[str, object]) -> RateLimit:
    """Return a RateLimit for `{requests, window, by, burst, algorithm}`.

    STOA gateway 0.9.25 writes `{maxRequests, intervalSeconds}`, which is read, too.

    Raises ValueError.
    """
    if "maxRequests" in config or "intervalSeconds" in config:
        check_keys(config, ("maxRequests", "intervalSeconds"))
        interval = read_positive(config, "intervalSeconds")
        limit = Limit(read_positive(config, "maxRequests"), float(interval))
        return RateLimit(policy_id, interned(limit))
    check_keys(config, ("requests", "window", "by", "burst", "algorithm"))
    try:
        window = parse_duration(config.get("window"))
    except ValueError as error:
        raise ValueError(f"config.window: {error}") from None
    requests = read_positive(config, "requests")
    burst = read_positive(config, "burst") if config.get("burst") is not None else None
    algorithm = config.get("algorithm")
    if algorithm not in (None, *_ALGORITHMS):
        raise ValueError(f"config.algorithm must be one of {', '.join(_ALGORITHMS)}")
    if algorithm == _SLIDING and burst is not None:
        raise ValueError("config.burst is of token_bucket, not of sliding_window")
    if algorithm == _BUCKET and burst is None:
        burst = requests
    limit = Limit(requests, window, burst, is_sliding=algorithm == _SLIDING)
    return RateLimit(policy_id, interned(limit), read_by(config))


POLICY = PolicyType(
    "rate_limit",
    Phase.RATE_LIMITING,
    parse_rate_limit,
    '`{"requests": int > 0, "window": duration, '
    '"by": "consumer"\\|"ip"\\|"tenant"\\|"header:<name>" = "consumer", "burst"?: int, '
    '"algorithm"?: "sliding_window"\\|"token_bucket"}`; without `algorithm` a window that begins '
    "with its first request, or with `burst` a bucket, as `token_bucket` (with `burst` = "
    "`requests`), or "
    'STOA\'s `{"maxRequests", "intervalSeconds"}`',
    statuses=(429,),
    is_shared=False,  # each has counters of its own
    is_public=always_public,
)
