"""`diff`: two revisions, environments or gateways of a catalog, field by field; asks no gateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stoa_gitops.model.canonical import Json, JsonObject
from stoa_gitops.model.difference import Difference, DifferenceGroup, ObjectDifference
from stoa_gitops.model.keys import Key
from stoa_gitops.operations.validate import require_name
from stoa_gitops.planning.differ import differences

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.model.resources import SourceRef
    from stoa_gitops.reconcile.selection import Selection

GATEWAY_KIND = "gateway"
"""Kind under which the settings of a gateway itself are compared."""


@dataclass(frozen=True, slots=True)
class _Object:
    """One side of a comparison: a canonical tree, and where it stands."""

    value: JsonObject
    source: SourceRef


def diff_revisions(base: Catalog, head: Catalog, selection: Selection) -> Difference:
    """Compare what two revisions ask of each gateway; gateways that differ alike are one group.

    A gateway of one revision alone has all of its objects added or removed, and so has one that is
    in another environment now.
    """
    names = {gateway.name for catalog in (base, head) for gateway in selection.of(catalog)}
    groups: dict[str, DifferenceGroup] = {}
    for name in sorted(names):
        before, after = _of_gateway(base, name, selection), _of_gateway(head, name, selection)
        made = _group(before, after, name)
        # By what it shows: values of fields are trees, which have no hash.
        alike = groups.setdefault(repr((made.objects, made.unchanged)), made)
        if alike is not made:
            members = (*alike.gateways, name)
            groups[repr((made.objects, made.unchanged))] = replace(alike, gateways=members)
    return Difference(base.revision, head.revision, tuple(groups.values()))


def diff_environments(
    catalog: Catalog, before: str, after: str, tenant: str | None = None
) -> Difference:
    """Compare what a catalog asks in two environments, whichever gateways they have.

    Raises UsageError for an environment of no gateway.
    """
    environments = {gateway.environment for gateway in catalog.gateways}
    for name in (before, after):
        require_name("environment", name, environments)
    sides = [_of_environment(catalog, name, tenant) for name in (before, after)]
    return _single(f"environment {before}", f"environment {after}", *sides)


def diff_gateways(
    catalog: Catalog, before: str, after: str, tenant: str | None = None
) -> Difference:
    """Compare what a catalog asks of two gateways; raises UsageError for one that is not there."""
    for name in (before, after):
        require_name("gateway", name, {gateway.name for gateway in catalog.gateways})
    sides = [dict(_objects(catalog, name, tenant)) for name in (before, after)]
    return _single(f"gateway {before}", f"gateway {after}", *sides)


def _single(
    before: str, after: str, left: Mapping[Key, _Object], right: Mapping[Key, _Object]
) -> Difference:
    return Difference(before, after, (_group(left, right),))


def _group(
    before: Mapping[Key, _Object], after: Mapping[Key, _Object], *gateways: str
) -> DifferenceGroup:
    found = tuple(_compare(before, after))
    changed = sum(item.change == "changed" for item in found)
    return DifferenceGroup(gateways, found, len(before.keys() & after.keys()) - changed)


def _of_gateway(catalog: Catalog, name: str, selection: Selection) -> dict[Key, _Object]:
    gateway = catalog.gateway(name)
    # In another environment than the selected one, it is not there on this side.
    if gateway is None or gateway not in selection.of(catalog):
        return {}
    found = dict(_objects(catalog, name, selection.tenant))
    if selection.tenant is None:
        found[Key(GATEWAY_KIND, "", name)] = _Object(_settings(gateway), gateway.source)
    return found


def _of_environment(catalog: Catalog, environment: str, tenant: str | None) -> dict[Key, _Object]:
    """Return the objects of an environment: of one on several gateways, that of the first."""
    found: dict[Key, _Object] = {}
    for gateway in catalog.gateways:
        if gateway.environment == environment:
            found = dict(_objects(catalog, gateway.name, tenant)) | found
    return found


def _objects(catalog: Catalog, gateway: str, tenant: str | None) -> Iterable[tuple[Key, _Object]]:
    for key, resource in catalog.desired[gateway].resources.items():
        if tenant in (None, key.tenant):
            yield key, _Object(resource.spec.value, resource.source)


def _settings(gateway: GatewayInstance) -> JsonObject:
    """Return what a gateway's document says of it, without its credentials."""
    fields: dict[str, Json] = {
        "gatewayType": gateway.gateway_type,
        "environment": gateway.environment,
        "baseUrl": gateway.base_url or None,
        "publicUrl": gateway.public_url or None,
        "policy": gateway.policy.value,
        "interval": gateway.interval,
        "wave": gateway.wave,
        "suspended": gateway.suspended,
        "tenants": list(gateway.tenants),
        "capabilities": list(gateway.capabilities),
        "backends": {
            "allow": list(gateway.backends_allow),
            "deny": list(gateway.backends_deny),
        },
        "options": gateway.options,
    }
    return fields


def _compare(
    before: Mapping[Key, _Object], after: Mapping[Key, _Object]
) -> Iterable[ObjectDifference]:
    for key in sorted({*before, *after}):
        left, right = before.get(key), after.get(key)
        old: JsonObject = left.value if left else {}
        new: JsonObject = right.value if right else {}
        # `before` is all ours, so that a field that is gone is a difference, too.
        fields = differences(old, new, old, with_references=True)
        if left is None or right is None or fields:
            yield ObjectDifference(
                key, left.source if left else None, right.source if right else None, fields
            )
