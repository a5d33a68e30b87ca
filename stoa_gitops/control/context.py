"""What every handler of the control API works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from stoa_gitops.control.auth import Credentials
from stoa_gitops.control.fleet_port import FleetOperations
from stoa_gitops.control.metrics import Metrics
from stoa_gitops.control.process_port import Operations
from stoa_gitops.control.webhooks import Deliveries


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Made once for an application.

    fleet       gateways that register themselves
    deliveries  remembers webhooks that were taken already
    """

    operations: Operations
    metrics: Metrics
    clock: Callable[[], datetime]
    credentials: Credentials
    fleet: FleetOperations
    deliveries: Deliveries = field(default_factory=Deliveries)
