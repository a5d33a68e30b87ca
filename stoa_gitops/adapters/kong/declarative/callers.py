"""Finds which consumers of a file may call which services, and says so as subscriptions. Pure.

A file has no subscriptions: whoever a service's `key-auth` or `jwt` knows is let in, and an `acl`
plugin narrows that by groups (https://docs.konghq.com/hub/kong-inc/acl/).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ListItem
from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.mapping.grouping import (
    ApiEntities,
    ConsumerEntities,
    group_api_entities,
    group_consumer_entities,
)
from stoa_gitops.adapters.kong.mapping.unmapped_fields import MISSING
from stoa_gitops.adapters.kong.node.snapshot import EntityGroup
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.unmapped import Unmapped

_PLUGINS: Final = {"key-auth": "keys", "jwt": "jwts"}
"""Plugins that tell who calls, and what of a consumer they know."""

_ACL: Final = "acl"


@dataclass(frozen=True, slots=True)
class Callers:
    """Who may call what, from the groups of a file.

    subscriptions  APIs that an application may call, by application; sorted
    restricted     APIs that are for some of those whom they know
    complete       APIs of which all callers are of their own tenant, so that each can subscribe
    groups         names of groups that are let in or kept out anywhere
    """

    subscriptions: Mapping[Key, tuple[Key, ...]]
    restricted: frozenset[Key]
    complete: frozenset[Key]
    groups: frozenset[str]


def find_callers(groups: Iterable[EntityGroup], node: NodeInfo, owner: str) -> Callers:
    """Return who may call what. Groups of consumers that are our own subscriptions count, too."""
    apis: dict[Key, ApiEntities] = {}
    consumers: dict[Key, ConsumerEntities] = {}
    for group in groups:
        if group.key.kind == API:
            apis[group.key] = group_api_entities(group.entities, node, owner)
        else:
            consumers[group.key] = group_consumer_entities(group.entities, node, owner)
    identifying = {key: api for key, api in sorted(apis.items()) if _PLUGINS.keys() & api.plugins}
    subscriptions = {
        application: tuple(key for key, api in identifying.items() if _is_let_in(consumer, api))
        for application, consumer in consumers.items()
    }
    elsewhere = {
        api
        for application, called in subscriptions.items()
        for api in called
        if api.tenant != application.tenant
    }
    return Callers(
        subscriptions,
        frozenset(key for key, api in identifying.items() if any(_acls(api))),
        frozenset(identifying.keys() - elsewhere),
        frozenset(
            group
            for api in identifying.values()
            for acl in _acls(api)
            for groups in _groups(acl)
            for group in groups
        ),
    )


def is_said(unmapped: Unmapped, callers: Callers) -> bool:
    """Whether subscriptions and `access` say what would otherwise be listed."""
    key, field = unmapped.key, unmapped.field
    if key is None:
        return False
    if key in callers.complete:
        return field.startswith("plugins.acl")
    if not callers.subscriptions.get(key):
        return False
    name = field.removeprefix("groups.")
    return name != field and (name in callers.groups or unmapped.value == MISSING)


def _is_let_in(consumer: ConsumerEntities, api: ApiEntities) -> bool:
    """Whether a consumer may use all routes of an API: a subscription is to all of them."""
    if not any(getattr(consumer, held) for name, held in _PLUGINS.items() if name in api.plugins):
        return False
    own = {str(acl.get("group")) for acl in consumer.acls}
    return all(_has_group(own, acl) for acl in _acls(api))


def _acls(api: ApiEntities) -> Iterator[JsonTree]:
    """Yield the `acl` plugins of a service and of its routes."""
    for plugins in (api.plugins, *api.on_routes.values()):
        if _ACL in plugins:
            yield plugins[_ACL]


def _has_group(own: AbstractSet[str], acl: JsonTree) -> bool:
    allowed, denied = _groups(acl)
    return not own.isdisjoint(allowed) if allowed else bool(denied) and own.isdisjoint(denied)


def _groups(acl: JsonTree) -> tuple[frozenset[str], frozenset[str]]:
    """Return the groups that an `acl` plugin lets in, and those that it keeps out."""
    config: Mapping[str, Any] = acl.get("config") or {}
    # `whitelist` and `blacklist` are the names before Kong 3.
    allowed, denied = (
        frozenset(str(text) for name in names for text in config.get(name) or ())
        for names in (("allow", "whitelist"), ("deny", "blacklist"))
    )
    return allowed, denied


def with_callers(items: Iterable[ListItem], callers: Callers) -> Iterator[ListItem]:
    """Yield items of `list_*` with the subscriptions and the access that a file implies.

    What an item says itself stays.
    """
    for item in items:
        key = Key(item["kind"], item["tenant"], item["name"])
        spec: Mapping[str, Any] = item["spec"]
        if key in callers.restricted and not spec.get("plans"):
            yield {**item, "spec": {**spec, "access": "subscribed"}}
        elif callers.subscriptions.get(key) and not spec.get("subscriptions"):
            entries = [{"api": _name_of(api, key)} for api in callers.subscriptions[key]]
            yield {**item, "spec": {**spec, "subscriptions": entries}}
        else:
            yield item


def _name_of(api: Key, application: Key) -> str:
    return api.name if api.tenant == application.tenant else f"{api.tenant}/{api.name}"
