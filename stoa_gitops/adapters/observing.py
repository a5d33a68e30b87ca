"""From `list_*` answers to the objects of an ActualState. Pure."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stoa_gitops.adapters.frozen import spec_of
from stoa_gitops.errors import GatewayMalformed
from stoa_gitops.model.canonical import Json, JsonObject, Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord, Observed


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


class Seen:
    """The last look at a gateway: what adapters said, and what was made of it.

    An item that is the very dict of the last look gives the very object of the last look, and so does one of which an
    equal object is made: what is planned from it can tell by identity that nothing moved.
    """

    def __init__(
        self,
        items: Sequence[dict[str, Any]] = (),
        inventory: Mapping[Key, AppliedRecord] | None = None,
        made: Sequence[Observed] = (),
        before: tuple[Observed, ...] = (),
    ) -> None:
        self._items, self._made = items, made
        self._inventory = {} if inventory is None else inventory
        objects = _sorted(made)
        is_same = len(objects) == len(before) and all(map(operator.is_, objects, before))
        self.objects = before if is_same else objects

    def is_of(
        self, items: Sequence[dict[str, Any]], inventory: Mapping[Key, AppliedRecord]
    ) -> bool:
        """Whether these very items were looked at last, beside this very inventory."""
        if self._items is items and self._inventory is inventory:
            return True
        is_same = self._inventory is inventory and len(self._items) == len(items)
        return is_same and all(map(operator.is_, self._items, items))

    def moved_to(
        self, items: Sequence[dict[str, Any]], inventory: Mapping[Key, AppliedRecord]
    ) -> Seen:
        """Return the look at other items; raises GatewayMalformed where one is no object."""
        known = {id(item): made for item, made in zip(self._items, self._made, strict=True)}
        kept = {(made.key, made.gateway_id): made for made in self._made}
        fresh: list[Observed] = []
        for item in items:
            made = known.get(id(item))
            # Whether an object without our mark is ours depends on the inventory as well.
            if made is None or not item.get("managed"):
                new = _observed(item, inventory)
                old = kept.get((new.key, new.gateway_id))
                made = old if old == new else new
            fresh.append(made)
        return Seen(items, inventory, fresh, self.objects)


def _observed(item: Mapping[str, Any], inventory: Mapping[Key, AppliedRecord]) -> Observed:
    try:
        key = Key(str(item["kind"]), str(item["tenant"]), str(item["name"]))
        gateway_id = str(item["gateway_id"])
        spec = spec_of(item["spec"])
        managed = bool(item["managed"])
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayMalformed(
            f"an object could not be read ({type(error).__name__}): check that baseUrl leads to the"
            " gateway's admin API"
        ) from None
    record = inventory.get(key)
    if record is None:
        return Observed(key, spec, gateway_id, managed)
    is_known = record.gateway_id == gateway_id
    # What equals the record is the record's own object: there are 10,000s of each, and they live as long as the process.
    return Observed(
        record.key,
        record.spec if record.spec == spec else spec,
        record.gateway_id if is_known else gateway_id,
        managed or is_known,
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


def without(tree: JsonObject, dotted_paths: Iterable[str]) -> JsonObject:
    """Return a copy without the fields that are left to the gateway."""
    copy = Spec.of(tree).value
    for dotted in dotted_paths:
        *parents, last = dotted.split(".")
        holder: Any = copy
        for part in parents:
            if isinstance(holder, list):
                holder = holder[int(part)] if part.isdecimal() and int(part) < len(holder) else None
            else:
                holder = holder.get(part) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(last, None)
        elif isinstance(holder, list) and last.isdecimal() and int(last) < len(holder):
            holder[int(last)] = None
    return copy
