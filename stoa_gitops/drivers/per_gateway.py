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
        self._drivers: dict[str, Driver | GatewayError] = {}
        # Outlive the drivers: a changed connection must not let a second writer in.
        self._writers: dict[str, asyncio.Lock] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Registered names, sorted."""
        return tuple(sorted(self._drivers))

    async def register(self, connection: Connection) -> None:
        """Add a gateway, or replace it if its connection changed; waits for its running apply."""
        name = connection.instance.name
        driver = self._drivers.get(name)
        if isinstance(driver, Driver) and driver.connection == connection:
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
        if isinstance(driver, Driver):
            await driver.aclose()

    async def remove(self, name: str) -> None:
        """Remove a gateway; an unknown one is removed already."""
        driver = self._drivers.pop(name, None)
        if isinstance(driver, Driver):
            await driver.aclose()

    def for_gateway(self, name: str) -> Driver:
        """Return the driver; raises GatewayUnknown, or GatewayError where it cannot be driven."""
        driver = self._drivers.get(name)
        if driver is None:
            raise GatewayUnknown(
                f"gateway {name!r} is not registered: register it via API or catalog first"
            )
        if isinstance(driver, GatewayError):
            raise type(driver)(str(driver), retry_after=driver.retry_after)
        return driver

    async def aclose(self) -> None:
        """Close them all; each waits for its running apply."""
        for name in self.names:
            await self.remove(name)
