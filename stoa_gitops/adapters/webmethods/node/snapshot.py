"""Snapshot of a gateway: APIs and applications, ours and foreign, as items of lists. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ListItem, list_item
from stoa_gitops.adapter_sdk.named_groups import named_groups
from stoa_gitops.adapter_sdk.packed_list import PackedList
from stoa_gitops.adapter_sdk.unreadable import UNREADABLE, read_guarded
from stoa_gitops.adapters.webmethods.entities.held import HeldApi
from stoa_gitops.adapters.webmethods.entities.links import LinkedApi
from stoa_gitops.adapters.webmethods.entities.marks import (
    foreign_key,
    read_credentials,
    read_mark,
    read_subscriptions,
)
from stoa_gitops.adapters.webmethods.entities.names import path_of_alias
from stoa_gitops.adapters.webmethods.entities.parts import (
    UNMAPPED,
    ApiParts,
    ApplicationParts,
    Consumers,
    GatewayInfo,
    JsonTree,
)
from stoa_gitops.adapters.webmethods.mapping.access import securities
from stoa_gitops.adapters.webmethods.mapping.apis import decompile_api
from stoa_gitops.adapters.webmethods.mapping.applications import (
    decompile_application,
    wanted_links,
)
from stoa_gitops.adapters.webmethods.mapping.unmapped_fields import UnmappedFields
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.resources import ForeignRoute
from stoa_gitops.model.routing import RoutePattern
from stoa_gitops.model.secret import withheld

_REST: Final = "REST"
"""`type` of an API that documents express without a description of their own."""


@dataclass(frozen=True, slots=True)
class ApiGroup:
    """One API with its policies, as items of lists.

    root   its GUID, or the name of what is left of it
    owner  catalog that it belongs to; empty for none
    link   what applications need to know of it, if it is of our catalog and whole
    """

    root: str
    key: Key
    owner: str
    held: HeldApi
    parts: ApiParts
    consumers: Consumers = field(default_factory=dict)
    items: tuple[ListItem, ...] = ()
    link: LinkedApi | None = None
    unmapped: UnmappedFields = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name on the gateway, for messages."""
        return self.held.name or self.key.short


def owner_and_key(held: HeldApi, info: GatewayInfo) -> tuple[str, Key]:
    """Return the catalog and key that an API's mark says, or a key for a foreign one."""
    mark = read_mark(held.record.get("apiDescription"))
    if mark is not None:
        return mark.owner, mark.key
    if not held.record:
        marks = (read_mark(alias.get("description")) for alias in held.aliases.values())
        left = next((mark for mark in marks if mark is not None), None)
        if left is not None:
            return left.owner, left.key
    name = held.name if isinstance(held.record.get("apiName"), str) else held.api_id
    return "", foreign_key(API, name, info.options.tenant)


def leftover_root(key: Key) -> str:
    """Return the id of an API of which only aliases are left."""
    return f"left:{key.tenant}:{key.name}"


def build_group(
    held: HeldApi, info: GatewayInfo, owner: str, consumers: Consumers | None = None
) -> ApiGroup:
    """Return the group of an API; what cannot be read is foreign and without content."""

    def unknown(reason: str) -> ApiGroup:
        key = Key(API, "", held.api_id)
        item = list_item(key, {UNREADABLE: reason}, held.api_id, managed=False)
        return ApiGroup(held.api_id, key, "", held, ApiParts(key, None), items=(item,))

    build = partial(_build_group, held, info, owner, consumers or {})
    return read_guarded(f"API {held.api_id}", build, unknown)


def _build_group(held: HeldApi, info: GatewayInfo, owner: str, consumers: Consumers) -> ApiGroup:
    owned_by, key = owner_and_key(held, info)
    root = held.api_id or leftover_root(key)
    sort = held.record.get("type")
    if not owned_by and sort not in (None, _REST):
        # A document would make a REST API of it; a WSDL is not given back.
        reason = f"it is a {sort} API, which was not made from a document"
        item = _item(key, {}, {UNREADABLE: reason}, root, managed=False, owner="")
        return ApiGroup(root, key, "", held, ApiParts(key, None), items=(item,))
    parts, left = decompile_api(held, info, key, consumers)
    is_ours = owned_by == owner
    link = link_of(parts, held.api_id) if is_ours else None
    items = tuple(api_items(parts, left, root, managed=is_ours, owner=owned_by))
    return ApiGroup(root, key, owned_by, held, parts, consumers, items, link, left)


