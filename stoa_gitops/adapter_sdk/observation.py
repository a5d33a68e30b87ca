"""Converts the results of `list_*` into the objects of an ActualState. Pure."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from stoa_gitops.adapter_sdk.contract import ListItem
from stoa_gitops.adapter_sdk.packed_list import PackedList
from stoa_gitops.errors import GatewayMalformed
from stoa_gitops.foundation.frozen_sets import frozen
from stoa_gitops.model.canonical import Json, Spec
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.resources import AppliedRecord, ForeignRoute, Observed
from stoa_gitops.model.routing import Router

Items: TypeAlias = Sequence[ListItem]
"""The result of one `list_*`."""


def observed_objects(
    items: Iterable[ListItem], inventory: Mapping[Key, AppliedRecord]
) -> tuple[Observed, ...]:
    """Return the objects of all lists, sorted by key, managed before foreign ones of the same key.

    An object is managed if it carries our mark, or if the inventory has it under the same key and
    id. Raises GatewayMalformed if an adapter reports something that is no object.
    """
    return _sorted(_observed(item, inventory) for item in items)


def _sorted(objects: Iterable[Observed]) -> tuple[Observed, ...]:
    return tuple(sorted(objects, key=_order))


def _order(seen: Observed) -> tuple[str, str, str, bool, str]:
    key = seen.key
    return key.kind, key.tenant, key.name, not seen.managed, seen.gateway_id


@dataclass(frozen=True, slots=True)
class _ConvertedList:
    """One list and the objects converted from it.

    items     of the list, where a second reading gives the identical ones; else empty
    unmarked  indices of objects without our mark
    """

    source: Items
    items: Items
    objects: tuple[Observed, ...]
    unmarked: frozenset[int]

    def matches(self, source: Items) -> bool:
        """Whether `source` is the identical list, or has the identical items."""
        if self.source is source:
            return True
        # A packed list makes new items with each reading, so they cannot be compared by identity.
        is_same = len(self.items) == len(source) and not isinstance(source, PackedList)
        return is_same and all(map(operator.is_, self.items, source))

    def with_inventory(self, inventory: Mapping[Key, AppliedRecord]) -> _ConvertedList:
        """Return the same list beside another inventory, which decides who owns the unmarked."""
        if not self.unmarked:
            return self
        objects = list(self.objects)
        for index in self.unmarked:
            item = objects[index]
            objects[index] = _with_ownership(
                item.key, item.spec, item.gateway_id, inventory, item.owner, is_marked=False
            )
        return replace(self, objects=tuple(objects))


class ObservationCache:
    """The last observation of a gateway: its lists and the objects converted from them.

    An item that is identical to the last observation's gives the identical object, and so does one
    that converts to an equal object: the planner can tell by identity that nothing changed
    (docs/adr/0011).
    """

    def __init__(
        self,
        lists: tuple[_ConvertedList, ...] = (),
        inventory: Mapping[Key, AppliedRecord] | None = None,
        previous: tuple[Observed, ...] = (),
    ) -> None:
        self._lists = lists
        self._inventory = {} if inventory is None else inventory
        objects = _sorted(item for converted in lists for item in converted.objects)
        is_same = len(objects) == len(previous) and all(map(operator.is_, objects, previous))
        self.objects = previous if is_same else objects

    def matches(self, lists: Sequence[Items], inventory: Mapping[Key, AppliedRecord]) -> bool:
        """Whether the last observation had these lists, and the identical inventory beside it."""
        is_same = self._inventory is inventory and len(self._lists) == len(lists)
        return is_same and all(map(_ConvertedList.matches, self._lists, lists))

    def refreshed(
        self, lists: Sequence[Items], inventory: Mapping[Key, AppliedRecord]
    ) -> ObservationCache:
        """Return the observation of other lists; raises GatewayMalformed for a broken item."""
        converted_lists: list[_ConvertedList] = []
        for index, source in enumerate(lists):
            converted = self._lists[index] if index < len(self._lists) else None
            if converted is None or not converted.matches(source):
                converted = self._convert(source, inventory)
            elif self._inventory is not inventory:
                converted = converted.with_inventory(inventory)
            converted_lists.append(converted)
        return ObservationCache(tuple(converted_lists), inventory, self.objects)

    @cached_property
    def _by_item(self) -> dict[int, Observed]:
        # By id(): the lists keep the items alive, so no id is used twice.
        return {
            id(item): seen
            for converted in self._lists
            for item, seen in zip(converted.items, converted.objects, strict=False)
        }

    @cached_property
    def _by_key(self) -> dict[tuple[Key, str], Observed]:
        return {
            (seen.key, seen.gateway_id): seen
            for converted in self._lists
            for seen in converted.objects
        }

    def _convert(self, source: Items, inventory: Mapping[Key, AppliedRecord]) -> _ConvertedList:
        objects: list[Observed] = []
        unmarked: list[int] = []
        for index, item in enumerate(source):
            # The owner of an unmarked object depends on the inventory too: always converted anew.
            is_marked = bool(item.get("managed"))
            seen = self._by_item.get(id(item)) if is_marked else None
            if seen is None:
                new = _observed(item, inventory)
                old = self._by_key.get((new.key, new.gateway_id))
                seen = old if old is not None and old == new else new
            if not is_marked:
                unmarked.append(index)
            objects.append(seen)
        items = () if isinstance(source, PackedList) else source
        return _ConvertedList(source, items, tuple(objects), frozen(unmarked))


def _observed(item: ListItem, inventory: Mapping[Key, AppliedRecord]) -> Observed:
    try:
        key = Key(str(item["kind"]), str(item["tenant"]), str(item["name"]))
        gateway_id = str(item["gateway_id"])
        spec = Spec.of(item["spec"])
        is_marked = bool(item["managed"])
        owner = str(item.get("owner", ""))
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayMalformed(
            f"an object could not be read ({type(error).__name__}): check that baseUrl leads to the"
            " gateway's admin API"
        ) from None
    return _with_ownership(key, spec, gateway_id, inventory, owner, is_marked=is_marked)


def _with_ownership(
    key: Key,
    spec: Spec,
    gateway_id: str,
    inventory: Mapping[Key, AppliedRecord],
    owner: str,
    *,
    is_marked: bool,
) -> Observed:
    """Return an object that is managed by its mark, or by the inventory's key and id."""
    record = inventory.get(key)
    if record is None:
        return Observed(key, spec, gateway_id, is_marked, owner)
    is_recorded = record.gateway_id == gateway_id
    # Equal values are replaced by the record's own: there are 10,000s of each, and they live as
    # long as the process (docs/adr/0013).
    return Observed(
        record.key,
        record.spec if record.spec == spec else spec,
        record.gateway_id if is_recorded else gateway_id,
        is_marked or is_recorded,
        owner,
    )


