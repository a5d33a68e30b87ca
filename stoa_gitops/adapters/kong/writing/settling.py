"""Keeps writes apart whose order the workers of a node with a database do not keep.

A worker takes over changed routes and changed plugins by two timers of
`worker_state_update_frequency` each (`kong/runloop/handler.lua`, "router-rebuild" and
"plugins-iterator-rebuild", 3.4 to 3.9), so a route can be in force before the plugin that was
written ahead of it. Seen on 3.9.1: a new API with `key-auth` answered 200 without a key, for up to
80 ms. Other nodes hear of a write when they look next (`db_update_frequency`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import Entity
from stoa_gitops.adapters.kong.mapping.plugins import IDENTIFYING_PLUGINS, plugins_of
from stoa_gitops.model.keys import Key

_GUARDS: Final = IDENTIFYING_PLUGINS | {"acl"} | plugins_of("ip_filter")
"""Plugins that keep callers out: without them a route is open."""

log = logging.getLogger(__name__)


class Settling:
    """When guards of an API were first written, and its routes deleted, in seconds of a clock.

    `seconds` of the methods is how long a write takes to be in force on every worker.
    """

    def __init__(self) -> None:
        self._guarded: dict[Key, float] = {}
        self._unrouted: dict[Key, float] = {}

    def note_put(self, key: Key, entity: Entity, *, is_new: bool) -> None:
        """Take note of what was written for the API `key`."""
        if is_new and _is_guard(entity):
            self._guarded[key] = time.monotonic()

    def note_deleted(self, key: Key, entity: Entity) -> None:
        """Take note of what was deleted of the API `key`."""
        if entity.type == "routes":
            self._unrouted[key] = time.monotonic()

    async def before_puts(self, keys: Collection[Key], seconds: float) -> None:
        """Wait until the guards of all these APIs are in force.

        Together: a path that moves from one to another goes in one moment.
        """
        await _wait(self._guarded, keys, seconds, "plugins")

    async def before_put(self, key: Key, entity: Entity, seconds: float) -> None:
        """Wait before a route until the guards of its API are in force."""
        if entity.type == "routes":
            await _wait(self._guarded, [key], seconds, "plugins")

    async def before_delete(self, key: Key, entity: Entity, seconds: float) -> None:
        """Wait before a guard until the routes that it guarded are out of force."""
        if _is_guard(entity):
            await _wait(self._unrouted, [key], seconds, "routes")


def _is_guard(entity: Entity) -> bool:
    return entity.type == "plugins" and entity.tree.get("name") in _GUARDS


async def _wait(
    since: Mapping[Key, float], keys: Collection[Key], seconds: float, what: str
) -> None:
    latest = max((since[key] for key in keys if key in since), default=None)
    if latest is None:
        return
    left = latest + seconds - time.monotonic()
    if left > 0:
        log.info("%.0f s until every worker has the %s that were written last", left, what)
        await asyncio.sleep(left)
