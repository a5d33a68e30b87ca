"""Keeps writes apart whose order the workers of a node with a database do not keep.

A worker takes over changed routes and changed plugins by two timers of
`worker_state_update_frequency` each (`kong/runloop/handler.lua`, "router-rebuild" and
"plugins-iterator-rebuild", 3.4 to 3.9), so a route can be in force before the plugin that was
written ahead of it. Seen on 3.9.1: a new API with `key-auth` answered 200 without a key, for up to
80 ms. Other nodes hear of a write when they look next (`db_update_frequency`).

Upstreams go at once, and the service that named one until then changes with the routes: on 3.9.1 an
API was answered with 503 for 4 s after it went from several backends to one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import Entity
from stoa_gitops.adapters.kong.entities.ownership import parent_id
from stoa_gitops.adapters.kong.mapping.plugins import (
    IDENTIFYING_PLUGINS,
    INACTIVE,
    plugins_of,
)
from stoa_gitops.model.keys import Key

_GUARDS: Final = IDENTIFYING_PLUGINS | {"acl"} | plugins_of("ip_filter")
"""Plugins that keep callers out: without them a route is open."""

_NOBODY: Final = "not-written-yet.invalid"
"""A host that nobody asks for (RFC 2606 §2)."""

log = logging.getLogger(__name__)


class Settling:
    """When guards of an API were first written, its service, and its routes deleted.

    All in seconds of a clock.

    `seconds` of the methods is how long a write takes to be in force on every worker.
    """

    def __init__(self) -> None:
        self._guarded: dict[Key, float] = {}
        self._unrouted: dict[Key, float] = {}
        self._led: dict[Key, float] = {}
        self._hidden: dict[Key, float] = {}

    def note_put(self, key: Key, entity: Entity, *, is_new: bool) -> None:
        """Take note of what was written for the API `key`."""
        if is_new and _is_guard(entity):
            self._guarded[key] = time.monotonic()
        if entity.type == "services" and not is_new:
            self._led[key] = time.monotonic()

    def note_hidden(self, key: Key) -> None:
        """Take note of a route that was hidden, of the API `key`."""
        self._hidden[key] = time.monotonic()

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
        if entity.type == "routes" and entity.tree.get("hosts") != [_NOBODY]:
            await _wait(self._guarded, [key], seconds, "plugins")

    async def before_delete(self, key: Key, entity: Entity, seconds: float) -> None:
        """Wait before a guard until the routes that it guarded are out of force.

        And before a route that takes its guard along until nobody finds it.
        """
        if entity.type == "routes":
            await _wait(self._hidden, [key], seconds, "routes")
        if _is_guard(entity) and not entity.tree.get("route"):
            await _wait(self._unrouted, [key], seconds, "routes")

    async def before_upstream_goes(self, key: Key, seconds: float) -> None:
        """Wait before an upstream, and its targets, until no service leads there any more."""
        await _wait(self._led, [key], seconds, "services")


def hidden_route(route: Entity) -> Entity:
    """Return a route that nobody finds, for a plugin on it needs one that exists (400 else)."""
    return Entity.of("routes", {**route.tree, "hosts": [_NOBODY]})


def closed_routes(entities: Iterable[Entity]) -> set[str]:
    """Return the ids of routes that a plugin of their own closes, as those of an inactive API."""
    return {
        parent_id(one.tree, "route")
        for one in entities
        if one.type == "plugins" and one.tree.get("name") == INACTIVE
    } - {""}


def _is_guard(entity: Entity) -> bool:
    is_closing = entity.tree.get("name") == INACTIVE and parent_id(entity.tree, "route")
    is_plugin = entity.type == "plugins"
    return is_plugin and bool(is_closing or entity.tree.get("name") in _GUARDS)


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
