"""Fields of Gravitee's definitions that the canonical form of an object does not contain. Pure.

Found by compiling again what was read and comparing: drift that no canonical field shows. What was
declared must be there, and beside it only what the server fills in (`added_fields`). Values that
may be secrets are not shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from stoa_gitops.adapters.gravitee.entities.defaults import SETS
from stoa_gitops.adapters.gravitee.entities.marks import is_mark
from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo
from stoa_gitops.adapters.gravitee.mapping.added_fields import find_added
from stoa_gitops.adapters.gravitee.mapping.flows import PREFIX
from stoa_gitops.adapters.gravitee.mapping.plans import read_plan_name
from stoa_gitops.adapters.gravitee.policies import MAPPINGS
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.keys import API
from stoa_gitops.model.secret import Secret

Fields = dict[str, Json]

UnmappedFields: TypeAlias = "Mapping[str, Mapping[str, Json]]"
"""`api`, `application` or a policy type -> Gravitee's field, dotted -> the value that it holds."""

PRESENT: Final = "present"
MISSING: Final = "missing"
HIDDEN: Final = "another value"

_COMPARED: Final = (
    "type", "listeners", "endpointGroups", "flowExecution", "analytics", "failover", "resources",
)  # fmt: skip
"""Fields of a definition that are compared as a whole; flows and plans are compared by name, and
what the canonical form has (name, version, state, properties) is read."""

_SECRET: Final = frozenset(
    {"headers", "value", "resolverParameter", "content", "body", "script", "condition"}
)
_CREDENTIAL: Final = re.compile(
    "secret|passw|passphrase|token|credential|authorization|signature|private|keystore"
    "|api-?_?key$|keycontent",
    re.IGNORECASE,
)
_USERINFO: Final = re.compile(r"://[^/\s@]*@")
"""Fields of plugins whose values may be secrets, and values that are."""


def find_unmapped_fields(
    held: Mapping[str, Any],
    written: Mapping[str, Any],
    policies: Mapping[str, Any],
    info: GatewayInfo,
    *,
    is_ours: bool,
) -> dict[str, Fields]:
    """Return the fields of a definition that no canonical field of an API covers."""
    out: dict[str, Fields] = {}
    for field, value in _differences_of(held, written, info, is_ours=is_ours):
        out.setdefault(_holder(field, policies), {})[field] = value
    return out


def _differences_of(
    held: Mapping[str, Any], written: Mapping[str, Any], info: GatewayInfo, *, is_ours: bool
) -> Iterator[tuple[str, Json]]:
    for name in _COMPARED:
        if name in written:
            yield from _compared(written[name], held.get(name), name, info)
        elif name == "failover" and (held.get(name) or {}).get("enabled"):
            yield name, PRESENT
    for name, service in (held.get("services") or {}).items():
        if (service or {}).get("enabled"):
            yield f"services.{name}", PRESENT
    yield from _flow_differences(held, written, "", info, is_ours=is_ours)
    yield from _plan_differences(held, written, info, is_ours=is_ours)
    for entry in held.get("properties") or ():
        if not is_mark(entry):
            yield f"properties.{entry.get('key')}", PRESENT
    options = info.options
    for name, wanted in (("visibility", options.visibility), ("lifecycleState", options.lifecycle)):
        if wanted and held.get(name) not in (wanted, "DEPRECATED", "ARCHIVED", "CREATED"):
            yield name, held.get(name)
    if is_ours:
        lost = sorted(set(written.get("labels") or ()) - set(held.get("labels") or ()))
        yield from ((f"labels.{label}", MISSING) for label in lost)


def _compared(wanted: Any, held: Any, path: str, info: GatewayInfo) -> Iterator[tuple[str, Json]]:
    yield from differences(wanted, held, path)
    for field in find_added(wanted, held, path, info):
        yield field, PRESENT


def _flow_differences(
    held: Mapping[str, Any],
    written: Mapping[str, Any],
    prefix: str,
    info: GatewayInfo,
    *,
    is_ours: bool,
) -> Iterator[tuple[str, Json]]:
    """Compare flows by name; of foreign APIs each flow that no policy was read from is left."""
    ours = {str(flow["name"]): flow for flow in written.get("flows") or ()}
    theirs = [flow for flow in held.get("flows") or () if isinstance(flow, Mapping)]
    if not is_ours:
        plugins = {step["policy"] for flow in ours.values() for step in _steps(flow)}
        for index, flow in enumerate(theirs):
            left = [step for step in _steps(flow) if step.get("policy") not in plugins]
            for step in left:
                yield f"{prefix}flows.{index}.{step.get('policy')}", PRESENT
        return
    names = [str(flow.get("name")) for flow in theirs]
    for name, flow in ours.items():
        at = f"{prefix}flows.{name.removeprefix(PREFIX)}"
        if name not in names:
            yield at, MISSING
        else:
            yield from _compared(flow, theirs[names.index(name)], at, info)
    for index, name in enumerate(names):
        if name not in ours or name in names[:index]:
            yield f"{prefix}flows.{name.removeprefix(PREFIX)}", PRESENT
    wanted = [name for name in ours if name in names]
    if wanted != [name for name in dict.fromkeys(names) if name in ours]:
        # Flows run in their order: what refuses must come before what answers.
        yield f"{prefix}flows", "in another order"


