"""Lists of what belongs to the whole gateway, kept from one observation to the next."""

from __future__ import annotations

from typing import Final

from stoa_gitops.adapter_sdk.contract import ListItem
from stoa_gitops.adapter_sdk.packed_list import PackedList
from stoa_gitops.adapters.webmethods.entities.parts import Options
from stoa_gitops.adapters.webmethods.node.session import Session
from stoa_gitops.adapters.webmethods.writing.gateway_objects import (
    GatewayObjects,
    with_api_names,
)
from stoa_gitops.adapters.webmethods.writing.global_policies import GlobalPolicies
from stoa_gitops.model.kinds import CONFIG, GLOBAL_POLICY, SCOPE

_EMPTY: Final = PackedList([])


class ExtendedLists:
    """Keeps each list until it was written, and until the next deep observation."""

    def __init__(
        self,
        objects: GatewayObjects,
        policies: GlobalPolicies,
        session: Session,
        options: Options,
    ) -> None:
        self._objects, self._policies = objects, policies
        self._session, self._options = session, options
        self._observations = 0
        self._lists: dict[str, PackedList] = {}
        self._stale: set[str] = set()

    def invalidate(self) -> None:
        """Read everything with the next call."""
        self._stale.update(self._lists)

    def mark_changed(self, kind: str) -> None:
        """Read a kind with the next call: something of it was written."""
        self._stale.add(kind)

    def start_observation(self) -> None:
        """Read everything again each tenth time."""
        if self._observations % self._options.deep_every == 0:
            self.invalidate()
        self._observations += 1

    async def list_objects(self, kind: str) -> PackedList:
        """Return the objects of a kind that a catalog wrote; raises GatewayError."""
        if kind in self._lists and kind not in self._stale:
            return self._lists[kind]
        items = await self._read(kind)
        held = self._lists.get(kind)
        # The identical list while nothing has changed: a plan of it then costs nothing.
        if held is None or list(held) != items:
            self._lists[kind] = PackedList(items) if items else _EMPTY
        self._stale.discard(kind)
        return self._lists[kind]

    async def _read(self, kind: str) -> list[ListItem]:
        if kind == CONFIG:
            return await self._objects.list_config(self._options.objects.get(CONFIG, {}))
        if kind == GLOBAL_POLICY:
            return await self._policies.list_objects(await self._session.gateway_info())
        items = await self._objects.list_objects(kind)
        if kind != SCOPE or not items:
            return items
        links = (await self._session.current_snapshot()).links
        names = {link.api_id: key.short for key, link in links.items()}
        return [with_api_names(item, names) for item in items]
