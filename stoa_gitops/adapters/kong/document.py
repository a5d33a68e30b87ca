"""Whole documents: read, merged, written once; what Kong refuses is found, set aside, and the rest written.

Kong compares nothing and swaps nothing (contract 0.2): the hash before a POST and after it is all that tells of a
second writer, and after a 5xx it alone tells whether the document was taken (0.4).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from stoa_gitops.adapters.contract import AdapterResult
from stoa_gitops.adapters.http_answers import Answer
from stoa_gitops.adapters.kong.client import KongClient
from stoa_gitops.adapters.kong.editing import Edit, Wish, edited
from stoa_gitops.adapters.kong.entities import Entity
from stoa_gitops.adapters.kong.picture import Picture, Unit, document, hash_of, positions
from stoa_gitops.adapters.kong.plugins import plugins_of
from stoa_gitops.adapters.kong.preflight import conflicts
from stoa_gitops.adapters.kong.refusals import Culprits, culprits
from stoa_gitops.adapters.kong.sensitive import scrubber_of
from stoa_gitops.adapters.results import done, failed
from stoa_gitops.errors import (
    GatewayBusy,
    GatewayError,
    GatewayMalformed,
    GatewayRefused,
    GatewayUnreachable,
    StoaGitopsError,
)
from stoa_gitops.model.collector import without_collection
from stoa_gitops.model.keys import POLICY, Key

MERGES: Final = 5
"""Times that a second writer may come in between before we let him finish."""

MOST_POSTS: Final = 64
"""Posts of one apply; what is not found out by then waits for the next cycle."""

SILENT: Final = "the node refuses the document with this in it, and does not say why"


class Moved(Exception):
    """Somebody else's document is on the node now."""


class DocumentTooLarge(GatewayError):
    """The node does not take a document of this size; raising its limit helps, trying again does not."""

    reason = "DocumentTooLarge"


class Verdict(Enum):
    """What a node did with a document."""

    TAKEN = "taken"
    REFUSED = "refused"


@dataclass(frozen=True)
class Posted:
    """What came of a POST; `blamed` by entity, empty where the node did not say whom."""

    verdict: Verdict
    picture: Picture
    blamed: Culprits = field(default_factory=dict)
    words: str = ""


