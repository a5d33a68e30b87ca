"""Checks that a consumer subscribes to a plan of the API, and enforces the rates of that plan.

Not a policy type: plans belong to routes, and an API that has them gets the policies below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stoa_proxy.core.limits import Limit
from stoa_proxy.core.model import Consumer, Plan, Subscription
from stoa_proxy.core.policy import Phase, Policy, PolicyContext, Repeat
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.foundation.interning import interned
from stoa_proxy.policies.api_key import ApiKey
from stoa_proxy.policies.either import EitherCredential
from stoa_proxy.policies.rate_limit import count_request

# Without a subscription; over a rate. For documentation: there is no PolicyType to say so.
STATUSES = (403, 429)
# From the finest rate, which `burst` belongs to. A month is 30 days: a rolling window needs a size.
_UNITS = (
    ("per_second", 1.0),
    ("per_minute", 60.0),
    ("per_day", 86_400.0),
    ("per_month", 30 * 86_400.0),
)


@dataclass(frozen=True, slots=True)
class PlanGate(Policy):
    """Refuses consumers without a right to the API; runs after a consumer is identified.

    With plans: a live subscription to one of them, or 403. Without: a live subscription that names
    the API or, unless the API is for subscribers alone, a consumer of its tenant that names it in
    none: one that has ended refuses.
    """

    plans: tuple[Plan, ...] = ()

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Refuse with 403 without a subscription, with 429 over the plan's rates."""
        consumer = context.consumer
        if consumer is None:
            return _forbidden("No consumer of this API is identified.")
        api_id = context.route.api_id
        subscriptions = _subscriptions(consumer, api_id)
        live = [one for one in subscriptions if one.is_live(context.clock)]
        if not self.plans:
            route = context.route
            is_open = not route.is_for_subscribers and consumer.tenant_id == route.tenant_id
            if live or (is_open and not subscriptions):
                return None
            return _forbidden("The consumer has no live subscription to this API.")
        plan = self._plan_of(live)
        if plan is None:
            return _forbidden("The consumer has no live subscription to a plan of this API.")
        return count_request(context, plan_limits(plan, consumer.id, api_id))

    @property
    def header_names(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def repeat(self, context: PolicyContext) -> Repeat | None:
        """Return that it is counted by the same plan, until one of the subscriptions ends."""
        consumer, api_id = context.consumer, context.route.api_id
        if consumer is None:
            return None
        live = [one for one in _subscriptions(consumer, api_id) if one.is_live(context.clock)]
        ends = [one.expires_at for one in live if one.expires_at is not None]
        until = min(ends, default=None)
        plan = self._plan_of(live)
        if plan is None:
            return None if self.plans else Repeat(until=until)
        limits = plan_limits(plan, consumer.id, api_id)
        count = context.counters.repeat(context.route.tenant_id, limits) if limits else None
        return Repeat(count, until)

    def reads_client(self, context: PolicyContext) -> bool:
        """Return False: consumers are counted."""
        return False

    def _plan_of(self, live: Sequence[Subscription]) -> Plan | None:
        plans = {plan.name: plan for plan in self.plans}
        return next((plans[one.plan] for one in live if one.plan in plans), None)


def _subscriptions(consumer: Consumer, api_id: str) -> list[Subscription]:
    return [one for one in consumer.subscriptions if one.api_id == api_id]


def implied_policies(
    plans: tuple[Plan, ...], *, is_authenticated: bool, tokens: Policy | None = None
) -> list[tuple[Phase, Policy, str]]:
    """Return the policies that an API has without configuring them, with their phases and names.

    Plans imply `api_key` with its defaults, or `tokens` in its place, where no policy of the API
    identifies consumers (`is_authenticated`); wherever consumers are identified, subscriptions are
    checked.
    """
    implied: list[tuple[Phase, Policy, str]] = []
    if plans and not is_authenticated:
        key = interned(ApiKey())
        if tokens is None:
            implied.append((Phase.AUTHENTICATION, key, "api_key"))
        else:
            either = interned(EitherCredential((key, tokens)))
            implied.append((Phase.AUTHENTICATION, either, "either"))
    if plans or is_authenticated:
        implied.append((Phase.AUTHORIZATION, interned(PlanGate(plans)), "access"))
    return implied


def plan_limits(plan: Plan, consumer_id: str, api_id: str) -> list[tuple[tuple[str, ...], Limit]]:
    """Return the counters of a plan and their limits; `burst` belongs to its finest rate."""
    limits: list[tuple[tuple[str, ...], Limit]] = []
    for unit, window in _UNITS:
        rate: int | None = getattr(plan, unit)
        if rate is not None:
            burst = plan.burst if not limits else None
            # A window and a bucket count differently, so each has a counter of its own.
            key = ("plan", api_id, plan.name, unit, "b" if burst else "w", consumer_id)
            limits.append((key, Limit(rate, window, burst)))
    return limits


def _forbidden(detail: str) -> Respond:
    return problem(403, "Forbidden", detail, kind="subscription-needed")
