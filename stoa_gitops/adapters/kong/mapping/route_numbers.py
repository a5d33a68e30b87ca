"""The number by which Kong orders routes, and the `regex_priority` that ours get for it. Pure.

The router `traditional_compatible` writes 64 bits for each route (kong/router/transform.lua of 3.9,
compat.lua of 3.4), but LuaJIT shifts a plain number as 32 bits. So kinds of attributes land at bit
29, headers at 20 and `regex_priority` at 19: ten bits of it count, and the number of headers lies
among them. Seen on a running 3.9.1.
"""

from __future__ import annotations

from functools import cache
from math import comb
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import NodeInfo
from stoa_gitops.model.path_parameters import MOST_PARAMETERS

_PLAIN_HOSTS: Final = 1 << 60
_EXPRESSION: Final = 1 << 51
_ORDER_BITS: Final = 10
"""Of `regex_priority`, below the kinds of attributes."""

_DEEPEST: Final = 10
"""All places of so many segments, with `MOST_PARAMETERS`, are 1,022: one more does not fit."""

# (option, whether there are headers): (bits that are left to headers, most headers, most segments).
_ROOM: Final = {
    ("segments", True): (5, 15, 31),
    ("parameters", False): (0, 0, _DEEPEST),
    ("parameters", True): (3, 3, 6),
}
_ENOUGH: Final = (0, 0, (1 << _ORDER_BITS) - 1)


def route_number(
    *, weight: int, plain_hosts: bool, headers: int, expression: bool, order: int, length: int
) -> int:
    """Return the 64 bits of a route: the higher one is tried first.

    weight       kinds of attributes: paths, hosts, methods, headers, SNIs, sources, destinations
    plain_hosts  it has hosts, and none of them a wildcard
    headers      how many it asks for
    order        `regex_priority`, 0 for a prefix
    length       of a prefix, 0 for an expression
    """
    number = _shifted(weight, 61) | _shifted(headers, 52) | _shifted(order, 19) | length
    number |= plain_hosts * _PLAIN_HOSTS | expression * _EXPRESSION
    return number % (1 << 64)


def _shifted(value: int, bits: int) -> int:
    """Shift as LuaJIT does: the count goes by 32, and bit 31 fills all that are above it."""
    low = (value << bits % 32) & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def path_order(path: str, node: NodeInfo, headers: int = 0) -> int:
    """Return the `regex_priority` of a path whose route asks for so many headers.

    The path with most segments comes first, then, with parameters, the one that has a literal
    segment where two differ, then the route that asks for most headers.
    """
    bits, _, deepest = _room(node, headers)
    depth = path.count("/")
    if depth > deepest:
        number = 1 << _ORDER_BITS
    else:
        number = _place_number(path) if node.options.paths == "parameters" else depth
    return min(number, (1 << _ORDER_BITS - bits) - 1) << bits


def order_problem(path: str, node: NodeInfo, headers: int) -> str | None:
    """Return why Kong's numbers have no room for a route; None where they have."""
    _, most, deepest = _room(node, headers)
    if path == "/" or node.options.paths == "prefix":
        return None
    if path.count("/") <= deepest and headers <= most:
        return None
    asked = f" and {most} headers" if headers else ""
    return (
        f"the path {path}: Kong's order of routes has room for {deepest} segments{asked}"
        f" with options.paths: {node.options.paths}"
    )


def _room(node: NodeInfo, headers: int) -> tuple[int, int, int]:
    return _ROOM.get((node.options.paths, bool(headers)), _ENOUGH)


def _place_number(path: str) -> int:
    """Count the places that come after this one, without names: fewer segments, or a parameter
    where it has a literal segment.
    """
    segments = path[1:].split("/")
    number, parameters = 1, MOST_PARAMETERS
    number += sum(_places(depth, parameters) for depth in range(1, len(segments)))
    for left, segment in zip(range(len(segments) - 1, -1, -1), segments, strict=True):
        if segment.startswith("{"):
            parameters -= 1
        elif parameters:
            number += _places(left, parameters - 1)
    return number


@cache
def _places(segments: int, parameters: int) -> int:
    return sum(comb(segments, count) for count in range(parameters + 1))
