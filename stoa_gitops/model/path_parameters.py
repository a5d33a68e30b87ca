"""Parameters of paths: `/orders/{orderId}` is a path with any segment but an empty one there. Pure.

Which of several paths a request goes to is settled by the paths alone: the one with most segments,
and of those the one that has a literal segment where they first differ. Names decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

MOST_PARAMETERS: Final = 4
"""In one path: they bound how many paths one request may match, and so what matching costs."""

MOST_SEGMENTS: Final = 10
"""Of a path with parameters: for as many Kong's order of routes has room."""

ANY: Final = "{}"
"""The segment of a parameter whose name is left out."""

PARAMETER: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]{0,31}\}")
"""A segment that is a parameter. Names of this form fit regular expressions of all makes."""


def has_parameters(path: str) -> bool:
    """Whether a path has parameters, with or without their names."""
    return "{" in path


def without_names(path: str) -> str:
    """Return a path with its parameters as `{}`: what it matches, whatever they are called."""
    return PARAMETER.sub(ANY, path) if "{" in path else path


def parameters_problem(path: str) -> tuple[str, str] | None:
    """Return what is wrong with the parameters of a path, and a hint; None where nothing is."""
    segments = path[1:].split("/")
    found = [one for one in segments if "{" in one or "}" in one]
    for segment in found:
        if not PARAMETER.fullmatch(segment):
            text = f"a parameter is a whole segment such as {{orderId}}, not {segment}"
            return text, (
                "its name begins with a letter or an underscore and has letters, digits and"
                " underscores, at most 32; %7B and %7D are the characters themselves"
            )
        if found.count(segment) > 1:
            return f"the parameter {segment} is written twice", "give one of them another name"
    if found and (len(found) > MOST_PARAMETERS or len(segments) > MOST_SEGMENTS):
        text = f"at most {MOST_PARAMETERS} of {MOST_SEGMENTS} segments of a path are parameters"
        return text, "end the path earlier: what lies below it belongs to it"
    return None


def literal_stem(path: str) -> str:
    """Return what is before the first parameter of a path: `/orders` of `/orders/{id}/items`."""
    return path.partition("/{")[0] or "/" if "{" in path else path


def literal_rank(path: str) -> int:
    """Return a number that orders paths of equally many segments: the higher one comes first."""
    if "{" not in path:
        return 2**MOST_SEGMENTS - 1
    bits = "".join("0" if part.startswith("{") else "1" for part in path[1:].split("/"))
    return int(bits[:MOST_SEGMENTS].ljust(MOST_SEGMENTS, "1"), 2)


def can_agree(one: str, other: str) -> bool:
    """Whether a path may lie at or below both of two."""
    # Without a segment at its end, `/` is above everything.
    mine, theirs = one.rstrip("/").split("/"), other.rstrip("/").split("/")
    pairs = zip(mine, theirs, strict=False)
    return all(a == b or a.startswith("{") or b.startswith("{") for a, b in pairs)


def lies_at_or_below(path: str, above: str) -> bool:
    """Whether some request for a path lies at or below another one."""
    return path.rstrip("/").count("/") >= above.rstrip("/").count("/") and can_agree(path, above)


def places_met(path: str, granted: Iterable[str], tenants: Collection[str]) -> Iterator[str]:
    """Yield the places that a path reaches into by its parameters, in one order.

    Those that are granted, and each tenant's `/apis/<tenant>`; not those that it lies in whole.
    """
    if "{" not in path:
        return
    for place in sorted(granted):
        if lies_at_or_below(path, place) and not _has_stem(path, place):
            yield place
    first, second = [*path.split("/"), ""][1:3]
    if first in ("apis", ANY) and second == ANY:
        yield from (f"/apis/{tenant}" for tenant in sorted(tenants))
    elif first == ANY and second in tenants:
        yield f"/apis/{second}"


def _has_stem(path: str, place: str) -> bool:
    stem = literal_stem(path)
    return place == "/" or stem == place or stem.startswith(f"{place}/")
