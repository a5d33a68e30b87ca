"""What a read of the environment has got so far, kept until all of it was read.

An observation has a time limit. Without this, a read that takes longer would begin anew with each
observation and never end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.node.snapshot import ApiGroup, Signature

OLDEST: Final = 3600.0
"""Seconds for which something counts as read at first.

Where that is too short for a whole read it doubles, so that the read ends: nothing in a snapshot is
older than an hour, or than twice as long as reading everything takes.
"""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Something that was read; `sign` tells that it is still so, as far as a list shows it."""

    sign: object
    value: Any
    read_at: float


class UnfinishedRead:
    """APIs and keys that were read since the last read that was whole.

    clock  monotonic seconds
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._info: GatewayInfo | None = None
        self._oldest = OLDEST
        self._groups: dict[str, _Kept] = {}
        self._prints: dict[str, dict[str, _Kept]] = {}

    def begin(self, info: GatewayInfo) -> None:
        """Go on with a read; from the start where the gateway is another one by now."""
        if self._info != info:
            self.clear()
            self._info = info
        is_late = False
        for kept in (self._groups, *self._prints.values()):
            for name in [n for n, one in kept.items() if self._is_old(one)]:
                is_late = True
                del kept[name]
        if is_late:
            self._oldest *= 2

    def clear(self) -> None:
        """Forget everything: a read was whole, or everything is to be read again."""
        self._groups.clear()
        self._prints.clear()
        self._oldest = OLDEST

    def forget(self, api_id: str) -> None:
        """Forget what was read of an API: it was written since."""
        self._groups.pop(api_id, None)
        self._prints.pop(api_id, None)

    def keep(self, group: ApiGroup, api_id: str) -> None:
        """Keep an API that was read."""
        self._groups[api_id] = _Kept(group.signature, group, self.clock())
        self._prints.pop(api_id, None)

    def find(self, api_id: str, signature: Signature) -> ApiGroup | None:
        """Return an API that was read and is as it was, as far as the list shows it."""
        kept = self._groups.get(api_id)
        return kept.value if kept is not None and kept.sign == signature else None

    def keep_prints(self, api_id: str, tree: JsonTree, prints: frozenset[str]) -> None:
        """Keep the fingerprints of a subscription's keys until its API was read whole."""
        of_api = self._prints.setdefault(api_id, {})
        of_api[str(tree.get("id"))] = _Kept(_sign_of(tree), prints, self.clock())

    def find_prints(self, api_id: str, tree: JsonTree) -> frozenset[str] | None:
        """Return the fingerprints of a subscription that is as it was; None for none."""
        kept = self._prints.get(api_id, {}).get(str(tree.get("id")))
        return kept.value if kept is not None and kept.sign == _sign_of(tree) else None

    def _is_old(self, one: _Kept) -> bool:
        return self.clock() - one.read_at > self._oldest


def _sign_of(tree: JsonTree) -> object:
    return tree.get("updatedAt"), tree.get("status"), tree.get("plan")
