"""Snapshot of a node: our groups of entities, foreign entities, and the document of both. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ListItem
from stoa_gitops.adapter_sdk.unreadable import read_guarded
from stoa_gitops.adapters.kong.entities.entity import (
    ENTITY_ORDER,
    ApiParts,
    ApplicationParts,
    Entity,
    JsonTree,
    NodeInfo,
)
from stoa_gitops.adapters.kong.entities.ownership import group_by_root, parent_id
from stoa_gitops.adapters.kong.entities.tags import other_owner
from stoa_gitops.adapters.kong.entities.unique_fields import UniqueValue, credential_keys
from stoa_gitops.adapters.kong.mapping.mappers import (
    api_items,
    application_item,
    compile_api,
    compile_application,
    decompile_api,
    decompile_application,
    object_key,
    strip_defaults,
)
from stoa_gitops.adapters.kong.mapping.plugins import plugin_id
from stoa_gitops.adapters.kong.mapping.route_order import foreign_patterns
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.resources import ForeignRoute
from stoa_gitops.model.routing import RoutePattern

HEAD: Final = '{"_format_version":"3.0","_transform":false'
"""Hashes of basic-auth passwords are carried over as they are: with `_transform` true Kong would
hash them again. So nothing in a document may need a transformation.
"""


@dataclass(frozen=True, slots=True)
class EntityGroup:
    """Entities of one API with its policies or of one application, and its items of `list_*`.

    uses           APIs whose plans and limits went into an application's entities
    unique_values  keys of an application's credentials, which nobody else on the node may have
    """

    key: Key
    entities: tuple[Entity, ...]
    items: tuple[ListItem, ...]
    uses: frozenset[Key] = frozenset()
    unique_values: tuple[UniqueValue, ...] = field(default=(), repr=False)

    @property
    def root(self) -> str:
        """The id of the group's service or consumer."""
        kind = "services" if self.key.kind == API else "consumers"
        return next(entity.id for entity in self.entities if entity.type == kind)


class ForeignEntities:
    """Foreign entities by type and id, carried over as they were read.

    strays  those of them that have our mark and belong to no object of ours: moved by hand to
            another service or consumer, or cut off from theirs
    """

    def __init__(
        self, entities: Mapping[str, Mapping[str, Entity]], strays: Iterable[Entity] = ()
    ) -> None:
        self.entities = entities
        self.strays = frozenset((entity.type, entity.id) for entity in strays)
        self.unique_values: Mapping[UniqueValue, str] | None = None
        self._groups: tuple[EntityGroup, ...] | None = None
        self._names: set[Key] = set()
        self._compared_with: set[Key] = set()

    @cached_property
    # Foreign entities do not change with our edits: sorted once per read.
    def texts(self) -> Mapping[str, tuple[bytes, ...]]:
        """Return the texts of each type, sorted by id."""
        return {
            name: tuple(held[ident].text for ident in sorted(held))
            for name, held in self.entities.items()
        }

    def without(self, gone: Iterable[Entity]) -> ForeignEntities:
        """Return the foreign entities without some that were adopted, or taken back."""
        left = {name: dict(held) for name, held in self.entities.items()}
        for entity in gone:
            left.get(entity.type, {}).pop(entity.id, None)
        return ForeignEntities(left, _those_of(self.strays, left))

    def with_strays(self, strays: Collection[Entity]) -> ForeignEntities:
        """Return the foreign entities with these strays in the place of those that it has."""
        if self.strays == {(entity.type, entity.id) for entity in strays}:
            return self
        left = {name: dict(held) for name, held in self.entities.items()}
        for entity_type, ident in self.strays:
            left.get(entity_type, {}).pop(ident, None)
        for entity in strays:
            left.setdefault(entity.type, {})[entity.id] = entity
        return ForeignEntities(left, strays)

    @cached_property
    def on_services(self) -> Mapping[str, tuple[Entity, ...]]:
        """Return by service the plugins of the service alone, not of a route or consumer."""
        found: dict[str, list[Entity]] = {}
        for entity in self.entities.get("plugins", {}).values():
            tree = entity.tree
            if not tree.get("route") and not tree.get("consumer"):
                found.setdefault(parent_id(tree, "service"), []).append(entity)
        return {service: tuple(plugins) for service, plugins in found.items()}

    def groups(
        self, node: NodeInfo, owner: str, ours: Collection[Key] = ()
    ) -> tuple[EntityGroup, ...]:
        """Return foreign services and consumers as APIs and applications, as far as possible.

        None has a key of `ours`: two objects under one key could not be told apart.
        """
        if self._groups is None or self._compared_with != self._names.intersection(ours):
            found = list(_foreign_groups(self.entities, node, owner, ours))
            self._groups = tuple(group for _, group in found)
            self._names = {asked for asked, _ in found} | {group.key for group in self._groups}
            self._compared_with = self._names.intersection(ours)
        return self._groups


