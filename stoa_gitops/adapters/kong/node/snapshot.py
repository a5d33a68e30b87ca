"""What is on a node: our units, what belongs to others, and the document that says both. Pure values."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ListItem
from stoa_gitops.adapters.kong.entities.entity import (
    ORDER,
    ApiParts,
    ApplicationParts,
    Entity,
    Node,
)
from stoa_gitops.adapters.kong.entities.ownership import families_of, parent_of
from stoa_gitops.adapters.kong.entities.unique_fields import Claim, credential_claims
from stoa_gitops.adapters.kong.mapping.mappers import (
    api_items,
    application_item,
    compile_api,
    compile_application,
    decompile_api,
    decompile_application,
    key_of,
    sparse,
)
from stoa_gitops.model.keys import API, APPLICATION, Key

HEAD: Final = '{"_format_version":"3.0","_transform":false'
"""Hashes of passwords are sent as they are (A.8), so nothing in a document may need a transformation."""


@dataclass(frozen=True, slots=True)
class EntityGroup:
    """One API with its policies, or one application: its entities, and what `list_*` says of it.

    uses    APIs whose plans and limits went into an application's entities
    claims  the keys of an application's credentials, which nobody else on the node may have
    """

    key: Key
    entities: tuple[Entity, ...]
    items: tuple[ListItem, ...]
    uses: frozenset[Key] = frozenset()
    claims: tuple[Claim, ...] = field(default=(), repr=False)

    @property
    def root(self) -> str:
        """The id of the service or consumer that the others hang on."""
        kind = "services" if self.key.kind == API else "consumers"
        return next(entity.id for entity in self.entities if entity.type == kind)


class ForeignEntities:
    """Entities of others, by type and id, carried over as they were read."""

    def __init__(self, entities: Mapping[str, Mapping[str, Entity]]) -> None:
        self.entities = entities
        self.claims: Mapping[Claim, str] | None = None
        self._units: tuple[EntityGroup, ...] | None = None
        self._names: set[Key] = set()
        self._beside: set[Key] = set()

    @cached_property
    def texts(self) -> Mapping[str, tuple[bytes, ...]]:
        """Return the texts of each type, sorted by id."""
        return {
            name: tuple(held[ident].text for ident in sorted(held))
            for name, held in self.entities.items()
        }

    def without(self, gone: Iterable[Entity]) -> ForeignEntities:
        """Return what is left after some were taken over."""
        left = {name: dict(held) for name, held in self.entities.items()}
        for entity in gone:
            left.get(entity.type, {}).pop(entity.id, None)
        return ForeignEntities(left)

    @cached_property
    def on_services(self) -> Mapping[str, tuple[Entity, ...]]:
        """Return by service the plugins that are its own, neither a route's nor a consumer's."""
        found: dict[str, list[Entity]] = {}
        for entity in self.entities.get("plugins", {}).values():
            tree = entity.tree
            if not tree.get("route") and not tree.get("consumer"):
                found.setdefault(parent_of(tree, "service"), []).append(entity)
        return {service: tuple(plugins) for service, plugins in found.items()}

    def units(self, node: Node, owner: str, ours: Collection[Key] = ()) -> tuple[EntityGroup, ...]:
        """Return foreign services and consumers as APIs and applications, as far as they can be said so.

        None has a key of `ours`: two objects under one key could not be told apart.
        """
        if self._units is None or self._beside != self._names.intersection(ours):
            found = list(_foreign_units(self.entities, node, owner, ours))
            self._units = tuple(unit for _, unit in found)
            self._names = {asked for asked, _ in found} | {unit.key for unit in self._units}
            self._beside = self._names.intersection(ours)
        return self._units


@dataclass(frozen=True)
class NodeSnapshot:
    """A node at one moment. `hash` is that of the document it holds, empty with a database."""

    node: Node
    owner: str
    units: Mapping[Key, EntityGroup]
    foreign: ForeignEntities
    hash: str = ""
    _lists: dict[str, list[ListItem]] = field(default_factory=dict, compare=False)

    def items(self, kind: str) -> list[ListItem]:
        """Return what `list_*` says of one kind, ours and foreign; the same list each time."""
        if kind not in self._lists:
            foreign = self.foreign.units(self.node, self.owner, self.units.keys())
            found = [i for unit in (*self.units.values(), *foreign) for i in unit.items]
            found += self._policies_of_others()
            self._lists[kind] = [item for item in found if item["kind"] == kind]
        return self._lists[kind]

    def has_foreign(self, key: Key, gateway_id: str) -> bool:
        """Whether `list_*` calls something foreign so, and nothing of ours."""
        root, _, policy_type = gateway_id.partition("/")
        if key.kind == APPLICATION:
            return root in self.foreign.entities.get("consumers", {})
        if root in self.foreign.entities.get("services", {}):
            return True
        unit = self.unit_of(root, API) if policy_type else None
        if unit is None or any(item["name"] == key.name for item in unit.items):
            return False
        return any(item["name"] == key.name for item in self._policies_on(unit))

    def _policies_of_others(self) -> Iterator[ListItem]:
        """Yield policies that others hung on services of ours."""
        for service in self.foreign.on_services:
            unit = self.unit_of(service, API)
            if unit is not None:
                yield from self._policies_on(unit)

    def _policies_on(self, unit: EntityGroup) -> list[ListItem]:
        plugins = self.foreign.on_services.get(unit.root, ())
        if not plugins:
            return []
        parts, left = decompile_api(plugins, self.node, self.owner, unit.key)
        left = {name: fields for name, fields in left.items() if name != API}
        return api_items(replace(parts, service_id=unit.root), left, managed=False)

    def unit_of(self, root: str, kind: str) -> EntityGroup | None:
        """Return our unit whose service or consumer has this id."""
        return self._roots.get((kind, root))

    @cached_property
    def _roots(self) -> Mapping[tuple[str, str], EntityGroup]:
        return {(unit.key.kind, unit.root): unit for unit in self.units.values()}


def document(units: Iterable[EntityGroup], foreign: ForeignEntities) -> str:
    """Return the canonical text of a document: types in order, units by key, foreign entities by id.

    The same content gives the same text, so that its hash is known before it is sent.
    """
    texts: dict[str, list[bytes]] = {}
    for unit in sorted(units, key=_place):
        for entity in unit.entities:
            texts.setdefault(entity.type, []).append(entity.text)
    for name, others in foreign.texts.items():
        if others:
            texts.setdefault(name, []).extend(others)
    parts = [HEAD.encode()]
    names = (*ORDER, *sorted(texts.keys() - set(ORDER)))
    parts += [
        b',"%b":[%b]' % (name.encode(), b",".join(texts[name])) for name in names if name in texts
    ]
    parts.append(b"}")
    return b"".join(parts).decode("utf-8", "surrogatepass")


def hash_of(text: str) -> str:
    """Return the hash under which a node reports this text: MD5 in hex, and zeros for nothing at all (A.1)."""
    if text == HEAD + "}":
        return "0" * 32
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def positions(units: Iterable[EntityGroup], foreign: ForeignEntities) -> Mapping[str, list[Entity]]:
    """Return the entities of each type in the order in which `document` writes them."""
    found: dict[str, list[Entity]] = {}
    for unit in sorted(units, key=_place):
        for entity in unit.entities:
            found.setdefault(entity.type, []).append(entity)
    for name, held in foreign.entities.items():
        found.setdefault(name, []).extend(held[ident] for ident in sorted(held))
    return found


def arranged(entities: Iterable[Entity]) -> tuple[Entity, ...]:
    """Return entities in the order of their types, those of one type by id."""
    return tuple(sorted(entities, key=lambda one: (_RANKS.get(one.type, len(ORDER)), one.id)))


_RANKS: Final = {name: rank for rank, name in enumerate(ORDER)}


def unit_from(
    key: Key, entities: Iterable[Entity], node: Node, owner: str, *, managed: bool
) -> EntityGroup:
    """Return the unit of entities that were read or made, with what is to be said of it."""
    entities = arranged(entities)
    if key.kind == API:
        parts, residual = decompile_api(entities, node, owner, key)
        return EntityGroup(key, entities, tuple(api_items(parts, residual, managed=managed)))
    application, residual = decompile_application(entities, node, owner, key)
    uses = frozenset(_uses(application.value, key))
    items = (application_item(application, residual, managed=managed),)
    return EntityGroup(key, entities, items, uses, credential_claims(entities))


def api_unit(parts: ApiParts, node: Node, owner: str) -> EntityGroup:
    """Return the unit that an API becomes; raises what makes it impossible."""
    entities = arranged(compile_api(parts, node, owner))
    return EntityGroup(parts.key, entities, tuple(api_items(parts, {}, managed=True)))


def application_unit(
    parts: ApplicationParts, apis: Mapping[Key, ApiParts], node: Node, owner: str
) -> EntityGroup:
    """Return the unit that an application becomes beside these APIs; raises what makes it impossible."""
    entities = arranged(compile_application(parts, apis, node, owner))
    items = (application_item(parts, {}, managed=True),)
    uses = frozenset(_uses(parts.value, parts.key))
    return EntityGroup(parts.key, entities, items, uses, credential_claims(entities))


def _uses(value: Mapping[str, Any], key: Key) -> Iterator[Key]:
    for subscription in value["subscriptions"]:
        yield Key.parse_name(API, str(subscription["api"]), key.tenant)


def _place(unit: EntityGroup) -> tuple[str, str, str]:
    return unit.key.kind, unit.key.tenant, unit.key.name


def _foreign_units(
    entities: Mapping[str, Mapping[str, Entity]], node: Node, owner: str, ours: Collection[Key]
) -> Iterator[tuple[Key, EntityGroup]]:
    """Yield the key that each name gives, and the unit under the key that is free."""
    families = families_of(entities)
    taken = set(ours)
    for root_type in ("services", "consumers"):
        for ident in sorted(entities.get(root_type, {})):
            root = entities[root_type][ident]
            asked = key_of(root_type, root.tree, node.options)
            key = _free(asked, taken)
            members = (root, *families.get((root_type, ident), ()))
            made = [Entity.of(one.type, sparse(one.type, one.tree, node)) for one in members]
            yield asked, unit_from(key, made, node, owner, managed=False)


def _free(key: Key, taken: set[Key]) -> Key:
    """Two foreign names may come to one key, or to one of ours: the later ones get a number."""
    number, free = 2, key
    while free in taken:
        free, number = Key(key.kind, key.tenant, f"{key.name[:59]}-{number}"), number + 1
    taken.add(free)
    return free
