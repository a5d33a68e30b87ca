"""Looks through a whole document once: that it is bounded, and which addresses its schemas have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urldefrag, urljoin

from stoa_gitops.adapter_sdk.openapi.errors import ConversionRefused
from stoa_gitops.adapter_sdk.openapi.losses import Place

MAX_DEPTH: Final = 256
"""Levels of mappings and lists; writers of JSON recurse, and Python gives them 1,000 frames."""

MAX_VALUES: Final = 2_500_000
"""Values in a document, aliases of YAML counted each time: real ones have one in 20 to 40 bytes."""

_ADDRESSES: Final = ("$id", "$anchor", "$dynamicAnchor")


@dataclass(slots=True)
class Addresses:
    """What schemas call themselves.

    resources  mappings by the URI of their `$id`
    anchors    mappings by (URI of the resource, name of the anchor)
    dynamic    how often a name is a `$dynamicAnchor`
    places     where these mappings stand, by their identity
    """

    resources: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    anchors: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    dynamic: dict[str, int] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)


def join(base: str, reference: str) -> str:
    """Return the URI that a reference has at a base (RFC 3986 §5), as it is if it is none."""
    try:
        return urljoin(base, reference) if base else reference
    except ValueError:
        return reference


def base_in(schema: Mapping[str, Any], base: str) -> str:
    """Return the base of the references in a schema: its `$id`, if it has one."""
    own = schema.get("$id")
    return urldefrag(join(base, own)).url if isinstance(own, str) else base


def survey(document: Mapping[str, Any]) -> Addresses:
    """Return the addresses in a document; ConversionRefused for one without bounds.

    A document that contains itself, as YAML aliases can make it, has none.
    """
    found = Addresses()
    if check_bounds(document):
        _collect(document, found)
    return found


def check_bounds(document: Mapping[str, Any]) -> bool:
    """Return whether any schema has an address; ConversionRefused for one without bounds."""
    count, has_addresses = 0, False
    level: list[Any] = [document]
    # Level by level: the depth is then the number of rounds.
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for value in level:
            items: Any = value
            if isinstance(value, Mapping):
                items = value.values()
                has_addresses = has_addresses or not value.keys().isdisjoint(_ADDRESSES)
            count += len(items)
            below += [item for item in items if isinstance(item, (dict, list, Mapping))]
            if count > MAX_VALUES:
                raise ConversionRefused(
                    f"the document has more than {MAX_VALUES} values: split it, or write it "
                    "without so many YAML aliases"
                )
        if not below:
            return has_addresses
        level = below
    raise ConversionRefused(
        f"the document nests deeper than {MAX_DEPTH} levels, or contains itself: "
        "write repeated schemas once below components, and refer to them"
    )


def _collect(document: Mapping[str, Any], found: Addresses) -> None:
    todo: list[tuple[Any, str, Place]] = [(document, "", Place())]
    while todo:
        value, base, place = todo.pop()
        items: Any = enumerate(value)
        if isinstance(value, Mapping):
            items = value.items()
            if not value.keys().isdisjoint(_ADDRESSES):
                base = _note(found, value, base, place)
        todo.extend(
            (item, base, Place(place, key))
            for key, item in items
            if isinstance(item, (dict, list, Mapping))
        )


def _note(found: Addresses, value: Mapping[str, Any], base: str, place: Place) -> str:
    """Add the addresses of a mapping, and return the base of the references in it."""
    found.places.setdefault(id(value), place)
    inner = base_in(value, base)
    if inner != base:
        found.resources.setdefault(inner, value)
    for keyword in _ADDRESSES[1:]:
        anchor = value.get(keyword)
        if isinstance(anchor, str):
            found.anchors.setdefault((inner, anchor), value)
    dynamic = value.get("$dynamicAnchor")
    if isinstance(dynamic, str):
        found.dynamic[dynamic] = found.dynamic.get(dynamic, 0) + 1
    return inner
