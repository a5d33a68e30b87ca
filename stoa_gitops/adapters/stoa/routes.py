"""Maps one canonical API to its routes on a STOA gateway and back. Pure.

A STOA route has one path, so an API becomes one route per path. Route n has the UUIDv5 of (owner,
API, n) as its id, with an empty part for the first; the others are named `<api>#<n>`. An id that
matches its own name and tenant is our ownership mark (docs/adr/0004).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ListItem, ObjectSpec, list_item
from stoa_gitops.adapter_sdk.unreadable import (
    UNREADABLE,
    gateway_id_of,
    read_guarded,
    unreadable,
)
from stoa_gitops.adapters.stoa.backends import (
    CREDENTIAL,
    UNRESOLVED,
    auth_body,
    balancing_body,
    find_unresolved,
    is_other,
    read_auth,
    read_balancing,
    read_tls,
    tls_body,
    written_secrets,
)
from stoa_gitops.adapters.stoa.plain_gateway import joinable_url
from stoa_gitops.adapters.stoa.rules import (
    Extensions,
    VendorObject,
    digest,
    is_extended,
    owner_by_id,
    route_order,
)
from stoa_gitops.adapters.stoa.unmapped_fields import find_unmapped_fields
from stoa_gitops.errors import GatewayMalformed, SecretUnresolved
from stoa_gitops.model.canonical import Json, JsonObject, canonical_duration, duration_ms
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.secret import Value

_RATES = {
    "perSecond": "per_second", "perMinute": "per_minute", "perDay": "per_day",
    "perMonth": "per_month", "burst": "burst",
}  # fmt: skip
_KEPT = ("displayName", "version", "description", "openapi")
"""Fields that a route lacks; they are kept in `metadata`."""

_SHARED = (
    "tenant_id", "backend_url", "activated", "api_id", "timeout_ms", "retries", "fallback_url",
    "backend_auth", "plans", "metadata", "access", "upstreams", "health_check", "backend_tls",
)  # fmt: skip
_SHARED_PLAIN = ("tenant_id", "backend_url", "activated", "spec_hash")


def route_id(key: Key, owner: str, number: int) -> str:
    """Return the id of one route of an API, counted from 0."""
    return key.identifier(owner, str(number) if number else "")


def join_ids(ids: Sequence[str]) -> str:
    """Return the `gateway_id` of an API: the id of its only route, or a JSON list of several."""
    # A foreign id may be any text; one with a bracket would be read as a list.
    if len(ids) == 1 and not ids[0].startswith("["):
        return ids[0]
    return json.dumps(list(ids), separators=(",", ":"))


def split_ids(gateway_id: str) -> list[str]:
    """Return the ids of the routes of an API; none for an empty `gateway_id`."""
    if not gateway_id.startswith("["):
        return [gateway_id] if gateway_id else []
    return [str(route) for route in json.loads(gateway_id)]


def routes_of(spec: ObjectSpec, tenant_id: str, extensions: Extensions) -> list[dict[str, Value]]:
    """Return the bodies of `POST /admin/apis`, in the order of their numbers.

    Raises SecretUnresolved for a backend credential without a value if there is no fallback.
    """
    value: Any = spec.value
    url = value["backend"]["url"]
    shared = {
        "tenant_id": tenant_id,
        # Our data plane joins segments and needs no help to stay on the host.
        "backend_url": url if is_extended(extensions) else joinable_url(url),
        # A route that is not activated answers 503 instead of 404.
        "activated": value["active"],
        "spec_hash": digest(value),
        **(_extended(spec) if is_extended(extensions) else {}),
    }
    bodies: list[dict[str, Value]] = []
    for number, route in enumerate(sorted(value["routes"], key=route_order)):
        body = {
            "id": route_id(spec.key, spec.owner, number),
            "name": f"{spec.key.name}#{number}" if number else spec.key.name,
            "path_prefix": route["path"],
            # The key is required; an empty list means all methods.
            "methods": route["methods"],
            **shared,
        }
        if is_extended(extensions):
            body |= {"hosts": route["hosts"], "strip_path": route["stripPath"]}
            if "headers" in route:
                body["headers"] = {one["name"]: one["values"] for one in route["headers"]}
        bodies.append(body)
    return bodies


def _extended(spec: ObjectSpec) -> dict[str, Value]:
    value: Any = spec.value
    backend = value["backend"]
    auth, fallback = backend.get("auth"), backend.get("fallback")
    unresolved = find_unresolved(backend)
    if unresolved and fallback is None:
        raise SecretUnresolved(f"{spec.key}: {unresolved} leads nowhere, and there is no fallback")
    metadata = {name: value[name] for name in _KEPT if name in value} | written_secrets(backend)
    # Sent only where it is asked for: a gateway of before refuses fields that it does not know.
    access = {"access": value["access"]} if "access" in value else {}
    return {
        **access,
        **({"backend_tls": tls_body(backend["tls"])} if "tls" in backend else {}),
        "api_id": spec.key.identifier(spec.owner),
        "timeout_ms": duration_ms(backend["timeout"]),
        "retries": backend["retries"],
        "fallback_url": fallback,
        "backend_auth": auth and auth_body(auth),
        **balancing_body(backend),
        "plans": [
            {"name": plan["name"], **{_RATES[r]: plan[r] for r in _RATES if r in plan}}
            for plan in value["plans"]
        ],
        "metadata": {**metadata, UNRESOLVED: True} if unresolved else metadata,
    }


def apis_from(routes: Iterable[VendorObject], owner: str, extensions: Extensions) -> list[ListItem]:
    """Return all APIs as items of `list_apis`, ours and foreign; an unreadable one is empty."""
    items: list[ListItem] = []
    # STOA gateway 0.9.25 lists in the order of a hash map, so nothing may depend on it.
    ours: dict[Key, list[tuple[int, VendorObject]]] = {}
    foreign: dict[tuple[str, str], list[tuple[int, VendorObject]]] = {}
    for route in routes:
        named = read_guarded(f"route {gateway_id_of(route)}", partial(_named, route), _no_name)
        if named is None:
            items.append(unreadable(API, gateway_id_of(route), _NO_NAME))
            continue
        key, number = named
        if route["id"] == route_id(key, owner, number):
            ours.setdefault(key, []).append((number, route))
        else:
            api_id = route.get("api_id", route["id"]) if is_extended(extensions) else route["id"]
            foreign.setdefault((route["tenant_id"], str(api_id)), []).append((number, route))
    for key, group in ours.items():
        items.append(_guarded_item(key, group, extensions, key.identifier(owner)))
    for group in foreign.values():
        key, _ = _numbered(min(group, key=_order)[1])
        items.append(_guarded_item(key, group, extensions, None))
    return items


_NO_NAME: Final = "it has no usable id, name or tenant"


def _named(route: VendorObject) -> tuple[Key, int] | None:
    if not all(isinstance(route[name], str) for name in ("id", "name", "tenant_id")):
        raise TypeError
    return _numbered(route)


def _no_name(_: str) -> None:
    return None


def _guarded_item(
    key: Key,
    group: list[tuple[int, VendorObject]],
    extensions: Extensions,
    our_id: str | None,
) -> ListItem:
    ids = join_ids([str(route["id"]) for _, route in sorted(group, key=_order)])
    return read_guarded(
        str(key),
        partial(_item, key, group, extensions, our_id),
        lambda reason: list_item(key, {UNREADABLE: reason}, ids, managed=our_id is not None),
    )


def _numbered(route: VendorObject) -> tuple[Key, int]:
    name, hash_sign, number = route["name"].rpartition("#")
    # `#0` and `#01` are never ours: the name itself has them then.
    if hash_sign and number.isascii() and number.isdigit() and not number.startswith("0"):
        return Key(API, route["tenant_id"], name), int(number[:9])
    return Key(API, route["tenant_id"], route["name"]), 0


def _order(numbered: tuple[int, VendorObject]) -> tuple[int, str]:
    return numbered[0], str(numbered[1]["id"])


def _item(
    key: Key, group: list[tuple[int, VendorObject]], extensions: Extensions, our_id: str | None
) -> ListItem:
    """Return the item of one API; `our_id` is the id that we give it, None for a foreign one."""
    numbered = sorted(group, key=_order)
    members = [route for _, route in numbered]
    part = str(numbered[0][0] or "")
    names = _SHARED if is_extended(extensions) else _SHARED_PLAIN
    first = members[0]
    if first.get("upstreams"):
        names = (*names, "load_balancer")  # says something beside them only
    unmapped: list[Mapping[str, Json]] = []
    shown: list[VendorObject] = []
    for route in members:
        other = {name: route.get(name) for name in names if route.get(name) != first.get(name)}
        # A route of ours that differs in a shared field is not the declared one: left out, so that
        # the API shows as drifted. Of a foreign one it is what an adoption would overwrite.
        if other and our_id is not None:
            continue
        shown.append(route)
        unmapped.append({**find_unmapped_fields(route, extensions, our_id), **other})
    read = _spec if is_extended(extensions) else _plain_spec
    ids = [str(route["id"]) for route in members]
    return list_item(
        key,
        read(key, shown, unmapped),
        join_ids(ids),
        managed=our_id is not None,
        owner="" if our_id is not None else owner_by_id(key, ids[0], part),
    )


def _plain_spec(
    _key: Key, routes: Sequence[VendorObject], unmapped: Sequence[Mapping[str, Json]]
) -> JsonObject:
    first = routes[0]
    forms = [
        {"path": route["path_prefix"], "methods": sorted(route["methods"]), **others}
        for route, others in zip(routes, unmapped, strict=True)
    ]
    return {
        "active": first["activated"],
        "backend": {"url": first["backend_url"]},
        "routes": sorted(forms, key=route_order),
        "specHash": first["spec_hash"],
    }


def _headers(route: VendorObject) -> dict[str, Json]:
    """Return the headers that a route asks for in the canonical form; nothing where for none."""
    found = _read(route, "headers", dict, {})
    if not found:
        return {}
    asked = {name.lower(): sorted({str(v).lower() for v in found[name]}) for name in found}
    return {"headers": [{"name": name, "values": asked[name]} for name in sorted(asked)]}


def _spec(
    key: Key, routes: Sequence[VendorObject], unmapped: Sequence[Mapping[str, Json]]
) -> JsonObject:
    first = routes[0]
    metadata = _read(first, "metadata", dict, {})
    forms = [
        {
            "path": route["path_prefix"],
            "methods": sorted(route["methods"]),
            "hosts": sorted(_read(route, "hosts", list, [])),
            "stripPath": _read(route, "strip_path", bool, default=True),
            **_headers(route),
            **others,
        }
        for route, others in zip(routes, unmapped, strict=True)
    ]
    plans = [_plan(plan) for plan in _read(first, "plans", list, [])]
    forms.sort(key=route_order)
    plans.sort(key=lambda plan: str(plan["name"]))
    spec: dict[str, Json] = {
        "displayName": key.name,
        **{name: metadata[name] for name in _KEPT if name in metadata},
        "active": first["activated"],
        "backend": _backend(first, metadata),
        "routes": forms,
        "plans": plans,
    }
    if _read(first, "access", str, "tenant") == "subscribed":
        spec["access"] = "subscribed"
    return spec


def _backend(route: VendorObject, metadata: Mapping[str, Any]) -> JsonObject:
    backend: dict[str, Json] = {
        "url": route["backend_url"],
        # 30 s is the data plane's default for a route without a timeout of its own.
        "timeout": canonical_duration(f"{_read(route, 'timeout_ms', int, 30_000)}ms"),
        "retries": _read(route, "retries", int, 0),
    }
    backend |= read_balancing(route, metadata)
    backend |= read_tls(_read(route, "backend_tls", dict, {}), str(route["backend_url"]), metadata)
    auth = _read(route, "backend_auth", dict, {})
    is_held = auth.get("value_set") is True or metadata.get(UNRESOLVED) is True
    if auth and is_held and not is_other(auth, metadata.get(CREDENTIAL)):
        # Without a stored value the gateway lost it (a restart), and with another one somebody
        # replaced it: reported as no credential at all.
        backend["auth"] = read_auth(auth)
    if route.get("fallback_url") is not None:
        backend["fallback"] = _read(route, "fallback_url", str, "")
    return backend


def _plan(plan: object) -> JsonObject:
    if not isinstance(plan, dict) or not isinstance(plan.get("name"), str):
        raise _malformed("plans")
    rates = {name: plan.get(theirs) for name, theirs in _RATES.items()}
    return {"name": plan["name"], **{n: rate for n, rate in rates.items() if rate is not None}}


def _read(route: VendorObject, name: str, kind: type[Any], default: Any) -> Any:
    """Return a field of an extension, or its default if absent or null; raises GatewayMalformed."""
    value = route.get(name)
    if value is None:
        return default
    # In Python a bool is an int; in JSON it is no number.
    if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or value < 0)):
        raise _malformed(name)
    return value


def _malformed(name: str) -> GatewayMalformed:
    return GatewayMalformed(
        f"the list of apis: a route with an unusable `{name}`: check that baseUrl is a STOA"
        " gateway's"
    )
