"""Lays changes over a snapshot: which groups of entities they make, and which fail. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.kong.entities.entity import ApiParts, ApplicationParts, Entity
from stoa_gitops.adapters.kong.entities.ownership import parent_id
from stoa_gitops.adapters.kong.entities.tags import other_owner, owner_tag
from stoa_gitops.adapters.kong.mapping.credentials import credential_numbers
from stoa_gitops.adapters.kong.mapping.mappers import (
    decompile_api,
    decompile_application,
)
from stoa_gitops.adapters.kong.mapping.plugins import (
    IDENTIFYING_PLUGINS,
    INACTIVE,
    identifies,
    plugins_replaced_by,
)
from stoa_gitops.adapters.kong.mapping.rules import stored_spec
from stoa_gitops.adapters.kong.node.snapshot import (
    EntityGroup,
    ForeignEntities,
    NodeSnapshot,
    build_api_group,
    build_application_group,
)
from stoa_gitops.errors import GatewayRefused, StoaGitopsError
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key


@dataclass(frozen=True, slots=True, eq=False)
class PendingChange:
    """One change to write; `spec` is None for a deletion.

    gateway_id  what `list_*` called the object; empty where it did not exist
    needs       keys of changes without which this one is not written
    adopts      take over the foreign object of that id
    """

    key: Key
    spec: ObjectSpec | None
    gateway_id: str = ""
    needs: tuple[Key, ...] = ()
    adopts: bool = False

    @property
    def group(self) -> Key:
        """The key of the group of entities that the change belongs to: an API or an application."""
        return self.key.parent or self.key


@dataclass(frozen=True)
class EditResult:
    """A snapshot with changes laid over it.

    touched   groups that were compiled anew; None for those that are gone
    failures  changes that cannot be written, and why
    """

    base: NodeSnapshot
    groups: Mapping[Key, EntityGroup]
    foreign: ForeignEntities
    touched: Mapping[Key, EntityGroup | None]
    failures: Mapping[PendingChange, StoaGitopsError] = field(default_factory=dict)


def apply_changes(snapshot: NodeSnapshot, changes: Sequence[PendingChange]) -> EditResult:
    """Lay changes over a snapshot; the same changes twice give what they give once."""
    failures: dict[PendingChange, StoaGitopsError] = {}
    while True:
        editor = _Editor(snapshot)
        edit = editor.edit([change for change in changes if change not in failures])
        failures.update(edit.failures)
        if not editor.must_restart:
            return replace(edit, failures=failures)


class _Editor:
    def __init__(self, snapshot: NodeSnapshot) -> None:
        self._snapshot = snapshot
        self._node, self._owner = snapshot.node, snapshot.owner
        self._touched: dict[Key, EntityGroup | None] = {}
        self._apis: dict[Key, ApiParts | None] = {}
        self._replaced: list[Entity] = []
        self._failures: dict[PendingChange, StoaGitopsError] = {}
        self._changes: dict[Key, list[PendingChange]] = {}
        self.must_restart = False
        """Whether a change of an API made an application impossible.

        Its changes fail, the rest starts anew.
        """

    def edit(self, changes: Sequence[PendingChange]) -> EditResult:
        by_group = self._changes
        for change in changes:
            by_group.setdefault(change.group, []).append(change)
        self._take_renamed()
        for key in sorted(key for key in by_group if key.kind == API):
            self._edit_api(key, by_group[key])
        self._edit_applications({k: w for k, w in by_group.items() if k.kind == APPLICATION})
        groups = self._groups()
        foreign = self._snapshot.foreign
        self._replaced += self._strays_taken_back()
        if self._replaced:
            foreign = foreign.without(self._replaced)
        return EditResult(self._snapshot, groups, foreign, self._touched, self._failures)

    def _groups(self) -> Mapping[Key, EntityGroup]:
        if not self._touched:
            return self._snapshot.groups
        groups = dict(self._snapshot.groups)
        for key, group in self._touched.items():
            if group is None:
                groups.pop(key, None)
            else:
                groups[key] = group
        return groups

    def _take_renamed(self) -> None:
        """Let a group that somebody renamed on the node be that of its id again."""
        if not self._snapshot.renamed:
            return
        groups = dict(self._snapshot.groups)
        for key, changes in self._changes.items():
            other = self._snapshot.renamed_from(key)
            is_wanted = any(change.spec is not None for change in changes)
            if is_wanted and key not in groups and other is not None and other in groups:
                groups[key] = replace(groups.pop(other), key=key)
                self._touched[other] = None
        self._snapshot = replace(self._snapshot, groups=groups)

    def _strays_taken_back(self) -> list[Entity]:
        """Return foreign entities that are written again: their ids are ours, and nobody else's.

        They were moved by hand, or lost their mark, while the service or consumer still has it.
        """
        foreign = self._snapshot.foreign.entities
        found = []
        for key, group in self._touched.items():
            is_ours = key in self._snapshot.groups
            for entity in group.entities if group is not None else ():
                other = foreign.get(entity.type, {}).get(entity.id)
                if other is None or other_owner(other.tree) not in ("", self._owner):
                    continue
                if is_ours or (other.type, other.id) in self._snapshot.foreign.strays:
                    found.append(other)
        return found

    # APIs

    def _edit_api(self, key: Key, changes: Sequence[PendingChange]) -> None:
        """Compile a group from all its changes, or from those that do not fail by themselves."""
        before = self._parts_of(key)
        try:
            after = before
            for change in changes:
                after = _apply_change(after, change, self._snapshot.foreign)
            self._put_api(key, after)
        except StoaGitopsError:
            self._edit_one_by_one(key, before, changes)
        for change in changes:
            if change.adopts and change not in self._failures:
                self._replaced += replaced_entities(self._snapshot.foreign, change)

    def _edit_one_by_one(
        self, key: Key, before: ApiParts, changes: Sequence[PendingChange]
    ) -> None:
        good = before
        for change in changes:
            try:
                tried = _apply_change(good, change, self._snapshot.foreign)
                self._put_api(key, tried)
            except StoaGitopsError as error:
                self._failures[change] = error
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
        group = build_api_group(parts, self._node, self._owner)
        self._refuse_to_open(key, group)
        self._touched[key] = group
        self._apis[key] = parts

    def _refuse_to_open(self, key: Key, after: EntityGroup) -> None:
        """Refuse to take the groups from an API whose callers a plugin without our mark identifies.

        The plugin was ours (adopted, so that its id does not tell) as long as groups of ours are
        beside it: without them every key on the node would open the API.
        """
        before = self._snapshot.groups.get(key)
        if before is None or not _has_groups(before) or _has_groups(after):
            return
        parts = self._parts_of(key)
        api: Any = parts.api or {}
        if api.get("plans") or any(identifies(name) for name in parts.policies):
            return  # what asked for the groups is taken away by the catalog
        for entity in self._snapshot.foreign.on_services.get(before.root, ()):
            name = str(entity.tree.get("name"))
            if name in IDENTIFYING_PLUGINS:
                raise GatewayRefused(
                    f"{key}: {name} ({entity.id}) on its service has no {owner_tag(self._owner)}, "
                    "and without the groups beside it every key on the node would open this API: "
                    "give it that tag, or remove it"
                )

    def _parts_of(self, key: Key) -> ApiParts:
        group = self._snapshot.groups.get(key)
        if group is None:
            return ApiParts(key, key.identifier(self._owner), None)
        return decompile_api(group.entities, self._node, self._owner, key)[0]

    # applications

    def _edit_applications(self, by_group: Mapping[Key, Sequence[PendingChange]]) -> None:
        """Compile applications that changed, and those whose limits come from an API that did."""
        for key, changes in sorted(by_group.items()):
            for change in changes:
                self._edit_application(key, change)
        moved = self._apis.keys()
        for key, group in self._snapshot.groups.items():
            if group.uses and key not in by_group and not moved.isdisjoint(group.uses):
                self._rebuild_application(key, group)

    def _rebuild_application(self, key: Key, group: EntityGroup) -> None:
        parts, _ = decompile_application(group.entities, self._node, self._owner, key)
        try:
            self._put_application(parts, keeps=True)
        except StoaGitopsError as error:
            causes = [w for api in group.uses for w in self._changes.get(api, ())]
            if not causes:
                raise
            self._failures.update(dict.fromkeys(causes, error))
            self.must_restart = True

    def _edit_application(self, key: Key, change: PendingChange) -> None:
        if change.spec is None:
            self._touched[key] = None
            return
        known = self._snapshot.groups.get(key)
        consumer = key.identifier(self._owner)
        numbers: Mapping[tuple[str, str], int] = {}
        if known is not None:
            consumer = known.root
            numbers = credential_numbers(known.entities, key, self._owner)
        elif change.adopts:
            consumer = change.gateway_id
        try:
            value = stored_spec(APPLICATION, change.spec.value)
            self._put_application(ApplicationParts(key, consumer, value, numbers))
        except StoaGitopsError as error:
            self._failures[change] = error
            return
        if change.adopts:
            self._replaced += replaced_entities(self._snapshot.foreign, change)

    def _put_application(self, parts: ApplicationParts, *, keeps: bool = False) -> None:
        apis = dict(self._subscribed_apis(parts))
        made = build_application_group(parts, apis, self._node, self._owner, keeps=keeps)
        known = self._snapshot.groups.get(parts.key)
        if known is not None and known.entities == made.entities:
            self._touched.pop(parts.key, None)
            return
        self._touched[parts.key] = made

    def _subscribed_apis(self, parts: ApplicationParts) -> Iterator[tuple[Key, ApiParts]]:
        for subscription in parts.value["subscriptions"]:  # type: ignore[union-attr]
            named = str(subscription["api"])  # type: ignore[call-overload,index]
            key = Key.parse_name(API, named, parts.key.tenant)
            found = self._apis.get(key)
            if key not in self._apis and key in self._snapshot.groups:
                found = self._apis.setdefault(key, self._parts_of(key))
            if found is not None and found.api is not None:
                yield key, found


def _has_groups(group: EntityGroup) -> bool:
    return any(one.type == "plugins" and one.tree.get("name") == "acl" for one in group.entities)


def _apply_change(parts: ApiParts, change: PendingChange, foreign: ForeignEntities) -> ApiParts:
    """Return an API with one change; raises StoaGitopsError for what makes it impossible."""
    if change.key.kind == API and change.spec is None:
        return replace(parts, api=None)
    if change.adopts:
        parts = _adopt_ids(parts, change, foreign)
    if change.key.kind != POLICY:
        return replace(parts, api=stored_spec(API, _spec(change).value))
    policies = dict(parts.policies)
    if change.spec is None:
        policies.pop(change.key.policy_type, None)
    else:
        spec = stored_spec(POLICY, change.spec.value)
        policies[str(spec["type"])] = spec["config"]
    return replace(parts, policies=policies)


def _spec(change: PendingChange) -> ObjectSpec:
    assert change.spec is not None
    return change.spec


def _adopt_ids(parts: ApiParts, change: PendingChange, foreign: ForeignEntities) -> ApiParts:
    """Give an API the ids of what it adopts: kept, so that no moment is without its plugins."""
    root = change.gateway_id.partition("/")[0]
    if change.key.kind == API and parts.api is None and not parts.policies:
        parts = replace(parts, service_id=root)
    if root != parts.service_id:
        raise GatewayRefused(
            f"{change.key} hangs on a service that is not ours: adopt its API, too"
        )
    kept = {
        str(tree["name"]): entity.id
        for entity in replaced_entities(foreign, change)
        if entity.type == "plugins" and not (tree := entity.tree).get("route")
    }
    return replace(parts, plugin_ids={**parts.plugin_ids, **kept})


def replaced_entities(foreign: ForeignEntities, change: PendingChange) -> Iterator[Entity]:
    """Yield the foreign entities that ours replace in an adoption.

    An API replaces its service and routes, an application its consumer, keys and groups, a policy
    its plugins. What others bound to them stays, for service, consumer and plugins keep their ids.
    """
    root, _, policy_type = change.gateway_id.partition("/")
    if change.key.kind == POLICY:
        yield from _plugins(foreign, root, plugins_replaced_by(policy_type))
    elif change.key.kind == APPLICATION:
        yield from _entities_below(foreign, "consumers", "consumer", root, _OF_CONSUMERS)
    else:
        yield from _entities_below(foreign, "services", "service", root, ("routes",))
        yield from _plugins_of_api(foreign, root, _spec(change).value)


_OF_CONSUMERS: Final = ("keyauth_credentials", "jwt_secrets", "acls")


def _entities_below(
    foreign: ForeignEntities, sort: str, parent: str, root: str, children: Sequence[str]
) -> Iterator[Entity]:
    own = foreign.entities.get(sort, {}).get(root)
    if own is not None:
        yield own
    for entity_type in children:
        for entity in foreign.entities.get(entity_type, {}).values():
            if parent_id(entity.tree, parent) == root:
                yield entity


def _plugins(foreign: ForeignEntities, service: str, names: Collection[str]) -> Iterator[Entity]:
    """Yield plugins of a service by name; those of a consumer or a route are no policies."""
    for entity in foreign.on_services.get(service, ()) if names else ():
        if entity.tree.get("name") in names:
            yield entity


def _plugins_of_api(
    foreign: ForeignEntities, root: str, spec: Mapping[str, Any]
) -> Iterator[Entity]:
    """Yield plugins that belong to the API itself: plans, backend credential, inactive."""
    names = {"acl"} if spec["plans"] else set()
    if "auth" in spec["backend"]:
        names.add("request-transformer")
    yield from _plugins(foreign, root, names)
    if spec["active"]:
        return
    routes = foreign.entities.get("routes", {})
    for entity in foreign.entities.get("plugins", {}).values():
        tree = entity.tree
        route = routes.get(parent_id(tree, "route"))
        if tree["name"] == INACTIVE and route and parent_id(route.tree, "service") == root:
            yield entity
