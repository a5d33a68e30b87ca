"""What the control API needs from the process; `daemon.control_operations` implements it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol

from stoa_gitops.errors import Retry, StoaGitopsError
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.model.principal import Principal
from stoa_gitops.operations.snapshot_views import SnapshotPage
from stoa_gitops.operations.usage_views import UsagePage
from stoa_gitops.operations.views import GatewayDetailView, GatewayView, StatusView
from stoa_gitops.store import AuditEntry, UsageRow


@dataclass(frozen=True, slots=True)
class UsageAsked:
    """The hours that two times touch, None for the last day; whose, None for all; and whether they
    are added up. `gateway` is a name, None for all gateways together.
    """

    start: datetime | None
    end: datetime | None
    tenant: str | None
    api: str | None
    application: str | None
    gateway: str | None
    is_total: bool


class NotReady(StoaGitopsError):
    """The catalog has not been read yet, or too many plans are being made."""

    reason: ClassVar[str] = "NotReady"
    retry: ClassVar[Retry] = Retry.SOON


class Conflict(StoaGitopsError):
    """The state of the gateway contradicts the request."""

    reason: ClassVar[str] = "Conflict"


class Operations(Protocol):
    """Operations of one process.

    Each method that takes a name raises GatewayUnknown, whose message names the gateways that
    exist; methods that use the store raise StoreError.
    """

    def is_ready(self) -> bool:
        """Whether every gateway had its first cycle."""

    def failed_tasks(self) -> Sequence[str]:
        """Return the names of background tasks that do not run though they should."""

    async def status(self) -> StatusView:
        """Return how the catalog and every gateway are."""

    async def gateways(self) -> Sequence[GatewayView]:
        """Return every gateway, also orphaned ones, sorted by name."""

    async def gateway(self, name: str) -> GatewayDetailView:
        """Return one gateway with what is quarantined there, and its last cycle."""

    async def forget(self, name: str, principal: Principal) -> None:
        """Drop a gateway that registered itself; raises Conflict for one that did not."""

    async def plan(self, name: str) -> PlanSet:
        """Observe a gateway and plan; writes nothing. Raises NotReady."""

    async def reconcile(self, name: str, principal: Principal, force: str = "") -> None:
        """Request a cycle of a gateway; raises Conflict for one that is suspended.

        `force` is the digest of a plan that is applied though guards hold it. Raises Conflict where
        the plan is another one by now, and NotReady where it cannot be made.
        """

    async def suspend(self, name: str, principal: Principal, reason: str) -> None:
        """Stop cycles of a gateway until it is resumed, also after a restart."""

    async def resume(self, name: str, principal: Principal) -> None:
        """Start them again; raises Conflict where the gateway's document suspends it."""

    async def audit(self, gateway: str | None, limit: int, before: int | None) -> list[AuditEntry]:
        """Return entries, newest first; `before` is the id of the last one seen."""

    async def snapshots(
        self, tenant: str | None, api: str | None, limit: int, before: str
    ) -> SnapshotPage:
        """Return errors of the embedded gateway, newest first; `before` is the last id seen.

        Of a tenant and an API, None for all. Raises Conflict where no embedded gateway keeps any.
        """

    async def usage(self, asked: UsageAsked) -> UsagePage:
        """Return what callers of the embedded and of registered gateways used.

        Raises Conflict where none is counted, and for hours that end before they begin.
        """

    async def take_usage(self, gateway: str, source: str, rows: Sequence[UsageRow]) -> None:
        """Keep what a registered gateway reports, by its name; raises StoreError."""

    def request_catalog_reload(self, why: str) -> None:
        """Have the catalog read again soon; returns before it is."""
