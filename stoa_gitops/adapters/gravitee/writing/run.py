"""One call of `apply`: applications that go, APIs with their policies, applications that come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import AdapterResult, Write, WriteLimits
from stoa_gitops.adapter_sdk.group_run import GroupRun, gather
from stoa_gitops.adapter_sdk.results import failure
from stoa_gitops.adapters.gravitee.entities.consumers import LIVE
from stoa_gitops.adapters.gravitee.node.session import Session
from stoa_gitops.adapters.gravitee.writing.apis import ApiWriter
from stoa_gitops.adapters.gravitee.writing.consumers import ConsumerWriter
from stoa_gitops.adapters.gravitee.writing.order import rank_apis
from stoa_gitops.adapters.gravitee.writing.pending import PendingChange
from stoa_gitops.errors import GatewayRefused, GatewayUnreachable, StoaGitopsError
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.outcomes import Outcome, Status

log = logging.getLogger(__name__)

WRITERS: Final = 4
"""APIs that are written at a time: more bring nothing (contract gravitee.md R.10)."""


class PlanRun(GroupRun):
    """One call of `apply`; `outcomes` by identity of the writes.

    wanted  canonical specs of applications that may be in no write: in quarantine, held, or with a
            secret that leads nowhere
    """

    def __init__(
        self,
        apis: ApiWriter,
        consumers: ConsumerWriter,
        session: Session,
        limits: WriteLimits,
        wanted: Mapping[Key, Mapping[str, Any]],
    ) -> None:
        super().__init__(limits, WRITERS)
        self._apis, self._consumers, self._session = apis, consumers, session
        self._wanted = dict(wanted)
        self._moving: set[Key] = set()
        self._immovable: dict[Key, StoaGitopsError] = {}

    async def write(self, writes: Sequence[Write]) -> None:
        """Write everything; each write has an outcome afterwards. Raises nothing."""
        leaving = [w for w in writes if w.change.key.kind == APPLICATION and w.spec is None]
        coming = [w for w in writes if w.change.key.kind == APPLICATION and w.spec is not None]
        for write in leaving:
            self._wanted.pop(write.change.key, None)
        self._wanted |= {w.change.key: w.spec.value for w in coming if w.spec is not None}
        self._moving = {api for key, value in self._wanted.items() for api in _named(key, value)}
        if leaving:
            await self._write_applications(leaving)
        await self._write_apis([w for w in writes if w.change.key.kind != APPLICATION])
        if coming:
            await self._write_applications(coming)
        for key in self._apis.interim.retiring:
            tried = {w.change.key: self.outcomes.get(id(w)) for w in coming}
            await self._retire(key, [w for w in writes if _group_of(w) == key], tried)

    async def _retire(
        self, key: Key, writes: Sequence[Write], tried: Mapping[Key, Outcome | None]
    ) -> None:
        """Remove plans that were kept for applications; an API that still has them is not done.

        They stay where the API itself was not written, and where an application has not taken its
        key along: the key of a subscription that ends with its plan cannot be used again. One that
        is not written, because it was refused, goes along with what it has.
        """
        if not all(self._is_applied(write) for write in writes):
            self._apis.interim.leave_plans(key)
            return
        waiting = [
            app
            for app, value in self._wanted.items()
            if key in _named(app, value) and _is_refused(tried, app)
        ]
        behind = await self.in_time(self._behind(key, waiting))
        if isinstance(behind, AdapterResult):
            self._apis.interim.leave_plans(key)
            for write in writes:
                self.finish(write, behind)
            return
        if behind is not None:
            self._apis.interim.leave_plans(key)
            message = f"written, but for plans that {behind} still uses: it was not applied"
            for write in writes:
                outcome = Outcome(write.change, Status.BLOCKED, "DependencyFailed", message)
                self.outcomes[id(write)] = outcome
            return
        result = await self.in_time(self._apis.interim.retire(key))
        for write in writes:
            if isinstance(result, AdapterResult) and not result.success:
                self.finish(write, result)

    async def _behind(self, key: Key, waiting: Sequence[Key]) -> Key | None:
        """Return an application that has yet to take its key along from a plan that was kept.

        The gateway is asked: what it acknowledged need not have happened, and what failed may have
        had nothing there.
        """
        snapshot = await self._session.read_snapshot()
        for application in waiting:
            try:
                await self._consumers.move(application, self._wanted[application], key, snapshot)
            except GatewayRefused:
                # Of the application, not of the API: its plan waits for it.
                return application
        if waiting:
            snapshot = await self._session.read_snapshot()
        held, kept = snapshot.apis.get(key), self._apis.interim.kept_plans(key)
        if held is None:
            return None
        left = {
            one.application_id
            for one in held.subscriptions
            if one.status in LIVE and held.plans.get(one.plan_id) in kept
        }
        ids = snapshot.application_ids
        movers = (app for app, value in self._wanted.items() if key in _named(app, value))
        return next((mover for mover in movers if ids.get(mover) in left), None)

    def _is_applied(self, write: Write) -> bool:
        outcome = self.outcomes.get(id(write))
        return outcome is not None and outcome.status is Status.APPLIED

    async def _write_apis(self, writes: Sequence[Write]) -> None:
        parked: dict[Key, Write] = {}
        for rank in rank_apis(writes):
            if rank.parked is not None:
                parked[rank.parked] = next(w for w in writes if w.change.key == rank.parked)
                await self._park(parked[rank.parked])
            await gather([self._write_api(group) for group in rank.groups])
        for key, write in parked.items():
            if self.outcomes[id(write)].status is not Status.APPLIED:
                await self._put_back(key)

    async def _park(self, write: Write) -> None:
        try:
            async with asyncio.timeout(self.limits.write_seconds):
                await self._apis.interim.park(write.change.key, _pending_change(write).root)
        except TimeoutError:
            self._immovable[write.change.key] = GatewayUnreachable(
                f"{write.change.key} was not taken off its path in time"
            )
        except StoaGitopsError as error:
            self._immovable[write.change.key] = error

    async def _put_back(self, key: Key) -> None:
        try:
            async with asyncio.timeout(self.limits.write_seconds):
                await self._apis.interim.put_back(key)
        except (TimeoutError, StoaGitopsError) as error:
            log.warning("%s is not at its path until its change is applied: %s", key, error)

    async def _write_api(self, writes: Sequence[Write]) -> None:
        """Write the changes of one API, within the time of one write."""
        left = [write for write in writes if not self.is_blocked(write)]
        for write in list(left):
            holder = next((k for k in write.change.depends_on if k in self._immovable), None)
            if holder is not None:
                self.finish(write, failure(self._immovable[holder]))
                left.remove(write)
        if not left:
            return
        pending = {id(write): _pending_change(write) for write in left}
        key = next(iter(pending.values())).group
        async with self.slots:
            results = await self.in_time(
                self._apis.write(list(pending.values()), keeps_plans=key in self._moving)
            )
        for write in left:
            result = results if isinstance(results, AdapterResult) else results[pending[id(write)]]
            self.finish(write, result)

    async def _write_applications(self, writes: Sequence[Write]) -> None:
        try:
            # APIs that were written right before have other plans now.
            snapshot = await self._session.read_snapshot()
        except StoaGitopsError as error:
            for write in writes:
                self.finish(write, failure(error))
            return

        async def one(write: Write) -> None:
            if self.is_blocked(write):
                return
            async with self.slots:
                result = await self.in_time(self._consumers.write(_pending_change(write), snapshot))
            self.finish(write, result)

        await gather([one(write) for write in writes])


def _group_of(write: Write) -> Key:
    """Return the API that a change is written with, or the object itself."""
    return write.change.key.parent or write.change.key


def _pending_change(write: Write) -> PendingChange:
    change = write.change
    gateway_id = change.observed.gateway_id if change.observed else ""
    return PendingChange(change.key, write.spec, gateway_id, change.action is Action.ADOPT)


def _is_refused(tried: Mapping[Key, Outcome | None], application: Key) -> bool:
    """Whether an application is not written before somebody changes something."""
    outcome = tried.get(application)
    return outcome is None or outcome.status is Status.QUARANTINED


def _named(application: Key, value: Mapping[str, Any]) -> set[Key]:
    """Return the APIs that an application names a plan of."""
    return {
        Key.parse_name(API, str(one["api"]), application.tenant)
        for one in value.get("subscriptions") or ()
        if "plan" in one
    }
