"""One apply as one archive: what comes and changes is imported, and what goes is deleted then.

An import is the only way that replaces an API which is served without an outage (contract
webmethods.md 0.2). What cannot be in an archive (URL aliases, another address of a backend) is
written by calls after it, and deletions take their ordinary order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stoa_gitops.adapter_sdk.blocking import FailedDependencies, outcome_of
from stoa_gitops.adapter_sdk.contract import AdapterResult, Write, WriteLimits
from stoa_gitops.adapter_sdk.group_run import gather
from stoa_gitops.adapter_sdk.results import failure, internal_error, ok
from stoa_gitops.adapters.webmethods.api.client import WebMethodsClient
from stoa_gitops.adapters.webmethods.entities.archive import (
    Asset,
    ImportResult,
    overwrite_words,
    read_archive,
    read_results,
    write_archive,
)
from stoa_gitops.adapters.webmethods.entities.marks import (
    read_credentials,
    read_mark,
    read_subscriptions,
)
from stoa_gitops.adapters.webmethods.entities.names import alias_of_path
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.adapters.webmethods.mapping.applications import wanted_links
from stoa_gitops.adapters.webmethods.mapping.archive_assets import application_asset
from stoa_gitops.adapters.webmethods.mapping.routes import find_overlapping
from stoa_gitops.adapters.webmethods.mapping.rules import refuse_unsupported
from stoa_gitops.adapters.webmethods.mapping.soap import is_soap
from stoa_gitops.adapters.webmethods.node.session import Session
from stoa_gitops.adapters.webmethods.node.snapshot import Snapshot, consumers_of, link_of
from stoa_gitops.adapters.webmethods.writing.apis import ApiWriter
from stoa_gitops.adapters.webmethods.writing.archive_apis import ArchivedApis, PreparedApi
from stoa_gitops.adapters.webmethods.writing.consumers import ConsumerWriter
from stoa_gitops.adapters.webmethods.writing.edits import done
from stoa_gitops.adapters.webmethods.writing.pending import PendingChange
from stoa_gitops.adapters.webmethods.writing.run import (
    ApplyRun,
    api_ranks,
    paths_of,
    pending_change,
)
from stoa_gitops.errors import (
    GatewayRefused,
    GatewayUnreachable,
    ObjectConflict,
    StoaGitopsError,
)
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.outcomes import Outcome

_EXPORTED_AT_ONCE: Final = 100
"""APIs of one export: what is there of them is held in memory."""


_MOST_NAMED: Final = 5
"""Assets that a message names."""


@dataclass
class _ApiUnit:
    """One API of the archive with the writes that it stands for; none where only a plan's
    subscribers change.
    """

    prepared: PreparedApi
    writes: dict[PendingChange, Write]
    assets: list[Asset] = field(default_factory=list)


@dataclass
class _ApplicationUnit:
    """One application of the archive."""

    write: Write
    fields: JsonTree
    held: JsonTree | None
    application_id: str
    asset: Asset | None = None


_ARCHIVED: Final = frozenset({API, POLICY, APPLICATION})


class ArchiveRun:
    """One call of `apply_archive`; `outcomes` by identity of the writes."""

    def __init__(
        self,
        client: WebMethodsClient,
        session: Session,
        apis: ApiWriter,
        consumers: ConsumerWriter,
        other: Callable[[Write], Awaitable[AdapterResult]],
        limits: WriteLimits,
        owner: str,
    ) -> None:
        self._client, self._session = client, session
        self._archived = ArchivedApis(client, apis, owner)
        self._apis, self._consumers, self._limits = apis, consumers, limits
        self._other = other
        self._failed = FailedDependencies()
        self.outcomes: dict[int, Outcome] = {}

    async def write(self, writes: Sequence[Write]) -> None:
        """Write all changes. Raises nothing but cancellation."""
        try:
            snapshot = await self._session.read_snapshot()
            apis, by_calls = self._prepare_apis(writes, snapshot)
            applications = self._prepare_applications(writes, snapshot)
            if apis or applications:
                await self._import(apis, applications, snapshot)
            gone = [w for w in writes if w.change.key.kind == APPLICATION and w.spec is None]
            # Objects of the whole gateway are few, and no asset of an environment's APIs.
            of_gateway = [w for w in writes if w.change.key.kind not in _ARCHIVED]
            await self._write_by_calls([*of_gateway, *by_calls, *gone])
        except StoaGitopsError as error:
            self._fail(writes, failure(error))
        except Exception as error:  # noqa: BLE001  # only cancellation may leave this boundary
            self._fail(writes, internal_error(error))

    # what is in it

    def _prepare_apis(
        self, writes: Sequence[Write], snapshot: Snapshot
    ) -> tuple[list[_ApiUnit], list[Write]]:
        """Return the APIs to import, and the writes of those that go or come by calls."""
        units, by_calls = [], []
        paths: dict[str, Key] = {}
        ranks = api_ranks([w for w in writes if w.change.key.kind != APPLICATION])
        for group in (group for rank in ranks for group in rank):
            left = [write for write in group if not self._is_refused(write, snapshot)]
            if not left:
                continue
            pending = {pending_change(write): write for write in left}
            key = next(iter(pending)).group
            try:
                prepared = self._archived.prepare(key, list(pending), snapshot)
                # The product's own form of a WSDL is nobody's to make: it is imported by a call.
                is_wsdl = is_soap(prepared.parts.api) and any(
                    change.key.kind == API for change in pending
                )
                if prepared.is_deletion or is_wsdl:
                    by_calls += left
                    continue
                for change, result in prepared.results.items():
                    self._finish(pending.pop(change), result)
                if pending:
                    _claim_paths(prepared, paths)
                    units.append(_ApiUnit(prepared, pending))
            except StoaGitopsError as error:
                self._fail(list(pending.values()), failure(error))
        return units, by_calls

    def _prepare_applications(
        self, writes: Sequence[Write], snapshot: Snapshot
    ) -> list[_ApplicationUnit]:
        units = []
        for write in writes:
            if write.change.key.kind != APPLICATION or write.spec is None:
                continue
            if self._is_refused(write, snapshot):
                continue
            try:
                fields, held = self._consumers.prepare(pending_change(write), snapshot)
            except StoaGitopsError as error:
                self._finish(write, failure(error))
                continue
            ident = str(held["id"]) if held is not None else write.spec.identifier
            units.append(_ApplicationUnit(write, fields, held, ident))
        return units

    def _is_refused(self, write: Write, snapshot: Snapshot) -> bool:
        blocked = self._failed.blocked_outcome(write.change)
        if blocked is not None:
            self.outcomes[id(write)] = blocked
            return True
        refusal = refuse_unsupported(write.spec, snapshot.info) if write.spec else None
        if refusal is not None:
            self._finish(write, refusal)
        return refusal is not None

    # the import

    async def _import(
        self, apis: list[_ApiUnit], applications: list[_ApplicationUnit], snapshot: Snapshot
    ) -> None:
        await self._add_assets(apis, applications, snapshot)
        assets = [asset for unit in apis for asset in unit.assets]
        assets += [unit.asset for unit in applications if unit.asset is not None]
        if not assets:
            return
        content, secrets = await asyncio.to_thread(write_archive, assets)
        found = await self._client.files.import_archive(content, overwrite_words(assets), secrets)
        results = read_results(found)
        # What an import made of everything shows in a read.
        self._session.written.doubt()
        for unit in apis:
            compiled = unit.prepared.compiled
            self._session.forget_definition(unit.prepared.api_id)
            if compiled is not None and _result_of(unit.assets, results) is None:
                self._session.written.api(
                    unit.prepared.api_id, compiled.memory, is_active=compiled.active
                )
        slots = asyncio.Semaphore(self._limits.concurrency)

        async def complete(unit: _ApiUnit) -> None:
            async with slots:
                await self._complete(unit, results)

        self._apis.claim(
            path for unit in apis for write in unit.writes.values() for path in paths_of(write)
        )
        try:
            await gather([complete(unit) for unit in apis])
        finally:
            self._apis.claim(())
        for one in applications:
            if one.asset is not None:
                result = _result_of([one.asset], results)
                self._finish(one.write, result or ok(one.application_id))
                if result is None:
                    links = frozenset(one.asset.content["consumingAPIs"])
                    self._session.written.application(
                        one.application_id, str(one.fields["description"]), links
                    )

    async def _add_assets(
        self, apis: list[_ApiUnit], applications: list[_ApplicationUnit], snapshot: Snapshot
    ) -> None:
        """Make the assets of APIs and applications, each with what it says of the others."""
        links = dict(snapshot.links)
        for unit in apis:
            link = link_of(unit.prepared.parts, unit.prepared.api_id)
            if link is None:
                links.pop(unit.prepared.key, None)
            else:
                links[unit.prepared.key] = link
        marked = {str(tree.get("id")): (tree, key, ours)
                  for tree, key, ours in snapshot.marked_applications}  # fmt: skip
        for one in applications:
            tree = {**(one.held or {}), **one.fields, "id": one.application_id}
            marked[one.application_id] = (tree, one.write.change.key, True)
        consumers = consumers_of(list(marked.values()), links)
        known = {unit.prepared.key for unit in apis}
        for group in snapshot.groups.values():
            # An API of which only the subscribers of a plan are others.
            is_other = group.consumers != consumers.get(group.key, {})
            if group.link and snapshot.is_own(group.root) and group.key not in known and is_other:
                apis.append(_ApiUnit(self._archived.prepare(group.key, [], snapshot), {}))
        exported = await self._exported([unit.prepared.held.api_id for unit in apis])
        for unit in list(apis):
            try:
                unit.assets = await self._archived.compile(
                    unit.prepared,
                    list(unit.writes),
                    consumers.get(unit.prepared.key, {}),
                    exported,
                    snapshot,
                )
            except StoaGitopsError as error:
                self._fail(list(unit.writes.values()), failure(error))
                apis.remove(unit)
        for one in applications:
            mark = read_mark(one.fields["description"], APPLICATION)
            assert mark is not None
            types = [kind for kind, _ in read_credentials(mark)]
            wanted = wanted_links(one.write.change.key, types, read_subscriptions(mark), links)
            ids = sorted({link.api.api_id for link in wanted})
            held = one.held and await self._client.find_application(one.application_id)
            one.asset = application_asset(one.fields, one.application_id, held, ids)

    async def _exported(self, ids: Sequence[str]) -> dict[str, JsonTree]:
        """Return what is on the gateway of some APIs, in the form of an archive."""
        found: dict[str, JsonTree] = {}
        held = [one for one in ids if one]
        for start in range(0, len(held), _EXPORTED_AT_ONCE):
            raw = await self._client.files.export_apis(held[start : start + _EXPORTED_AT_ONCE])
            found |= await asyncio.to_thread(read_archive, raw)
        return found

    # after it

    async def _complete(self, unit: _ApiUnit, results: Mapping[str, ImportResult]) -> None:
        """Write what the archive did not bring, and finish the changes of one API."""
        result = _result_of(unit.assets, results)
        warnings: tuple[str, ...] = ()
        seconds = self._limits.write_seconds
        if result is None:
            try:
                async with asyncio.timeout(seconds):
                    warnings = await self._archived.complete(unit.prepared, unit.assets)
            except TimeoutError:
                message = f"imported, but the gateway did not finish within {seconds:g} s"
                result = failure(GatewayUnreachable(message))
            except StoaGitopsError as error:
                result = failure(error)
        for change, write in unit.writes.items():
            self._finish(write, result or done(change, unit.prepared.api_id, warnings))

    async def _write_by_calls(self, writes: Sequence[Write]) -> None:
        left = []
        for write in writes:
            blocked = self._failed.blocked_outcome(write.change)
            if blocked is not None:
                self.outcomes[id(write)] = blocked
            elif id(write) not in self.outcomes:
                left.append(write)
        if left:
            run = ApplyRun(self._apis, self._consumers, self._session, self._other, self._limits)
            await run.write(left)
            self.outcomes |= run.outcomes

    def _fail(self, writes: Sequence[Write], result: AdapterResult) -> None:
        for write in writes:
            if id(write) not in self.outcomes:
                self._finish(write, result)

    def _finish(self, write: Write, result: AdapterResult) -> None:
        outcome = outcome_of(write.change, result)
        self.outcomes[id(write)] = outcome
        self._failed.add_outcome(outcome)


def _claim_paths(prepared: PreparedApi, paths: dict[str, Key]) -> None:
    """Raise ObjectConflict where two APIs of the archive have paths that begin alike."""
    api = prepared.parts.api or {}
    routes = api.get("routes")
    wanted = [alias_of_path(str(one["path"])) for one in routes if isinstance(one, Mapping)] if (
        isinstance(routes, list)) else []  # fmt: skip
    for path in wanted:
        other = find_overlapping(path, sorted(paths))
        if other and paths[other] != prepared.key:
            raise ObjectConflict(
                f"the paths /{path} and /{other} (of {paths[other]}) begin alike, letter by letter,"
                " and webMethods may take one for the other: give one of them another beginning"
            )
    paths |= dict.fromkeys(wanted, prepared.key)


def _result_of(
    assets: Sequence[Asset], results: Mapping[str, ImportResult]
) -> AdapterResult | None:
    """Return why assets were not taken; None where all were."""
    messages = []
    for asset in assets:
        result = results.get(asset.key)
        if result is None:
            messages.append(
                f"{asset.kind} {asset.name}: the gateway does not say what became of it"
            )
        elif not result.is_taken:
            messages.append(result.message)
    if not messages:
        return None
    return failure(GatewayRefused(f"not imported: {'; '.join(messages[:_MOST_NAMED])}"))
