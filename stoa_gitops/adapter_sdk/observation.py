"""From `list_*` answers to the objects of an ActualState. Pure."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from stoa_gitops.adapter_sdk.packed_list import Packed
from stoa_gitops.errors import GatewayMalformed
from stoa_gitops.model.canonical import Json, Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord, Observed

Items: TypeAlias = Sequence[dict[str, Any]]
"""What a `list_*` answers with."""


def observed_objects(
    items: Iterable[Mapping[str, Any]], inventory: Mapping[Key, AppliedRecord]
) -> tuple[Observed, ...]:
    """Return the objects of all lists, sorted by key, ours before foreign ones of the same key.

    Ours is what carries our mark, or what the inventory has under the same key and id. Raises
    GatewayMalformed when an adapter reports something that is no object.
    """
    return _sorted(_observed(item, inventory) for item in items)


def _sorted(objects: Iterable[Observed]) -> tuple[Observed, ...]:
    return tuple(sorted(objects, key=_order))


def _order(seen: Observed) -> tuple[str, str, str, bool, str]:
    key = seen.key
    return key.kind, key.tenant, key.name, not seen.managed, seen.gateway_id


@dataclass(frozen=True, slots=True)
class _Part:
    """One list of a look: the list itself, its items where they are the same ones with each reading, what was made of
    each, and the places of those without our mark."""

    source: Items
    items: Items
    made: tuple[Observed, ...]
    unmarked: frozenset[int]

    def is_of(self, source: Items) -> bool:
        """Whether a list is this very list, or one of these very items."""
        if self.source is source:
            return True
        # A packed list has items of its own with each reading: those of another one are never the same.
        is_same = len(self.items) == len(source) and not isinstance(source, Packed)
        return is_same and all(map(operator.is_, self.items, source))

    def beside(self, inventory: Mapping[Key, AppliedRecord]) -> _Part:
        """Return the same beside another inventory, on which it hangs whether what has no mark is ours."""
        if not self.unmarked:
            return self
        made = list(self.made)
        for place in self.unmarked:
            one = made[place]
            made[place] = _judged(one.key, one.spec, one.gateway_id, False, inventory)
        return replace(self, made=tuple(made))


class ObservationCache:
    """The last look at a gateway: what its adapter said in some lists, and what was made of it.

    An item that is the very dict of the last look gives the very object of the last look, and so does one of which an
    equal object is made: what is planned from it can tell by identity that nothing moved.
    """

    def __init__(
        self,
        parts: tuple[_Part, ...] = (),
        inventory: Mapping[Key, AppliedRecord] | None = None,
        before: tuple[Observed, ...] = (),
    ) -> None:
        self._parts = parts
        self._inventory = {} if inventory is None else inventory
        objects = _sorted(made for part in parts for made in part.made)
        is_same = len(objects) == len(before) and all(map(operator.is_, objects, before))
        self.objects = before if is_same else objects

    def is_of(self, lists: Sequence[Items], inventory: Mapping[Key, AppliedRecord]) -> bool:
        """Whether these very lists were looked at last, beside this very inventory."""
        is_same = self._inventory is inventory and len(self._parts) == len(lists)
        return is_same and all(map(_Part.is_of, self._parts, lists))

    def moved_to(
        self, lists: Sequence[Items], inventory: Mapping[Key, AppliedRecord]
    ) -> ObservationCache:
        """Return the look at other lists; raises GatewayMalformed where an item is no object."""
        parts: list[_Part] = []
        for number, source in enumerate(lists):
            part = self._parts[number] if number < len(self._parts) else None
            if part is None or not part.is_of(source):
                part = self._looked(source, inventory)
            elif self._inventory is not inventory:
                part = part.beside(inventory)
            parts.append(part)
        return ObservationCache(tuple(parts), inventory, self.objects)

    @cached_property
    def _by_item(self) -> dict[int, Observed]:
        """Give what was made of the items that are kept, by their identity."""
        return {
            id(item): made
            for part in self._parts
            for item, made in zip(part.items, part.made, strict=False)
        }

    @cached_property
    def _by_key(self) -> dict[tuple[Key, str], Observed]:
        return {(made.key, made.gateway_id): made for part in self._parts for made in part.made}

    def _looked(self, source: Items, inventory: Mapping[Key, AppliedRecord]) -> _Part:
        made: list[Observed] = []
        unmarked: list[int] = []
        for place, item in enumerate(source):
            # Whether an object without our mark is ours hangs on the inventory as well.
            is_marked = bool(item.get("managed"))
            one = self._by_item.get(id(item)) if is_marked else None
            if one is None:
                new = _observed(item, inventory)
                old = self._by_key.get((new.key, new.gateway_id))
                one = old if old is not None and old == new else new
            if not is_marked:
                unmarked.append(place)
            made.append(one)
        items = () if isinstance(source, Packed) else source
        return _Part(source, items, tuple(made), frozenset(unmarked))


def _observed(item: Mapping[str, Any], inventory: Mapping[Key, AppliedRecord]) -> Observed:
    try:
        key = Key(str(item["kind"]), str(item["tenant"]), str(item["name"]))
        gateway_id = str(item["gateway_id"])
        spec = Spec.of(item["spec"])
        is_marked = bool(item["managed"])
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayMalformed(
            f"an object could not be read ({type(error).__name__}): check that baseUrl leads to the"
            " gateway's admin API"
        ) from None
    return _judged(key, spec, gateway_id, is_marked, inventory)


def _judged(
    key: Key, spec: Spec, gateway_id: str, is_marked: bool, inventory: Mapping[Key, AppliedRecord]
) -> Observed:
    """Return an object that is ours by our mark, or by what the inventory has under its key and id."""
    record = inventory.get(key)
    if record is None:
        return Observed(key, spec, gateway_id, is_marked)
    is_known = record.gateway_id == gateway_id
    # What equals the record is the record's own object: there are 10,000s of each, and they live as long as the process.
    return Observed(
        record.key,
        record.spec if record.spec == spec else spec,
        record.gateway_id if is_known else gateway_id,
        is_marked or is_known,
    )


def missing_fields(wanted: Json, held: Json, path: str = "") -> list[str]:
    """Return the dotted paths at which `held` lacks or changes what `wanted` says; no values.

    Fields that only the gateway has are its own business; lists are compared as a whole. Null is absence.
    """
    if isinstance(wanted, Mapping) and isinstance(held, Mapping):
        return [
            place
            for name, item in wanted.items()
            for place in missing_fields(item, held.get(name), f"{path}.{name}" if path else name)
        ]
    if isinstance(wanted, list) and isinstance(held, list) and len(wanted) == len(held):
        return [
            place
            for index, item in enumerate(wanted)
            for place in missing_fields(item, held[index], f"{path}.{index}")
        ]
    same = isinstance(wanted, bool) == isinstance(held, bool) and wanted == held
    return [] if same else [path or "everything"]
