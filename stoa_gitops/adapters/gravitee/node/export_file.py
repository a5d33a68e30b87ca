"""Reads exports of APIs (v4) as the objects that an environment with them would list. Pure.

An export is what the console's "Export" and `GET …/apis/{id}/_export/definition` give:
`{"export": …, "api": {…}, "plans": […]}`. The definition alone, as gateways have it, and lists of
either are read, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.info import VendorExport
from stoa_gitops.adapters.gravitee.api.options import options_of
from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.plans import OPEN
from stoa_gitops.adapters.gravitee.mapping.rules import METHOD_PLUGIN
from stoa_gitops.adapters.gravitee.node.snapshot import ApiGroup, Snapshot, build_group
from stoa_gitops.adapters.gravitee.node.unmapped import list_unmapped
from stoa_gitops.adapters.gravitee.policies import MAPPINGS
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.yaml.foreign_text import Text
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.unmapped import Unmapped

_LIVE: Final = ("PUBLISHED", "DEPRECATED")
_CREDENTIALS: Final = ("api_key", "jwt")
_CLOSED: Final = (
    "written inactive, for no document says how callers are identified: write a policy that stands "
    "for it, and take `active: false` out"
)


def read_export(data: bytes, name: str, instance: GatewayInstance, owner: str) -> VendorExport:
    """Return what a file holds as items of `list_*`; raises UsageError for what is no export."""
    # A file does not tell the version of the gateway that it is for.
    info = GatewayInfo(
        version="4.12 or later",
        policies=frozenset(
            {METHOD_PLUGIN, *(plugin for one in MAPPINGS.values() for plugin in one.plugins)}
        ),
        options=options_of(instance.options),
    )
    groups: dict[str, ApiGroup] = {}
    kinds: dict[str, set[str]] = {}
    unmapped: list[Unmapped] = []
    for number, (api, plans) in enumerate(_apis(Text(data, name).root, name)):
        if api.get("type", "PROXY") != "PROXY":
            effect = f"not written: an API of type {api['type']}, and HTTP proxies are"
            unmapped.append(Unmapped(f"API {api.get('name')}", "type", "", effect))
            continue
        # Exports that were made without ids have none.
        whole = {**api, "id": str(api.get("id") or f"{name}#{number}")}
        group = build_group(whole, plans, (), info, owner)
        groups[group.api_id] = group
        live = (plan for plan in plans if plan.get("status") in _LIVE)
        kinds[group.api_id] = set(map(_security, live))
    snapshot = Snapshot(info, owner, groups, [])
    # What cannot be read is listed, and has no content that a document could be made of.
    items = [
        item
        for kind in (API, POLICY)
        for item in snapshot.lists[kind]
        if kind != API or "backend" in item["spec"]
    ]
    identified = {
        (item["tenant"], item["spec"].get("api"))
        for item in items
        if item["kind"] == POLICY and item["spec"].get("type") in _CREDENTIALS
    }
    unmapped += list_unmapped(snapshot)
    for item in items:
        own = kinds.get(str(item["gateway_id"]), set())
        is_open = OPEN in own or (item["tenant"], item["name"]) in identified
        if item["kind"] == API and not is_open and item["spec"].get("active"):
            item["spec"] = {**item["spec"], "active": False}
            key = Key(API, item["tenant"], item["name"])
            shown = ", ".join(sorted(own)) or "none"
            unmapped.append(Unmapped(f"API {key.name}", "plans", shown, _CLOSED, key, changes=True))
    return VendorExport(tuple(items), tuple(unmapped))


def _apis(root: Any, name: str) -> Iterator[tuple[JsonTree, list[JsonTree]]]:
    """Yield each API of a file with its plans."""
    for document in root if isinstance(root, list) else [root]:
        if not isinstance(document, dict):
            raise UsageError(f"{name} is no export of an API: it holds no mapping")
        api = document.get("api")
        api = api if isinstance(api, dict) else document
        if "listeners" not in api:
            old = "proxy" in api or "proxy" in document
            hint = "; it is one of version 2, and version 4 is read" if old else ""
            raise UsageError(
                f"{name} is no export of an API of version 4: it has no listeners{hint}"
            )
        plans = document.get("plans") if "plans" in document else api.get("plans")
        if isinstance(plans, Mapping):  # as gateways have them: by id
            plans = [{"id": key, **plan} for key, plan in plans.items() if isinstance(plan, dict)]
        found = [one for one in plans or () if isinstance(one, dict)]
        rest = {key: value for key, value in api.items() if key != "plans"}
        yield _normalised({"state": "STARTED", **rest}, found)


def _normalised(api: JsonTree, plans: list[JsonTree]) -> tuple[JsonTree, list[JsonTree]]:
    """Return both in the words of the management API: gateways have the same in small letters."""
    listeners = [_capital(one, "type") for one in api["listeners"] if isinstance(one, dict)]
    found = {**_capital(api, "type"), "listeners": listeners, "flows": _flows(api)}
    return found, [_plan(one) for one in plans]


def _plan(plan: JsonTree) -> JsonTree:
    security = plan.get("security")
    security = {"type": str(security)} if not isinstance(security, dict) else security
    found = {
        "name": str(plan.get("id") or "plan"),
        "status": "PUBLISHED",
        **_capital(plan, "status"),
        "security": _capital(security, "type"),
        "flows": _flows(plan),
    }
    return {key: value for key, value in found.items() if value is not None}


def _flows(holder: JsonTree) -> list[Any]:
    flows = holder.get("flows")
    return [
        {**flow, "selectors": [_capital(one, "type") for one in flow.get("selectors") or ()]}
        for flow in (flows if isinstance(flows, list) else ())
        if isinstance(flow, dict)
    ]


def _capital(tree: Any, field: str) -> Any:
    value = tree.get(field) if isinstance(tree, dict) else None
    return {**tree, field: value.upper().replace("-", "_")} if isinstance(value, str) else tree


def _security(plan: JsonTree) -> str:
    security = plan.get("security")
    return str(security.get("type") or "") if isinstance(security, dict) else ""
