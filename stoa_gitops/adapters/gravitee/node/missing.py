"""Looks for objects that a list does not show though they are there.

The totals beside a list tell of one that lost an object between its pages; one that misses it
altogether counts it in no total either. So what this catalog applied, and what was seen before, is
asked for by its id where no list shows it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from stoa_gitops.adapters.gravitee.api.client import GraviteeClient
from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.node.snapshot import Snapshot
from stoa_gitops.errors import GatewayBusy
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.resources import AppliedRecord

log = logging.getLogger(__name__)

MOST: Final = 40
"""Objects of a list that are asked for by their ids: a person may have deleted thousands."""

_AT_A_TIME: Final = 4
_ARCHIVED: Final = "ARCHIVED"


class MissingObjects:
    """Completes lists; remembers which ids are gone, so that each is asked for once.

    records  what this catalog applied, by key; set before an observation
    """

    def __init__(self, client: GraviteeClient) -> None:
        self._client = client
        self._gone: set[str] = set()
        self.records: Mapping[Key, AppliedRecord] = {}

    async def complete_apis(
        self, listed: list[JsonTree], before: Snapshot | None
    ) -> list[JsonTree]:
        """Return the APIs with those that their list misses; raises GatewayError."""
        known = {one.gateway_id for key, one in self.records.items() if key.kind == API}
        known |= before.groups.keys() if before is not None else set()
        return await self._complete("APIs", listed, known, self._find_api)

    async def complete_applications(
        self, listed: list[JsonTree], before: Snapshot | None
    ) -> list[JsonTree]:
        """Return the applications with those that their list misses; raises GatewayError."""
        known = {one.gateway_id for key, one in self.records.items() if key.kind == APPLICATION}
        seen = before.applications if before is not None else ()
        known |= {str(one.get("id") or "") for one in seen}
        return await self._complete("applications", listed, known, self._find_application)

    async def complete_plans(
        self, api_id: str, listed: list[JsonTree], known: Iterable[str]
    ) -> list[JsonTree]:
        """Return the plans of an API with those that their list misses; raises GatewayError."""

        async def find(ident: str) -> JsonTree | None:
            found = await self._client.find_plan(api_id, ident)
            return None if found is None or found.get("status") == "CLOSED" else found

        return await self._complete(f"plans of {api_id}", listed, {*known}, find)

    async def complete_subscriptions(
        self, api_id: str, listed: list[JsonTree], known: Iterable[str]
    ) -> list[JsonTree]:
        """Return the subscriptions to an API with those that their list misses."""

        async def find(ident: str) -> JsonTree | None:
            found = await self._client.find_subscription(api_id, ident)
            is_over = found is None or found.get("status") in ("CLOSED", "REJECTED")
            return None if is_over else found

        return await self._complete(f"subscriptions of {api_id}", listed, {*known}, find)

    async def _find_api(self, api_id: str) -> JsonTree | None:
        return (await self._client.find_api(api_id))[0]

    async def _find_application(self, application: str) -> JsonTree | None:
        found = await self._client.find_application(application)
        return None if found is None or found.get("status") == _ARCHIVED else found

    async def _complete(
        self,
        what: str,
        listed: list[JsonTree],
        known: set[str],
        find: Callable[[str], Awaitable[JsonTree | None]],
    ) -> list[JsonTree]:
        shown = {str(one.get("id") or "") for one in listed}
        self._gone -= shown
        missing = sorted(known - shown - self._gone - {""})
        asked, found = missing[:MOST], list[JsonTree]()
        for start in range(0, len(asked), _AT_A_TIME):
            part = asked[start : start + _AT_A_TIME]
            found += self._noted(part, await asyncio.gather(*map(find, part)))
        if found and len(missing) > len(asked):
            raise GatewayBusy(
                f"the list of {what} misses {len(found)} of {len(asked)} objects that were looked "
                f"for, and {len(missing) - len(asked)} more may be there: it is not whole"
            )
        # Those that were asked for are gone, every one: the others went the same way.
        self._gone.update(missing[MOST:])
        if found:
            names = ", ".join(sorted(str(one.get("id")) for one in found)[:3])
            log.warning(
                "the list of %s of the gateway misses %d objects that it has (%s): they were read "
                "by their ids",
                what,
                len(found),
                names,
            )
        return [*listed, *found] if found else listed

    def _noted(self, asked: Sequence[str], answers: Sequence[JsonTree | None]) -> list[JsonTree]:
        self._gone.update(i for i, tree in zip(asked, answers, strict=True) if tree is None)
        return [tree for tree in answers if tree is not None]
