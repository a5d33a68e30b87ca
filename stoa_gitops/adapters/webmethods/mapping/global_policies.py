"""Global policies: one for all APIs of a tenant, as the options of a gateway declare them. Pure.

Their filter is our mark in the description of an API, up to its tenant: names will not do, for
`acme-` begins those of the tenant `acme-shop`, too. A filter of APIs alone selects nothing, so that
one of all methods goes with it (contract webmethods.md A.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ListItem, list_item
from stoa_gitops.adapters.webmethods.entities.actions import STAGES, Action, differences
from stoa_gitops.adapters.webmethods.entities.marks import (
    localised,
    read_memory,
    text_of,
    write_memory,
)
from stoa_gitops.adapters.webmethods.entities.parts import UNMAPPED, GatewayInfo, JsonTree
from stoa_gitops.adapters.webmethods.mapping.policy_mapping import Place
from stoa_gitops.adapters.webmethods.policies import MAPPINGS
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.keys import Key
from stoa_gitops.model.kinds import GLOBAL_POLICY
from stoa_gitops.model.losses import Loss

TENANT: Final = "tenant"
_MEMORY: Final = "globalPolicy"
_METHODS: Final = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD")
_TYPES: Final = ("REST", "SOAP", "ODATA", "WEBSOCKET", "GRAPHQL")

DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "cors": {"credentials": False},
    "logging": {"sinks": [], "payloads": False, "redact": []},
}
"""Policy types that can be global, with what a config need not say.

The others identify callers, or need them identified: the lookup `strict` is not to be had in a
global policy, and an API has one action that identifies.
"""


def policies_of(spec: Mapping[str, Any]) -> dict[str, JsonTree]:
    """Return the config of each policy type that a spec has."""
    return {
        name: {**DEFAULTS.get(name, {}), **config}
        for name, config in sorted(spec.items())
        if name != TENANT
    }


def project_global(spec: Mapping[str, Any]) -> JsonTree:
    """Return what a list reports of a global policy that was written."""
    return {TENANT: spec[TENANT], **policies_of(spec)}


def global_losses(spec: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what webMethods does not do of a global policy."""
    if not policies_of(spec):
        yield Loss("a global policy without a policy: name `cors` or `logging`")
    for name, config in policies_of(spec).items():
        if name not in DEFAULTS:
            yield Loss(
                f"a global {name}: it needs callers who are identified, which each API does for "
                "itself: write it as a policy of the tenant",
                at=(name,),
            )
        else:
            yield from MAPPINGS[name].losses(config)


def actions_for(spec: Mapping[str, Any], info: GatewayInfo) -> list[Action]:
    """Return the actions of a global policy, in the order in which requests meet them."""
    place = Place(info)
    found = [one for name, config in policies_of(spec).items()
             for one in MAPPINGS[name].write(config, place)]  # fmt: skip
    return sorted(found, key=lambda action: STAGES.index(action.stage))


def scope_for(owner: str, tenant: str) -> JsonTree:
    """Return the filter that selects the APIs which a catalog wrote for a tenant."""
    mark = f"[stoa-gitops owner={owner} key={tenant}/"
    described = {"attributeName": "API_DESCRIPTION", "operation": "CONTAINS", "value": mark}
    return {
        "applicableAPITypes": list(_TYPES),
        "logicalConnector": "AND",
        "scopeConditions": [
            {"filterType": "API", "logicalConnector": "AND", "attributes": [described]},
            {
                "filterType": "HTTP_METHOD",
                "logicalConnector": "OR",
                "attributes": [
                    {"attributeName": name, "operation": "EQUALS", "value": "true"}
                    for name in _METHODS
                ],
            },
        ],
    }


def policy_name(key: Key) -> str:
    """Return the name on the gateway, for people."""
    return f"stoa-gitops {key.name}"


def empty_policy(key: Key, owner: str, tenant: str) -> JsonTree:
    """Return a global policy before it has actions."""
    return {
        "names": localised(policy_name(key)),
        "policyScope": "GLOBAL",
        "global": True,
        "active": False,
        "systemPolicy": False,
        "scope": scope_for(owner, tenant),
        "policyEnforcements": [],
    }


def memory_of(key: Key, owner: str, spec: Mapping[str, Any]) -> str:
    """Return the description of a global policy: whose it is, and what was written."""
    value = {"owner": owner, "name": key.name, "spec": project_global(spec)}
    return write_memory({_MEMORY: value})


def read_global(policy: Mapping[str, Any]) -> tuple[str, Key, JsonTree] | None:
    """Return owner, key and spec of a global policy that a catalog wrote; None for any other."""
    memory = read_memory(text_of(policy.get("descriptions")))
    held = (memory or {}).get(_MEMORY)
    if not isinstance(held, dict) or not isinstance(held.get("spec"), dict):
        return None
    return str(held.get("owner")), Key(GLOBAL_POLICY, "", str(held.get("name"))), held["spec"]


def read_item(
    policy: Mapping[str, Any],
    actions: Sequence[Mapping[str, Any]],
    dangling: Sequence[str],
    owner: str,
    info: GatewayInfo,
) -> ListItem | None:
    """Return a global policy as an item of a list, with what is not as it was written."""
    found = read_global(policy)
    if found is None:
        return None
    whose, key, spec = found
    left = dict(_differences(policy, actions, dangling, whose, spec, info))
    value = {**spec, UNMAPPED: left or None}
    gateway_id = str(policy.get("id") or "")
    return list_item(key, value, gateway_id, managed=whose == owner, owner=whose)


def _differences(
    policy: Mapping[str, Any],
    actions: Sequence[Mapping[str, Any]],
    dangling: Sequence[str],
    owner: str,
    spec: Mapping[str, Any],
    info: GatewayInfo,
) -> Iterator[tuple[str, Json]]:
    if policy.get("active") is not True:
        yield "active", False
    if not _has_scope(policy.get("scope"), scope_for(owner, str(spec.get(TENANT)))):
        yield "scope", "another one"
    yield from ((f"actions.{one}", "not there") for one in dangling)
    wanted = actions_for(spec, info)
    places = [(one.get("stage"), one.get("templateKey")) for one in actions]
    if places != [(action.stage, action.template) for action in wanted]:
        yield "policyEnforcements", "others"
        return
    for action, held in zip(wanted, actions, strict=True):
        at = f"{action.stage}.{action.template}"
        yield from differences(action.parameters, held.get("parameters"), at)


def _has_scope(held: object, wanted: object) -> bool:
    """Whether a filter has what was written; fields that the server adds do not count."""
    if isinstance(wanted, Mapping):
        return isinstance(held, Mapping) and all(
            _has_scope(held.get(name), value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(held, list)
            and len(held) == len(wanted)
            and all(map(_has_scope, held, wanted))
        )
    return held == wanted