@dataclass
class DocumentWriter:
    """Writes the wishes of one apply; used once. `look` reads the node anew, or trusts the hash."""

    client: KongClient
    look: Callable[[], Awaitable[Picture]]
    keep: Callable[[Picture], None]
    results: dict[Wish, AdapterResult] = field(default_factory=dict)
    posts: int = 0
    _picture: Picture | None = None
    _failures: int = 0
    _has_taken: bool = False
    _is_doubtful: bool = False
    _deduced: list[Wish] = field(default_factory=list)

    async def write(self, wishes: Sequence[Wish]) -> Mapping[Wish, AdapterResult]:
        """Write as many of the changes as the node takes; a result for each, in whatever order they end."""
        try:
            for _ in range(MERGES):
                try:
                    self._picture = await self.look()
                    await self._write_all(wishes)
                    return self._finished(wishes)
                except Moved:
                    self.results = {w: r for w, r in self.results.items() if not r.success}
            raise GatewayBusy(
                "somebody else writes to this node all the time: let one of the two do it"
            )
        except StoaGitopsError as error:
            for wish in wishes:
                self.results.setdefault(wish, failed(error))
        return self._finished(wishes)

    def _finished(self, wishes: Sequence[Wish]) -> Mapping[Wish, AdapterResult]:
        return {wish: self.results[wish] for wish in wishes if wish in self.results}

    # the whole, first

    async def _write_all(self, wishes: Sequence[Wish]) -> None:
        """Post everything; what is refused is set aside until the rest is taken."""
        while pending := self._pending(wishes):
            edit = await asyncio.to_thread(self._edit, pending)
            self._note_failures(edit)
            pending = self._pending(pending)
            if not pending:
                return
            posted = await self._post(edit, flatten=True)
            if posted.verdict is Verdict.TAKEN:
                self._take(posted, pending)
                return
            if not self._set_aside(posted, pending):
                await self._search(pending, posted)

    def _pending(self, wishes: Sequence[Wish]) -> list[Wish]:
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

    def _edit(self, wishes: Sequence[Wish]) -> Edit:
        """Lay the changes over the picture; those that stand against something are failures of the edit."""
        assert self._picture is not None
        failures: dict[Wish, StoaGitopsError] = {}
        while True:
            with without_collection():
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
                words = next(iter(against.values()))
                raise GatewayError(f"the document as it stands on the node is not sound: {words}")

    def _note_failures(self, edit: Edit) -> None:
        for wish, error in edit.failures.items():
            self.results[wish] = failed(error)

    def _take(self, posted: Posted, wishes: Sequence[Wish]) -> None:
        self._picture, self._has_taken = posted.picture, True
        self.keep(posted.picture)
        for wish in wishes:
            self.results[wish] = done(_resource_id(wish, posted.picture))

    def _set_aside(self, posted: Posted, pending: Sequence[Wish]) -> bool:
        """Quarantine whom the node named; False where it named nobody. Raises GatewayError where it named others."""
        found = _attributed(posted, pending)
        if posted.blamed and not found:
            (at, words), *_ = posted.blamed.items()
            raise GatewayError(
                f"the node refuses what is on it already and is none of these changes, {at[0]}/{at[1]}: {words}"
            )
        for wish, words in found.items():
            self.results[wish] = failed(GatewayRefused(words))
        return bool(found)

    # nobody named: look for it, with everything good that is found on the way live

    async def _search(self, pending: Sequence[Wish], posted: Posted) -> None:
        """Find one thing that the node refuses, by halves: each probe is the last good document plus half of the suspects.

        What is good is live at once, and nothing that was live goes away. Probes go without flattening, for they then
        say what flattening loses (R.1, 1). One culprit among n: ⌈log2 n⌉ probes, after one post of everything and
        before one of the rest.
        """
        if self._deduced and not self._has_taken:
            await self._check_base(pending)
        suspects, words = _grouped(pending), posted.words
        allowed = self.posts + (len(suspects) - 1).bit_length() + 1
        is_rest_untried = False
        while len(suspects) > 1:
            held_back, tried = suspects[len(suspects) // 2 :], suspects[: len(suspects) // 2]
            probe = [wish for group in tried for wish in group]
            edit = await asyncio.to_thread(self._edit, probe)
            answer = await self._post(edit, flatten=False)
            if answer.verdict is Verdict.TAKEN:
                self._note_failures(edit)
                self._take(answer, self._pending(probe))
                suspects = held_back
            elif self._set_aside(answer, probe):
                return
            else:
                suspects, words, is_rest_untried = tried, answer.words or words, True
        is_asked = not words and self.posts + is_rest_untried < allowed
        await self._judge_last(suspects[0], words, is_asked=is_asked)

    async def _judge_last(self, culprit: Sequence[Wish], words: str, *, is_asked: bool) -> None:
        """Set the last suspect aside; who was never told why, and has a post left for it, asks once without flattening."""
        if self._is_doubtful:
            return  # a single 500 says nothing yet: the next post of what is left is the second time
        if is_asked:
            edit = await asyncio.to_thread(self._edit, culprit)
            answer = await self._post(edit, flatten=False)
            if answer.verdict is Verdict.TAKEN:
                self._take(answer, culprit)
                return
            self._set_aside(answer, culprit)
            words = answer.words or words
        for wish in culprit:
            self.results.setdefault(wish, failed(GatewayRefused(words or SILENT)))
            self._deduced.append(wish)

    async def _check_base(self, pending: Sequence[Wish]) -> None:
        """Post what was live before, unchanged: a node that refuses even that says nothing about our changes."""
        assert self._picture is not None
        edit = await asyncio.to_thread(self._edit, [])
        answer = await self._post(edit, flatten=False, is_forced=True)
        if answer.verdict is Verdict.TAKEN:
            self._has_taken = True
            return
        for wish in self._deduced:
            del self.results[wish]
        raise GatewayError(
            f"the node refuses even the document that it holds ({answer.words or 'without a word'}): see its log"
        )

    # one document

    async def _post(self, edit: Edit, *, flatten: bool, is_forced: bool = False) -> Posted:
        """Send one document and find out what became of it. Raises Moved, or GatewayError where nobody knows."""
        text = await asyncio.to_thread(document, edit.units.values(), edit.foreign)
        wanted, known = hash_of(text), edit.base.hash
        taken = replace_picture(edit, wanted)
        if wanted == known and not is_forced:
            return Posted(Verdict.TAKEN, taken)
        _check_size(text, edit.base)
        if self.posts >= MOST_POSTS:
            raise GatewayError(
                f"{MOST_POSTS} documents were posted and some changes are still refused; the rest waits"
            )
        if (await self.client.status()).hash != known:
            raise Moved
        self.posts += 1
        try:
            answer = await self.client.post_config(text, flatten=flatten)
        except (GatewayUnreachable, GatewayMalformed):
            # The load is not undone because nobody waits for it (0.4): the hash says what became of it.
            if await self._hash_after() == wanted:
                return Posted(Verdict.TAKEN, taken)
            raise
        return await self._judged(answer, edit, taken, text, flatten=flatten)

    async def _judged(
        self, answer: Answer, edit: Edit, taken: Picture, text: str, *, flatten: bool
    ) -> Posted:
        if answer.status in (200, 201, 304):
            return self._acknowledged(await self._hash_after(), edit, taken)
        if answer.status == 400:
            self._is_doubtful = False
            return self._refused(answer, edit)
        if answer.status == 413:
            raise _too_large(answer, len(text))
        after, before = await self._hash_after(), edit.base.hash
        if after != before:
            if after == taken.hash:
                return Posted(Verdict.TAKEN, taken)
            raise Moved
        if answer.status in (502, 504):
            raise GatewayUnreachable(
                f"the document: the node is not available ({answer.status}); it was not taken"
            )
        return await self._failed(answer, edit, flatten=flatten)

    def _acknowledged(self, after: str, edit: Edit, taken: Picture) -> Posted:
        """A 2xx whose document is not there is told as done, and found out when it is read back."""
        if after not in (taken.hash, edit.base.hash):
            raise Moved
        return Posted(Verdict.TAKEN, taken if after == taken.hash else edit.base)

    async def _failed(self, answer: Answer, edit: Edit, *, flatten: bool) -> Posted:
        """A 500 with an unmoved hash: bad luck the first time, a refusal the second (R.1, 2).

        Where several changes are on the way, the next probe is the second time: nothing is sent twice for it.
        """
        self._failures += 1
        self._is_doubtful = self._failures == 1
        if self._is_doubtful and len(_changed(edit)) <= 1:
            return await self._post(edit, flatten=False)
        words = f"the node fails on it ({answer.status}: {answer.text})"
        return Posted(Verdict.REFUSED, edit.base, words=words)

    async def _hash_after(self) -> str:
        return (await self.client.status()).hash

    def _refused(self, answer: Answer, edit: Edit) -> Posted:
        entities = positions(edit.units.values(), edit.foreign)
        scrub = scrubber_of(entities)
        body: dict[str, Any] = answer.json("the refusal", dict)
        found = {at: scrub(words) for at, words in culprits(body, entities).items()}
        words = scrub(_said(body))
        return Posted(Verdict.REFUSED, replace_picture(edit, ""), found, words)


def replace_picture(edit: Edit, document_hash: str) -> Picture:
    """Return the picture that an edit makes, once the node holds it."""
    base = edit.base
    return Picture(base.node, base.owner, edit.units, edit.foreign, document_hash)


def _changed(edit: Edit) -> Mapping[Key, Unit | None]:
    return {k: u for k, u in edit.touched.items() if edit.base.units.get(k) is not u}


def _grouped(wishes: Sequence[Wish]) -> list[list[Wish]]:
    """Put the changes of one unit together: an API without the policy that it waits for is no API."""
    groups: dict[Key, list[Wish]] = {}
    for wish in wishes:
        groups.setdefault(wish.unit, []).append(wish)
    # An application after its APIs: held back halves are the front ones, and leave nothing that waits for them behind.
    return list(groups.values())


def _attributed(posted: Posted, pending: Sequence[Wish]) -> Mapping[Wish, str]:
    """Return whom the node's words concern among the changes."""
    found: dict[Wish, str] = {}
    by_unit: dict[Key, list[Wish]] = {}
    for wish in pending:
        by_unit.setdefault(wish.unit, []).append(wish)
    for key, wishes in by_unit.items():
        unit = posted.picture.units.get(key)
        for entity in unit.entities if unit else ():
            words = posted.blamed.get((entity.type, entity.id))
            if words is not None:
                for wish in _behind(entity, wishes):
                    found.setdefault(wish, f"{entity.type}: {words}")
    return found


def _behind(entity: Entity, wishes: Sequence[Wish]) -> Sequence[Wish]:
    """Return the changes that an entity comes from: a plugin's policies, else the API or application itself."""
    if entity.type == "plugins":
        name = entity.tree.get("name")
        policies = [
            wish
            for wish in wishes
            if wish.key.kind == POLICY and name in plugins_of(wish.key.name.rpartition(".")[2])
        ]
        if policies:
            return policies
    roots = [wish for wish in wishes if wish.key.kind != POLICY]
    return roots or wishes


def _resource_id(wish: Wish, picture: Picture) -> str:
    unit = picture.units.get(wish.unit)
    root = unit.root if unit else wish.gateway_id
    if wish.key.kind == POLICY and unit is not None:
        return f"{root}/{wish.key.name.rpartition('.')[2]}"
    return root


def _said(body: Mapping[str, Any]) -> str:
    message = str(body.get("message", ""))
    return "" if message.endswith("{}") else message[:1000]


def _check_size(text: str, base: Picture) -> None:
    """Say that a document is too large before it is sent, and what to raise.

    The body counts, in which quotes of the text are escaped once more (R.2).
    """
    limit = base.node.options.body_limit
    if 2 * len(text) + 32 < limit:
        return
    size = len(json.dumps({"config": text}).encode())
    if size > limit:
        raise DocumentTooLarge(
            f"the document has {size:,} bytes and the node takes {limit:,}: raise nginx_admin_client_max_body_size (and "
            "client_body_buffer_size) on the node and options.adminBodyLimit here, or split the catalog over two gateways"
        )


def _too_large(answer: Answer, size: int) -> GatewayError:
    if "json" in answer.headers.get("content-type", ""):
        return DocumentTooLarge(
            f"the document does not fit into the node's store ({answer.text}): raise lmdb_map_size on the node"
        )
    return DocumentTooLarge(
        f"the node, or a proxy before it, does not take a body of {size:,} bytes (413): raise "
        "nginx_admin_client_max_body_size on the node"
    )
