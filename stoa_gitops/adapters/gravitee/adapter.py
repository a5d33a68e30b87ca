"""The adapter contract over Gravitee's APIs: an API with its policies is one write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapter_sdk.blocking import FailedDependencies, outcome_of
from stoa_gitops.adapter_sdk.capabilities import Capabilities, Granularity, Rules
from stoa_gitops.adapter_sdk.contract import (
    AdapterResult,
    GatewayAdapter,
    ListItem,
    ObjectSpec,
    Write,
    WriteLimits,
)
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapter_sdk.results import failure, internal_error, ok, returns_result
from stoa_gitops.adapters.gravitee.api.client import (
    LIMITS,
    GraviteeClient,
    anonymous,
    classify,
)
from stoa_gitops.adapters.gravitee.api.options import options_of
from stoa_gitops.adapters.gravitee.entities.parts import AUTOMATION, CRD, GatewayInfo
from stoa_gitops.adapters.gravitee.mapping.rules import RULES, capabilities_of, rules_of
from stoa_gitops.adapters.gravitee.node.session import Session
from stoa_gitops.adapters.gravitee.node.unmapped import list_unmapped
from stoa_gitops.adapters.gravitee.writing.apis import ApiWriter
from stoa_gitops.adapters.gravitee.writing.consumers import ConsumerWriter
from stoa_gitops.adapters.gravitee.writing.pending import PendingChange
from stoa_gitops.errors import GatewayUnreachable, StoaGitopsError
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.resources import ForeignRoute
from stoa_gitops.model.unmapped import Unmapped

log = logging.getLogger(__name__)

WRITERS: Final = 4
"""APIs that are written at a time: more bring nothing (contract gravitee.md R.10)."""

_WAYS: Final = {AUTOMATION: "Automation API", CRD: "_import/crd"}


def build(connection: Connection) -> GatewayAdapter:
    """Return the adapter of one connection."""
    return GraviteeAdapter(connection, AdminClient(connection, limits=LIMITS, classify=classify))


class GraviteeAdapter(GatewayAdapter):
    """One environment of Gravitee APIM.

    What it is (version, way, plugins) is asked at first and with each full read. An API is written
    with its policies: they are one definition there, and each write deploys it.
    """

    title = "Gravitee"
    granularity = Granularity.UNIT

    def __init__(self, connection: Connection, http: AdminClient) -> None:
        options = options_of(connection.instance.options)
        public = AdminClient(anonymous(connection), limits=LIMITS)
        self._client = GraviteeClient(http, public, options)
        self._session = Session(self._client, connection.owner, options)
        self._apis = ApiWriter(self._client, self._session, connection.owner)
        self._consumers = ConsumerWriter(self._client, self._session, connection.owner)
        self._ruled: GatewayInfo | None = None
        self._rules = RULES

    # life cycle

    @returns_result
    async def health_check(self) -> AdapterResult:
        """Request the environment, and what the gateway is where that may have changed."""
        info = await self._session.start_observation()
        if self._ruled is not None and info != self._ruled:
            self._apis.schemas.forget()
        return ok(data={"version": info.version})

    async def connect(self) -> None:
        """Nothing to do: connections open with the first call."""

    async def disconnect(self) -> None:
        """Close the connections."""
        self._session.invalidate()
        await self._client.aclose()

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]  # the gateway decides them
        """How APIs are written."""
        info = self._session.info
        return () if info is None else (_WAYS.get(info.way, "single calls"),)

    def capabilities(self) -> Capabilities | None:
        """Capabilities of the running gateway; None before it was asked."""
        info = self._session.info
        return None if info is None else capabilities_of(info)

    def rules(self) -> Rules | None:
        """How specs are projected, and their losses; the same value for the same gateway."""
        info = self._session.info
        if info is not None and info != self._ruled:
            self._ruled, self._rules = info, rules_of(info)
        return self._rules

    # reading

    async def list_apis(self) -> list[ListItem]:
        """Return all APIs, also those that no document can express."""
        return list(await self._session.list_objects(API))

    async def list_policies(self) -> list[ListItem]:
        """Return the steps of all APIs as policies."""
        return list(await self._session.list_objects(POLICY))

    async def list_applications(self) -> list[ListItem]:
        """Return all applications that are not archived."""
        return list(await self._session.list_objects(APPLICATION))

    async def list_cached(self, kind: str) -> Sequence[ListItem]:
        """Return one list, packed; an unchanged one is the identical object of the last time."""
        return await self._session.list_objects(kind)

    async def list_unmapped(self) -> tuple[Unmapped, ...]:
        """Return what foreign APIs hold that no document of the catalog can express."""
        snapshot = await self._session.current_snapshot()
        return await asyncio.to_thread(list_unmapped, snapshot)

    async def list_routes(self) -> tuple[ForeignRoute, ...]:
        """Return the foreign routes, those too that no API of the catalog expresses."""
        return (await self._session.current_snapshot()).foreign_routes

    # writing, one at a time

    async def sync_api(self, api_spec: ObjectSpec, tenant_id: str) -> AdapterResult:
        """Write an API; its policies stay as they are."""
        return await self._write_api(await self._pending(api_spec))

    async def delete_api(self, api_id: str) -> AdapterResult:
        """Delete an API; where policies of it are left, it is stopped and has no path."""
        return await self._delete(API, api_id)

    async def upsert_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Write a policy as flows of its API."""
        return await self._write_api(await self._pending(policy_spec))

    async def delete_policy(self, policy_id: str) -> AdapterResult:
        """Remove a policy by `<id of the API>/<type>`."""
        return await self._delete(POLICY, policy_id)

    @returns_result
    async def provision_application(self, app_spec: ObjectSpec) -> AdapterResult:
        """Write an application with its subscriptions and keys."""
        pending = await self._pending(app_spec)
        return await self._consumers.write(pending, await self._session.read_snapshot())

    @returns_result
    async def deprovision_application(self, app_id: str) -> AdapterResult:
        """Archive an application; its subscriptions are closed first."""
        pending = PendingChange(Key(APPLICATION, "", app_id), None, app_id)
        return await self._consumers.write(pending, await self._session.read_snapshot())

    async def _pending(self, spec: ObjectSpec) -> PendingChange:
        return PendingChange(spec.key, spec, spec.gateway_id)

    async def _write_api(self, pending: PendingChange) -> AdapterResult:
        return (await self._apis.write([pending]))[pending]

    @returns_result
    async def _delete(self, kind: str, gateway_id: str) -> AdapterResult:
        snapshot = await self._session.read_snapshot()
        root, _, policy_type = gateway_id.partition("/")
        group = snapshot.groups.get(root)
        # Gone already, or foreign: in neither case is there something of ours to delete.
        if group is None or not snapshot.is_own(root):
            return ok(gateway_id)
        key = group.key.policy(policy_type) if kind == POLICY else group.key
        return await self._write_api(PendingChange(key, None, gateway_id))

    # writing, a whole plan

    async def apply(self, writes: Sequence[Write], limits: WriteLimits) -> AsyncIterator[Outcome]:
        """Write several changes: applications that go, APIs with their policies, applications."""
        run = _Run(self._apis, self._consumers, self._session, limits)
        await run.write(writes)
        for write in writes:
            yield run.outcomes[id(write)]


