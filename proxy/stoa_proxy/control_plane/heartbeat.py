"""The figures of a heartbeat, over the HTTP traffic of this gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stoa_proxy.admin.store import Store
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.metrics import Metrics


class Figures:
    """Reads what is counted anyway, when a beat is due: nothing is counted for it."""

    def __init__(self, store: Store, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._metrics = metrics
        self._now: Callable[[], float] = clock.monotonic
        self._started = clock.monotonic()

    def read(self) -> Mapping[str, object]:
        """Return the body of a heartbeat.

        `discovered_apis` are the APIs that have routes. `error_rate` is the share of the requests
        since the start that were answered 5xx, 0 to 1.
        """
        requests, errors = self._metrics.totals()
        return {
            "uptime_seconds": int(self._now() - self._started),
            "routes_count": len(self._store.routes),
            "policies_count": len(self._store.policies),
            "discovered_apis": self._store.apis_count,
            "requests_total": requests,
            "error_rate": round(errors / requests, 6) if requests else 0.0,
        }
