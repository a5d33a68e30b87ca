"""Which file of a catalog may hold which document, and what its folder says about the name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from sys import intern
from typing import Final

from stoa_gitops.catalog.findings import Finding, shown
from stoa_gitops.model.canonical import JsonObject

NAME: Final = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")

_PLATFORM: Final = ("AuthServer", "AuthStrategy", "Scope", "Alias", "GatewayConfig")
_BELOW: Final = {"policies": "Policy", "applications": "Application", "tools": "Tool"}
_HOMES: Final = {
    "Catalog": "catalog.yaml",
    "GatewayInstance": "gateways/",
    "Environment": "environments/",
    "Tenant": "tenants/<tenant>/tenant.yaml",
    "API": "tenants/<tenant>/apis/<api>/api.yaml",
    "Policy": "tenants/<tenant>/policies/",
    "Application": "tenants/<tenant>/applications/",
    "Tool": "tenants/<tenant>/tools/",
    "ToolSet": "tenants/<tenant>/tools/",
} | dict.fromkeys(_PLATFORM, "platform/")


@dataclass(frozen=True, slots=True)
class Slot:
    """What a path may hold.

    kinds   the kinds that fit; empty where no document belongs
    tenant  the tenant whose folder it lies in, empty elsewhere
    name    the name that a document there must have, empty where any will do
    is_api_folder  other YAML files may lie there that an API names as its OpenAPI document
    """

    kinds: tuple[str, ...]
    tenant: str = ""
    name: str = ""
    is_api_folder: bool = False


def may_hold(path: str) -> bool:
    """Whether a file may hold documents: whether it has a slot."""
    if not path.endswith((".yaml", ".yml")):
        return False
    return "/openapi." not in path or slot_of(path) is not None


def slot_of(path: str) -> Slot | None:
    """Return what a path may hold, None for files that are no documents."""
    if not path.endswith((".yaml", ".yml")):
        return None
    parts = path.split("/")
    top = parts[0]
    if len(parts) == 1:
        return Slot(("Catalog",))
    if top == "tenants":
        return _tenant_slot(parts)
    if top == "gateways":
        return Slot(("GatewayInstance",))
    if top == "environments":
        return Slot(("Environment",))
    return Slot(_PLATFORM)


def _tenant_slot(parts: list[str]) -> Slot | None:
    if len(parts) == 2:
        return Slot(())
    tenant, here = intern(parts[1]), parts[2]
    if len(parts) == 3:
        return Slot(("Tenant",) if here in ("tenant.yaml", "tenant.yml") else (), tenant, tenant)
    if here == "apis":
        if len(parts) == 4:
            return Slot((), tenant)
        if parts[-1].startswith("openapi."):
            return None
        return Slot(("API",), tenant, intern(parts[3]), is_api_folder=True)
    kind = _BELOW.get(here)
    if kind is None:
        return Slot((), tenant)
    return Slot((kind, "ToolSet") if kind == "Tool" else (kind,), tenant)


def check_folder(slot: Slot, kind: str, metadata: JsonObject, document: int) -> list[Finding]:
    """Say what of a document does not fit the folder it lies in."""
    if kind not in slot.kinds:
        return [
            Finding(
                "document.place",
                f"a document of kind {kind} does not belong here",
                ("kind",),
                f"move it to {_HOMES.get(kind, 'another folder')}",
                document=document,
            )
        ]
    found = []
    name, tenant = metadata.get("name"), metadata.get("tenant")
    if slot.name and name != slot.name:
        found.append(
            Finding(
                "name.folder",
                f"the name {shown(name)} is not that of its folder, {slot.name}",
                ("metadata", "name"),
                f"write `name: {slot.name}`, or rename the folder",
                document=document,
            )
        )
    if tenant is not None and tenant != slot.tenant:
        where = f"its folder is that of {slot.tenant}" if slot.tenant else "it has no tenant here"
        found.append(
            Finding(
                "name.tenant",
                f"the tenant {shown(tenant)} is not that of the folder: {where}",
                ("metadata", "tenant"),
                "remove the line: the tenant follows from the folder",
                document=document,
            )
        )
    return found
