"""Finds claims of others that a route could meet, without comparing all routes with all."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from stoa_gitops.model.keys import Key
from stoa_gitops.model.path_parameters import has_parameters, literal_stem
from stoa_gitops.model.routing import RoutePattern, Router

FOREIGN_OWNER: Final = ""
"""Owner of routes that no tenant of the catalog has."""

_BELOW: Final = "<"
_WIDE: Final = "<*"
"""Where names that end in a wildcard are kept: whatever they meet is found by comparing."""

_Spot: TypeAlias = tuple[str, str, str]
"""(`@` a path or `<` what lies at or below it, the path, a host or `<` and what lies below it)."""


class Strength(IntEnum):
    """How strong a claim is by itself, whoever is there."""

    FREE = 0
    OWN = 1
    FOREIGN = 2
    GRANTED = 3


# Compared by identity: 10,000 of them are kept in several sets, and hashing all fields costs.
@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """One route that somebody has or wants on one gateway.

    owner      the tenant
    key        its API; None for a foreign route
    is_live    the gateway has it: only a claim that is not there yet can be at fault
    delegates  `*`, `<tenant>` or `<tenant>/<api>` that may take requests of this route
    label      who and where, for messages
    """

    owner: str
    key: Key | None
    pattern: RoutePattern
    strength: Strength = Strength.FREE
    is_live: bool = False
    delegates: tuple[str, ...] = ()
    label: str = ""

    def allows(self, other: Claim) -> bool:
        """Whether this claim says that another one may take its requests."""
        return (
            bool(self.delegates) and other.key is not None and may_share(self.delegates, other.key)
        )


def may_share(delegates: tuple[str, ...], api: Key) -> bool:
    """Whether an API is among those that may take requests of a route: `*`, tenants, or APIs."""
    return any(name in delegates for name in ("*", api.tenant, api.short))


def own_strength(tenant: str, path: str) -> Strength:
    """Return the strength of a route that is not granted: `/apis/<tenant>/` is its tenant's."""
    own = f"/apis/{tenant}"
    is_own = path.startswith(own) and (len(path) == len(own) or path[len(own)] == "/")
    return Strength.OWN if is_own else Strength.FREE


def is_blamed(taker: Claim, victim: Claim) -> tuple[bool, bool]:
    """Return who of two is at fault where the first, not live yet, takes from the second."""
    if victim.is_live:
        return victim.strength >= taker.strength, False
    # Two newcomers: neither is there, so nobody but a stronger claim decides.
    return victim.strength >= taker.strength, victim.strength == taker.strength


def _at_and_above(path: str, *, by_letters: bool) -> Iterator[str]:
    """Yield the paths of routes that may cover a path, itself included."""
    yield "/"
    if path == "/":
        return
    if by_letters:
        yield from (path[:end] for end in range(2, len(path)))
    else:
        start = path.find("/", 1)
        while start > 0:
            yield path[:start]
            start = path.find("/", start + 1)
    yield path


class _Bucket:
    """Several claims at one spot, by what decides besides their paths; in an order of their own."""

    __slots__ = ("_order", "_shapes")

    def __init__(self) -> None:
        self._shapes: dict[tuple[Hashable, ...], dict[Claim, None]] = {}
        self._order: tuple[Claim, ...] | None = None

    def __bool__(self) -> bool:
        return bool(self._shapes)

    def __iter__(self) -> Iterator[Claim]:
        for claims in self._shapes.values():
            yield from claims

    def add(self, shape: tuple[Hashable, ...], claim: Claim) -> None:
        self._shapes.setdefault(shape, {})[claim] = None
        self._order = None

    def discard(self, shape: tuple[Hashable, ...], claim: Claim) -> None:
        claims = self._shapes.get(shape, {})
        claims.pop(claim, None)
        if not claims:
            self._shapes.pop(shape, None)
        self._order = None

    def examples(self) -> tuple[Claim, ...]:
        """Return one claim for each shape, the same whatever the order of adding."""
        if self._order is None:
            firsts = (min(claims, key=_order) for claims in self._shapes.values())
            self._order = tuple(sorted(firsts, key=_order))
        return self._order


def _order(claim: Claim) -> tuple[object, ...]:
    pattern = claim.pattern
    key = claim.key or ("", "", "")
    return (
        -claim.strength, not claim.is_live, key, pattern.path, pattern.hosts,
        sorted(pattern.methods), pattern.headers, pattern.low, pattern.high, claim.label,
    )  # fmt: skip


