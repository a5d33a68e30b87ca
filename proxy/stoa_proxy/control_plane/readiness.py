"""Whether this gateway can do its work: its control plane and its OIDC provider respond."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from stoa_proxy.control_plane.client import ControlPlaneClient, Response
from stoa_proxy.errors import ControlPlaneFailed
from stoa_proxy.foundation.clock import Clock

CHECK_SECONDS: Final = 3.0
"""How long one check may take (STOA's guide of registration)."""

# However many probes there are, the control plane is asked so often at most; a trouble that is over
# is seen sooner than one that begins.
_GOOD_SECONDS = 5.0
_BAD_SECONDS = 1.0

UNREACHABLE: Final = "Control Plane unreachable"
UNHEALTHY: Final = "Control Plane unhealthy"
NO_OIDC: Final = "OIDC provider unreachable"
NOT_CONFIGURED: Final = "not configured yet"


class Readiness:
    """Checks on demand, once at a time, and remembers the result for a short time.

    Until `settle` a gateway without routes is not ready: it has not heard yet which it is to have.
    """

    def __init__(
        self,
        client: ControlPlaneClient,
        oidc_url: str | None,
        clock: Clock,
        has_routes: Callable[[], bool],
    ) -> None:
        self._client = client
        self._has_routes = has_routes
        self._oidc_url = oidc_url
        self._clock = clock
        self._is_settled = False
        self._trouble: str | None = None
        self._known_until = float("-inf")
        self._running: asyncio.Task[str | None] | None = None

    def settle(self) -> None:
        """Note that what this gateway serves is what it is to serve for now."""
        self._is_settled = True

    async def find_trouble(self) -> str | None:
        """Return why this gateway is not ready, None when it is."""
        if not self._is_settled and not self._has_routes():
            return NOT_CONFIGURED
        if self._clock.monotonic() < self._known_until:
            return self._trouble
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._check())
        # Shielded: a probe that gives up must not take the check from the others.
        return await asyncio.shield(self._running)

    async def _check(self) -> str | None:
        try:
            checks = [self._check_control_plane()]
            if self._oidc_url is not None:
                checks.append(self._check_oidc(self._oidc_url))
            troubles = await asyncio.gather(*checks)
            self._trouble = next((trouble for trouble in troubles if trouble is not None), None)
            seconds = _GOOD_SECONDS if self._trouble is None else _BAD_SECONDS
            self._known_until = self._clock.monotonic() + seconds
            return self._trouble
        finally:
            self._running = None

    async def _check_control_plane(self) -> str | None:
        response = await self._ask(None)
        if response is None:
            return UNREACHABLE
        return None if response.is_success else UNHEALTHY

    async def _check_oidc(self, url: str) -> str | None:
        response = await self._ask(url)
        return None if response is not None and response.is_success else NO_OIDC

    async def _ask(self, url: str | None) -> Response | None:
        try:
            return await self._client.get_open(url, seconds=CHECK_SECONDS)
        except ControlPlaneFailed:
            return None
