"""Finds duplicates and dangling references before a document is sent. Pure.

With flattened errors Kong loses the cause of these, and it answers 500 to a dangling reference of
an entity without a name (Kong 3.4.2 and 3.9.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import Entity
from stoa_gitops.adapters.kong.entities.unique_fields import UniqueValue, unique_values
from stoa_gitops.adapters.kong.node.edit import EditResult
from stoa_gitops.adapters.kong.node.snapshot import EntityGroup, ForeignEntities
from stoa_gitops.model.keys import API, Key

_SECRET: Final = frozenset({"keyauth_credentials", "jwt_secrets"})
_TARGET_OF: Final[Mapping[str, str]] = {
    "service": "services", "route": "routes", "consumer": "consumers", "upstream": "upstreams",
    "certificate": "certificates", "client_certificate": "certificates", "set": "key_sets",
}  # fmt: skip


def conflicts(edit: EditResult) -> Mapping[Key, str]:
    """Return by group what conflicts with the groups that an edit touched, as messages without
    secrets.

    Names and ids of ours are derived from keys: two of ours only collide in keys of credentials.
    """
    found: dict[Key, str] = {}
    foreign = foreign_unique_values(edit.foreign)
    credential_owners = _credential_owners(edit.groups.values())
    # Only touched groups: the others are on the node as they are.
    for key, group in sorted(edit.touched.items()):
        if group is None:
            continue
        for entity in group.entities:
            message = _duplicate_of_foreign(entity, foreign)
            if message is not None:
                found.setdefault(key, message)
        for value in group.unique_values:
            others = [other for other in credential_owners[value] if other != key]
            if others or len(credential_owners[value]) > 1:
                whose = others[0] if others else "another credential of this application"
                found.setdefault(
                    key, f"{_describe(value)} is that of {whose}, too: Kong takes one only"
                )
    found.update(_orphaned_foreign(edit))
    found.update(_dangling_after_adoption(edit))
    return found


def foreign_unique_values(foreign: ForeignEntities) -> Mapping[UniqueValue, str]:
    """Return the unique values of foreign entities, with their ids; computed once per object."""
    found = foreign.unique_values
    if found is None:
        found = {
            value: entity.id
            for held in foreign.entities.values()
            for entity in held.values()
            for value in unique_values(entity)
        }
        foreign.unique_values = found
    return found


def _credential_owners(groups: Iterable[EntityGroup]) -> Mapping[UniqueValue, list[Key]]:
    found: dict[UniqueValue, list[Key]] = {}
    for group in groups:
        for value in group.unique_values:
            found.setdefault(value, []).append(group.key)
    return found


def _duplicate_of_foreign(entity: Entity, foreign: Mapping[UniqueValue, str]) -> str | None:
    for value in unique_values(entity) if foreign else ():
        if value in foreign:
            return (
                f"{_describe(value)} is taken by a foreign one ({foreign[value]}): Kong takes one "
                "only"
            )
    return None


def _describe(value: UniqueValue) -> str:
    entity_type, field, text = value
    if entity_type in _SECRET and field == "key":
        return f"the key of a credential ({entity_type})"
    if (entity_type, field) == ("plugins", "name"):
        return f"plugin {text.partition('|')[0]} at this place"
    return f"{entity_type} with {field} {text.rpartition('|')[2]}"


def _orphaned_foreign(edit: EditResult) -> Iterator[tuple[Key, str]]:
    """Yield groups that cannot go, or not as they are, because a foreign entity refers to them."""
    before = edit.base.groups
    gone: dict[tuple[str, str], Key] = {}
    for key, group in edit.touched.items():
        old = before.get(key)
        if old is None:
            continue
        left = {(e.type, e.id) for e in group.entities} if group is not None else set()
        gone.update({(e.type, e.id): key for e in old.entities if (e.type, e.id) not in left})
    if not gone:
        return
    for held in edit.foreign.entities.values():
        for entity in held.values():
            for target in _references(entity.tree):
                if target in gone:
                    kind = "API" if gone[target].kind == API else "application"
                    message = (
                        f"a foreign {entity.type} entity ({entity.id}) hangs on "
                        f"{target[0]}/{target[1]} of this "
                        f"{kind} and would be lost with it: remove or move that one first"
                    )
                    yield gone[target], message


def _dangling_after_adoption(edit: EditResult) -> Iterator[tuple[Key, str]]:
    """Yield groups whose adoption removes what a foreign entity refers to."""
    if edit.foreign is edit.base.foreign:
        return
    groups = [(key, group) for key, group in sorted(edit.touched.items()) if group is not None]
    places = {(e.type, e.id): key for key, group in groups for e in group.entities}
    gone: dict[tuple[str, str], Key | None] = {}
    for name, before in edit.base.foreign.entities.items():
        for ident in before.keys() - edit.foreign.entities.get(name, {}).keys():
            if (name, ident) not in places:
                gone[name, ident] = _adopter(before[ident].tree, places)
    for held in edit.foreign.entities.values() if gone else ():
        for entity in held.values():
            tree = entity.tree
            for target in _references(tree):
                key = gone.get(target)
                if key is not None:
                    yield (
                        key,
                        (
                            f"a foreign {entity.type} entity ({tree.get('name') or entity.id}) "
                            f"hangs on {target[0]}/"
                            f"{target[1]}, which adopting replaces: move it to the service, or "
                            "remove it, first"
                        ),
                    )


def _adopter(tree: Mapping[str, Any], places: Mapping[tuple[str, str], Key]) -> Key | None:
    found = (places.get(target) for target in _references(tree))
    return next((key for key in found if key is not None), None)


def _references(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, entity_type in _TARGET_OF.items():
        parent = tree.get(name)
        if isinstance(parent, dict):
            yield entity_type, str(parent.get("id"))
