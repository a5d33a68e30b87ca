"""What gateways get that fetch their configuration: `control.fleet_port.Publications`.

A cycle writes to a gateway's draft (`draft_table`). When its plan was complete, the draft is
published: stored without credentials, with the next number, and served from then on. What was
published by an earlier process is what plans compare with; it is not served before a cycle of this
process has found it to be right.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from heapq import nsmallest
from typing import Any, Final
from weakref import WeakValueDictionary

from stoa_gitops.adapter_sdk.info import InProcessAdmin
from stoa_gitops.control.fleet_port import (
    Acknowledged,
    GatewayConfig,
    Published,
    TableAcknowledged,
)
from stoa_gitops.control.process_port import Conflict, NotReady
from stoa_gitops.daemon.draft_table import Draft, TableContent
from stoa_gitops.daemon.drafts import Drafts
from stoa_gitops.daemon.fetch_conditions import ACKNOWLEDGED, FetchConditions, WhoFetches
from stoa_gitops.daemon.publication import (
    Publication,
    PublishedGateway,
    as_table,
    audience_of,
)
from stoa_gitops.daemon.published_views import (
    NOTHING_YET,
    api_items,
    deployment_items,
    policy_items,
    route_items,
)
from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.fleet.binding import Binding
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.conditions import ConditionReason
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.secret import Secret
from stoa_gitops.reconcile import suspension
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.status import StatusRegistry
from stoa_gitops.store import PublishedRecord, Store

log = logging.getLogger(__name__)

_MAX_ERRORS: Final = 3
_NOTHING: Final = "no cycle has ended well, or the catalog has nothing for it"


class PublishedTables:
    """Drafts and publications of all pulling gateways, by the id of their registration.

    `is_online` says of one whether it runs, as far as its heartbeats tell. `tell` is called with
    the id of one for which there is something new, or that started again; `settle` with the name of
    one that asks, and returns when what is published for it is up to date, or will not be soon.
    """

    def __init__(
        self,
        store: Store,
        gateways: RegisteredGateways,
        statuses: StatusRegistry,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        is_online: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._store = store
        self._gateways = gateways
        self._statuses = statuses
        self._clock, self._monotonic = clock, monotonic
        self.tell: Callable[[str], None] = lambda _: None
        self.settle: Callable[[str], Awaitable[None]] = _settled
        self._entries: dict[str, PublishedGateway] = {}
        self._conditions = FetchConditions(statuses, clock)
        self.fetching = WhoFetches(
            gateways, statuses, self._entries, self._conditions, monotonic, is_online
        )
        # Gateways of one document have one content; it is held once.
        self._contents: WeakValueDictionary[str, TableContent] = WeakValueDictionary()
        self._drafts = Drafts()

    # cycles

    def admin_of(self, instance: GatewayInstance) -> InProcessAdmin | None:
        """Return the admin API of a gateway's draft; None before `prepare`."""
        entry = self._entries.get(instance.registration_id)
        return entry.draft.administer if entry is not None and instance.is_pulling else None

    def draft_of(self, instance: GatewayInstance) -> tuple[Draft[Any] | None, bool]:
        """Return a gateway's draft, None without one, and whether it is published as it is."""
        entry = self._entries.get(instance.registration_id) if instance.is_pulling else None
        return (entry.draft, entry.is_concluded) if entry is not None else (None, False)

    async def prepare(self, instance: GatewayInstance) -> None:
        """Have a draft for a gateway: what was published for it before; raises StoreError."""
        binding = self._gateways.find(instance.registration_id)
        if binding is None or not instance.is_pulling:
            return
        gateway_id, registration = instance.registration_id, binding.registration
        entry = self._entries.get(gateway_id)
        if entry is None or entry.draft.registration.has_table != registration.has_table:
            record = await self._store.read_published(gateway_id)
            draft = self._drafts.make(registration, b"" if record is None else record.saved)
            self._entries[gateway_id] = entry = PublishedGateway(draft, self._monotonic(), record)
        entry.draft.update_registration(registration)

    async def publish(self, instance: GatewayInstance, result: CycleResult) -> None:
        """Publish a gateway's draft after a cycle, if its plan was complete and applied.

        Raises StoreError, and then nothing is published.
        """
        entry = self._entries.get(instance.registration_id)
        report = result.report
        if entry is None or result.suspended or not report.plan.complete or report.error:
            return
        await self._publish_draft(instance, entry, report.plan.revision)
        entry.concluded = entry.draft.state
        if entry.version is not None and entry.told is not entry.version:
            entry.told = entry.version
            self.tell(instance.registration_id)

    async def _publish_draft(
        self, instance: GatewayInstance, entry: PublishedGateway, revision: str
    ) -> None:
        draft = entry.draft
        content = draft.content(self._contents)
        was_emptied = content.has_no_objects and entry.record is not None and not draft.is_torn
        if not content.lines and not was_emptied:
            # It empties a gateway: published where deletions that every guard let through led to
            # it, not where nothing was there or taken over, or all is of other tenants.
            if entry.version is None:
                self._conditions.set(
                    instance, ACKNOWLEDGED, None, ConditionReason.NOTHING, NOTHING_YET
                )
            return
        entry.draft.is_torn = False
        version, audience = entry.version, audience_of(entry.draft.registration)
        if version and (version.content.digest, version.audience) == (content.digest, audience):
            return
        content = self._contents.setdefault(content.digest, content)
        await self._store_and_serve(instance, entry, content, revision)

    async def _store_and_serve(
        self,
        instance: GatewayInstance,
        entry: PublishedGateway,
        content: TableContent,
        revision: str,
    ) -> None:
        store, gateway_id = self._store, instance.registration_id
        hmac = (await store.hash_secrets({"table": Secret(content.digest)}))["table"] or ""
        record = entry.record
        is_new = record is None or record.hmac != hmac
        if record is None or is_new:
            generation = 1 if record is None else record.generation + 1
            record = PublishedRecord(
                gateway_id, generation, hmac, content.saved, revision, self._clock()
            )
            await store.write_published(record)
            entry.record = record
        table = as_table(record.generation, content)
        audience = audience_of(entry.draft.registration)
        entry.version = Publication(audience, record.generation, content, table)
        entry.start_over()
        if is_new:
            number = record.generation
            log.info("%s: published as generation %d (%s)", instance.name, number, revision)
            message = f"generation {number} is published and not acknowledged yet"
            self._conditions.set(instance, ACKNOWLEDGED, None, ConditionReason.PUBLISHED, message)

    async def forget(self, gateway_id: str, name: str | None = None) -> None:
        """Drop everything of a gateway that was forgotten; raises StoreError.

        `name` is its name in plans, under which its inventory is kept: with what it fetched goes
        what is known of it. Of one that is written to the objects are there, and stay known.
        """
        is_fetching = self._entries.pop(gateway_id, None) is not None
        self.fetching.forget(gateway_id)
        await self._store.delete_published(gateway_id)
        if name is not None and is_fetching and self._statuses.catalog is not None:
            await self._store.forget_gateway(self._statuses.catalog.owner, name)

    def note_start(self, gateway_id: str) -> None:
        """Note that a gateway registered: it may be set to fetch, or not any more."""
        entry = self._entries.get(gateway_id)
        if entry is not None:
            entry.seen_at, entry.asked_at, entry.told = self._monotonic(), None, None

    # requests of gateways

    async def routes(self, gateway_id: str) -> Published:
        """Return the routes of a gateway; see `Publications`."""
        await self._wait(gateway_id)
        binding, instance = self._check(gateway_id)
        if binding.registration.has_table:
            raise Conflict(f"{instance.name} takes its whole table, not its routes alone")
        entry, version = await self._served(gateway_id, instance)
        if version.routes is None or version.routes[0] is not instance:
            items = route_items(version.content.lines, instance, version.generation)
            body = json.dumps(items, separators=(",", ":")).encode()
            version.routes = instance, Published(hashlib.sha256(body).hexdigest(), body)
        if not version.content.lines:
            # STOA gateway 0.9.25 acknowledges routes one by one, and so none of an empty list.
            self._conclude(gateway_id, entry, is_complete=True)
        return version.routes[1]

    async def table(self, gateway_id: str) -> Published:
        """Return the whole table of a gateway of ours; see `Publications`."""
        await self._wait(gateway_id)
        binding, instance = self._check(gateway_id)
        if not binding.registration.has_table:
            raise Conflict(f"{instance.name} did not say that it takes a table")
        return (await self._served(gateway_id, instance))[1].table

    async def config(self, gateway_id: str) -> GatewayConfig:
        """Return what a gateway is to have; see `Publications`."""
        try:
            _, instance = self._check(gateway_id)
            entry, version = await self._served(gateway_id, instance, is_asking=False)
        except (NotReady, Conflict):
            return GatewayConfig()
        lines = version.content.lines
        items = route_items(lines, instance, version.generation)
        deployments = deployment_items(items, applied=entry.applied, failed=entry.failures)
        return GatewayConfig(deployments, policy_items(lines))

    async def apis(self, gateway_id: str) -> Sequence[JsonObject]:
        """Return the APIs of a gateway; see `Publications`. Empty while there are none."""
        try:
            _, instance = self._check(gateway_id)
            _, version = await self._served(gateway_id, instance, is_asking=False)
        except (NotReady, Conflict):
            return ()
        return api_items(version.content.lines)

    def _check(self, gateway_id: str) -> tuple[Binding, GatewayInstance]:
        """Return who a gateway is to the catalog; raises NotReady and Conflict."""
        if self._statuses.catalog is None:
            raise NotReady("the catalog has not been read yet")
        binding = self._gateways.find(gateway_id)
        if binding is None:
            raise NotReady(self._gateways.why_unbound(gateway_id))
        if self._gateways.is_changed(gateway_id):
            raise NotReady(f"{binding.name} has changed, and nothing is published for it yet")
        instance = self._statuses.find(binding.name)
        if instance is None:
            raise NotReady(f"{binding.name} is not one of this process: --env leaves it out")
        if not instance.is_pulling:
            self.fetching.refuse(instance)
        return binding, instance

    async def _wait(self, gateway_id: str) -> None:
        """Wait until what is published for a gateway is up to date, within `settle`'s bound."""
        binding = self._gateways.find(gateway_id)
        if binding is not None:
            await self.settle(binding.name)

    async def _served(
        self, gateway_id: str, instance: GatewayInstance, *, is_asking: bool = True
    ) -> tuple[PublishedGateway, Publication]:
        """Return what is served to a gateway; raises NotReady, and StoreError."""
        entry = self._entries.get(gateway_id)
        if entry is not None and is_asking:
            entry.asked_at = self._monotonic()
            self.fetching.note_asked(instance)
        if instance.suspended:
            raise NotReady(f"{instance.name} is suspended by {instance.source}")
        # Each time: a command of another process may suspend it, and a store that is out of reach
        # must not be taken for nothing.
        found = await self._store.load_conditions_of([instance.name])
        suspended = suspension.suspension_message(found[instance.name])
        if suspended:
            raise NotReady(f"{instance.name} is {suspended}")
        binding = self._gateways.find(gateway_id)
        if entry is None or entry.version is None or binding is None:
            raise NotReady(f"nothing is published for {instance.name} yet: {_NOTHING}")
        if entry.version.audience != audience_of(binding.registration):
            # It registered again as something else, and its next cycle has not published yet.
            raise NotReady(f"{instance.name} has changed, and nothing is published for it yet")
        return entry, entry.version

    # what gateways say

    async def acknowledge(self, gateway_id: str, acks: Sequence[Acknowledged]) -> int:
        """Take what a gateway says of its objects; see `Publications`.

        One that read an earlier generation changes nothing: it says nothing of the present one.
        """
        entry = self._entries.get(gateway_id)
        if entry is None or entry.version is None:
            return 0
        ids, deployments = entry.version.object_ids(gateway_id)
        own = [ack for ack in acks if ack.id in ids]
        for ack in own:
            if ack.generation is not None and ack.generation != entry.version.generation:
                continue
            if ack.status == "failed":
                entry.take_failure(ack.id, ack.error)
            elif ack.status in ("applied", "removed"):  # no other word says that it was taken
                entry.failures.pop(ack.id, None)
                entry.applied.add(ack.id)
        self._conclude(gateway_id, entry, is_complete=deployments <= entry.applied)
        return len(own)

    async def acknowledge_table(self, gateway_id: str, ack: TableAcknowledged) -> None:
        """Take what a gateway of ours says of a table; see `Publications`."""
        entry = self._entries.get(gateway_id)
        if entry is None or entry.version is None:
            return
        version = entry.version
        if (ack.generation, ack.etag.strip('"')) != (version.generation, version.table.etag):
            return
        whole = (Acknowledged("", "table", "failed", None, ack.error or "failed"),)
        entry.take_refused((*(whole if ack.status != "applied" else ()), *ack.objects))
        self._conclude(gateway_id, entry, is_complete=True)

    def _conclude(self, gateway_id: str, entry: PublishedGateway, *, is_complete: bool) -> None:
        binding, version = self._gateways.find(gateway_id), entry.version
        instance = self._statuses.find(binding.name) if binding else None
        if instance is None or version is None:
            return
        if entry.failures:
            found = nsmallest(_MAX_ERRORS, entry.failures.items())
            shown = "; ".join(f"{one}: {text}" if one else text for one, text in found)
            count = len(entry.failures) + entry.unnamed
            message = f"generation {version.generation}: {count} not taken: {shown}"
            self._conditions.set(instance, ACKNOWLEDGED, False, ConditionReason.NOT_TAKEN, message)
        elif is_complete:
            message = f"generation {version.generation}"
            self._conditions.set(instance, ACKNOWLEDGED, True, ConditionReason.TAKEN, message)


async def _settled(_: str) -> None:
    """Wait for nothing: without a process there are no cycles to wait for."""
