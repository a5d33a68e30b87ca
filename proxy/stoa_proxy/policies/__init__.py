"""Policies, one file each, and the one order in which those of an API run.

cors, api_key, plans, rate_limit; within a type by `priority`, then by id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from stoa_proxy.exchange import Policy
from stoa_proxy.model import Api, Plan, PolicyEntry
from stoa_proxy.policies.api_key import ApiKey, parse_api_key
from stoa_proxy.policies.cors import parse_cors
from stoa_proxy.policies.plans import PlanGate
from stoa_proxy.policies.rate_limit import parse_rate_limit

_PARSERS: Mapping[str, Callable[[str, Mapping[str, object]], Policy]] = {
    "cors": parse_cors,
    "api_key": parse_api_key,
    "rate_limit": parse_rate_limit,
}
POLICY_TYPES = tuple(sorted(_PARSERS))
# Of these one is enough: the first by priority counts.
_SINGLE = ("cors", "api_key")


def parse_policy(policy_type: str, policy_id: str, config: Mapping[str, object]) -> Policy:
    """A policy from its config. Raises ValueError, whose message names the key that is wrong."""
    parser = _PARSERS.get(policy_type)
    if parser is None:
        known = ", ".join(POLICY_TYPES)
        raise ValueError(f"policy_type '{policy_type}' is not enforced here; enforced are {known}")
    return parser(policy_id, config)


def compile_api(api_id: str, plans: tuple[Plan, ...], entries: Iterable[PolicyEntry]) -> Api:
    """An API with its policies in running order; plans imply `api_key` with its defaults."""
    by_type: dict[str, list[Policy]] = {}
    for entry in sorted(entries, key=lambda one: (one.priority, one.id)):
        policy = parse_policy(entry.policy_type, entry.id, entry.config)
        by_type.setdefault(entry.policy_type, []).append(policy)
    for single in _SINGLE:
        del by_type.get(single, [])[1:]
    if plans and "api_key" not in by_type:
        by_type["api_key"] = [ApiKey()]
    ordered: list[Policy] = [*by_type.get("cors", ()), *by_type.get("api_key", ())]
    if "api_key" in by_type:
        ordered.append(PlanGate(plans))
    ordered += by_type.get("rate_limit", ())
    return Api(api_id, plans, tuple(ordered))