def _steps(flow: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for phase in ("request", "response"):
        yield from flow.get(phase) or ()


def _plan_differences(
    held: Mapping[str, Any], written: Mapping[str, Any], info: GatewayInfo, *, is_ours: bool
) -> Iterator[tuple[str, Json]]:
    ours = {_plan_name(plan): plan for plan in written.get("plans") or ()}
    theirs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for plan in held.get("plans") or ():
        theirs.setdefault(_plan_name(plan), []).append(plan)
    for name, plan in ours.items():
        at = f"plans.{name[0]}"
        if name not in theirs:
            yield at, MISSING
            continue
        other = theirs[name][0]
        if is_ours and other.get("name") != plan["name"]:
            # A plan without security has one place, whatever it is called.
            yield f"{at}.name", other.get("name")
        if other.get("status") != plan["status"]:
            yield f"{at}.status", other.get("status")
        if other.get("selectionRule"):
            # Requests for which it says no are answered by another plan, or by 401.
            yield f"{at}.selectionRule", PRESENT
        yield from _compared(plan["security"], other.get("security"), f"{at}.security", info)
        yield from _flow_differences(other, plan, f"{at}.", info, is_ours=is_ours)
    for name, plans in theirs.items():
        if name not in ours or len(plans) > 1:
            yield f"plans.{name[0]}{'' if name not in ours else '.2'}", PRESENT


def _plan_name(plan: Mapping[str, Any]) -> tuple[str, str]:
    name = read_plan_name(plan)
    if name is None:
        return str(plan.get("name")), str((plan.get("security") or {}).get("type"))
    return name.name, name.security


def differences(wanted: Any, held: Any, path: str) -> Iterator[tuple[str, Json]]:
    """Yield what of a declared value is another one on the gateway, with what that holds.

    Of what only the gateway has, it yields items of lists.
    """
    name = path.rpartition(".")[2]
    if isinstance(wanted, Mapping):
        others = held if isinstance(held, Mapping) else {}
        for field, item in wanted.items():
            yield from differences(item, others.get(field), f"{path}.{field}")
    elif isinstance(wanted, list):
        yield from _list_differences(wanted, held if isinstance(held, list) else [], path)
    elif not _is_same(wanted, held):
        if held is None and not isinstance(wanted, Secret):
            yield path, MISSING
        else:
            yield path, HIDDEN if _may_be_secret(wanted, held, path) else _shown(held, name)


def _may_be_secret(wanted: Any, held: Any, path: str) -> bool:
    """Whether a value of a gateway is kept to ourselves: by what it is, or where it stands."""
    if isinstance(wanted, Secret) or _USERINFO.search(str(held)):
        return True
    return any(part in _SECRET or _CREDENTIAL.search(part) for part in path.split("."))


def _list_differences(
    wanted: list[Any], held: Sequence[Any], path: str
) -> Iterator[tuple[str, Json]]:
    if path.rpartition(".")[2] in SETS:
        if sorted(map(str, wanted)) != sorted(map(str, held)):
            yield path, _shown(list(held), path)
        return
    for index, item in enumerate(wanted):
        if index < len(held):
            yield from differences(item, held[index], f"{path}.{index}")
        else:
            yield f"{path}.{index}", MISSING
    for index in range(len(wanted), len(held)):
        yield f"{path}.{index}", PRESENT


def _is_same(wanted: Any, held: Any) -> bool:
    if isinstance(wanted, Secret):
        return bool(wanted.reveal() == held)
    if held is None:
        # Absent, empty and off are one for Gravitee.
        return wanted in ("", False, None)
    return isinstance(wanted, bool) == isinstance(held, bool) and bool(wanted == held)


def _shown(value: Any, name: str) -> Json:
    del name
    return value if isinstance(value, (str, int, float, bool, list)) else PRESENT


def _holder(field: str, policies: Mapping[str, Any]) -> str:
    """Return the policy type that answers for a field of a definition; `api` for the API itself."""
    if field.startswith("flows."):
        name = field.split(".")[1]
        return name if name in policies else API
    for policy_type in policies:
        for owned in MAPPINGS[policy_type].fields if policy_type in MAPPINGS else ():
            if field == owned or field.startswith(f"{owned}."):
                return policy_type
    return API
