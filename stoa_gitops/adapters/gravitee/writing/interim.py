"""What an API is for a moment while a plan is written, so that others can go before it.

It keeps plans that its document no longer has until applications took their keys to others, and it
leaves its paths until another API gave up those that it takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from stoa_gitops.adapters.gravitee.entities.parts import ApiParts, JsonTree
from stoa_gitops.adapters.gravitee.mapping.apis import stub_path
from stoa_gitops.adapters.gravitee.mapping.plans import read_plan_name
from stoa_gitops.model.keys import Key

Rewrite = Callable[[Key, str, Callable[[ApiParts], ApiParts]], Awaitable[ApiParts | None]]
"""`rewrite(key, id, edit)`: put an API as it is but for `edit`; returns what it was."""


class InterimStates:
    """Which APIs of one run are in such a state; each method raises StoaGitopsError."""

    def __init__(self, rewrite: Rewrite) -> None:
        self._rewrite = rewrite
        self._retiring: dict[Key, ApiParts] = {}
        self._kept: dict[Key, frozenset[tuple[str, str]]] = {}
        self._parked: dict[Key, ApiParts] = {}

    @property
    def retiring(self) -> Sequence[Key]:
        """APIs that still have plans which their documents no longer name."""
        return sorted(self._retiring)

    def keep_plans(self, after: ApiParts, definition: JsonTree, kept: Sequence[JsonTree]) -> None:
        """Leave plans in a definition that are in use and in no document, until `retire`.

        The key of a subscription that was closed with its plan cannot be used again.
        """
        names = {read_plan_name(plan) for plan in definition["plans"]}
        found = [plan for plan in kept if read_plan_name(plan) not in names]
        if found:
            self._retiring[after.key] = after
            named = (read_plan_name(plan) for plan in found)
            self._kept[after.key] = frozenset((n.plan, n.security) for n in named if n is not None)
            definition["plans"] += found

    def kept_plans(self, key: Key) -> frozenset[tuple[str, str]]:
        """Return plan and kind of security of each plan that was kept."""
        return self._kept.get(key, frozenset())

    def leave_plans(self, key: Key) -> None:
        """Leave the plans that were kept where they are: a later run removes them."""
        self._retiring.pop(key, None)

    async def retire(self, key: Key) -> None:
        """Remove the plans that were kept."""
        wanted = self._retiring.pop(key)
        await self._rewrite(key, wanted.api_id, lambda held: replace(wanted, api_id=held.api_id))

    async def park(self, key: Key, api_id: str) -> None:
        """Take an API away from its paths, so that another one can have them."""
        before = await self._rewrite(key, api_id, _parked)
        if before is not None:
            self._parked[key] = before

    async def put_back(self, key: Key) -> None:
        """Bring a parked API back to its paths: its own change did not come about."""
        before = self._parked.pop(key, None)
        if before is not None:
            await self._rewrite(key, before.api_id, lambda held: before)


def _parked(parts: ApiParts) -> ApiParts:
    api: Any = parts.api
    if api is None:
        return parts
    keeps_path = {"stripPath": api["routes"][0]["stripPath"]}
    route = {"path": stub_path(parts.key), "methods": [], "hosts": [], **keeps_path}
    return replace(parts, api={**api, "routes": [route]})