def link_of(parts: ApiParts, api_id: str) -> LinkedApi | None:
    """Return what applications need to know of an API; None for one that is not whole."""
    api: Any = parts.api
    if api is None:
        return None
    plans = frozenset(str(plan["name"]) for plan in api["plans"])
    kinds = securities(api, parts.policies)
    return LinkedApi(parts.key, api_id, plans, kinds, api.get("access") == "subscribed")


def api_items(
    parts: ApiParts, left: UnmappedFields, root: str, *, managed: bool, owner: str = ""
) -> list[ListItem]:
    """Return the items of an API in `list_apis` and of its policies in `list_policies`."""
    items = []
    item_of = partial(_item, managed=managed, owner=owner)
    if parts.api is None and not parts.policies:
        items.append(item_of(parts.key, {}, left.get(API), root))
    if parts.api is not None:
        items.append(item_of(parts.key, parts.api, left.get(API), root))
    for policy_type, config in sorted(parts.policies.items()):
        key = parts.key.policy(policy_type)
        spec = {"api": parts.key.name, "type": policy_type, "config": config}
        of_policy = dict(left.get(policy_type) or {})
        if parts.api is None:
            of_policy |= left.get(API) or {}
        items.append(item_of(key, spec, of_policy, f"{root}/{policy_type}"))
    return items


def _item(
    key: Key,
    spec: Mapping[str, Any],
    left: JsonObject | None,
    gateway_id: str,
    *,
    managed: bool,
    owner: str,
) -> ListItem:
    shown = {name: withheld(item) for name, item in spec.items()}
    value = {**shown, UNMAPPED: dict(left) if left else None}
    return list_item(key, value, gateway_id, managed=managed, owner=owner)


