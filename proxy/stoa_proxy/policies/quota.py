"""`quota`: requests in a calendar period of UTC, counted over restarts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from stoa_proxy.core.policy import (
    Phase,
    Policy,
    PolicyContext,
    PolicyType,
    Repeat,
    always_public,
)
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.quotas import PERIODS, QuotaCounters, QuotaKey
from stoa_proxy.policies.parsing import check_keys, read_positive
from stoa_proxy.policies.subjects import (
    names_of,
    note_result,
    read_by,
    refuse_excess,
    subject_of,
)


@dataclass(frozen=True, slots=True)
class Quota(Policy):
    """One quota; its counters belong to `policy_id`, so that new numbers count on."""

    policy_id: str
    requests: int
    period: str
    by: str = "consumer"

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Refuse with 429 over the quota."""
        result = context.states.of(QuotaCounters).hit(self._key(context), self.requests)
        if note_result(context, result):
            return None
        return refuse_excess(result, f"{self.requests} requests in a {self.period}")

    @property
    def header_names(self) -> frozenset[str]:
        """What it counts by."""
        return names_of(self.by)

    @property
    def quota(self) -> tuple[str, str, int]:
        """What the admin API shows beside its counts."""
        return self.policy_id, self.period, self.requests

    def reads_client(self, context: PolicyContext) -> bool:
        """Whether it counts by addresses, as it does where nothing else is known."""
        return subject_of(context, self.by)[0] == "ip"

    def repeat(self, context: PolicyContext) -> Repeat:
        """Return that it is counted: whom it counts for follows from headers and client."""
        counters = context.states.of(QuotaCounters)
        return Repeat(partial(counters.hit, self._key(context), self.requests))

    def _key(self, context: PolicyContext) -> QuotaKey:
        route = context.route
        kind, subject = subject_of(context, self.by)
        return QuotaKey(route.tenant_id, self.policy_id, route.api_id, self.period, kind, subject)


def parse_quota(policy_id: str, config: Mapping[str, object]) -> Quota:
    """Return a Quota for `{requests, period, by}`. Raises ValueError."""
    check_keys(config, ("requests", "period", "by"))
    period = config.get("period")
    if not isinstance(period, str) or period not in PERIODS:
        raise ValueError(f"config.period must be one of {', '.join(PERIODS)}")
    return Quota(policy_id, read_positive(config, "requests"), period, read_by(config))


POLICY = PolicyType(
    "quota",
    Phase.RATE_LIMITING,
    parse_quota,
    '`{"requests": int > 0, "period": "hour"\\|"day"\\|"week"\\|"month", "by"?}`, `by` as of '
    "`rate_limit`; periods are those of the calendar in UTC, a week begins on Monday",
    statuses=(429,),
    is_shared=False,  # each has counters of its own
    is_public=always_public,
    states=(QuotaCounters,),
)
