"""Snapshot of an environment: APIs and applications, ours and foreign, as items of lists. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ListItem, list_item
from stoa_gitops.adapter_sdk.named_groups import named_groups as under_own_keys
from stoa_gitops.adapter_sdk.packed_list import PackedList
from stoa_gitops.adapter_sdk.unreadable import UNREADABLE, read_guarded
from stoa_gitops.adapters.gravitee.entities.consumers import HeldApi, HeldSubscription
from stoa_gitops.adapters.gravitee.entities.ids import hrid_of
from stoa_gitops.adapters.gravitee.entities.marks import (
    INCOMPLETE,
    ApplicationMark,
    foreign_key,
    key_in,
    marks_in,
    owner_in,
    read_application_mark,
)
from stoa_gitops.adapters.gravitee.entities.parts import (
    UNMAPPED,
    ApiParts,
    ApplicationParts,
    GatewayInfo,
    JsonTree,
)
from stoa_gitops.adapters.gravitee.mapping.apis import decompile_api, definition_of
from stoa_gitops.adapters.gravitee.mapping.applications import decompile_application
from stoa_gitops.adapters.gravitee.mapping.plans import read_plan_name
from stoa_gitops.adapters.gravitee.mapping.routes import canonical_path
from stoa_gitops.adapters.gravitee.mapping.unmapped_fields import UnmappedFields
from stoa_gitops.adapters.gravitee.node.foreign_access import ForeignAccess
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.resources import ForeignRoute
from stoa_gitops.model.routing import RoutePattern
from stoa_gitops.model.secret import withheld

Signature = tuple[Any, ...]

_SIGNS: Final = ("updatedAt", "deployedAt", "state", "lifecycleState", "visibility", "name")
"""Fields of a listed API of which one changes with every write."""


def signature_of(api: Mapping[str, Any]) -> Signature:
    """Return what tells that an API is as it was."""
    return tuple(str(api.get(name)) for name in _SIGNS)


@dataclass(frozen=True, slots=True)
class ApiGroup:
    """One API with its policies, as items of lists.

    owner  catalog that it belongs to; empty for none
    paths  (host, path) of each, also of APIs that no document expresses
    held   what applications need to know of it, if it is of our catalog and whole
    foreign  who may call it, where that was read and it is not of our catalog
    """

    api_id: str
    key: Key
    name: str
    owner: str
    signature: Signature
    items: tuple[ListItem, ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    held: HeldApi | None = None
    unmapped: UnmappedFields = field(default_factory=dict)
    foreign: ForeignAccess | None = None


def build_group(
    api: Mapping[str, Any],
    plans: Sequence[JsonTree],
    subscriptions: Sequence[HeldSubscription],
    info: GatewayInfo,
    owner: str,
) -> ApiGroup:
    """Return the group of a listed API; what cannot be read is foreign and without content."""
    api_id = str(api.get("id") or "")

    def unknown(reason: str) -> ApiGroup:
        key = Key(API, "", api_id)
        item = list_item(key, {UNREADABLE: reason}, api_id, managed=False)
        return ApiGroup(api_id, key, api_id, "", signature_of(api), (item,))

    build = partial(_build_group, api, plans, subscriptions, info, owner)
    return read_guarded(f"API {api_id}", build, unknown)


def _build_group(
    api: Mapping[str, Any],
    plans: Sequence[JsonTree],
    subscriptions: Sequence[HeldSubscription],
    info: GatewayInfo,
    owner: str,
) -> ApiGroup:
    marks, name = marks_in(api), str(api.get("name") or "")
    key = key_in(marks) or foreign_key(API, name, info.options.tenant)
    parts, left = decompile_api(definition_of(api, list(_plain(plans))), info, owner, key)
    is_ours = owner_in(marks) == owner
    held = None
    if is_ours and INCOMPLETE not in marks:
        found = {str(plan["id"]): read_plan_name(plan) for plan in _plain(plans)}
        held = HeldApi(
            key,
            parts.api_id,
            hrid_of(key),
            {ident: (one.plan, one.security) for ident, one in found.items() if one is not None},
            marks.get("access") == "subscribed",
            tuple(subscriptions),
        )
    return ApiGroup(
        parts.api_id,
        key,
        name,
        owner_in(marks),
        signature_of(api),
        tuple(api_items(parts, left, managed=is_ours, owner=owner_in(marks))),
        tuple(_paths(api)),
        held,
        left,
    )


def _plain(plans: Iterable[JsonTree]) -> Iterator[JsonTree]:
    """Yield plans that look like plans: an odd one must not make its API unreadable."""
    for plan in plans:
        has_parts = isinstance(plan.get("name"), str) and isinstance(plan.get("security"), dict)
        if has_parts and isinstance(plan.get("flows") or [], list):
            yield plan


def _paths(api: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield host and path of everything that an API listens to, of version 2 as well."""
    for listener in api.get("listeners") or ():
        for entry in listener.get("paths") or ():
            yield str(entry.get("host") or ""), canonical_path(str(entry.get("path") or "/"))
    proxy = api.get("proxy") or {}
    for entry in proxy.get("virtualHosts") or ():
        yield str(entry.get("host") or ""), canonical_path(str(entry.get("path") or "/"))
    if api.get("contextPath"):
        yield "", canonical_path(str(api["contextPath"]))


