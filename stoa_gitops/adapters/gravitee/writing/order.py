"""Orders the APIs of a plan by what they wait for, paths among it. Pure.

Gravitee has one API at a path (contract gravitee.md R.1 row 13): what takes a path waits until the
other API gave it up. Where each of two has what the other one takes, one is parked: until its own
turn it has a path that nobody calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stoa_gitops.adapter_sdk.contract import Write
from stoa_gitops.model.keys import Key


@dataclass(frozen=True, slots=True)
class Rank:
    """APIs that do not wait for each other, each with its changes.

    parked  API of a later rank that gives up its paths before these are written; None mostly
    """

    groups: Sequence[Sequence[Write]]
    parked: Key | None = None


def rank_apis(writes: Sequence[Write]) -> list[Rank]:
    """Group changes by API, and the APIs by what they wait for, in the plan's order."""
    groups: dict[Key, list[Write]] = {}
    for write in writes:
        groups.setdefault(write.change.key.parent or write.change.key, []).append(write)
    waits = {key: _waits_of(key, group) & groups.keys() for key, group in groups.items()}
    ranks: list[Rank] = []
    left, parked = dict.fromkeys(groups), set[Key]()
    while left:
        free, parking = _free(left, waits, parked), None
        if not free:
            parking = _choose(left, waits, parked, groups)
            if parking is not None:
                parked.add(parking)
                free = _free(left, waits, parked)
            else:
                # They wait for each other, and not for paths: the plan's order decides.
                free = [next(iter(left))]
        ranks.append(Rank([groups[key] for key in free], parking))
        for key in free:
            del left[key]
    return ranks


def _waits_of(key: Key, group: Sequence[Write]) -> set[Key]:
    found = {on.parent or on for write in group for on in write.change.depends_on}
    return found - {key}


def _free(left: dict[Key, None], waits: dict[Key, set[Key]], parked: set[Key]) -> list[Key]:
    return [key for key in left if waits[key].isdisjoint(left.keys() - parked)]


def _choose(
    left: dict[Key, None],
    waits: dict[Key, set[Key]],
    parked: set[Key],
    groups: dict[Key, list[Write]],
) -> Key | None:
    """Return an API that is there and that another one waits for."""
    for key in left:
        is_there = any(w.change.key == key and w.change.observed for w in groups[key])
        if is_there and key not in parked and any(key in waits[other] for other in left):
            return key
    return None
