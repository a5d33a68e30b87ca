"""One apply: applications that go, APIs with their policies, applications that come."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import AdapterResult, Write, WriteLimits
from stoa_gitops.adapter_sdk.group_run import GroupRun, gather
from stoa_gitops.adapter_sdk.results import failure
from stoa_gitops.adapters.webmethods.node.session import Session
from stoa_gitops.adapters.webmethods.node.snapshot import Snapshot
from stoa_gitops.adapters.webmethods.writing.apis import ApiWriter
from stoa_gitops.adapters.webmethods.writing.consumers import ConsumerWriter
from stoa_gitops.adapters.webmethods.writing.pending import PendingChange
from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.kinds import ALIAS, AUTH_SERVER, STRATEGY
from stoa_gitops.model.outcomes import Status

log = logging.getLogger(__name__)

_FIRST: Final = frozenset({AUTH_SERVER, ALIAS, STRATEGY})
"""Kinds that APIs and applications may name; scopes name APIs, and what goes, goes last."""

WRITERS: Final = 4
"""Objects that are written at a time, each by some ten calls: more connections cost more of our CPU
for each call, and bring nothing."""


class ApplyRun(GroupRun):
    """One call of `apply`; `outcomes` by identity of the writes."""

    def __init__(
        self,
        apis: ApiWriter,
        consumers: ConsumerWriter,
        session: Session,
        other: Callable[[Write], Awaitable[AdapterResult]],
        limits: WriteLimits,
    ) -> None:
        super().__init__(limits, WRITERS)
        self._apis, self._consumers, self._session = apis, consumers, session
        self._other = other

    async def write(self, writes: Sequence[Write]) -> None:
        """Write all changes. Raises nothing but cancellation."""
        leaving = [w for w in writes if w.change.key.kind == APPLICATION and w.spec is None]
        coming = [w for w in writes if w.change.key.kind == APPLICATION and w.spec is not None]
        others = [w for w in writes if w.change.key.kind in (API, POLICY)]
        first = [w for w in writes if w.change.key.kind in _FIRST and w.spec is not None]
        known = {id(write) for write in (*leaving, *coming, *others, *first)}
        last = [write for write in writes if id(write) not in known]
        await self._write_objects(first)
        await self._write_all(leaving, self._write_applications)
        self._apis.claim(path for write in others for path in paths_of(write))
        try:
            await self._write_all(others, self._write_apis)
        finally:
            self._apis.claim(())
        await self._write_all(coming, self._write_applications)
        await self._end_rights(others, coming)
        await self._write_objects(last)

    async def _end_rights(self, apis: Sequence[Write], applications: Sequence[Write]) -> None:
        """Take from applications that were not written what an API of this apply took from them."""
        changed = {
            self.outcomes[id(write)].gateway_id
            for write in apis
            if write.change.key.kind == API
            and write.change.action is Action.UPDATE
            and self.outcomes[id(write)].status is Status.APPLIED
        }
        if not changed:
            return
        written = {
            write.change.key
            for write in applications
            if self.outcomes[id(write)].status is Status.APPLIED
        }
        try:
            snapshot = await self._session.working_snapshot()
            await self._consumers.end_rights(changed, written, snapshot)
        except StoaGitopsError as error:
            log.warning("a right that ended could not be taken away: %s", error)

    async def _write_objects(self, writes: Sequence[Write]) -> None:
        """Write objects of the whole gateway one after another: there are few."""
        for write in writes:
            if not self.is_blocked(write):
                result = await self.in_time(self._other(write))
                assert isinstance(result, AdapterResult)
                self.finish(write, result)

    async def _write_all(
        self,
        writes: Sequence[Write],
        write: Callable[[Sequence[Write], Snapshot], Awaitable[None]],
    ) -> None:
        """Write some changes on what the gateway holds by now: what was written before counts."""
        if not writes:
            return
        try:
            snapshot = await self._session.working_snapshot()
        except StoaGitopsError as error:
            for one in writes:
                self.finish(one, failure(error))
            return
        await write(writes, snapshot)

    async def _write_apis(self, writes: Sequence[Write], snapshot: Snapshot) -> None:
        for rank in api_ranks(writes):
            await gather([self._write_api(group, snapshot) for group in rank])

    async def _write_api(self, writes: Sequence[Write], snapshot: Snapshot) -> None:
        """Write the changes of one API, within the time of one write."""
        left = [write for write in writes if not self.is_blocked(write)]
        if not left:
            return
        pending = {id(write): pending_change(write) for write in left}
        async with self.slots:
            results = await self.in_time(self._apis.write(list(pending.values()), snapshot))
        for write in left:
            result = results if isinstance(results, AdapterResult) else results[pending[id(write)]]
            self.finish(write, result)

    async def _write_applications(self, writes: Sequence[Write], snapshot: Snapshot) -> None:
        async def one(write: Write) -> None:
            if self.is_blocked(write):
                return
            async with self.slots:
                result = await self.in_time(self._consumers.write(pending_change(write), snapshot))
            assert isinstance(result, AdapterResult)
            self.finish(write, result)

        await gather([one(write) for write in writes])


def paths_of(write: Write) -> Iterator[str]:
    """Yield the paths that a write asks for."""
    if write.change.key.kind == API and write.spec is not None:
        value: Any = write.spec.value
        yield from (str(route["path"]) for route in value["routes"])


def pending_change(write: Write) -> PendingChange:
    """Return a write as the writers take it."""
    change = write.change
    gateway_id = change.observed.gateway_id if change.observed else ""
    return PendingChange(change.key, write.spec, gateway_id, change.action is Action.ADOPT)


def api_ranks(writes: Sequence[Write]) -> list[list[list[Write]]]:
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
        done = set(free)
        left = [key for key in left if key not in done]
    return ranks
