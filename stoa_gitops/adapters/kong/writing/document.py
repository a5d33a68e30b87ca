"""Whole documents: read, merged, written once; what Kong refuses is found, set aside, and the rest written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.results import failure, ok
from stoa_gitops.adapters.kong.api.client import KongClient
from stoa_gitops.adapters.kong.node.edit import EditResult, PendingChange, edited
from stoa_gitops.adapters.kong.node.snapshot import NodeSnapshot
from stoa_gitops.adapters.kong.writing.attribution import attribute_errors
from stoa_gitops.adapters.kong.writing.config_post import (
    ConcurrentModification,
    ConfigPoster,
    Posted,
    PostVerdict,
)
from stoa_gitops.adapters.kong.writing.preflight import conflicts
from stoa_gitops.errors import GatewayBusy, GatewayError, GatewayRefused, StoaGitopsError
from stoa_gitops.foundation.gc_pause import gc_paused
from stoa_gitops.model.keys import POLICY, Key

MERGES: Final = 5
"""Times that a second writer may come in between before we let him finish."""

SILENT: Final = "the node refuses the document with this in it, and does not say why"


class DocumentWriter:
    """Writes the wishes of one apply; used once.

    look  reads the node anew, or trusts the hash
    keep  takes over what a node holds now
    """

    def __init__(
        self,
        client: KongClient,
        look: Callable[[], Awaitable[NodeSnapshot]],
        keep: Callable[[NodeSnapshot], None],
    ) -> None:
        self._look, self._keep = look, keep
        self._poster = ConfigPoster(client)
        self._picture: NodeSnapshot | None = None
        self._has_taken = False
        self._deduced: list[PendingChange] = []
        self.results: dict[PendingChange, AdapterResult] = {}

    @property
    def posts(self) -> int:
        """How many documents were sent."""
        return self._poster.posts

    async def write(self, wishes: Sequence[PendingChange]) -> Mapping[PendingChange, AdapterResult]:
        """Write as many of the changes as the node takes; a result for each, in whatever order they end."""
        try:
            for _ in range(MERGES):
                try:
                    self._picture = await self._look()
                    await self._write_all(wishes)
                    return self._finished(wishes)
                except ConcurrentModification:
                    self.results = {w: r for w, r in self.results.items() if not r.success}
            raise GatewayBusy(
                "somebody else writes to this node all the time: let one of the two do it"
            )
        except StoaGitopsError as error:
            for wish in wishes:
                self.results.setdefault(wish, failure(error))
        return self._finished(wishes)

    def _finished(self, wishes: Sequence[PendingChange]) -> Mapping[PendingChange, AdapterResult]:
        return {wish: self.results[wish] for wish in wishes if wish in self.results}

    # the whole, first

    async def _write_all(self, wishes: Sequence[PendingChange]) -> None:
        """Post everything; what is refused is set aside until the rest is taken."""
        while pending := self._pending(wishes):
            edit = await asyncio.to_thread(self._edit, pending)
            if edit.failures:
                # What waits for one of these is in the edit: an API must not go live without its policy.
                self._note_failures(edit)
                continue
            posted = await self._poster.post(edit, flatten=True)
            if posted.verdict is PostVerdict.TAKEN:
                self._take(posted, pending)
                return
            if not self._set_aside(posted, pending):
                await self._search(pending, posted)

    def _pending(self, wishes: Sequence[PendingChange]) -> list[PendingChange]:
        """Return what has no result yet; a dependant of what failed gets its result here."""
        lost = {wish.key for wish, result in self.results.items() if not result.success}
        pending = []
        for wish in wishes:
            if wish in self.results:
                continue
            if lost.intersection(wish.needs):
                lost.add(wish.key)  # the caller says whom it waits for
                continue
            pending.append(wish)
        return pending

    def _edit(self, wishes: Sequence[PendingChange]) -> EditResult:
        """Lay the changes over the picture; those that stand against something are failures of the edit."""
        assert self._picture is not None
        failures: dict[PendingChange, StoaGitopsError] = {}
        while True:
            with gc_paused():
                edit = edited(self._picture, [wish for wish in wishes if wish not in failures])
            failures.update(edit.failures)
            against = conflicts(edit)
            if not against:
                return replace(edit, failures=failures)
            known = len(failures)
            for wish in wishes:
                if wish.unit in against and wish not in failures:
                    failures[wish] = GatewayRefused(against[wish.unit])
            if len(failures) == known:
                # A unit that nobody asked to change: it would have been refused as it is.
                message = next(iter(against.values()))
                raise GatewayError(f"the document as it stands on the node is not sound: {message}")

    def _note_failures(self, edit: EditResult) -> None:
        for wish, error in edit.failures.items():
            self.results[wish] = failure(error)

    def _take(self, posted: Posted, wishes: Sequence[PendingChange]) -> None:
        self._picture, self._has_taken = posted.picture, True
        self._keep(posted.picture)
        for wish in wishes:
            self.results[wish] = ok(_resource_id(wish, posted.picture))

    def _set_aside(self, posted: Posted, pending: Sequence[PendingChange]) -> bool:
        """Quarantine whom the node named; False where it named nobody. Raises GatewayError where it named others."""
        found = attribute_errors(posted.blamed, posted.picture.units, pending)
        if posted.blamed and not found:
            (at, message), *_ = posted.blamed.items()
            raise GatewayError(
                f"the node refuses what is on it already and is none of these changes, {at[0]}/{at[1]}: {message}"
            )
        for wish, message in found.items():
            self.results[wish] = failure(GatewayRefused(message))
        return bool(found)

    # nobody named: look for it, with everything good that is found on the way live

    async def _search(self, pending: Sequence[PendingChange], posted: Posted) -> None:
        """Find one thing that the node refuses, by halves: each probe is the last good document plus half of the suspects.

        What is good is live at once, and nothing that was live goes away. Probes go without flattening, for they then
        say what flattening loses (R.1, 1). One culprit among n: ⌈log2 n⌉ probes, after one post of everything and
        before one of the rest.
        """
        if self._deduced and not self._has_taken:
            await self._check_base(pending)
        suspects, message = _grouped(pending), posted.message
        allowed = self._poster.posts + (len(suspects) - 1).bit_length() + 1
        is_rest_untried = False
        while len(suspects) > 1:
            held_back, tried = suspects[len(suspects) // 2 :], suspects[: len(suspects) // 2]
            probe = [wish for group in tried for wish in group]
            edit = await asyncio.to_thread(self._edit, probe)
            if edit.failures:
                self._note_failures(edit)
                return
            answer = await self._poster.post(edit, flatten=False)
            if answer.verdict is PostVerdict.TAKEN:
                self._take(answer, self._pending(probe))
                suspects = held_back
            elif self._set_aside(answer, probe):
                return
            else:
                suspects, message, is_rest_untried = tried, answer.message or message, True
        is_asked = not message and self._poster.posts + is_rest_untried < allowed
        await self._judge_last(suspects[0], message, is_asked=is_asked)

    async def _judge_last(
        self, culprit: Sequence[PendingChange], message: str, *, is_asked: bool
    ) -> None:
        """Set the last suspect aside; who was never told why, and has a post left for it, asks once without flattening."""
        if self._poster.is_doubtful:
            return  # a single 500 says nothing yet: the next post of what is left is the second time
        if is_asked:
            edit = await asyncio.to_thread(self._edit, culprit)
            answer = await self._poster.post(edit, flatten=False)
            if answer.verdict is PostVerdict.TAKEN:
                self._take(answer, culprit)
                return
            self._set_aside(answer, culprit)
            message = answer.message or message
        for wish in culprit:
            self.results.setdefault(wish, failure(GatewayRefused(message or SILENT)))
            self._deduced.append(wish)

    async def _check_base(self, pending: Sequence[PendingChange]) -> None:
        """Post what was live before, unchanged: a node that refuses even that says nothing about our changes."""
        assert self._picture is not None
        edit = await asyncio.to_thread(self._edit, [])
        answer = await self._poster.post(edit, flatten=False, is_forced=True)
        if answer.verdict is PostVerdict.TAKEN:
            self._has_taken = True
            return
        for wish in self._deduced:
            del self.results[wish]
        raise GatewayError(
            f"the node refuses even the document that it holds ({answer.message or 'without a word'}): see its log"
        )


def _grouped(wishes: Sequence[PendingChange]) -> list[list[PendingChange]]:
    """Put the changes of one unit together: an API without the policy that it waits for is no API."""
    groups: dict[Key, list[PendingChange]] = {}
    for wish in wishes:
        groups.setdefault(wish.unit, []).append(wish)
    # An application after its APIs: held back halves are the front ones, and leave nothing that waits for them behind.
    return list(groups.values())


def _resource_id(wish: PendingChange, picture: NodeSnapshot) -> str:
    unit = picture.units.get(wish.unit)
    root = unit.root if unit else wish.gateway_id
    if wish.key.kind == POLICY and unit is not None:
        return f"{root}/{wish.key.name.rpartition('.')[2]}"
    return root