@dataclass(frozen=True)
class NodeSnapshot:
    """A node at one moment.

    hash  that of its document, empty with a database
    gaps  what can be read in no way, in words: a document would lose it
    is_whole  nothing that the node holds is missing: it was written, proven or looked for
    renamed  root type and id of a group -> its key, where the id is not that of the key: what was
             adopted, or renamed by hand
    """

    node: NodeInfo
    owner: str
    groups: Mapping[Key, EntityGroup]
    foreign: ForeignEntities
    hash: str = ""
    gaps: tuple[str, ...] = ()
    is_whole: bool = field(default=False, compare=False)
    renamed: Mapping[tuple[str, str], Key] = field(default_factory=dict, compare=False)
    _lists: dict[str, list[ListItem]] = field(default_factory=dict, compare=False)

    def has_same_content(self, other: NodeSnapshot) -> bool:
        """Whether another snapshot, which was read after this one, has the same entities."""
        return self.foreign is other.foreign and self.groups == other.groups

    def items(self, kind: str) -> list[ListItem]:
        """Return the items of one kind, ours and foreign; the same list each time."""
        if kind not in self._lists:
            foreign = self.foreign.groups(self.node, self.owner, self.groups.keys())
            found = [i for group in (*self.groups.values(), *foreign) for i in group.items]
            found += self._policies_of_others()
            self._lists[kind] = [item for item in found if item["kind"] == kind]
        return self._lists[kind]

    def has_foreign(self, key: Key, gateway_id: str) -> bool:
        """Whether an id of `list_*` is a foreign object, and none of ours."""
        root, _, policy_type = gateway_id.partition("/")
        if key.kind == APPLICATION:
            return root in self.foreign.entities.get("consumers", {})
        if root in self.foreign.entities.get("services", {}):
            return True
        group = self.find_group(root, API) if policy_type else None
        if group is None or any(item["name"] == key.name for item in group.items):
            return False
        return any(item["name"] == key.name for item in self._policies_on(group))

    def _policies_of_others(self) -> Iterator[ListItem]:
        """Yield policies that others bound to services of ours."""
        for service in self.foreign.on_services:
            group = self.find_group(service, API)
            if group is not None:
                yield from self._policies_on(group)

    def _policies_on(self, group: EntityGroup) -> list[ListItem]:
        # One with our id lost its mark. Listed as somebody's, it would stand for the policy that
        # the store knows, while the API is read, and written, without it: open to every key.
        plugins = tuple(
            one
            for one in self.foreign.on_services.get(group.root, ())
            if one.id != plugin_id(group.key, str(one.tree.get("name")), self.owner)
        )
        if not plugins:
            return []
        parts, left = decompile_api(plugins, self.node, self.owner, group.key)
        left = {name: fields for name, fields in left.items() if name != API}
        return api_items(replace(parts, service_id=group.root), left, managed=False)

    def renamed_from(self, key: Key) -> Key | None:
        """Return the key under which the service or consumer of a key is found now."""
        if not self.renamed:
            return None
        root = "services" if key.kind == API else "consumers"
        return self.renamed.get((root, key.identifier(self.owner)))

    def find_group(self, root: str, kind: str) -> EntityGroup | None:
        """Return our group whose service or consumer has this id."""
        return self._roots.get((kind, root))

    @cached_property
    def foreign_routes(self) -> tuple[ForeignRoute, ...]:
        """Return every foreign route, whether an object expresses it or not."""
        foreign = self.foreign.groups(self.node, self.owner, self.groups.keys())
        owners = {group.root: group.key for group in foreign if group.key.kind == API}
        found = []
        for entity in self.foreign.entities.get("routes", {}).values():
            tree = entity.tree
            service, name = parent_id(tree, "service"), str(tree.get("name") or entity.id)
            patterns = read_guarded(
                f"route {name}", partial(_patterns, tree, self.node), _no_patterns
            )
            whose = other_owner(tree)
            found += [
                ForeignRoute(name, pattern, owners.get(service), whose) for pattern in patterns
            ]
        return tuple(sorted(found, key=lambda route: (route.name, route.pattern.text)))

    @cached_property
    def _roots(self) -> Mapping[tuple[str, str], EntityGroup]:
        return {(group.key.kind, group.root): group for group in self.groups.values()}


def _those_of(
    places: Iterable[tuple[str, str]], entities: Mapping[str, Mapping[str, Entity]]
) -> Iterator[Entity]:
    for entity_type, ident in places:
        entity = entities.get(entity_type, {}).get(ident)
        if entity is not None:
            yield entity


def document_text(groups: Iterable[EntityGroup], foreign: ForeignEntities) -> str:
    """Return the canonical text of a document.

    Types in order, groups by key, foreign entities by id.

    The same content gives the same text, so that its hash is known before it is sent.
    """
    # Joined from the bytes of entities, which are serialised once: a change of one API among 10,000
    # costs the join, not a dump of 40,000 trees.
    texts: dict[str, list[bytes]] = {}
    for group in sorted(groups, key=_sort_key):
        for entity in group.entities:
            texts.setdefault(entity.type, []).append(entity.text)
    for name, others in foreign.texts.items():
        if others:
            texts.setdefault(name, []).extend(others)
    parts = [HEAD.encode()]
    names = (*ENTITY_ORDER, *sorted(texts.keys() - set(ENTITY_ORDER)))
    parts += [
        b',"%b":[%b]' % (name.encode(), b",".join(texts[name])) for name in names if name in texts
    ]
    parts.append(b"}")
    return b"".join(parts).decode("utf-8", "surrogatepass")


