"""`control.operations.Operations` over the parts of this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

from stoa_gitops import __version__
from stoa_gitops.control.process_port import Conflict, NotReady, UsageAsked
from stoa_gitops.daemon.embedded_snapshots import read_snapshots
from stoa_gitops.daemon.gateway_usage import NO_USAGE, GatewayUsage
from stoa_gitops.daemon.registered_views import RegisteredViews, is_known_by_checks
from stoa_gitops.errors import GatewayUnknown
from stoa_gitops.fleet.health import GatewayStatus
from stoa_gitops.fleet.identity import spellings
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.model.principal import Principal
from stoa_gitops.operations.gateways import resume_gateway, suspend_gateway
from stoa_gitops.operations.plan import prepare_gateway_plan
from stoa_gitops.operations.running_views import catalog_view, running_view
from stoa_gitops.operations.snapshot_views import SnapshotPage
from stoa_gitops.operations.stored_gateways import StoredGateway, load_gateway, load_orphans
from stoa_gitops.operations.stored_views import stored_detail, stored_view
from stoa_gitops.operations.usage_views import UsagePage
from stoa_gitops.operations.views import (
    FORMAT_VERSION,
    GatewayDetailView,
    GatewayView,
    StatusView,
)
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.reconcile import suspension
from stoa_gitops.reconcile.catalog_watcher import CatalogWatcher
from stoa_gitops.reconcile.forced import Forced
from stoa_gitops.reconcile.queue import DirtyQueue
from stoa_gitops.reconcile.status import StatusRegistry
from stoa_gitops.store import AuditEntry, UsageRow

log = logging.getLogger(__name__)

MAX_NAMES: Final = 20
"""Names that an error message lists: a thousand gateways would make it unreadable."""

PLANS_AT_ONCE: Final = 2
"""Plans that are made at the same time: each reads a whole gateway and may hold 30,000 objects."""

PLANS_WAITING: Final = 8
"""Plans that may be requested and not done; more are answered with 503."""


AskEmbedded: TypeAlias = Callable[
    [str, Mapping[str, str]], Awaitable[tuple[int, Mapping[str, Any]]]
]
"""Asks the admin API of the embedded gateway for a path with a query; returns status and JSON."""


@dataclass
class ProcessOperations:
    """Belongs to the loop's thread.

    Suspensions are read from the store each time, because commands of other processes write them.

    list_failed_tasks  returns the background tasks that do not run though they should
    forget_registered  drops a registered gateway by its id, for a principal
    list_troubles      returns what else is wrong in the process itself
    ask_embedded       asks the admin API of the embedded gateway, None without one
    gateway_usage      what registered gateways report, and reads it with the embedded one's
    """

    workspace: Workspace
    statuses: StatusRegistry
    queue: DirtyQueue
    watcher: CatalogWatcher
    list_failed_tasks: Callable[[], Sequence[str]] = tuple
    list_troubles: Callable[[], Sequence[str]] = tuple
    _planning: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PLANS_AT_ONCE))
    fleet: RegisteredViews | None = None
    forget_registered: Callable[[str, Principal], Awaitable[None]] | None = None
    ask_embedded: AskEmbedded | None = None
    gateway_usage: GatewayUsage | None = None
    _forced: dict[str, Forced] = field(default_factory=dict)
    _plans_requested: int = 0
    _reload_requested: asyncio.Event = field(default_factory=asyncio.Event)

    def is_ready(self) -> bool:
        """Whether every gateway had its first cycle."""
        return self.statuses.has_reconciled_all()

    def failed_tasks(self) -> Sequence[str]:
        """Return the background tasks that do not run though they should."""
        return self.list_failed_tasks()

    # reading

    def _is_ok(self) -> bool:
        """Whether every gateway is as the catalog says, and the catalog is readable and valid."""
        catalog = self.statuses.catalog
        is_valid = (
            catalog is not None and not catalog.blocking_errors and self.watcher.unreadable is None
        )
        is_heard = self.fleet is None or not self.fleet.silent_documents()
        gone = self.fleet.silent_gateways() if self.fleet is not None else frozenset()
        is_in_sync = self.is_ready() and self.statuses.is_in_sync(gone)
        return is_in_sync and is_valid and is_heard and not self._troubles()

    def _troubles(self) -> list[str]:
        """Return what is wrong in the process itself."""
        failed = [
            f"background task does not run: {name}; the log says why"
            for name in self.list_failed_tasks()
        ]
        return [*failed, *self.list_troubles()]

    async def status(self) -> StatusView:
        """Return the status of the catalog and of every gateway."""
        return StatusView(
            format_version=FORMAT_VERSION,
            source="process",
            version=__version__,
            ready=self.is_ready(),
            well=self._is_ok(),
            troubles=self._troubles(),
            catalog=catalog_view(self.statuses, self.watcher.unreadable),
            items=list(await self.gateways()),
            next=None,
        )

    async def gateways(self) -> Sequence[GatewayView]:
        """Return every gateway, sorted by name; orphaned ones are not bound."""
        bound = await self._bound()
        orphans = [stored_view(gateway) for gateway in (await self._orphans()).values()]
        others = self._others().values()
        return sorted([*bound.values(), *orphans, *others], key=lambda gateway: gateway.name)

    async def gateway(self, name: str) -> GatewayDetailView:
        """Return one gateway with its quarantine and last cycle; raises GatewayUnknown."""
        store = self.workspace.context.store
        bound = await self._bound()
        orphans, others = await self._orphans(), self._others()
        name = _full_name(name, {*bound, *orphans, *others})
        if name not in orphans and _own_name(name) in others:
            name = _own_name(name)  # no document takes it any more
        if name in others:
            return await self._detail_of_other(others[name])
        if name not in bound and name not in orphans:
            raise _unknown(name, {*bound, *orphans, *others})
        if name in orphans:
            return await stored_detail(store, orphans[name], stored_view(orphans[name]))
        scopes = await store.list_scopes(self._catalog().owner)
        return await stored_detail(store, await load_gateway(store, name, scopes), bound[name])

    async def plan(self, name: str) -> PlanSet:
        """Observe a gateway and plan; writes nothing. NotReady for too many plans at once."""
        catalog = self._catalog()
        instance = self._instance(name)
        if self._plans_requested >= PLANS_WAITING:
            raise NotReady(f"{PLANS_WAITING} plans are requested already")
        self._plans_requested += 1
        try:
            async with self._planning:
                prepared = await prepare_gateway_plan(self.workspace, catalog, instance)
        finally:
            self._plans_requested -= 1
        return PlanSet(catalog.revision, (prepared.plan,), len(catalog.tenants))

    async def audit(self, gateway: str | None, limit: int, before: int | None) -> list[AuditEntry]:
        """Return entries of the audit trail, newest first."""
        return await self.workspace.context.store.list_audit(gateway, limit=limit, before=before)

    async def snapshots(
        self, tenant: str | None, api: str | None, limit: int, before: str
    ) -> SnapshotPage:
        """Return errors of the embedded gateway, newest first; raises Conflict without one."""
        asked = {"tenant": tenant, "api": api, "before": before or None, "limit": str(limit)}
        return await read_snapshots(self._ask_embedded, self.statuses.catalog, asked)

    async def usage(self, asked: UsageAsked) -> UsagePage:
        """Return what callers used; raises Conflict where none is known, and GatewayUnknown."""
        if self.gateway_usage is None:
            raise Conflict(NO_USAGE)
        embedded = {one.name for one in self.statuses.gateways if one.is_embedded}
        read = partial(self.gateway_usage.read_named, self.statuses.catalog, asked)
        if asked.gateway is None or asked.gateway in embedded:
            return await read(self._ask_embedded, None)
        return await read(None, self._registered_name(asked.gateway))

    async def take_usage(self, gateway: str, source: str, rows: Sequence[UsageRow]) -> None:
        """Keep what a registered gateway reports."""
        if self.gateway_usage is not None:
            await self.gateway_usage.take(gateway, source, rows)

    def _registered_name(self, name: str) -> str:
        """Return the name that a gateway registered with; `name` may have its document's, too."""
        names = {one.name for one in self.statuses.gateways}
        member = self.fleet.find(_full_name(name, names)) if self.fleet is not None else None
        if member is None:
            raise GatewayUnknown(f"no gateway {name!r} counts usage here")  # tenants get no names
        return member.name

    async def _ask_embedded(
        self, path: str, query: Mapping[str, str | None]
    ) -> tuple[int, Mapping[str, Any]]:
        if self.ask_embedded is None:
            return 501, {}
        given = {name: value for name, value in query.items() if value is not None}
        return await self.ask_embedded(path, given)

    # requests

    async def reconcile(self, name: str, principal: Principal, force: str = "") -> None:
        """Request a cycle of a gateway; raises Conflict for one that is suspended.

        `force` is the digest of a plan that is applied though guards hold it. Raises Conflict where
        the plan is another one by now, and NotReady where it cannot be made.
        """
        instance = self._instance(name)
        name = instance.name
        if instance.suspended or name in await self._suspended([name]):
            raise Conflict(f"{name} is suspended: resume it first")
        if force:
            await self._force(name, principal, force)
        log.info("%s: cycle requested by %s", name, principal.subject)
        self.queue.request(name, "requested")

    async def _force(self, name: str, principal: Principal, digest: str) -> None:
        """Have the next cycle apply the plan of this digest, and nothing else that is held."""
        plans, forced = await self.plan(name), Forced(digest, principal)
        if not plans.is_complete:
            raise NotReady(f"{name} could not be observed: {plans.plans[0].error}")
        if not forced.covers(plans.digest):
            raise Conflict(
                f"the plan of {name} is now {plans.digest[:8]}, not {digest}: look at it again"
            )
        entry = AuditEntry(
            self.workspace.context.clock(), principal.subject, name, "plan", "force", "requested",
            plans.digest,
        )  # fmt: skip
        await self.workspace.context.store.append_audit([entry])
        self._forced[name] = forced

    def take_forced(self, name: str) -> Forced | None:
        """Return whose plan the cycle of a gateway that begins now is to force, once."""
        return self._forced.pop(name, None)

    async def suspend(self, name: str, principal: Principal, reason: str) -> None:
        """Stop cycles of a gateway until it is resumed; what runs is finished."""
        name = self._instance(name).name
        condition = await suspend_gateway(self.workspace.context, name, principal, reason)
        self.statuses.set_condition(name, condition)
        self.queue.request(name, "suspended")

    async def resume(self, name: str, principal: Principal) -> None:
        """Start cycles again; raises Conflict where the gateway's document suspends it."""
        instance = self._instance(name)
        name = instance.name
        if instance.suspended:
            raise Conflict(f"the document of {name} says `suspended: true`: change it there")
        condition = await resume_gateway(self.workspace.context, name, principal)
        self.statuses.set_condition(name, condition)
        self.queue.request(name, "resumed")

    async def forget(self, name: str, principal: Principal) -> None:
        """Drop a gateway that registered itself; it is back when it registers again.

        Raises Conflict for one that did not register, GatewayUnknown, and StoreError.
        """
        member = self.fleet.find(name) if self.fleet is not None else None
        if member is None or self.forget_registered is None:
            await self.gateway(name)
            raise Conflict(f"{name} did not register itself: remove its document, then forget it")
        await self.forget_registered(member.registration.id, principal)

    def request_catalog_reload(self, why: str) -> None:
        """Request a new reading of the catalog; calls during a reading add up to one more."""
        log.debug("reload of the catalog requested: %s", why)
        self._reload_requested.set()

    # background task

    async def follow_reload_requests(self) -> None:
        """Read the catalog whenever `request_catalog_reload` asked for it, until cancelled."""
        while True:
            await self._reload_requested.wait()
            self._reload_requested.clear()
            await self.watcher.reload("requested")

    # parts

    def _catalog(self) -> Catalog:
        if self.statuses.catalog is None:
            raise NotReady("the catalog has not been read yet")
        return self.statuses.catalog

    def _instance(self, name: str) -> GatewayInstance:
        self._catalog()
        by_name = {instance.name: instance for instance in self.statuses.gateways}
        found = by_name.get(_full_name(name, by_name.keys()))
        if found is None:
            raise _unknown(name, set(by_name))
        return found

    async def _bound(self) -> dict[str, GatewayView]:
        instances = self.statuses.gateways
        by_document = {instance.name for instance in instances if instance.suspended}
        suspended = by_document | await self._suspended([instance.name for instance in instances])
        return {
            instance.name: running_view(
                self.statuses,
                instance,
                is_suspended=instance.name in suspended,
                status=self._status_of(instance),
                registration=self.fleet.registration(instance) if self.fleet else None,
            )
            for instance in instances
        }

    def _status_of(self, instance: GatewayInstance) -> GatewayStatus | None:
        """Return what heartbeats tell of a gateway; None for one that sends none."""
        member = self.fleet.member(instance) if self.fleet is not None else None
        if member is None or is_known_by_checks(member, instance):
            return None
        return member.status

    def _others(self) -> dict[str, GatewayView]:
        """Return registered gateways without a document and documents without one, by name."""
        if self.fleet is None:
            return {}
        return {view.name: view for view in self.fleet.others(self.workspace.context.clock())}

    async def _suspended(self, names: Sequence[str]) -> set[str]:
        """Return which gateways a person suspended."""
        stored = await self.workspace.context.store.load_conditions_of(names)
        return {name for name, found in stored.items() if suspension.suspension_message(found)}

    async def _orphans(self) -> dict[str, StoredGateway]:
        """Return gateways without a document, but for those that show as registered and unbound."""
        found = await self._stored_alone()
        if self.fleet is None:
            return found
        registered = {member.name for member in self.fleet.members().values()}
        return {name: one for name, one in found.items() if _own_name(name) not in registered}

    async def _stored_alone(self) -> dict[str, StoredGateway]:
        catalog = self.statuses.catalog
        if catalog is None:
            return {}
        names = [gateway.name for gateway in catalog.gateways]
        return await load_orphans(self.workspace.context.store, catalog.owner, names)

    async def _detail_of_other(self, view: GatewayView) -> GatewayDetailView:
        """Return an unbound gateway with what is known of it from when a document took it."""
        for name, stored in (await self._stored_alone()).items():
            if _own_name(name) == view.name:
                return await stored_detail(self.workspace.context.store, stored, view)
        return GatewayDetailView.extend(view, objects=0, quarantined=[], last_cycle=None)


def _own_name(name: str) -> str:
    """Return the name of a registered gateway without its document's; empty for any other."""
    return name.partition("/")[2]


def _full_name(name: str, names: Collection[str]) -> str:
    """Return the name of a gateway, of which a part may be left out or spelled otherwise.

    One that registered may be called without its document, where one alone is called so, and by the
    spelling of its mode that STOA's gateway uses.
    """
    if name in names:
        return name
    document, _, own = name.rpartition("/")
    for spelling in spellings(own):
        wanted = f"{document}/{spelling}"
        found = [one for one in names if (one if document else f"/{_own_name(one)}") == wanted]
        if len(found) == 1:
            return found[0]
    return name


def _unknown(name: str, names: set[str]) -> GatewayUnknown:
    listed = sorted(names)
    there = ", ".join(listed[:MAX_NAMES]) or "none"
    if len(listed) > MAX_NAMES:
        there += f" and {len(listed) - MAX_NAMES} more"
    return GatewayUnknown(f"no gateway {name!r}; there is: {there}")