def foreign_routes(objects: Iterable[Observed], router: Router) -> Iterator[ForeignRoute]:
    """Yield the routes of foreign APIs, as their items show them."""
    for seen in objects:
        if seen.managed or seen.key.kind != API:
            continue
        routes: Any = seen.spec.value.get("routes")
        for route in routes if isinstance(routes, list) else ():
            if isinstance(route, Mapping) and "path" in route:
                yield ForeignRoute(seen.key.short, router.read(route), seen.key, seen.owner)


def missing_fields(expected: Json, held: Json, path: str = "") -> list[str]:
    """Return the dotted paths at which `held` lacks or changes what is expected; no values.

    Fields that only `held` has are ignored: the gateway filled them in. Lists of different length
    differ as a whole. Null equals absence.
    """
    if isinstance(expected, Mapping) and isinstance(held, Mapping):
        return [
            missing
            for name, item in expected.items()
            for missing in missing_fields(item, held.get(name), f"{path}.{name}" if path else name)
        ]
    if isinstance(expected, list) and isinstance(held, list) and len(expected) == len(held):
        return [
            missing
            for index, item in enumerate(expected)
            for missing in missing_fields(item, held[index], f"{path}.{index}")
        ]
    # In Python True == 1; in JSON they differ.
    is_same = isinstance(expected, bool) == isinstance(held, bool) and expected == held
    return [] if is_same else [path or "everything"]
