"""Maps canonical specs to the vendor's bodies and back. Pure.

For every spec that the capabilities allow, `from_*(*_of(spec)) == rules.project(spec)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from stoa_gitops.adapter_sdk.contract import ListItem, ObjectSpec, list_item
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.secret import Value

VendorObject: TypeAlias = Mapping[str, Any]
"""An object as the admin API shows it; client.py has checked its `id`."""


def tags_of(spec: ObjectSpec) -> list[str]:
    """Return our ownership mark: the catalog and the key of the object."""
    return [f"owner={spec.owner}", f"key={spec.key}"]


def service_of(spec: ObjectSpec) -> dict[str, Value]:
    """Return the body of `PUT /v1/services/{id}`."""
    value: Any = spec.value
    return {
        "title": value["displayName"],
        "enabled": value["active"],
        "target": value["backend"]["url"],
        # Lists are compared in order: whatever has none on the gateway is sorted on both sides.
        "prefixes": sorted(route["path"] for route in value["routes"]),
        "tags": tags_of(spec),
    }


def limit_of(spec: ObjectSpec) -> dict[str, Value]:
    """Return the body of `PUT /v1/limits/{id}`; fields that a limit lacks are kept in `note`."""
    value: Any = spec.value
    return {
        "service": Key(API, spec.key.tenant, value["api"]).identifier(spec.owner),
        "note": {name: value[name] for name in ("api", "type", "priority")},
        "settings": value["config"],
        "tags": tags_of(spec),
    }


def from_service(service: VendorObject, owner: str) -> ListItem:
    """Return one item of `list_apis`."""
    spec = {
        "displayName": service["title"],
        "active": service["enabled"],
        "backend": {"url": service["target"]},
        "routes": [{"path": path} for path in sorted(service["prefixes"])],
    }
    return _item(API, service, spec, owner)


def from_limit(limit: VendorObject, owner: str) -> ListItem:
    """Return one item of `list_policies`."""
    note = limit["note"] if isinstance(limit.get("note"), dict) else {}
    return _item(POLICY, limit, {**note, "config": limit.get("settings")}, owner)


def _item(kind: str, body: VendorObject, spec: JsonObject, owner: str) -> ListItem:
    key = _key(kind, body.get("tags") or ())
    is_ours = key is not None and f"owner={owner}" in body["tags"]
    shown = key or Key(kind, "", str(body["id"]))
    other = _owner(body.get("tags") or ())
    return list_item(shown, spec, body["id"], managed=is_ours, owner=other)


def _owner(tags: Sequence[str]) -> str:
    """Return the catalog that marked an object, for messages; empty without a mark."""
    marks = (tag.partition("=") for tag in tags)
    return next((text for name, _, text in marks if name == "owner"), "")


def _key(kind: str, tags: Sequence[str]) -> Key | None:
    for tag in tags:
        name, _, text = tag.partition("=")
        if name == "key" and text.startswith(f"{kind}/"):
            try:
                return Key.parse(text)
            except ValueError:
                return None  # a tag that a person wrote: the service is a foreign one
    return None
