"""Learns endpoints from requests: a trie of path segments, bounded, with a place for values.

A segment that is a value leads to the one parameter of its place; its kind is kept, never the value
itself. Words lead to places of their own as long as there are few of them: beyond that words that
all look alike below (`shape`) become values, since what comes in great numbers and always looks the
same is one, and of others the one that was seen least is forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stoa_proxy.shadow.segments import TEXT, value_kind

METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
"""What is learned; preflights and diagnoses are no part of an interface."""

MAX_HOSTS: Final = 32
MAX_PLACES: Final = 5_000
"""Of all hosts together: a place takes about a kibibyte with what was seen there."""

_MAX_WORDS: Final = 48
_MAX_DEPTH: Final = 16
_MAX_NAMES: Final = 32
_MAX_TYPES: Final = 8
_MAX_STATUSES: Final = 32
# So many words of one place that look alike are values.
_MANY_ALIKE: Final = 12
# A word or host that was seen more often makes no room for another one.
_FEW: Final = 3


class Observation(NamedTuple):
    """One request, without values.

    `segments` are decoded; `names` are of query parameters, `credential` how the caller showed
    who it is (`bearer`, `basic`, `api_key`), `status` that of the response where it is known.
    """

    host: str
    method: str
    segments: tuple[str, ...]
    names: tuple[str, ...] = ()
    request_type: str = ""
    response_type: str = ""
    credential: str = ""
    status: int | None = None


@dataclass(slots=True)
class Operation:
    """What was seen of one method at one place, each with how often."""

    requests: int = 0
    names: Counter[str] = field(default_factory=Counter)
    request_types: Counter[str] = field(default_factory=Counter)
    response_types: Counter[str] = field(default_factory=Counter)
    credentials: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)

    def note(self, seen: Observation) -> None:
        """Count one request."""
        self.requests += 1
        for name in seen.names:
            _count(self.names, name, _MAX_NAMES)
        for counts, value in (
            (self.request_types, seen.request_type),
            (self.response_types, seen.response_type),
            (self.credentials, seen.credential),
        ):
            if value:
                _count(counts, value, _MAX_TYPES)
        if seen.status is not None and (
            seen.status in self.statuses or len(self.statuses) < _MAX_STATUSES
        ):
            self.statuses[seen.status] += 1

    def add(self, other: Operation) -> None:
        """Count what another one has counted."""
        self.requests += other.requests
        for mine, theirs, most in (
            (self.names, other.names, _MAX_NAMES),
            (self.request_types, other.request_types, _MAX_TYPES),
            (self.response_types, other.response_types, _MAX_TYPES),
            (self.credentials, other.credentials, _MAX_TYPES),
        ):
            for name, count in theirs.items():
                _count(mine, name, most, count)
        for status, count in other.statuses.items():
            if status in self.statuses or len(self.statuses) < _MAX_STATUSES:
                self.statuses[status] += count


@dataclass(slots=True)
class Place:
    """What was seen behind one prefix of segments; `kinds` are those of the values here."""

    requests: int = 0
    words: dict[str, Place] = field(default_factory=dict)
    parameter: Place | None = None
    kinds: Counter[str] = field(default_factory=Counter)
    operations: dict[str, Operation] = field(default_factory=dict)

    def __len__(self) -> int:
        return 1 + sum(len(place) for place in self.places())

    def places(self) -> Iterator[Place]:
        """Yield the places right below."""
        yield from self.words.values()
        if self.parameter is not None:
            yield self.parameter

    def shape(self) -> tuple[frozenset[str], frozenset[str], bool]:
        """Return what makes two places look alike: methods, and what is right below."""
        return frozenset(self.operations), frozenset(self.words), self.parameter is not None

    def merge(self, other: Place) -> None:
        """Take over what was seen at another place."""
        self.requests += other.requests
        self.kinds.update(other.kinds)
        for method, operation in other.operations.items():
            self.operations.setdefault(method, Operation()).add(operation)
        for word, place in other.words.items():
            self.words.setdefault(word, Place()).merge(place)
        if other.parameter is not None:
            if self.parameter is None:
                self.parameter = Place()
            self.parameter.merge(other.parameter)

    def take_as_values(self, words: Iterable[str]) -> None:
        """Make values of words."""
        for word in list(words):
            place = self.words.pop(word)
            if self.parameter is None:
                self.parameter = Place()
            self.kinds[TEXT] += place.requests
            self.parameter.merge(place)


class Learner:
    """What was learned so far, by host. `ignored` counts what was not learned from."""

    def __init__(self) -> None:
        self.hosts: dict[str, Place] = {}
        self.observed = 0
        self.ignored = 0
        self._places = 0

    @property
    def places(self) -> int:
        """How many places there are."""
        return self._places

    def restore(self, hosts: Mapping[str, Place], observed: int) -> None:
        """Go on with what an earlier process had learned."""
        self.hosts = dict(list(hosts.items())[:MAX_HOSTS])
        self.observed = observed
        self._places = sum(map(len, self.hosts.values()))

    def note(self, seen: Observation) -> bool:
        """Learn from one request; False where there is nothing to learn, or no room for it."""
        # Of what is not there nothing is learned: everybody can ask for that.
        is_there = seen.status not in (400, 404, 405, 410, 501)
        place = self._host(seen.host) if seen.method in METHODS and is_there else None
        if place is None or len(seen.segments) > _MAX_DEPTH:
            self.ignored += 1
            return False
        visited = [place]
        for segment in seen.segments:
            following = self._follow(place, segment)
            if following is None:
                self.ignored += 1
                return False
            place = following
            visited.append(place)
        for one in visited:
            one.requests += 1
        operation = place.operations.get(seen.method)
        if operation is None:
            operation = place.operations[seen.method] = Operation()
        operation.note(seen)
        self.observed += 1
        return True

    def forget(self, host: str) -> bool:
        """Forget a host; False where there is none."""
        place = self.hosts.pop(host, None)
        if place is not None:
            self._places -= len(place)
        return place is not None

    def _host(self, host: str) -> Place | None:
        place = self.hosts.get(host)
        if place is not None:
            return place
        if len(self.hosts) >= MAX_HOSTS or self._places >= MAX_PLACES:
            least = min(self.hosts, key=lambda name: self.hosts[name].requests)
            if self.hosts[least].requests > _FEW:
                return None
            self.forget(least)
        self._places += 1
        place = self.hosts[host] = Place()
        return place

    def _follow(self, place: Place, segment: str) -> Place | None:
        kind = value_kind(segment)
        if kind is None:
            following = place.words.get(segment) or self._add_word(place, segment)
            if following is not None:
                return following
            kind = TEXT
        if place.parameter is None:
            if self._places >= MAX_PLACES:
                self._make_room(place)
            if self._places >= MAX_PLACES:
                return None
            self._places += 1
            place.parameter = Place()
        place.kinds[kind] += 1
        return place.parameter

    def _add_word(self, place: Place, word: str) -> Place | None:
        """Make a place for a word; None where it is one of too many."""
        if self._is_full(place):
            self._make_room(place)
        if self._is_full(place):
            return None
        self._places += 1
        added = place.words[word] = Place()
        return added

    def _is_full(self, place: Place) -> bool:
        return len(place.words) >= _MAX_WORDS or self._places >= MAX_PLACES

    def _make_room(self, place: Place) -> None:
        """Make values of words that look alike, or forget the one that was seen least."""
        alike = alike_words(place)
        if alike:
            before = sum(len(place.words[word]) for word in alike)
            before += 0 if place.parameter is None else len(place.parameter)
            place.take_as_values(alike)
            assert place.parameter is not None, "it has what the words had"
            self._places += len(place.parameter) - before
        elif place.words:
            least = min(place.words, key=lambda word: place.words[word].requests)
            if place.words[least].requests <= _FEW:
                self._places -= len(place.words.pop(least))


def alike_words(place: Place) -> set[str]:
    """Return the words of a place that are so many and so alike that they must be values."""
    shapes: dict[object, list[str]] = {}
    for word, below in place.words.items():
        shapes.setdefault(below.shape(), []).append(word)
    return {word for words in shapes.values() if len(words) >= _MANY_ALIKE for word in words}


def _count(counts: Counter[str], name: str, most: int, by: int = 1) -> None:
    if name in counts or len(counts) < most:
        counts[name] += by
