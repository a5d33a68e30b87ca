"""Changes laid over a Picture: which units come out of them, and what of them cannot be written. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.kong.entities.entity import ApiParts, ApplicationParts, Entity
from stoa_gitops.adapters.kong.entities.ownership import parent_of
from stoa_gitops.adapters.kong.mapping.mappers import (
    decompile_api,
    decompile_application,
)
from stoa_gitops.adapters.kong.mapping.rules import held
from stoa_gitops.adapters.kong.node.snapshot import (
    EntityGroup,
    ForeignEntities,
    NodeSnapshot,
    api_unit,
    application_unit,
)
from stoa_gitops.adapters.kong.policies.compose import INACTIVE, replaced_by
from stoa_gitops.errors import GatewayRefused, StoaGitopsError
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key


@dataclass(frozen=True, slots=True, eq=False)
class PendingChange:
    """One change that is to be written; `spec` is None for a deletion.

    gateway_id  what `list_*` called the object, empty where it was not there
    adopts      take over the foreign object of that id
    """

    key: Key
    spec: ObjectSpec | None
    gateway_id: str = ""
    needs: tuple[Key, ...] = ()
    adopts: bool = False

    @property
    def unit(self) -> Key:
        """The unit that the change belongs to."""
        return self.key.parent or self.key


@dataclass(frozen=True)
class EditResult:
    """A Picture with changes laid over it; `touched` are the units that were made anew or went.

    `failures` are wishes that cannot be written, and why.
    """

    base: NodeSnapshot
    units: Mapping[Key, EntityGroup]
    foreign: ForeignEntities
    touched: Mapping[Key, EntityGroup | None]
    failures: Mapping[PendingChange, StoaGitopsError] = field(default_factory=dict)


def edited(picture: NodeSnapshot, wishes: Sequence[PendingChange]) -> EditResult:
    """Lay changes over a picture; the same changes twice give what they give once."""
    failures: dict[PendingChange, StoaGitopsError] = {}
    while True:
        editor = _Editor(picture)
        edit = editor.edit([wish for wish in wishes if wish not in failures])
        failures.update(edit.failures)
        if not editor.is_half_way:
            return replace(edit, failures=failures)


class _Editor:
    def __init__(self, picture: NodeSnapshot) -> None:
        self._picture = picture
        self._node, self._owner = picture.node, picture.owner
        self._touched: dict[Key, EntityGroup | None] = {}
        self._apis: dict[Key, ApiParts | None] = {}
        self._taken_over: list[Entity] = []
        self._failures: dict[PendingChange, StoaGitopsError] = {}
        self._wishes: dict[Key, list[PendingChange]] = {}
        self.is_half_way = False
        """A change of an API made an application impossible: its changes failed, and the rest is to be made anew."""

    def edit(self, wishes: Sequence[PendingChange]) -> EditResult:
        by_unit = self._wishes
        for wish in wishes:
            by_unit.setdefault(wish.unit, []).append(wish)
        for key in sorted(key for key in by_unit if key.kind == API):
            self._edit_api(key, by_unit[key])
        self._edit_applications({k: w for k, w in by_unit.items() if k.kind == APPLICATION})
        units = self._units()
        foreign = self._picture.foreign
        if self._taken_over:
            foreign = foreign.without(self._taken_over)
        return EditResult(self._picture, units, foreign, self._touched, self._failures)

    def _units(self) -> Mapping[Key, EntityGroup]:
        if not self._touched:
            return self._picture.units
        units = dict(self._picture.units)
        for key, unit in self._touched.items():
            if unit is None:
                units.pop(key, None)
            else:
                units[key] = unit
        return units

    # APIs

    def _edit_api(self, key: Key, wishes: Sequence[PendingChange]) -> None:
        """Make a unit of all its changes, or, where that fails, of those that do not fail by themselves."""
        before = self._parts_of(key)
        try:
            after = before
            for wish in wishes:
                after = _with(after, wish, self._picture.foreign)
            self._put_api(key, after)
        except StoaGitopsError:
            self._edit_one_by_one(key, before, wishes)
        for wish in wishes:
            if wish.adopts and wish not in self._failures:
                self._taken_over += taken_over(self._picture.foreign, wish)

    def _edit_one_by_one(self, key: Key, before: ApiParts, wishes: Sequence[PendingChange]) -> None:
        good = before
        for wish in wishes:
            try:
                tried = _with(good, wish, self._picture.foreign)
                self._put_api(key, tried)
            except StoaGitopsError as error:
                self._failures[wish] = error
            else:
                good = tried
        if good is before:
            self._touched.pop(key, None)
            self._apis.pop(key, None)
        else:
            self._put_api(key, good)

    def _put_api(self, key: Key, parts: ApiParts) -> None:
        if parts.api is None and not parts.policies:
            self._touched[key], self._apis[key] = None, None
            return
        self._touched[key] = api_unit(parts, self._node, self._owner)
        self._apis[key] = parts

    def _parts_of(self, key: Key) -> ApiParts:
        unit = self._picture.units.get(key)
        if unit is None:
            return ApiParts(key, key.identifier(self._owner), None)
        return decompile_api(unit.entities, self._node, self._owner, key)[0]

    # applications

    def _edit_applications(self, by_unit: Mapping[Key, Sequence[PendingChange]]) -> None:
        """Make applications that changed, and those whose limits come from an API that did."""
        for key, wishes in sorted(by_unit.items()):
            for wish in wishes:
                self._edit_application(key, wish)
        moved = self._apis.keys()
        for key, unit in self._picture.units.items():
            if unit.uses and key not in by_unit and not moved.isdisjoint(unit.uses):
                self._renew_application(key, unit)

    def _renew_application(self, key: Key, unit: EntityGroup) -> None:
        parts, _ = decompile_application(unit.entities, self._node, self._owner, key)
        try:
            self._put_application(parts)
        except StoaGitopsError as error:
            to_blame = [w for api in unit.uses for w in self._wishes.get(api, ())]
            if not to_blame:
                raise
            self._failures.update(dict.fromkeys(to_blame, error))
            self.is_half_way = True

    def _edit_application(self, key: Key, wish: PendingChange) -> None:
        if wish.spec is None:
            self._touched[key] = None
            return
        known = self._picture.units.get(key)
        consumer = key.identifier(self._owner)
        if known is not None:
            consumer = known.root
        elif wish.adopts:
            consumer = wish.gateway_id
        try:
            value = held(APPLICATION, wish.spec.value)
            self._put_application(ApplicationParts(key, consumer, value))
        except StoaGitopsError as error:
            self._failures[wish] = error
            return
        if wish.adopts:
            self._taken_over += taken_over(self._picture.foreign, wish)

    def _put_application(self, parts: ApplicationParts) -> None:
        apis = dict(self._wanted_apis(parts))
        made = application_unit(parts, apis, self._node, self._owner)
        known = self._picture.units.get(parts.key)
        if known is not None and known.entities == made.entities:
            self._touched.pop(parts.key, None)
            return
        self._touched[parts.key] = made

    def _wanted_apis(self, parts: ApplicationParts) -> Iterator[tuple[Key, ApiParts]]:
        for subscription in parts.value["subscriptions"]:  # type: ignore[union-attr]
            named = str(subscription["api"])  # type: ignore[call-overload,index]
            key = Key.parse_name(API, named, parts.key.tenant)
            found = self._apis.get(key)
            if key not in self._apis and key in self._picture.units:
                found = self._apis.setdefault(key, self._parts_of(key))
            if found is not None and found.api is not None:
                yield key, found


def _with(parts: ApiParts, wish: PendingChange, foreign: ForeignEntities) -> ApiParts:
    """Return an API with one change; raises what makes it impossible."""
    if wish.key.kind == API and wish.spec is None:
        return replace(parts, api=None)
    if wish.adopts:
        parts = _adopting(parts, wish, foreign)
    if wish.key.kind != POLICY:
        return replace(parts, api=held(API, _spec(wish).value))
    policies = dict(parts.policies)
    if wish.spec is None:
        policies.pop(wish.key.policy_type, None)
    else:
        spec = held(POLICY, wish.spec.value)
        policies[str(spec["type"])] = spec["config"]
    return replace(parts, policies=policies)


def _spec(wish: PendingChange) -> ObjectSpec:
    assert wish.spec is not None
    return wish.spec


def _adopting(parts: ApiParts, wish: PendingChange, foreign: ForeignEntities) -> ApiParts:
    """Give an API the ids of what it takes over: kept, so that no moment is without its plugins."""
    root = wish.gateway_id.partition("/")[0]
    if wish.key.kind == API and parts.api is None and not parts.policies:
        parts = replace(parts, service_id=root)
    if root != parts.service_id:
        raise GatewayRefused(f"{wish.key} hangs on a service that is not ours: adopt its API, too")
    kept = {
        str(tree["name"]): entity.id
        for entity in taken_over(foreign, wish)
        if entity.type == "plugins" and not (tree := entity.tree).get("route")
    }
    return replace(parts, plugin_ids={**parts.plugin_ids, **kept})


def taken_over(foreign: ForeignEntities, wish: PendingChange) -> Iterator[Entity]:
    """Yield what an adopted object was made of and ours stands in for now.

    An API takes its service and routes, an application its consumer, keys and groups, a policy its plugins. What
    else hangs on them stays with them, for service, consumer and plugins keep their ids.
    """
    root, _, policy_type = wish.gateway_id.partition("/")
    if wish.key.kind == POLICY:
        yield from _plugins(foreign, root, replaced_by(policy_type))
    elif wish.key.kind == APPLICATION:
        yield from _family(foreign, "consumers", "consumer", root, _OF_CONSUMERS)
    else:
        yield from _family(foreign, "services", "service", root, ("routes",))
        yield from _plugins_of_api(foreign, root, _spec(wish).value)


_OF_CONSUMERS: Final = ("keyauth_credentials", "jwt_secrets", "acls")


def _family(
    foreign: ForeignEntities, sort: str, parent: str, root: str, children: Sequence[str]
) -> Iterator[Entity]:
    own = foreign.entities.get(sort, {}).get(root)
    if own is not None:
        yield own
    for entity_type in children:
        for entity in foreign.entities.get(entity_type, {}).values():
            if parent_of(entity.tree, parent) == root:
                yield entity


def _plugins(foreign: ForeignEntities, service: str, names: Collection[str]) -> Iterator[Entity]:
    """Yield the plugins of a service by their names; those of a consumer or a route are no policies."""
    for entity in foreign.on_services.get(service, ()) if names else ():
        if entity.tree.get("name") in names:
            yield entity


def _plugins_of_api(
    foreign: ForeignEntities, root: str, spec: Mapping[str, Any]
) -> Iterator[Entity]:
    """Yield the plugins that are written with the API itself: for its plans, its backend, its being inactive."""
    names = {"acl"} if spec["plans"] else set()
    if "auth" in spec["backend"]:
        names.add("request-transformer")
    yield from _plugins(foreign, root, names)
    if spec["active"]:
        return
    routes = foreign.entities.get("routes", {})
    for entity in foreign.entities.get("plugins", {}).values():
        tree = entity.tree
        route = routes.get(parent_of(tree, "route"))
        if tree["name"] == INACTIVE and route and parent_of(route.tree, "service") == root:
            yield entity
