"""Policies, one file each, and the one order in which those of an API run.

cors, ip_filter, api_key, plans, rate_limit, request_size, headers, mock; within a type by
`priority`, then by id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from stoa_proxy.core.exchange import Policy
from stoa_proxy.core.model import Api, Plan, PolicyEntry
from stoa_proxy.foundation.interning import interned
from stoa_proxy.policies.api_key import ApiKey, parse_api_key
from stoa_proxy.policies.cors import parse_cors
from stoa_proxy.policies.headers import parse_headers
from stoa_proxy.policies.ip_filter import parse_ip_filter
from stoa_proxy.policies.mock import parse_mock
from stoa_proxy.policies.plans import PlanGate
from stoa_proxy.policies.rate_limit import RateLimit, parse_rate_limit
from stoa_proxy.policies.request_size import parse_request_size

# In running order.
_PARSERS: Mapping[str, Callable[[str, Mapping[str, object]], Policy]] = {
    "cors": parse_cors,
    "ip_filter": parse_ip_filter,
    "api_key": parse_api_key,
    "rate_limit": parse_rate_limit,
    "request_size": parse_request_size,
    "headers": parse_headers,
    "mock": parse_mock,
}
POLICY_TYPES = tuple(sorted(_PARSERS))
# Of these one is enough: the first by priority counts.
_SINGLE = ("cors", "api_key", "mock")


def parse_policy(policy_type: str, policy_id: str, config: Mapping[str, object]) -> Policy:
    """A policy from its config. Raises ValueError, whose message names the key that is wrong."""
    parser = _PARSERS.get(policy_type)
    if parser is None:
        known = ", ".join(POLICY_TYPES)
        raise ValueError(f"policy_type '{policy_type}' is not enforced here; enforced are {known}")
    policy = parser(policy_id, config)
    return policy if isinstance(policy, RateLimit) else interned(policy)


def compile_api(api_id: str, plans: tuple[Plan, ...], entries: Iterable[PolicyEntry]) -> Api:
    """An API with its policies in running order; plans imply `api_key` with its defaults."""
    by_type: dict[str, list[Policy]] = {}
    for entry in sorted(entries, key=lambda one: (one.priority, one.id)):
        policy = parse_policy(entry.policy_type, entry.id, entry.config)
        by_type.setdefault(entry.policy_type, []).append(policy)
    for single in _SINGLE:
        del by_type.get(single, [])[1:]
    if plans and "api_key" not in by_type:
        by_type["api_key"] = [interned(ApiKey())]
    if "api_key" in by_type:
        by_type["api_key"].append(interned(PlanGate(plans)))
    ordered = tuple(policy for one in _PARSERS for policy in by_type.get(one, ()))
    return Api(
        api_id,
        plans,
        ordered,
        filters=_overriding(ordered, "request_filter"),
        upstream_filters=_overriding(ordered, "upstream_request_filter"),
        answer_filters=_overriding(ordered, "response_filter"),
    )


def _overriding(policies: tuple[Policy, ...], phase: str) -> tuple[Policy, ...]:
    """The policies that have a part in a phase."""
    base = getattr(Policy, phase)
    found = tuple(one for one in policies if getattr(type(one), phase) is not base)
    return policies if len(found) == len(policies) else found
