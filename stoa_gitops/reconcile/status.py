"""What the process knows of each gateway: conditions and the last recap, for `/v1/status` and logs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.conditions import Condition, Truth, transition
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.outcomes import Report
from stoa_gitops.report.recap import recap_counts


@dataclass
class StatusBoard:
    """Lives in the loop's thread; everybody else gets documents made from it."""

    clock: Callable[[], datetime]
    catalog: Catalog | None = None
    gateways: tuple[GatewayInstance, ...] = ()
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _cycles: dict[str, int] = field(default_factory=dict)
    _reports: dict[str, Report] = field(default_factory=dict)
    _conditions: dict[str, dict[str, Condition]] = field(default_factory=dict)

    def publish(self, catalog: Catalog, gateways: tuple[GatewayInstance, ...]) -> None:
        """Take in a reading of the catalog, and which of its gateways this process works."""
        self.catalog, self.gateways = catalog, gateways
        self._moved()

    def note(self, gateway: str, report: Report) -> None:
        """Take in the result of a cycle."""
        self._cycles[gateway] = self._cycles.get(gateway, 0) + 1
        self._reports[gateway] = report
        self._conditions_of(gateway, report)
        self._moved()

    def _conditions_of(self, gateway: str, report: Report) -> None:
        plan = report.plan
        if not plan.complete:
            error = plan.error or "not observed"
            self._set(gateway, "GatewayReachable", Truth.FALSE, "NotObserved", error)
            self._set(gateway, "InSync", Truth.UNKNOWN, "NotObserved", error)
            return
        self._set(gateway, "GatewayReachable", Truth.TRUE, "Observed", "")
        if report.is_converged:
            self._set(gateway, "InSync", Truth.TRUE, "Applied", "")
        else:
            words = report.error or "some objects are not as the catalog says"
            self._set(gateway, "InSync", Truth.FALSE, "NotConverged", words)

    def forget(self, gateway: str) -> None:
        """Drop a gateway that the catalog no longer has."""
        for known in (self._cycles, self._reports, self._conditions):
            known.pop(gateway, None)

    def cycles(self, gateway: str) -> int:
        """Return how many cycles a gateway has had."""
        return self._cycles.get(gateway, 0)

    def has_worked(self) -> bool:
        """Whether every gateway of the catalog had its first cycle."""
        return self.catalog is not None and all(
            gateway.name in self._reports for gateway in self.gateways
        )

    def is_well(self) -> bool:
        """Whether every gateway's last cycle left it as the catalog says."""
        return all(
            (report := self._reports.get(gateway.name)) is not None and report.is_converged
            for gateway in self.gateways
        )

    def document(self) -> JsonObject:
        """Return the document of `GET /v1/status`."""
        catalog = self.catalog
        return {
            "catalog": {
                "revision": catalog.revision if catalog else None,
                "errors": len(catalog.errors) if catalog else 0,
                "warnings": len(catalog.warnings) if catalog else 0,
            },
            "items": [self._gateway(g) for g in self.gateways],
            "next": None,
        }

    def _gateway(self, instance: GatewayInstance) -> JsonObject:
        report = self._reports.get(instance.name)
        conditions = self._conditions.get(instance.name, {})
        reachable = conditions.get("GatewayReachable")
        is_online = reachable is not None and reachable.status is Truth.TRUE
        return {
            "name": instance.name,
            "type": instance.gateway_type,
            "environment": instance.environment,
            "status": "ONLINE" if is_online else "OFFLINE",
            "revision": report.plan.revision if report else None,
            "cycles": self.cycles(instance.name),
            "recap": dict(recap_counts(report)) if report else None,
            "conditions": [
                {
                    "type": c.type,
                    "status": c.status.value,
                    "reason": c.reason,
                    "message": c.message,
                    "lastTransition": c.last_transition.isoformat(),
                }
                for c in conditions.values()
            ],
        }

    def _moved(self) -> None:
        """Wake everybody who waits for a change, once."""
        self.changed.set()
        self.changed = asyncio.Event()

    def _set(self, gateway: str, kind: str, status: Truth, reason: str, message: str) -> None:
        known = self._conditions.setdefault(gateway, {})
        new = Condition(kind, status, reason, message, self.cycles(gateway), self.clock())
        known[kind] = transition(known.get(kind), new)
