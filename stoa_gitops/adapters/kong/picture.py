"""What is on a node: our units, what belongs to others, and the document that says both. Pure values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from stoa_gitops.adapters.kong.claims import Claim, credential_claims
from stoa_gitops.adapters.kong.entities import ORDER, ApiParts, ApplicationParts, Entity, Node
from stoa_gitops.adapters.kong.mappers import (
    api_items,
    application_item,
    compile_api,
    compile_application,
    decompile_api,
    decompile_application,
    key_of,
    sparse,
)
from stoa_gitops.model.keys import API, Key

HEAD: Final = '{"_format_version":"3.0","_transform":false'
"""Hashes of passwords are sent as they are (A.8), so nothing in a document may need a transformation."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One API with its policies, or one application: its entities, and what `list_*` says of it.

    uses    APIs whose plans and limits went into an application's entities
    claims  the keys of an application's credentials, which nobody else on the node may have
    """

    key: Key
    entities: tuple[Entity, ...]
    items: tuple[dict[str, Any], ...]
    uses: frozenset[Key] = frozenset()
    claims: tuple[Claim, ...] = field(default=(), repr=False)

    @property
    def root(self) -> str:
        """The id of the service or consumer that the others hang on."""
        kind = "services" if self.key.kind == API else "consumers"
        return next(entity.id for entity in self.entities if entity.type == kind)


class Foreign:
    """Entities of others, by type and id, carried over as they were read."""

    def __init__(self, entities: Mapping[str, Mapping[str, Entity]]) -> None:
        self.entities = entities
        self.claims: Mapping[Claim, str] | None = None
        self._units: tuple[Unit, ...] | None = None

    @cached_property
    def texts(self) -> Mapping[str, tuple[bytes, ...]]:
        """Return the texts of each type, sorted by id."""
        return {
            name: tuple(held[ident].text for ident in sorted(held))
            for name, held in self.entities.items()
        }

    def without(self, gone: Iterable[Entity]) -> Foreign:
        """Return what is left after some were taken over."""
        left = {name: dict(held) for name, held in self.entities.items()}
        for entity in gone:
            left.get(entity.type, {}).pop(entity.id, None)
        return Foreign(left)

    def units(self, node: Node, owner: str) -> tuple[Unit, ...]:
        """Return foreign services and consumers as APIs and applications, as far as they can be said so."""
        if self._units is None:
            self._units = tuple(_foreign_units(self.entities, node, owner))
        return self._units


@dataclass(frozen=True)
class Picture:
    """A node at one moment. `hash` is that of the document it holds, empty with a database."""

    node: Node
    owner: str
    units: Mapping[Key, Unit]
    foreign: Foreign
    hash: str = ""
    _lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict, compare=False)

    def items(self, kind: str) -> list[dict[str, Any]]:
        """Return what `list_*` says of one kind, ours and foreign; the same list each time."""
        if kind not in self._lists:
            units = [*self.units.values(), *self.foreign.units(self.node, self.owner)]
            self._lists[kind] = [i for unit in units for i in unit.items if i["kind"] == kind]
        return self._lists[kind]

    def unit_of(self, root: str, kind: str) -> Unit | None:
        """Return our unit whose service or consumer has this id."""
        return self._roots.get((kind, root))

    @cached_property
    def _roots(self) -> Mapping[tuple[str, str], Unit]:
        return {(unit.key.kind, unit.root): unit for unit in self.units.values()}


def document(units: Iterable[Unit], foreign: Foreign) -> str:
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


def positions(units: Iterable[Unit], foreign: Foreign) -> Mapping[str, list[Entity]]:
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
) -> Unit:
    """Return the unit of entities that were read or made, with what is to be said of it."""
    entities = arranged(entities)
    if key.kind == API:
        parts, residual = decompile_api(entities, node, owner, key)
        return Unit(key, entities, tuple(api_items(parts, residual, managed=managed)))
    application, residual = decompile_application(entities, node, owner, key)
    uses = frozenset(_uses(application.value, key))
    items = (application_item(application, residual, managed=managed),)
    return Unit(key, entities, items, uses, credential_claims(entities))


def api_unit(parts: ApiParts, node: Node, owner: str) -> Unit:
    """Return the unit that an API becomes; raises what makes it impossible."""
    entities = arranged(compile_api(parts, node, owner))
    return Unit(parts.key, entities, tuple(api_items(parts, {}, managed=True)))


def application_unit(
    parts: ApplicationParts, apis: Mapping[Key, ApiParts], node: Node, owner: str
) -> Unit:
    """Return the unit that an application becomes beside these APIs; raises what makes it impossible."""
    entities = arranged(compile_application(parts, apis, node, owner))
    items = (application_item(parts, {}, managed=True),)
    uses = frozenset(_uses(parts.value, parts.key))
    return Unit(parts.key, entities, items, uses, credential_claims(entities))


def _uses(value: Mapping[str, Any], key: Key) -> Iterator[Key]:
    for subscription in value["subscriptions"]:
        tenant, slash, name = str(subscription["api"]).partition("/")
        yield Key(API, tenant, name) if slash else Key(API, key.tenant, str(subscription["api"]))


def _place(unit: Unit) -> tuple[str, str, str]:
    return unit.key.kind, unit.key.tenant, unit.key.name


def _foreign_units(
    entities: Mapping[str, Mapping[str, Entity]], node: Node, owner: str
) -> Iterator[Unit]:
    families = families_of(entities)
    for root_type in ("services", "consumers"):
        taken: set[Key] = set()
        for ident in sorted(entities.get(root_type, {})):
            root = entities[root_type][ident]
            key = _free(key_of(root_type, root.tree, node.options), taken)
            members = (root, *families.get((root_type, ident), ()))
            made = [Entity.of(one.type, sparse(one.type, one.tree, node)) for one in members]
            yield unit_from(key, made, node, owner, managed=False)


def _free(key: Key, taken: set[Key]) -> Key:
    """Two foreign names may come to one of ours: the later ones get a number."""
    number, free = 2, key
    while free in taken:
        free, number = Key(key.kind, key.tenant, f"{key.name[:59]}-{number}"), number + 1
    taken.add(free)
    return free


def families_of(
    entities: Mapping[str, Mapping[str, Entity]],
) -> Mapping[tuple[str, str], list[Entity]]:
    """Return by (root type, root id) the entities that hang on a service or a consumer, types in their order.

    What hangs on both (a limit of one consumer at one service) belongs to the consumer; a plugin of a route belongs
    to the route's service, and a target to the service whose host is its upstream.
    """
    found: dict[tuple[str, str], list[Entity]] = {}
    services: dict[str, str] = {}
    for entity_type in ORDER:
        for entity in entities.get(entity_type, {}).values():
            if entity_type in _ROOTS:
                continue
            tree = entity.tree
            consumer, service, route = (_id(tree.get(name)) for name in _PARENTS)
            if entity_type == "routes":
                services[entity.id] = service
            service = service or services.get(route, "")
            if consumer:
                found.setdefault(("consumers", consumer), []).append(entity)
            elif service:
                found.setdefault(("services", service), []).append(entity)
    _add_upstreams(entities, found)
    return found


_ROOTS: Final = ("services", "consumers", "upstreams", "targets")
_PARENTS: Final = ("consumer", "service", "route")


def _id(parent: object) -> str:
    return str(parent.get("id", "")) if isinstance(parent, dict) else ""


def _add_upstreams(
    entities: Mapping[str, Mapping[str, Entity]], found: dict[tuple[str, str], list[Entity]]
) -> None:
    names = {one.tree.get("name"): one for one in entities.get("upstreams", {}).values()}
    if not names:
        return
    targets: dict[str, list[Entity]] = {}
    for target in entities.get("targets", {}).values():
        targets.setdefault(_id(target.tree.get("upstream")), []).append(target)
    for service in entities.get("services", {}).values():
        upstream = names.get(service.tree.get("host"))
        if upstream is not None:
            family = found.setdefault(("services", service.id), [])
            family += [upstream, *targets.get(upstream.id, ())]