def api_items(
    parts: ApiParts, left: UnmappedFields, *, managed: bool, owner: str = ""
) -> list[ListItem]:
    """Return the items of an API in `list_apis` and of its policies in `list_policies`."""
    items = []
    item_of = partial(_item, managed=managed, owner=owner)
    unreadable = left.get(API, {}).get(UNREADABLE)
    if parts.api is None and unreadable:
        items.append(item_of(parts.key, {}, left[API], parts.api_id))
    if parts.api is not None:
        items.append(item_of(parts.key, parts.api, left.get(API), parts.api_id))
    for policy_type, config in sorted(parts.policies.items()):
        key = parts.key.policy(policy_type)
        spec = {"api": parts.key.name, "type": policy_type, "config": config}
        gateway_id = f"{parts.api_id}/{policy_type}"
        items.append(item_of(key, spec, left.get(policy_type), gateway_id))
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
    value = {**shown, UNMAPPED: left or None}
    return list_item(key, value, gateway_id, managed=managed, owner=owner)


@dataclass(frozen=True)
class Snapshot:
    """An environment at one moment."""

    info: GatewayInfo
    owner: str
    groups: Mapping[str, ApiGroup]
    applications: Sequence[JsonTree]

    @cached_property
    def lists(self) -> Mapping[str, PackedList]:
        """The items of each kind."""
        found: dict[str, list[ListItem]] = {API: [], POLICY: [], APPLICATION: []}
        for group in self.named_groups:
            for item in group.items:
                found[item["kind"]].append(item)
        found[APPLICATION] = list(self._application_items())
        return {kind: PackedList(items) for kind, items in found.items()}

    @cached_property
    def apis(self) -> Mapping[Key, HeldApi]:
        """Our APIs, as applications need them."""
        held = (group.held for group in self._own_groups.values())
        return {one.key: one for one in held if one is not None}

    @cached_property
    def application_ids(self) -> Mapping[Key, str]:
        """The ids of our applications."""
        marked = [
            (read_application_mark(tree.get("description")), tree) for tree in self.applications
        ]
        return {
            mark.key: str(tree.get("id") or "")
            for mark, tree in marked
            if mark is not None and mark.owner == self.owner
        }

    @cached_property
    def foreign_routes(self) -> tuple[ForeignRoute, ...]:
        """Every route of an API that is not ours, whether a document expresses it or not."""
        found = [
            ForeignRoute(group.name, RoutePattern(path, (host.lower(),) if host else ()), group.key)
            for group in self.named_groups
            if not self.is_own(group.api_id)
            for host, path in group.paths
        ]
        return tuple(sorted(found, key=lambda route: (route.name, route.pattern.text)))

    def find_owner(self, path: str, own: Collection[str]) -> ApiGroup | None:
        """Return another API than `own` that has a path, or one below or above it."""
        wanted = canonical_path(path)
        for group in self.groups.values():
            if group.api_id in own:
                continue
            for _, held in group.paths:
                if _overlap(wanted, held):
                    return group
        return None

    def subscriptions_of(self, application: str) -> list[tuple[HeldApi, HeldSubscription]]:
        """Return the subscriptions of an application to APIs of ours."""
        return self._subscriptions.get(application, [])

    @cached_property
    def _subscriptions(self) -> Mapping[str, list[tuple[HeldApi, HeldSubscription]]]:
        found: dict[str, list[tuple[HeldApi, HeldSubscription]]] = {}
        for api in self.apis.values():
            for one in api.subscriptions:
                found.setdefault(one.application_id, []).append((api, one))
        return found

    @cached_property
    def _own_groups(self) -> Mapping[Key, ApiGroup]:
        """Our APIs by key. A copy that somebody made has our marks, too: the usual id is ours."""
        found: dict[Key, ApiGroup] = {}
        ids = self.info.options.ids
        for group in self.groups.values():
            if group.owner == self.owner:
                held = found.setdefault(group.key, group)
                if held is not group and group.api_id == ids.api(hrid_of(group.key)):
                    found[group.key] = group
        return found

    def find_own(self, key: Key) -> ApiGroup | None:
        """Return our API of this key."""
        return self._own_groups.get(key)

    def is_own(self, api_id: str) -> bool:
        """Whether an API is ours, and no copy of one."""
        group = self.groups.get(api_id)
        return group is not None and self._own_groups.get(group.key) is group

    @cached_property
    def named_groups(self) -> list[ApiGroup]:
        """The groups under keys of their own."""
        return under_own_keys(self.groups.values(), self._own_groups, _renamed, _id_of)

    def _application_items(self) -> Iterator[ListItem]:
        for key, tree, mark in self._named_applications():
            is_ours = mark is not None and mark.owner == self.owner and key == mark.key
            parts, left = self.read_application(tree, key)
            owner = mark.owner if mark else ""
            yield _application_item(parts, left, managed=is_ours, owner=owner)

    def _named_applications(self) -> Iterator[tuple[Key, JsonTree, ApplicationMark | None]]:
        """Yield each application under a key of its own, ours first, with its mark."""
        taken: set[Key] = set()
        marked = [
            (tree, read_application_mark(tree.get("description"))) for tree in self.applications
        ]
        # Ours first: a foreign one of the same name gets another key.
        for tree, mark in sorted(marked, key=lambda pair: pair[1] is None):
            application = str(tree.get("id") or "")
            name = str(tree.get("name") or "")
            key = mark.key if mark else foreign_key(APPLICATION, name, self.info.options.tenant)
            if key in taken:
                key = key._replace(name=f"{key.name}-{application[:8]}")
            taken.add(key)
            yield key, tree, mark

    @cached_property
    def foreign_accesses(self) -> Sequence[ForeignAccess]:
        """Who may call foreign APIs, as far as that was read, under the keys of these APIs."""
        return [
            replace(group.foreign, api=replace(group.foreign.api, key=group.key))
            for group in self.named_groups
            if group.foreign is not None
        ]

    @cached_property
    def _foreign_subscriptions(self) -> Mapping[str, list[tuple[HeldApi, HeldSubscription]]]:
        found: dict[str, list[tuple[HeldApi, HeldSubscription]]] = {}
        for access in self.foreign_accesses:
            for one in access.api.subscriptions:
                if one.plan_id in access.api.plans:
                    found.setdefault(one.application_id, []).append((access.api, one))
        return found

    @property
    def foreign_applications(self) -> Iterator[tuple[Key, JsonTree]]:
        """The applications without a mark of ours, under the keys of their items."""
        for key, tree, mark in self._named_applications():
            if mark is None:
                yield key, tree

    def read_application(
        self, tree: Mapping[str, Any], key: Key
    ) -> tuple[ApplicationParts, dict[str, Any]]:
        """Return an application, and what it holds beyond its canonical form."""
        ident = str(tree.get("id") or "")
        held = self.subscriptions_of(ident)
        if read_application_mark(tree.get("description")) is None:
            held = [*held, *self._foreign_subscriptions.get(ident, ())]
        return decompile_application(tree, self.info, self.apis, held, key)


def _application_item(
    parts: ApplicationParts, left: JsonObject, *, managed: bool, owner: str
) -> ListItem:
    return _item(parts.key, parts.value, left, parts.application_id, managed=managed, owner=owner)


def _renamed(group: ApiGroup, key: Key, items: tuple[ListItem, ...]) -> ApiGroup:
    return replace(group, key=key, items=items)


def _id_of(group: ApiGroup) -> str:
    return group.api_id


def _overlap(one: str, other: str) -> bool:
    """Whether a path lies below another one, or is it."""
    first, second = (f"{path.rstrip('/')}/" for path in (one, other))
    return first.startswith(second) or second.startswith(first)
