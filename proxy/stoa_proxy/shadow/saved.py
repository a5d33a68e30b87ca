"""What was learned as JSON, so that it outlives the process."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from stoa_proxy.shadow.learner import MAX_PLACES, METHODS, Learner, Operation, Place

VERSION: Final = 1
_COUNTERS = ("names", "request_types", "response_types", "credentials", "statuses")
_MAX_DEPTH: Final = 40


def dump(learner: Learner) -> bytes:
    """Return what a learner knows."""
    hosts = {host: _dump_place(place) for host, place in learner.hosts.items()}
    document = {"version": VERSION, "observed": learner.observed, "hosts": hosts}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def load(learner: Learner, content: bytes) -> None:
    """Have a learner know what another one knew. Raises ValueError for what is not from `dump`."""
    try:
        document = json.loads(content)
        if document["version"] != VERSION:
            raise ValueError("it is of another version")
        hosts = {str(host): _load_place(place, 0) for host, place in document["hosts"].items()}
        if sum(map(len, hosts.values())) > MAX_PLACES:
            raise ValueError("it holds too much")
        learner.restore(hosts, int(document["observed"]))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is damaged ({type(error).__name__})") from None


def _dump_place(place: Place) -> dict[str, Any]:
    written: dict[str, Any] = {"requests": place.requests}
    if place.words:
        written["words"] = {word: _dump_place(below) for word, below in place.words.items()}
    if place.parameter is not None:
        written["parameter"] = _dump_place(place.parameter)
        written["kinds"] = dict(place.kinds)
    if place.operations:
        written["operations"] = {
            method: {
                "requests": one.requests,
                **{name: dict(counts) for name in _COUNTERS if (counts := getattr(one, name))},
            }
            for method, one in place.operations.items()
        }
    return written


def _load_place(value: dict[str, Any], depth: int) -> Place:
    if depth > _MAX_DEPTH:
        raise ValueError("it is too deep")
    place = Place(int(value["requests"]))
    for word, below in value.get("words", {}).items():
        place.words[str(word)] = _load_place(below, depth + 1)
    if "parameter" in value:
        place.parameter = _load_place(value["parameter"], depth + 1)
        place.kinds = _load_counter(value["kinds"])
    for method, one in value.get("operations", {}).items():
        if method in METHODS:
            operation = place.operations[method] = Operation(int(one["requests"]))
            for name in _COUNTERS:
                setattr(operation, name, _load_counter(one.get(name, {})))
            statuses = {int(status): count for status, count in operation.statuses.items()}
            operation.statuses = Counter(statuses)
    return place


def _load_counter(value: dict[str, Any]) -> Counter[Any]:
    return Counter({name: int(count) for name, count in value.items()})