class PlaceIndex:
    """Claims of one gateway by path and host; an edit moves only what changed."""

    def __init__(self, router: Router) -> None:
        self.router = router
        # Most spots have one claim, which stands for itself: with a bucket for each of them
        # 10,000 routes took 80 MiB.
        self._buckets: dict[_Spot, Claim | _Bucket] = {}
        self._by_letters = 0
        self._with_parameters = 0
        # Whether live claims are kept below others, too: only parameters need that.
        self._has_live_below = router.reaches_below

    def add(self, claim: Claim) -> None:
        """Add a claim."""
        self._by_letters += claim.pattern.by_letters
        self._with_parameters += has_parameters(claim.pattern.path)
        self._keep(claim, self._spots(claim))

    def _keep(self, claim: Claim, spots: Iterable[_Spot]) -> None:
        for spot in spots:
            found = self._buckets.setdefault(spot, claim)
            if found is claim:
                continue
            if isinstance(found, Claim):
                alone, found = found, _Bucket()
                found.add(_shape(spot, alone), alone)
                self._buckets[spot] = found
            found.add(_shape(spot, claim), claim)

    def remove(self, claim: Claim) -> None:
        """Remove a claim that was added."""
        self._by_letters -= claim.pattern.by_letters
        self._with_parameters -= has_parameters(claim.pattern.path)
        for spot in self._spots(claim):
            found = self._buckets[spot]
            if isinstance(found, _Bucket):
                found.discard(_shape(spot, claim), claim)
            if found is claim or not found:
                del self._buckets[spot]

    def victims(self, taker: Claim) -> Iterator[Claim]:
        """Yield claims of other owners that a claim takes requests from.

        One stands for several that are alike but for their path or host.
        """
        takes = self.router.takes
        # What lies below a path with parameters may differ from it before its end.
        is_any = has_parameters(taker.pattern.path)
        for found in self._met(taker.pattern):
            many = found if is_any or isinstance(found, Claim) else found.examples()
            for victim in (many,) if isinstance(many, Claim) else many:
                if victim.owner != taker.owner and takes(taker.pattern, victim.pattern):
                    yield victim

    def takers(self, victim: Claim) -> Iterator[Claim]:
        """Yield claims of other owners, not live yet, that may take requests from a claim."""
        stem = literal_stem(victim.pattern.path)
        paths = [(_BELOW, stem)]
        if self.router.reaches_below or self._with_parameters:
            paths += [("@", path) for path in self._above(stem)]
        for found in self._at(paths, victim.pattern):
            for taker in (found,) if isinstance(found, Claim) else found:
                if taker.owner != victim.owner and not taker.is_live:
                    yield taker

    def _met(self, pattern: RoutePattern) -> Iterator[Claim | _Bucket]:
        stem = literal_stem(pattern.path)
        paths = [("@", path) for path in self._above(stem)]
        is_any = has_parameters(pattern.path)
        if is_any and not self._has_live_below:
            self._keep_live_below()
        if self.router.reaches_below or is_any:
            paths.append((_BELOW, stem))
        return self._at(paths, pattern)

    def _at(
        self, paths: Iterable[tuple[str, str]], pattern: RoutePattern
    ) -> Iterator[Claim | _Bucket]:
        hosts = tuple(dict.fromkeys(_meeting_hosts(pattern.hosts)))
        for side, path in paths:
            for host in hosts:
                found = self._buckets.get((side, path, host))
                if found is not None:
                    yield found

    def _above(self, path: str) -> Iterator[str]:
        return _at_and_above(path, by_letters=bool(self._by_letters))

    def _keep_live_below(self) -> None:
        self._has_live_below = True
        found = [found for (side, *_), found in self._buckets.items() if side == "@"]
        claims = [one for some in found for one in ((some,) if isinstance(some, Claim) else some)]
        for claim in dict.fromkeys(claims):
            if claim.is_live:
                self._keep(claim, self._spots_below(claim))

    def _spots(self, claim: Claim) -> Iterator[_Spot]:
        stem = literal_stem(claim.pattern.path)
        for host in _own_hosts(claim.pattern.hosts):
            yield "@", stem, host
        # Only a route that is not there yet is looked for below others, but for gateways where it
        # may be taken from, too.
        if self._has_live_below or not claim.is_live:
            yield from self._spots_below(claim)

    def _spots_below(self, claim: Claim) -> Iterator[_Spot]:
        stem = literal_stem(claim.pattern.path)
        for host in _own_hosts(claim.pattern.hosts):
            for path in _at_and_above(stem, by_letters=self.router.by_letters):
                yield _BELOW, path, host


def _shape(spot: _Spot, claim: Claim) -> tuple[Hashable, ...]:
    """Return what decides about a claim at a spot, besides what the spot says of it."""
    side, path, host = spot
    pattern = claim.pattern
    return (
        claim.owner, claim.strength, claim.is_live, claim.delegates, pattern.methods,
        pattern.headers, pattern.low, pattern.high,
        # Where one spot stands for many hosts, which one it is decides nothing.
        _kind(pattern) if host.startswith(_BELOW) else pattern.hosts,
        side == _BELOW and path == pattern.path,
        # Of a path with parameters a spot says only what is before the first.
        pattern.path if has_parameters(pattern.path) else "",
    )  # fmt: skip


def _kind(pattern: RoutePattern) -> tuple[bool, ...]:
    return tuple(sorted({"*" in host for host in pattern.hosts}))


def _own_hosts(hosts: tuple[str, ...]) -> Iterator[str]:
    """Yield under which hosts a claim is kept: its own, and all that lie above them."""
    if not hosts:
        yield ""
        return
    found: dict[str, None] = {_BELOW: None}
    for host in hosts:
        found[host] = None
        if host.endswith(".*"):
            found[_WIDE] = None
            continue
        rest = host.partition(".")[2]
        while rest:
            found[f"{_BELOW}{rest}"] = None
            rest = rest.partition(".")[2]
    yield from found


def _meeting_hosts(hosts: tuple[str, ...]) -> Iterator[str]:
    """Yield under which hosts claims are kept that could meet these."""
    yield ""
    if not hosts:
        yield _BELOW
        return
    yield _WIDE
    for host in hosts:
        if host.endswith(".*"):
            yield _BELOW
            continue
        yield host
        if host.startswith("*."):
            yield f"{_BELOW}{host[2:]}"
        rest = host.partition(".")[2]
        while rest:
            yield f"*.{rest}"
            rest = rest.partition(".")[2]