@dataclass(frozen=True)
class Snapshot:
    """A gateway at one moment.

    aliases, url_aliases  all of the gateway, by their names
    """

    info: GatewayInfo
    owner: str
    groups: Mapping[str, ApiGroup]
    applications: Sequence[JsonTree]
    aliases: Mapping[str, JsonTree] = field(default_factory=dict)
    url_aliases: Mapping[str, JsonTree] = field(default_factory=dict)
    shared_actions: frozenset[str] = frozenset()
    """Actions that more than one policy has: they are never deleted."""

    @cached_property
    def lists(self) -> Mapping[str, PackedList]:
        """The items of each kind."""
        found: dict[str, list[ListItem]] = {API: [], POLICY: [], APPLICATION: []}
        for group in self._named_groups:
            for item in group.items:
                found[item["kind"]].append(item)
        found[APPLICATION] = list(self._application_items())
        return {kind: PackedList(items) for kind, items in found.items()}

    @cached_property
    def links(self) -> Mapping[Key, LinkedApi]:
        """Our APIs, as applications need them."""
        found = (group.link for group in self._own_groups.values())
        return {link.key: link for link in found if link is not None}

    @cached_property
    def by_name(self) -> Mapping[str, ApiGroup]:
        """Every API by its name; of several versions of one the last."""
        return {group.held.name: group for group in self.groups.values() if group.held.record}

    def target_of(self, url_alias: Mapping[str, Any]) -> ApiGroup | None:
        """Return the API that a URL alias leads to: by its id where it says one, or by its path."""
        api_id = url_alias.get("apiId")
        if isinstance(api_id, str) and api_id:
            return self.groups.get(api_id)
        return self._by_path.get(path_of_alias(str(url_alias.get("urlPath") or "")))

    @cached_property
    def _by_path(self) -> Mapping[str, ApiGroup]:
        return {
            group.held.runtime_path: group for group in self.groups.values() if group.held.record
        }

    @cached_property
    def foreign_routes(self) -> tuple[ForeignRoute, ...]:
        """Every path of an API that is not ours, whether a document expresses it or not."""
        found = [
            ForeignRoute(group.name, RoutePattern(path, ()), group.key)
            for group in self._named_groups
            if not self.is_own(group.root)
            for path in _paths(group.held)
        ]
        return tuple(sorted(found, key=lambda route: (route.name, route.pattern.text)))

    @cached_property
    def _own_groups(self) -> Mapping[Key, ApiGroup]:
        """Our APIs by key. A copy that somebody made has our mark, too: the first counts."""
        found: dict[Key, ApiGroup] = {}
        for group in sorted(self.groups.values(), key=_age):
            if group.owner == self.owner:
                found.setdefault(group.key, group)
        return found

    def find_own(self, key: Key) -> ApiGroup | None:
        """Return our API of this key."""
        return self._own_groups.get(key)

    def is_own(self, root: str) -> bool:
        """Whether an API is ours, and no copy of one."""
        group = self.groups.get(root)
        return group is not None and self._own_groups.get(group.key) is group

    @cached_property
    def _named_groups(self) -> list[ApiGroup]:
        """The groups under keys of their own."""
        return named_groups(self.groups.values(), self._own_groups, _renamed, _id_of)

    @cached_property
    def marked_applications(self) -> list[tuple[JsonTree, Key, bool]]:
        """Applications with their keys, and whether they are ours; ours first."""
        taken: set[Key] = set()
        found = []
        marked = [(tree, read_mark(tree.get("description"), APPLICATION))
                  for tree in self.applications]  # fmt: skip
        for tree, mark in sorted(marked, key=lambda pair: pair[1] is None):
            name = str(tree.get("name") or "")
            key = mark.key if mark else foreign_key(APPLICATION, name, self.info.options.tenant)
            is_ours = mark is not None and mark.owner == self.owner and key not in taken
            if key in taken:
                key = key._replace(name=f"{key.name}-{str(tree.get('id') or '')[:8]}")
            taken.add(key)
            found.append((tree, key, is_ours))
        return found

    def _application_items(self) -> Iterator[ListItem]:
        for tree, key, is_ours in self.marked_applications:
            parts, left = self.read_application(tree, key)
            mark = read_mark(tree.get("description"), APPLICATION)
            owner = mark.owner if mark is not None else ""
            yield _item(
                parts.key, parts.value, left, parts.application_id, managed=is_ours, owner=owner
            )

    def read_application(
        self, tree: Mapping[str, Any], key: Key
    ) -> tuple[ApplicationParts, dict[str, Any]]:
        """Return an application, and what it holds beyond its canonical form."""
        return decompile_application(tree, key, self.links)

    def find_application(self, key: Key) -> JsonTree | None:
        """Return our application of this key."""
        return next(
            (tree for tree, other, ours in self.marked_applications if ours and other == key), None
        )


def consumers_of(
    applications: Sequence[tuple[JsonTree, Key, bool]], links: Mapping[Key, LinkedApi]
) -> dict[Key, dict[str, tuple[str, ...]]]:
    """Return who subscribes to which plan of which API of ours."""
    found: dict[Key, dict[str, tuple[str, ...]]] = {}
    for tree, key, is_ours in applications:
        mark = read_mark(tree.get("description"), APPLICATION)
        if mark is None or not is_ours:
            continue
        types = [kind for kind, _ in read_credentials(mark)]
        for link in wanted_links(key, types, read_subscriptions(mark), links):
            if link.plan:
                plans = found.setdefault(link.api.key, {})
                members = {*plans.get(link.plan, ()), str(tree.get("id") or "")}
                plans[link.plan] = tuple(sorted(members))
    return found


def _age(group: ApiGroup) -> tuple[bool, str, str]:
    record = group.held.record
    return not record, str(record.get("creationDate") or ""), group.root


def _paths(held: HeldApi) -> Iterator[str]:
    yield from sorted(held.paths)
    if held.record:
        yield held.runtime_path


def _renamed(group: ApiGroup, key: Key, items: tuple[ListItem, ...]) -> ApiGroup:
    return replace(group, key=key, items=items)


def _id_of(group: ApiGroup) -> str:
    return group.root
