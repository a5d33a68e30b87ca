"""Which requests a route receives, and which of two routes gets those that both match. Pure.

Each make of gateway matches in an order of its own, so an adapter hands in a `Router`; the rules
that all of them share (paths, hosts) are here.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast
from urllib.parse import quote, unquote

from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.path_parameters import (
    ANY,
    PARAMETER,
    can_agree,
    has_parameters,
    literal_rank,
    literal_stem,
)

Rank: TypeAlias = tuple[int, ...]
HeaderValues: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""Names of headers, sorted, each with the values of which a request has one; all in lower case."""

_ANY_HOST: Final = ("",)
# No name in a document has this label, so it stands for every name that nobody wrote.
_OTHER: Final = "~"


@dataclass(frozen=True, slots=True)
class RoutePattern:
    """What one route listens to.

    path        without a slash at its end; `/` is everything. Parameters are `{}`
    by_letters  whatever begins with these letters; otherwise the path ends where a segment ends
    hosts       exact names, `*.suffix` or `prefix.*`, in lower case; empty for every host
    methods     empty for all of them
    low, high   the place among the routes of a gateway that orders them beforehand: the higher one
                is tried first. They differ where it cannot be told exactly
    headers     those that a request needs; empty for any request
    written     the path with the names of its parameters, for messages; empty where it has none
    """

    path: str
    hosts: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    by_letters: bool = False
    low: Rank = ()
    high: Rank = ()
    headers: HeaderValues = ()
    written: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """For messages: `GET,POST shop.example/search [x-env=blue]`."""
        methods = f"{','.join(sorted(self.methods))} " if self.methods else ""
        asked = headers_text(self.headers)
        return f"{methods}{','.join(self.hosts)}{self.written or self.path}{asked}"


@dataclass(frozen=True, slots=True)
class Router:
    """How gateways of one make choose among routes.

    read           the pattern of a route in the canonical form or as `list_apis` reports it
    wins           (first, second, host): whether a request that matches both paths and the host may
                   reach the first so that the second does not get it
    by_letters     its own routes match by letters
    reaches_below  a route may win over one with a longer path
    policy_methods methods that each route of an API with a policy of some type takes besides those
                   it names: `cors` may need OPTIONS
    one_value      a request has one value of each header that routes ask for; otherwise a request
                   with several of them may match routes that ask for different ones
    """

    read: Callable[[JsonObject], RoutePattern]
    wins: Callable[[RoutePattern, RoutePattern, str], bool]
    by_letters: bool = False
    reaches_below: bool = False
    policy_methods: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    one_value: bool = False

    def read_with(self, route: JsonObject, policies: Container[str]) -> RoutePattern:
        """Return the pattern of a route of an API that has policies of these types."""
        named = route.get("methods")
        if not named or not self.policy_methods:
            return self.read(route)
        found = [m for name, more in self.policy_methods.items() if name in policies for m in more]
        if not found:
            return self.read(route)
        return self.read({**route, "methods": sorted({*cast(Iterable[str], named), *found})})

    def takes(self, new: RoutePattern, held: RoutePattern) -> bool:
        """Whether `new` would receive a request that `held` receives without it."""
        if not paths_meet(new, held):
            return False
        if self.one_value and not headers_meet(new.headers, held.headers):
            return False
        return any(self.wins(new, held, host) for host in common_hosts(new.hosts, held.hosts))


def paths_meet(one: RoutePattern, other: RoutePattern) -> bool:
    """Whether some path matches both."""
    if has_parameters(one.path) or has_parameters(other.path):
        if not one.by_letters and not other.by_letters:
            return can_agree(one.path, other.path)
        return _letters_meet(one, other)
    return _covers(one, other.path) or _covers(other, one.path)


def _letters_meet(one: RoutePattern, other: RoutePattern) -> bool:
    """Whether some path matches both, of which one has parameters and one goes by letters."""
    letters, segments = (one, other) if one.by_letters else (other, one)
    if segments.by_letters or has_parameters(letters.path):
        # Letters may go on within a parameter, so only what is before the first one tells.
        stem, other_stem = literal_stem(one.path), literal_stem(other.path)
        return stem.startswith(other_stem) or other_stem.startswith(stem)
    *whole, begun = letters.path.split("/")
    found = segments.path.rstrip("/").split("/")
    if not can_agree("/".join(found[: len(whole)]), "/".join(whole)):
        return False
    return len(found) <= len(whole) or found[len(whole)].startswith(("{", begun))


def _covers(pattern: RoutePattern, path: str) -> bool:
    own = pattern.path
    if own == "/" or not path.startswith(own):
        return own == "/"
    return pattern.by_letters or len(path) == len(own) or path[len(own)] == "/"