def document_hash(text: str) -> str:
    """Return the hash that a node reports for a text: MD5 in hex, zeros for an empty one."""
    if text == HEAD + "}":
        return "0" * 32
    # Not for security: Kong itself takes MD5 of the text.
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def entities_by_type(
    groups: Iterable[EntityGroup], foreign: ForeignEntities
) -> Mapping[str, list[Entity]]:
    """Return the entities of each type in the order in which `document_text` writes them."""
    found: dict[str, list[Entity]] = {}
    for group in sorted(groups, key=_sort_key):
        for entity in group.entities:
            found.setdefault(entity.type, []).append(entity)
    for name, held in foreign.entities.items():
        found.setdefault(name, []).extend(held[ident] for ident in sorted(held))
    return found


def sort_entities(entities: Iterable[Entity]) -> tuple[Entity, ...]:
    """Return entities ordered by type, those of one type by id."""
    return tuple(
        sorted(entities, key=lambda one: (_ENTITY_RANKS.get(one.type, len(ENTITY_ORDER)), one.id))
    )


_ENTITY_RANKS: Final = {name: rank for rank, name in enumerate(ENTITY_ORDER)}


def group_from_entities(
    key: Key, entities: Iterable[Entity], node: NodeInfo, owner: str, *, managed: bool
) -> EntityGroup:
    """Return the group of entities that were read or compiled, with its items."""
    entities = sort_entities(entities)
    if key.kind == API:
        parts, unmapped = decompile_api(entities, node, owner, key)
        return EntityGroup(key, entities, tuple(api_items(parts, unmapped, managed=managed)))
    application, unmapped = decompile_application(entities, node, owner, key)
    uses = frozenset(_used_apis(application.value, key))
    items = (application_item(application, unmapped, managed=managed),)
    return EntityGroup(key, entities, items, uses, credential_keys(entities))


def build_api_group(parts: ApiParts, node: NodeInfo, owner: str) -> EntityGroup:
    """Return the group that an API becomes; raises StoaGitopsError for what makes it impossible."""
    entities = sort_entities(compile_api(parts, node, owner))
    return EntityGroup(parts.key, entities, tuple(api_items(parts, {}, managed=True)))


def build_application_group(
    parts: ApplicationParts,
    apis: Mapping[Key, ApiParts],
    node: NodeInfo,
    owner: str,
    *,
    keeps: bool = False,
) -> EntityGroup:
    """Return the group that an application becomes beside these APIs; raises StoaGitopsError.

    With `keeps`, keys that the node holds already are written as they are.
    """
    entities = sort_entities(compile_application(parts, apis, node, owner, keeps=keeps))
    items = (application_item(parts, {}, managed=True),)
    uses = frozenset(_used_apis(parts.value, parts.key))
    return EntityGroup(parts.key, entities, items, uses, credential_keys(entities))


def _used_apis(value: Mapping[str, Any], key: Key) -> Iterator[Key]:
    for subscription in value["subscriptions"]:
        yield Key.parse_name(API, str(subscription["api"]), key.tenant)


def _sort_key(group: EntityGroup) -> tuple[str, str, str]:
    return group.key.kind, group.key.tenant, group.key.name


def _foreign_groups(
    entities: Mapping[str, Mapping[str, Entity]], node: NodeInfo, owner: str, ours: Collection[Key]
) -> Iterator[tuple[Key, EntityGroup]]:
    """Yield the key that each name gives, and the group under a key that is unused."""
    families = group_by_root(entities)
    taken = set(ours)
    for root_type in ("services", "consumers"):
        for ident in sorted(entities.get(root_type, {})):
            root = entities[root_type][ident]
            asked = object_key(root_type, root.tree, node.options)
            key = _unused_key(asked, taken)
            members = (root, *families.get((root_type, ident), ()))
            made = [_sparse(one, node) for one in members]
            group = group_from_entities(key, made, node, owner, managed=False)
            if whose := other_owner(root.tree):
                group = replace(group, items=tuple({**i, "owner": whose} for i in group.items))
            yield asked, group


def _patterns(tree: JsonTree, node: NodeInfo) -> tuple[RoutePattern, ...]:
    return tuple(foreign_patterns(tree, node))


def _no_patterns(_: str) -> tuple[RoutePattern, ...]:
    return ()


def _sparse(entity: Entity, node: NodeInfo) -> Entity:
    """Return a foreign entity without server defaults; as it is where these cannot be told."""
    return read_guarded(
        f"{entity.type} {entity.id}",
        lambda: Entity.of(entity.type, strip_defaults(entity.type, entity.tree, node)),
        lambda _: entity,
    )


def _unused_key(key: Key, taken: set[Key]) -> Key:
    """Return an unused key: two foreign names may give one key, the later ones get a number."""
    number, free = 2, key
    while free in taken:
        free, number = Key(key.kind, key.tenant, f"{key.name[:59]}-{number}"), number + 1
    taken.add(free)
    return free
