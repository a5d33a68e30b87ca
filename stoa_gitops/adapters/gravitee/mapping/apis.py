"""Compiles APIs to definitions, and reads definitions, ours and foreign. Pure.

`decompile(compile(x)) == x` holds for all that Gravitee can hold; what is read is compiled again
and compared, and the difference is reported as unmapped fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from stoa_gitops.adapter_sdk.unreadable import UNREADABLE, read_guarded
from stoa_gitops.adapters.gravitee.entities.defaults import (
    CARRIED,
    PLAN_CARRIED,
    SERVER_METADATA,
)
from stoa_gitops.adapters.gravitee.entities.ids import hrid_of
from stoa_gitops.adapters.gravitee.entities.marks import (
    INCOMPLETE,
    LABEL,
    api_marks,
    key_in,
    marks_in,
    owner_in,
    read_memory,
    write_memory,
)
from stoa_gitops.adapters.gravitee.entities.parts import ApiParts, GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.backends import (
    backend_marks,
    compile_groups,
    failover_of,
    read_backend,
)
from stoa_gitops.adapters.gravitee.mapping.losses import Inexpressible
from stoa_gitops.adapters.gravitee.mapping.plans import (
    compile_plans,
    read_plan_name,
    read_plans,
)
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Place
from stoa_gitops.adapters.gravitee.mapping.routes import (
    compile_methods,
    compile_paths,
    read_routes,
)
from stoa_gitops.adapters.gravitee.mapping.rules import (
    METHOD_PLUGIN,
    api_losses,
    policy_losses,
)
from stoa_gitops.adapters.gravitee.mapping.texts import read_text
from stoa_gitops.adapters.gravitee.mapping.unmapped_fields import (
    HIDDEN,
    UnmappedFields,
    find_unmapped_fields,
)
from stoa_gitops.adapters.gravitee.policies import MAPPINGS
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import canonical_bytes
from stoa_gitops.model.keys import API, Key

_STUB_PATH: Final = "/stoa-not-written-yet"
_RANKED: Final = sorted(MAPPINGS.values(), key=lambda mapping: (mapping.rank, mapping.policy_type))


def compile_api(parts: ApiParts, info: GatewayInfo, owner: str) -> JsonTree:
    """Return the definition of an API with its policies, secrets in it.

    Raises Inexpressible where Gravitee cannot hold what is asked for (what it can hold in part is
    written in part), SecretUnresolved for a backend's credential without a value.
    """
    _refuse(parts, info)
    return _definition(parts, info, owner)


def _refuse(parts: ApiParts, info: GatewayInfo) -> None:
    api: Any = parts.api
    if api is not None and "auth" in api["backend"] and api["backend"]["auth"]["value"] is None:
        auth = api["backend"]["auth"]
        raise SecretUnresolved(
            f"{parts.key}: the credential for the backend ({auth['in']} {auth['name']}) leads "
            "nowhere"
        )
    found = list(api_losses(api)) if api is not None else []
    for policy_type, config in parts.policies.items():
        found += policy_losses(policy_type, config, info)
    whole = [loss.message for loss in found if not loss.is_partial]
    if api is not None and METHOD_PLUGIN not in info.policies and compile_methods(api["routes"]):
        whole.append(f"methods of routes: {METHOD_PLUGIN} is not installed on this gateway")
    if whole:
        raise Inexpressible("; ".join(whole))


def _definition(parts: ApiParts, info: GatewayInfo, owner: str) -> JsonTree:
    api: Any = parts.api
    hrid, options = hrid_of(parts.key), info.options
    routes = api["routes"] if api is not None else ()
    paths = compile_paths(routes) or [{"path": f"{stub_path(parts.key)}/", "overrideAccess": False}]
    definition: JsonTree = {
        "hrid": hrid,
        "name": api["displayName"] if api is not None else parts.key.short,
        "version": api["version"] if api is not None else "0",
        "type": "PROXY",
        "state": "STARTED" if api is not None and api["active"] else "STOPPED",
        "visibility": options.visibility or "PRIVATE",
        "lifecycleState": options.lifecycle or "UNPUBLISHED",
        "notifyMembers": False,
        "labels": sorted({LABEL, *options.labels}),
        "categories": list(options.categories),
        "listeners": [{"type": "HTTP", "paths": paths, "entrypoints": [{"type": "http-proxy"}]}],
        "endpointGroups": compile_groups(api),
        "flowExecution": {"mode": "DEFAULT", "matchRequired": False},
        "flows": compile_methods(routes),
        "resources": [],
        "analytics": {"enabled": True},
    }
    if api is not None and "description" in api:
        definition["description"] = api["description"]
    if api is not None and api["backend"]["retries"]:
        failover_of(definition, api)["maxRetries"] = api["backend"]["retries"]
    place = Place(hrid, info, parts.policies, api)
    for mapping in _RANKED:
        if mapping.policy_type in parts.policies:
            mapping.write(definition, parts.policies[mapping.policy_type], place)
    definition["plans"] = compile_plans(parts, info, hrid)
    definition["properties"] = api_marks(owner, parts.key, dict(_memories(parts)))
    return definition


def stub_path(key: Key) -> str:
    """Return the path of an API that has none: one that nobody calls."""
    return f"{_STUB_PATH}/{key.tenant}/{key.name}"


def _memories(parts: ApiParts) -> Iterator[tuple[str, str]]:
    """Yield what no field of Gravitee says, by the name of its mark."""
    api: Any = parts.api
    for policy_type, config in parts.policies.items():
        if MAPPINGS[policy_type].has_memory:
            yield policy_type, write_memory(config)
    if api is None:
        yield INCOMPLETE, "true"
        return
    yield from backend_marks(api).items()
    if "access" in api:
        yield "access", api["access"]
    if "retry" in parts.policies:
        yield "retries", str(api["backend"]["retries"])
    if _reread_routes(api["routes"]) != api["routes"]:
        yield "routes", write_memory(api["routes"])


def _reread_routes(routes: Sequence[Mapping[str, Any]]) -> list[JsonTree]:
    keeps = any(not route["stripPath"] for route in routes)
    definition = {
        "listeners": [{"paths": compile_paths(routes)}], "flows": compile_methods(routes)
    }  # fmt: skip
    return read_routes(definition, keeps_path=keeps)


def definition_of(api: Mapping[str, Any], plans: Sequence[Mapping[str, Any]]) -> JsonTree:
    """Return an API as the management API v2 shows it in the form of the Automation API."""
    open_plans = [plan for plan in plans if plan.get("status") != "CLOSED"]
    return {**api, "version": api.get("apiVersion", ""), "plans": open_plans}


def carry_over(definition: JsonTree, held: Mapping[str, Any], info: GatewayInfo) -> JsonTree:
    """Return a definition with what people of the portal added to the API that is there.

    A write without it would remove it. Properties are not among it: an encrypted one would come
    back as its cipher text (contract gravitee.md R.1 row 16).
    """
    found = dict(definition)
    for name in CARRIED:
        value = held.get(name)
        if not value:
            continue
        if name == "metadata":
            value = [one for one in value if one.get("key") != SERVER_METADATA]
        elif name in ("labels", "categories"):
            value = sorted({*value, *definition.get(name, ())})
        found[name] = value
    there = {read_plan_name(plan): plan for plan in held.get("plans") or ()}
    found["plans"] = [
        {**_carried(there.get(read_plan_name(plan), {})), **plan} for plan in definition["plans"]
    ]
    options = info.options
    if not options.visibility and held.get("visibility"):
        found["visibility"] = held["visibility"]
    state = held.get("lifecycleState")
    # From these two Gravitee allows no way back, and the first is where it begins.
    if state in ("DEPRECATED", "ARCHIVED", "CREATED") or (state and not options.lifecycle):
        found["lifecycleState"] = state
    return found


def _carried(plan: Mapping[str, Any]) -> JsonTree:
    return {name: plan[name] for name in PLAN_CARRIED if plan.get(name)}


def decompile_api(
    definition: Mapping[str, Any], info: GatewayInfo, owner: str, key: Key
) -> tuple[ApiParts, UnmappedFields]:
    """Return the API that a definition stands for, ours or foreign, and its unmapped fields.

    Never raises on content: what cannot be read is an API of which nothing is known but its id.
    """
    api_id = str(definition.get("id") or "")

    def unknown(reason: str) -> tuple[ApiParts, UnmappedFields]:
        return ApiParts(key, None, {}, api_id), {API: {UNREADABLE: reason}}

    return read_guarded(str(key), partial(_decompile, definition, info, owner, key), unknown)


def _decompile(
    definition: Mapping[str, Any], info: GatewayInfo, owner: str, key: Key
) -> tuple[ApiParts, UnmappedFields]:
    marks = marks_in(definition)
    is_ours = key_in(marks) is not None
    place = Place(hrid_of(key), info, marks=marks, is_ours=is_ours)
    policies = dict(_read_policies(definition, place))
    api_id = str(definition.get("id") or "")
    if INCOMPLETE in marks:
        parts, has_other_credential = ApiParts(key, None, policies, api_id), False
    else:
        api, has_other_credential = _read_api(definition, marks, is_ours=is_ours)
        parts = ApiParts(key, api, policies, api_id)
    canonical_bytes([str(parts.api), parts.policies])
    try:
        written = _definition(parts, info, owner_in(marks) or owner)
    except Inexpressible as error:
        return parts, {API: {UNREADABLE: str(error)}}
    left = find_unmapped_fields(definition, written, parts.policies, info, is_ours=is_ours)
    if has_other_credential:
        left.setdefault(API, {})["backend.auth"] = HIDDEN
    return parts, left


def _read_api(
    definition: Mapping[str, Any], marks: Mapping[str, str], *, is_ours: bool
) -> tuple[JsonTree, bool]:
    backend, has_other_credential = read_backend(definition, marks, is_ours=is_ours)
    if marks.get("retries", "").isdecimal():
        backend["retries"] = int(marks["retries"])
    routes = read_routes(definition, keeps_path="url" in marks)
    kept = read_memory(marks, "routes")
    if isinstance(kept, list) and _reread_routes(kept) == routes:
        routes = kept
    api: JsonTree = {
        "displayName": read_text(definition.get("name")),
        "version": str(definition.get("version") or ""),
        "active": definition.get("state") == "STARTED",
        "backend": backend,
        "routes": routes,
        "plans": read_plans(definition.get("plans") or (), is_ours=is_ours),
    }
    description = read_text(definition.get("description"))
    if description:
        api["description"] = description
    if marks.get("access") == "subscribed":
        api["access"] = "subscribed"
    return api, has_other_credential


def _read_policies(definition: Mapping[str, Any], place: Place) -> Iterator[tuple[str, JsonTree]]:
    for mapping in _RANKED:
        config = read_guarded(
            f"the {mapping.policy_type} of {place.hrid}",
            partial(mapping.read, definition, place),
            _no_policy,
        )
        if config is not None:
            yield mapping.policy_type, config


def _no_policy(_: str) -> None:
    return None