def common_hosts(one: Iterable[str], other: Iterable[str]) -> Iterator[str]:
    """Yield hosts that both accept: one for every way in which two lists of names can meet."""
    ours, theirs = tuple(one) or _ANY_HOST, tuple(other) or _ANY_HOST
    if ours == theirs == _ANY_HOST:
        yield _OTHER
        return
    seen = dict.fromkeys((*map(_example, ours), *map(_example, theirs), *_between(ours, theirs)))
    for host in seen:
        if accepts_host(ours, host) and accepts_host(theirs, host):
            yield host


def _example(name: str) -> str:
    """Return a host that this name matches, and no other name unless it is about as wide."""
    return name.replace("*", _OTHER) or _OTHER


def _between(ours: tuple[str, ...], theirs: tuple[str, ...]) -> Iterator[str]:
    """Yield hosts that `api.*` and `*.example` have in common."""
    names = (*ours, *theirs)
    for left in (name for name in names if name.endswith(".*")):
        for right in (name for name in names if name.startswith("*.")):
            yield left[:-1] + right[2:]


def accepts_host(names: Iterable[str], host: str) -> bool:
    """Whether one of these names is for a host; the empty name is for all."""
    return any(host_rank(name, host) >= 0 for name in names)


def host_rank(name: str, host: str) -> int:
    """Return how exactly a name matches a host: -1 not at all, 0 as any, more the more exactly."""
    if not name:
        return 0
    if name == host:
        return 1_000
    if name.startswith("*."):
        return len(name) if host.endswith(name[1:]) else -1
    return len(name) if name.endswith(".*") and host.startswith(name[:-1]) else -1


def best_host_rank(names: Iterable[str], host: str) -> int:
    """Return the rank of the most exact of these names."""
    return max((host_rank(name, host) for name in names), default=0)


def methods_meet(one: RoutePattern, other: RoutePattern) -> bool:
    """Whether some method matches both."""
    if not one.methods or not other.methods:
        return True
    return not one.methods.isdisjoint(other.methods)


def headers_meet(one: HeaderValues, other: HeaderValues) -> bool:
    """Whether a request that has one value of each header may have what both ask for."""
    if not one or not other:
        return True
    theirs = dict(other)
    return all(not set(values).isdisjoint(theirs.get(name, values)) for name, values in one)


def headers_text(headers: HeaderValues) -> str:
    """For messages: ` [x-env=blue|green]` for each header."""
    return "".join(f" [{name}={'|'.join(values)}]" for name, values in headers)


def read_headers(route: Mapping[str, Any]) -> HeaderValues:
    """Return the headers that a route in the canonical form asks for."""
    found: Any = route.get("headers")
    if not isinstance(found, (list, tuple)):
        return ()
    return tuple((str(item["name"]), tuple(map(str, item["values"]))) for item in found)


def segment_path(path: str) -> str:
    """Return the one spelling of a path whose segments are compared decoded: `/%61` is `/a`.

    Parameters lose their names.
    """
    path = path.rstrip("/") or "/"
    if "{" in path:
        return "/".join(ANY if PARAMETER.fullmatch(one) else _spell(one) for one in path.split("/"))
    if "%" not in path:
        return path
    return "/".join(map(_spell, path.split("/")))


def _spell(segment: str) -> str:
    return quote(unquote(segment), safe="!$&'()*+,;=:@~")


def _read_segments(route: Mapping[str, Any]) -> RoutePattern:
    hosts = tuple(str(host).lower().removesuffix(".") for host in route.get("hosts") or ())
    methods = frozenset(str(method).upper() for method in route.get("methods") or ())
    written = str(route["path"])
    path = segment_path(written)
    return RoutePattern(
        path,
        hosts,
        methods,
        headers=read_headers(route),
        written=written if has_parameters(path) else "",
    )


def _segments_win(first: RoutePattern, second: RoutePattern, host: str) -> bool:
    mine, theirs = _depth(first.path), _depth(second.path)
    if mine == theirs:
        mine, theirs = literal_rank(first.path), literal_rank(second.path)
    if mine != theirs:
        return mine > theirs
    mine, theirs = best_host_rank(first.hosts, host), best_host_rank(second.hosts, host)
    if mine != theirs:
        return mine > theirs
    # The longest prefix and the most exact host are chosen before anybody looks at methods: a
    # route that has another method there answers 405, and the other one is not asked.
    return len(first.headers) >= len(second.headers) and methods_meet(first, second)


def _depth(path: str) -> int:
    return 0 if path == "/" else path.count("/")


SEGMENTS: Final = Router(_read_segments, _segments_win, one_value=True)
"""Longest prefix by segments, literal ones before parameters, then the most exact host, the method
and most headers: our own data plane."""

UNNESTED: Final = Router(_read_segments, lambda new, held, host: True, reaches_below=True)
"""Gateways that refuse a path below another one: two paths that meet are never both there."""