class _Run:
    """One call of `apply`; `outcomes` by identity of the writes."""

    def __init__(
        self, apis: ApiWriter, consumers: ConsumerWriter, session: Session, limits: WriteLimits
    ) -> None:
        self._apis, self._consumers, self._session = apis, consumers, session
        self._limits = limits
        self._slots = asyncio.Semaphore(min(limits.concurrency, WRITERS))
        self._failed = FailedDependencies()
        self._moving: set[Key] = set()
        self.outcomes: dict[int, Outcome] = {}

    async def write(self, writes: Sequence[Write]) -> None:
        leaving = [w for w in writes if w.change.key.kind == APPLICATION and w.spec is None]
        coming = [w for w in writes if w.change.key.kind == APPLICATION and w.spec is not None]
        self._moving = {key for write in coming for key in _subscribed(write)}
        if leaving:
            await self._write_applications(leaving)
        for rank in _api_ranks([w for w in writes if w.change.key.kind != APPLICATION]):
            await _gather([self._write_api(group) for group in rank])
        if coming:
            await self._write_applications(coming)
        for key in sorted(self._apis.retiring):
            try:
                await self._apis.retire(key)
            except StoaGitopsError as error:
                log.warning("%s keeps plans that it should not have: %s", key, error)

    async def _write_api(self, writes: Sequence[Write]) -> None:
        """Write the changes of one API, within the time of one write."""
        left = [write for write in writes if not self._is_blocked(write)]
        if not left:
            return
        pending = {id(write): _pending_change(write) for write in left}
        key = next(iter(pending.values())).group
        async with self._slots:
            results = await self._timed(
                self._apis.write(list(pending.values()), keeps_plans=key in self._moving)
            )
        for write in left:
            result = results if isinstance(results, AdapterResult) else results[pending[id(write)]]
            self._finish(write, result)

    async def _write_applications(self, writes: Sequence[Write]) -> None:
        try:
            # APIs that were written right before have other plans now.
            snapshot = await self._session.read_snapshot()
        except StoaGitopsError as error:
            for write in writes:
                self._finish(write, failure(error))
            return

        async def one(write: Write) -> None:
            if self._is_blocked(write):
                return
            async with self._slots:
                result = await self._timed(self._consumers.write(_pending_change(write), snapshot))
            self._finish(write, result)

        await _gather([one(write) for write in writes])

    async def _timed(self, job: Awaitable[Mapping[PendingChange, AdapterResult] | AdapterResult]):  # type: ignore[no-untyped-def]
        seconds = self._limits.write_seconds
        try:
            async with asyncio.timeout(seconds):
                return await job
        except TimeoutError:
            message = f"the gateway did not finish within {seconds:g} s"
            return failure(GatewayUnreachable(message))
        except StoaGitopsError as error:
            return failure(error)
        except Exception as error:  # noqa: BLE001  # only cancellation may leave this boundary
            return internal_error(error)

    def _is_blocked(self, write: Write) -> bool:
        blocked = self._failed.blocked_outcome(write.change)
        if blocked is not None:
            self.outcomes[id(write)] = blocked
        return blocked is not None

    def _finish(self, write: Write, result: AdapterResult) -> None:
        outcome = outcome_of(write.change, result)
        self.outcomes[id(write)] = outcome
        self._failed.add_outcome(outcome)


