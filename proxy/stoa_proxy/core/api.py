"""An API with its policies, compiled when it is configured so that no request pays for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stoa_proxy.core.model import Plan
from stoa_proxy.core.policy import AsyncPolicy, Policy
from stoa_proxy.core.retries import RetryRules


@dataclass(frozen=True, slots=True)
class Api:
    """What all routes of one `api_id` share; `policies` are in the order in which they run.

    The other fields are derived by `make_api`: the policies that override a hook.
    `preflight_policy` responds to CORS preflights; `needs_services` is whether a request has to
    wait for an AsyncPolicy.
    """

    id: str
    plans: tuple[Plan, ...] = ()
    policies: tuple[Policy, ...] = ()
    preflight_filters: tuple[Policy, ...] = ()
    preflight_policy: Policy | None = None
    request_filters: tuple[Policy, ...] = ()
    upstream_request_filters: tuple[Policy, ...] = ()
    response_filters: tuple[Policy, ...] = ()
    upstream_peers: tuple[Policy, ...] = ()
    upstream_observers: tuple[Policy, ...] = ()
    upstream_response_filters: tuple[Policy, ...] = ()
    failure_filters: tuple[Policy, ...] = ()
    loggers: tuple[Policy, ...] = ()
    retry: RetryRules | None = None
    needs_services: bool = False


def make_api(api_id: str, plans: tuple[Plan, ...], policies: Iterable[Policy]) -> Api:
    """Return an API with these policies, given in the order in which they run."""
    ordered = tuple(policies)
    return Api(
        api_id,
        plans,
        ordered,
        preflight_filters=_overriding(ordered, "preflight_filter"),
        preflight_policy=next(iter(_overriding(ordered, "preflight")), None),
        request_filters=_overriding(ordered, "request_filter", AsyncPolicy),
        upstream_request_filters=_overriding(ordered, "upstream_request_filter"),
        response_filters=_overriding(ordered, "response_filter"),
        upstream_peers=_overriding(ordered, "upstream_peer"),
        upstream_observers=_overriding(ordered, "upstream_outcome"),
        upstream_response_filters=_overriding(ordered, "upstream_response_filter"),
        failure_filters=_overriding(ordered, "failure_filter"),
        loggers=_overriding(ordered, "log"),
        retry=next((rules for one in ordered if (rules := one.retry_rules()) is not None), None),
        needs_services=any(isinstance(policy, AsyncPolicy) for policy in ordered),
    )


def _overriding(
    policies: tuple[Policy, ...], hook: str, always: tuple[type, ...] | type = ()
) -> tuple[Policy, ...]:
    """Return the policies that override a hook, and those of a class of `always`."""
    overriding = tuple(
        policy for policy in policies if isinstance(policy, always) or policy.overrides(hook)
    )
    # Often all policies override a hook: one tuple less for each of 10,000 APIs.
    return policies if len(overriding) == len(policies) else overriding
