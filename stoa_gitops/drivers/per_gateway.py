"""The drivers of all registered gateways, by name, with one writer's lock for each name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from stoa_gitops.adapter_sdk.contract import Connection
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.drivers.driver import Deadlines, Driver
from stoa_gitops.errors import GatewayError, GatewayUnknown


class Drivers:
    """Registered gateways. A gateway that cannot be driven (its type has no adapter) is registered, too:
    asking for it says why, and the others go on.
    """

    def __init__(
        self, *, clock: Callable[[], datetime], deadlines: Deadlines | None = None
    ) -> None:
        self._clock = clock
        self._deadlines = deadlines
        self._drivers: dict[str, Driver | GatewayError] = {}
        self._writers: dict[str, asyncio.Lock] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Registered names, sorted."""
        return tuple(sorted(self._drivers))

    async def register(self, connection: Connection) -> None:
        """Add a gateway, or replace it where its connection changed; waits for its running apply."""
        name = connection.instance.name
        known = self._drivers.get(name)
        if isinstance(known, Driver) and known.connection == connection:
            return
        writer = self._writers.setdefault(name, asyncio.Lock())
        try:
            self._drivers[name] = Driver(
                info_for(connection.instance.gateway_type),
                connection,
                clock=self._clock,
                deadlines=self._deadlines,
                writer=writer,
            )
        except GatewayError as error:
            self._drivers[name] = error
        if isinstance(known, Driver):
            await known.aclose()

    async def forget(self, name: str) -> None:
        """Remove a gateway; an unknown one is removed already."""
        known = self._drivers.pop(name, None)
        if isinstance(known, Driver):
            await known.aclose()

    def for_gateway(self, name: str) -> Driver:
        """Return the driver; raises GatewayUnknown, or GatewayError where it cannot be driven."""
        known = self._drivers.get(name)
        if known is None:
            raise GatewayUnknown(
                f"gateway {name!r} is not registered: register it via API or catalog first"
            )
        if isinstance(known, GatewayError):
            raise type(known)(str(known), retry_after=known.retry_after)
        return known

    async def aclose(self) -> None:
        """Close them all; each waits for its running apply."""
        for name in self.names:
            await self.forget(name)
