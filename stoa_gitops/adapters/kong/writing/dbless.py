"""Writes whole documents: merge, post, isolate what Kong refuses, and write the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.results import failure, ok
from stoa_gitops.adapters.kong.api.client import KongClient
from stoa_gitops.adapters.kong.node.edit import EditResult, PendingChange, apply_changes
from stoa_gitops.adapters.kong.node.snapshot import NodeSnapshot
from stoa_gitops.adapters.kong.writing.attribution import attribute_errors
from stoa_gitops.adapters.kong.writing.config_post import (
    ConcurrentModification,
    ConfigPoster,
    PostResult,
    PostVerdict,
)
from stoa_gitops.adapters.kong.writing.preflight import conflicts
from stoa_gitops.errors import (
    GatewayBusy,
    GatewayError,
    GatewayRefused,
    ObjectConflict,
    StoaGitopsError,
)
from stoa_gitops.foundation.gc_pause import gc_paused
from stoa_gitops.model.keys import POLICY, Key

MAX_MERGES: Final = 5
"""Times that another writer may come in between before the apply gives up."""

NO_REASON: Final = "the node refuses the document with this in it, and does not say why"


class DocumentWriter:
    """Writes the changes of one apply; used once.

    read   returns the snapshot of the node as it is now
    store  takes over what the node holds after a post
    """

    def __init__(
        self,
        client: KongClient,
        read: Callable[[], Awaitable[NodeSnapshot]],
        store: Callable[[NodeSnapshot], None],
    ) -> None:
        self._read, self._store = read, store
        self._poster = ConfigPoster(client)
        self._snapshot: NodeSnapshot | None = None
        self._has_accepted = False
        self._deduced: list[PendingChange] = []
        self.results: dict[PendingChange, AdapterResult] = {}

    @property
    def posts(self) -> int:
        """How many documents were sent."""
        return self._poster.posts

    async def write(
        self, changes: Sequence[PendingChange]
    ) -> Mapping[PendingChange, AdapterResult]:
        """Write as many changes as the node takes; return a result for each, in any order."""
        try:
            for _ in range(MAX_MERGES):
                try:
                    self._snapshot = await self._read()
                    _refuse_gaps(self._snapshot)
                    await self._write_all(changes)
                    return self._finished(changes)
                except ConcurrentModification:
                    self.results = {w: r for w, r in self.results.items() if not r.success}
            raise GatewayBusy(
                "somebody else writes to this node all the time: let one of the two do it"
            )
        except StoaGitopsError as error:
            for change in changes:
                self.results.setdefault(change, failure(error))
        return self._finished(changes)

    def _finished(self, changes: Sequence[PendingChange]) -> Mapping[PendingChange, AdapterResult]:
        return {change: self.results[change] for change in changes if change in self.results}

    # the whole, first

    async def _write_all(self, changes: Sequence[PendingChange]) -> None:
        """Post everything; what is refused is quarantined until the rest is taken."""
        while pending := self._pending(changes):
            edit = await asyncio.to_thread(self._build_edit, pending)
            if edit.failures:
                # What waits for one of these is in the edit: an API must not go live without its
                # policy.
                self._record_edit_failures(edit)
                continue
            result = await self._poster.post(edit, flatten=True)
            if result.verdict is PostVerdict.TAKEN:
                self._commit(result, pending)
                return
            if not self._fail_changes_named_by_kong(result, pending):
                await self._search(pending, result)

    def _pending(self, changes: Sequence[PendingChange]) -> list[PendingChange]:
        """Return changes without a result; dependants of failed ones are left to the caller."""
        lost = {change.key for change, result in self.results.items() if not result.success}
        pending = []
        for change in changes:
            if change in self.results:
                continue
            if lost.intersection(change.needs):
                lost.add(change.key)  # the caller says whom it waits for
                continue
            pending.append(change)
        return pending

    def _build_edit(self, changes: Sequence[PendingChange]) -> EditResult:
        """Lay the changes over the snapshot; those that conflict with something are failures."""
        assert self._snapshot is not None
        failures: dict[PendingChange, StoaGitopsError] = {}
        while True:
            # Hundreds of thousands of objects are made and kept: the collector would only walk
            # them.
            with gc_paused():
                edit = apply_changes(
                    self._snapshot, [change for change in changes if change not in failures]
                )
            failures.update(edit.failures)
            conflicting = conflicts(edit)
            if not conflicting:
                return replace(edit, failures=failures)
            known = len(failures)
            for change in changes:
                if change.group in conflicting and change not in failures:
                    failures[change] = ObjectConflict(conflicting[change.group])
            if len(failures) == known:
                # A group without a change: the document on the node is at fault already.
                message = next(iter(conflicting.values()))
                raise GatewayError(f"the document as it stands on the node is not sound: {message}")

    def _record_edit_failures(self, edit: EditResult) -> None:
        for change, error in edit.failures.items():
            self.results[change] = failure(error)

    def _commit(self, result: PostResult, changes: Sequence[PendingChange]) -> None:
        self._snapshot, self._has_accepted = result.snapshot, True
        self._store(result.snapshot)
        for change in changes:
            self.results[change] = ok(_resource_id(change, result.snapshot))

    def _fail_changes_named_by_kong(
        self, result: PostResult, pending: Sequence[PendingChange]
    ) -> bool:
        """Fail the changes whose entities the node named; False where it named none.

        Raises GatewayError where it named entities of nobody's change.
        """
        found = attribute_errors(result.errors, result.snapshot.groups, pending)
        if result.errors and not found:
            (at, message), *_ = result.errors.items()
            raise GatewayError(
                "the node refuses what is on it already and is none of these changes, "
                f"{at[0]}/{at[1]}: {message}"
            )
        for change, message in found.items():
            self.results[change] = failure(GatewayRefused(message))
        return bool(found)

    # Kong named no entity: bisect, and leave each half live that it accepts

    async def _search(self, pending: Sequence[PendingChange], result: PostResult) -> None:
        """Find one change that the node refuses, by halves.

        Each probe is the last good document plus half of the suspects, so what is good is live at
        once and nothing that was live goes away. Probes go without flattening: the plain form has
        the reference and uniqueness errors that flattening loses. One bad change among n takes
        ⌈log2 n⌉ probes, after one post of everything and before one of the rest.
        """
        if self._deduced and not self._has_accepted:
            await self._check_base(pending)
        suspects, message = _grouped(pending), result.message
        # ⌈log2 n⌉ probes, and one more for a reason.
        allowed = self._poster.posts + (len(suspects) - 1).bit_length() + 1
        is_rest_untried = False
        while len(suspects) > 1:
            held_back, tried = suspects[len(suspects) // 2 :], suspects[: len(suspects) // 2]
            probe = [change for group in tried for change in group]
            edit = await asyncio.to_thread(self._build_edit, probe)
            if edit.failures:
                self._record_edit_failures(edit)
                return
            response = await self._poster.post(edit, flatten=False)
            if response.verdict is PostVerdict.TAKEN:
                self._commit(response, self._pending(probe))
                suspects = held_back
            elif self._fail_changes_named_by_kong(response, probe):
                return
            else:
                suspects, message, is_rest_untried = tried, response.message or message, True
        is_asked = not message and self._poster.posts + is_rest_untried < allowed
        await self._settle_last_suspect(suspects[0], message, is_asked=is_asked)

    async def _settle_last_suspect(
        self, suspect: Sequence[PendingChange], message: str, *, is_asked: bool
    ) -> None:
        """Quarantine the last suspect, asked once more without flattening if no reason is known
        yet.
        """
        if self._poster.is_doubtful:
            return  # a single 500 may have other causes: the next post of the rest tells
        if is_asked:
            edit = await asyncio.to_thread(self._build_edit, suspect)
            response = await self._poster.post(edit, flatten=False)
            if response.verdict is PostVerdict.TAKEN:
                self._commit(response, suspect)
                return
            self._fail_changes_named_by_kong(response, suspect)
            message = response.message or message
        for change in suspect:
            self.results.setdefault(change, failure(GatewayRefused(message or NO_REASON)))
            self._deduced.append(change)

    async def _check_base(self, pending: Sequence[PendingChange]) -> None:
        """Post what was live before, unchanged.

        A node that refuses even that says nothing about changes.
        """
        assert self._snapshot is not None
        edit = await asyncio.to_thread(self._build_edit, [])
        response = await self._poster.post(edit, flatten=False, is_forced=True)
        if response.verdict is PostVerdict.TAKEN:
            self._has_accepted = True
            return
        for change in self._deduced:
            del self.results[change]
        raise GatewayError(
            "the node refuses even the document that it holds "
            f"({response.message or 'without a word'}): see its log"
        )


def _refuse_gaps(snapshot: NodeSnapshot) -> None:
    """Raise GatewayError where the document would lose entities that the node does not list."""
    if snapshot.gaps:
        # No GatewayRefused: no change is at fault, and the next cycle may find the lists whole.
        raise GatewayError(
            "nothing is written, for a document replaces all that the node holds, and not all of "
            f"it can be read: {'; '.join(snapshot.gaps)}"
        )


def _grouped(changes: Sequence[PendingChange]) -> list[list[PendingChange]]:
    """Group changes by API or application: an API must not go live without its policy."""
    groups: dict[Key, list[PendingChange]] = {}
    for change in changes:
        groups.setdefault(change.group, []).append(change)
    # An application after its APIs: held back halves are the front ones, and leave nothing that
    # waits for them behind.
    return list(groups.values())


def _resource_id(change: PendingChange, snapshot: NodeSnapshot) -> str:
    group = snapshot.groups.get(change.group)
    root = group.root if group else change.gateway_id
    if change.key.kind == POLICY and group is not None:
        return f"{root}/{change.key.name.rpartition('.')[2]}"
    return root
