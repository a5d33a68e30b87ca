"""Asks backends that share a route with others whether they are well, as their routes say.

One loop for each tenant, backend and check, however many routes have it. A loop ends when no route
of the table has it any more, and at the end of the process. Of several processes of a gateway one
checks, and tells the others (`workers.links`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from stoa_proxy.admin.store import Store
from stoa_proxy.core.backend_health import BackendHealth, Probed
from stoa_proxy.core.policy import Services
from stoa_proxy.errors import ServiceFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.throttled_log import ThrottledLog

_log = logging.getLogger("stoa_proxy.health")

# Loops of one tenant: a task and a connection at times for each.
_MOST_PER_TENANT: Final = 1000
# Requests of one tenant's loops in a second, of all together; beyond that pauses are longer.
_MOST_PER_SECOND: Final = 100.0
# A pause is so much longer or shorter, so that loops that began together part.
_JITTER: Final = 0.1
_HEADERS: Final = (("Accept", "*/*"), ("User-Agent", "stoa-gateway-health"))

Pause = Callable[[float], Awaitable[None]]


class HealthChecker:
    """Runs the loops from `start` to `stop`; `update` them when the table may have changed.

    With `leads` False another process of this gateway checks, until this one is to `lead`.
    """

    def __init__(
        self,
        store: Store,
        health: BackendHealth,
        services_of: Callable[[str], Services],
        clock: Clock,
        *,
        pause: Pause = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._health = health
        self._services_of = services_of
        self._pause = pause
        self._jitter = jitter
        self._throttled_log = ThrottledLog(_log, clock)
        self._tasks: dict[Probed, asyncio.Task[None]] = {}
        # How much longer pauses are than asked for, by tenant.
        self._stretch: dict[str, float] = {}
        self._is_running = False
        self._leads = True
        self._seen: object = None

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, *, leads: bool = True) -> None:
        """Check what the table has, from now on."""
        self._is_running, self._leads = True, leads
        self._seen = None
        self.update()

    def lead(self) -> None:
        """Check from now on, beginning with what is known."""
        self._leads, self._seen = True, None
        self.update()

    async def stop(self) -> None:
        """End all loops."""
        self._is_running = False
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def update(self) -> None:
        """Begin the loops that the table wants, and end the others; those of both go on."""
        balanced = self._store.table.balanced
        # Most changes concern no route with several backends, and share the map of before.
        if not self._is_running or balanced is self._seen:
            return
        self._seen = balanced
        wanted: dict[str, dict[Probed, None]] = {}
        for route in balanced.values():
            balancing = route.balancing
            if balancing is None or balancing.active is None or not route.activated:
                continue
            of_tenant = wanted.setdefault(route.tenant_id, {})
            for backend, weight in balancing.targets:
                if weight:
                    of_tenant[Probed(route.tenant_id, backend, balancing.active)] = None
        bounded = {tenant: self._bounded(tenant, found) for tenant, found in wanted.items()}
        self._stretch = {
            tenant: self._stretched(tenant, found) for tenant, found in bounded.items()
        }
        self._begin_and_end({one for found in bounded.values() for one in found})

    def _bounded(self, tenant: str, found: dict[Probed, None]) -> list[Probed]:
        if len(found) > _MOST_PER_TENANT:
            self._throttled_log.warning(
                "some backends are not checked tenant=%s: it has %d to check, and %d are the most",
                tenant,
                len(found),
                _MOST_PER_TENANT,
                subject=tenant,
            )
        # Those that are checked already stay.
        ordered = sorted(found, key=lambda one: one not in self._tasks)
        return ordered[:_MOST_PER_TENANT]

    def _stretched(self, tenant: str, found: list[Probed]) -> float:
        rate = sum(1 / one.check.interval for one in found)
        if rate > _MOST_PER_SECOND:
            self._throttled_log.warning(
                "backends are checked less often than asked for tenant=%s: %.0f checks a second,"
                " and %.0f are the most",
                tenant,
                rate,
                _MOST_PER_SECOND,
                subject=tenant,
            )
        return max(1.0, rate / _MOST_PER_SECOND)

    def _begin_and_end(self, wanted: set[Probed]) -> None:
        self._health.watch(wanted)
        for gone in self._tasks.keys() - wanted:
            self._tasks.pop(gone).cancel()
        if not self._leads:
            return
        loop = asyncio.get_running_loop()
        for probed in wanted - self._tasks.keys():
            self._tasks[probed] = loop.create_task(self._run(probed))

    async def _run(self, probed: Probed) -> None:
        check = probed.check
        # Not all at once where a table of thousands comes.
        await self._pause(self._jitter() * min(check.interval, 1.0))
        while True:
            trouble = await self._ask(probed)
            if self._health.note_check(probed, trouble):
                _log.info(
                    "a backend is %s now tenant=%s backend=%s://%s:%d: %s",
                    "unhealthy" if trouble else "healthy",
                    probed.tenant,
                    *probed.backend.origin[:3],
                    trouble or "its checks succeed",
                )
            interval = check.interval * self._stretch.get(probed.tenant, 1.0)
            await self._pause(interval * (1 - _JITTER + 2 * _JITTER * self._jitter()))

    async def _ask(self, probed: Probed) -> str:
        """Return what is wrong with a backend; nothing where it is well."""
        scheme, host, port, tls = probed.backend.origin
        check = probed.check
        netloc = f"[{host}]" if ":" in host else host
        # The path begins with a slash (`admin.backends`), so it cannot change the host.
        url = f"{scheme}://{netloc}:{port}{check.path}"
        try:
            services = self._services_of(probed.tenant)
            response = await services.fetch("GET", url, _HEADERS, seconds=check.timeout, tls=tls)
        except ServiceFailed as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a bug must not end the checks of a backend
            self._throttled_log.warning("unexpected error in a health check", error=error)
            return "the check failed"
        if response.status in check.statuses:
            return ""
        return f"it responds with {response.status}"
