"""Registry of drivers by gateway name, with one writer lock for each name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.drivers.driver import Deadlines, Driver
from stoa_gitops.errors import GatewayError, GatewayUnknown


class Drivers:
    """Registered gateways.

    A gateway that cannot be driven (its type has no adapter) is registered too: `for_gateway`
    raises the reason, and the other gateways are not affected.
    """

    def __init__(
        self, *, clock: Callable[[], datetime], deadlines: Deadlines | None = None
    ) -> None:
        self._clock = clock
        self._deadlines = deadlines
        # Only the connection of one that rests.
        self._drivers: dict[str, Driver | Connection | GatewayError] = {}
        # Outlive the drivers: a changed connection must not let a second writer in.
        self._writers: dict[str, asyncio.Lock] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Registered names, sorted."""
        return tuple(sorted(self._drivers))

    async def register(self, connection: Connection) -> None:
        """Add a gateway, or replace it if its connection changed; waits for its running apply."""
        name = connection.instance.name
        known = self._drivers.get(name)
        if isinstance(known, Driver) and known.connection == connection:
            return
        try:
            self._drivers[name] = self._make(connection)
        except GatewayError as error:
            self._drivers[name] = error
        if isinstance(known, Driver):
            await known.aclose()

    def rest(self, name: str) -> None:
        """Drop the driver of a gateway inside this process until it is needed again.

        It has no connections, and a thousand of them are megabytes. Sessions keep theirs.
        """
        known = self._drivers.get(name)
        if isinstance(known, Driver) and known.connection.inside is not None:
            self._drivers[name] = known.connection

    async def remove(self, name: str) -> None:
        """Remove a gateway; an unknown one is removed already."""
        driver = self._drivers.pop(name, None)
        if isinstance(driver, Driver):
            await driver.aclose()

    def for_gateway(self, name: str) -> Driver:
        """Return the driver; raises GatewayUnknown, or GatewayError where it cannot be driven."""
        driver = self._drivers.get(name)
        if isinstance(driver, Connection):
            driver = self._drivers[name] = self._make(driver)
        if driver is None:
            raise GatewayUnknown(
                f"gateway {name!r} is not registered: register it via API or catalog first"
            )
        if isinstance(driver, GatewayError):
            raise type(driver)(str(driver), retry_after=driver.retry_after)
        return driver

    def _make(self, connection: Connection) -> Driver:
        return Driver(
            info_for(connection.instance.gateway_type),
            connection,
            clock=self._clock,
            deadlines=self._deadlines,
            writer=self._writers.setdefault(connection.instance.name, asyncio.Lock()),
        )

    async def aclose(self) -> None:
        """Close them all; each waits for its running apply."""
        for name in self.names:
            await self.remove(name)