def _pending_change(write: Write) -> PendingChange:
    change = write.change
    gateway_id = change.observed.gateway_id if change.observed else ""
    return PendingChange(change.key, write.spec, gateway_id, change.action is Action.ADOPT)


def _subscribed(write: Write) -> set[Key]:
    """Return the APIs that an application names a plan of."""
    value: Any = write.spec.value if write.spec is not None else {}
    tenant = write.change.key.tenant
    return {
        Key.parse_name(API, str(one["api"]), tenant)
        for one in value.get("subscriptions") or ()
        if "plan" in one
    }


def _api_ranks(writes: Sequence[Write]) -> list[list[list[Write]]]:
    """Group changes by API, and the APIs so that what gives up a path comes before what takes it.

    APIs of one rank do not wait for each other. Where two wait for each other, the plan's order
    decides.
    """
    groups: dict[Key, list[Write]] = {}
    for write in writes:
        groups.setdefault(write.change.key.parent or write.change.key, []).append(write)
    waits = {
        key: {
            other
            for write in group
            for on in write.change.depends_on
            if (other := on.parent or on) in groups and other != key
        }
        for key, group in groups.items()
    }
    ranks: list[list[list[Write]]] = []
    left = list(groups)
    while left:
        free = [key for key in left if waits[key].isdisjoint(left)] or left[:1]
        ranks.append([groups[key] for key in free])
        left = [key for key in left if key not in free]
    return ranks


async def _gather(jobs: Sequence[Awaitable[None]]) -> None:
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        # Reached early if the caller is cancelled: no write may go on.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
