"""Plans: a live subscription to one of them, and its rates per consumer and API."""

from __future__ import annotations

from dataclasses import dataclass

from stoa_proxy.core.counters import Limit
from stoa_proxy.core.exchange import Policy, RequestContext, Respond
from stoa_proxy.core.model import Plan
from stoa_proxy.core.problems import problem
from stoa_proxy.policies.rate_limit import count

_UNITS = (
    ("per_second", 1.0),
    ("per_minute", 60.0),
    ("per_day", 86_400.0),
    ("per_month", 30 * 86_400.0),
)


@dataclass(frozen=True, slots=True)
class PlanGate(Policy):
    """Runs after a consumer is identified.

    With plans: a live subscription to one of them, or 403. Without: a consumer of the API's own
    tenant, or a live subscription that names the API.
    """

    plans: tuple[Plan, ...] = ()

    def request_filter(self, context: RequestContext) -> Respond | None:
        """Refuse with 403 without a subscription, with 429 over the plan's rates."""
        consumer = context.consumer
        assert consumer is not None, "api_key runs first"
        now = context.clock.now()
        api_id = context.route.api_id
        mine = [one for one in consumer.subscriptions if one.api_id == api_id]
        live = [one for one in mine if one.is_live(now)]
        if not self.plans:
            if live or (not mine and consumer.tenant_id == context.route.tenant_id):
                return None
            return _forbidden("The consumer has no live subscription to this API.")
        plans = {plan.name: plan for plan in self.plans}
        plan = next((plans[one.plan] for one in live if one.plan in plans), None)
        if plan is None:
            return _forbidden("The consumer has no live subscription to a plan of this API.")
        return count(context, plan_limits(plan, consumer.id, api_id))


def plan_limits(plan: Plan, consumer_id: str, api_id: str) -> list[tuple[tuple[str, ...], Limit]]:
    """The counters of a plan; `burst` belongs to its finest rate."""
    limits: list[tuple[tuple[str, ...], Limit]] = []
    for unit, window in _UNITS:
        rate: int | None = getattr(plan, unit)
        if rate is not None:
            burst = plan.burst if not limits else None
            key = ("plan", api_id, plan.name, consumer_id, unit, "b" if burst else "w")
            limits.append((key, Limit(rate, window, burst)))
    return limits


def _forbidden(detail: str) -> Respond:
    return problem(403, "Forbidden", detail)
