"""One document on its way to a node: sent once, and what became of it found out by the hash.

Kong compares nothing and swaps nothing (contract 0.2): the hash before a POST and after it is all that tells of a
second writer, and after a 5xx it alone tells whether the document was taken (0.4).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from stoa_gitops.adapter_sdk.http.responses import Response
from stoa_gitops.adapters.kong.api.client import KongClient
from stoa_gitops.adapters.kong.entities.secrets import scrubber_of
from stoa_gitops.adapters.kong.node.edit import EditResult
from stoa_gitops.adapters.kong.node.snapshot import (
    EntityGroup,
    NodeSnapshot,
    document,
    hash_of,
    positions,
)
from stoa_gitops.adapters.kong.writing.config_errors import Culprits, offending_entities
from stoa_gitops.errors import GatewayError, GatewayMalformed, GatewayUnreachable
from stoa_gitops.model.keys import Key

MOST_POSTS: Final = 64
"""Posts of one apply; what is not found out by then waits for the next cycle."""


class ConcurrentModification(Exception):
    """Somebody else's document is on the node now."""


class DocumentTooLarge(GatewayError):
    """The node does not take a document of this size; raising its limit helps, trying again does not."""

    reason = "DocumentTooLarge"


class PostVerdict(Enum):
    """What a node did with a document."""

    TAKEN = "taken"
    REFUSED = "refused"


@dataclass(frozen=True)
class Posted:
    """What came of a POST; `blamed` by entity, empty where the node did not say whom."""

    verdict: PostVerdict
    picture: NodeSnapshot
    blamed: Culprits = field(default_factory=dict)
    message: str = ""


class ConfigPoster:
    """Posts the documents of one apply and counts them.

    is_doubtful  the last refusal was a single 500, which may be bad luck
    """

    def __init__(self, client: KongClient) -> None:
        self._client = client
        self._failures = 0
        self.posts = 0
        self.is_doubtful = False

    async def post(self, edit: EditResult, *, flatten: bool, is_forced: bool = False) -> Posted:
        """Send one document and find out what became of it. Raises Moved, or GatewayError where nobody knows."""
        text, wanted = await asyncio.to_thread(_text_of, edit)
        known = edit.base.hash
        taken = _once_taken(edit, wanted)
        if wanted == known and not is_forced:
            return Posted(PostVerdict.TAKEN, taken)
        _check_size(text, edit.base)
        if self.posts >= MOST_POSTS:
            raise GatewayError(
                f"{MOST_POSTS} documents were posted and some changes are still refused; the rest waits"
            )
        if (await self._client.status()).hash != known:
            raise ConcurrentModification
        self.posts += 1
        try:
            answer = await self._client.post_config(text, flatten=flatten)
        except (GatewayUnreachable, GatewayMalformed):
            # The load is not undone because nobody waits for it (0.4): the hash says what became of it.
            if await self._hash_after() == wanted:
                return Posted(PostVerdict.TAKEN, taken)
            raise
        return await self._judged(answer, edit, taken, text, flatten=flatten)

    async def _judged(
        self, answer: Response, edit: EditResult, taken: NodeSnapshot, text: str, *, flatten: bool
    ) -> Posted:
        if answer.status in (200, 201, 304):
            return self._acknowledged(await self._hash_after(), edit, taken)
        if answer.status == 400:
            self.is_doubtful = False
            return self._refused(answer, edit)
        if answer.status == 413:
            raise _too_large(answer, len(text))
        after, before = await self._hash_after(), edit.base.hash
        if after != before:
            if after == taken.hash:
                return Posted(PostVerdict.TAKEN, taken)
            raise ConcurrentModification
        if answer.status in (502, 504):
            raise GatewayUnreachable(
                f"the document: the node is not available ({answer.status}); it was not taken"
            )
        return await self._failed(answer, edit, flatten=flatten)

    def _acknowledged(self, after: str, edit: EditResult, taken: NodeSnapshot) -> Posted:
        """A 2xx whose document is not there is told as done, and found out when it is read back."""
        if after not in (taken.hash, edit.base.hash):
            raise ConcurrentModification
        return Posted(PostVerdict.TAKEN, taken if after == taken.hash else edit.base)

    async def _failed(self, answer: Response, edit: EditResult, *, flatten: bool) -> Posted:
        """A 500 with an unmoved hash: bad luck the first time, a refusal the second (R.1, 2).

        Where several changes are on the way, the next probe is the second time: nothing is sent twice for it.
        """
        self._failures += 1
        self.is_doubtful = self._failures == 1
        if self.is_doubtful and len(_changed(edit)) <= 1:
            return await self.post(edit, flatten=False)
        words = f"the node fails on it ({answer.status}: {answer.text})"
        return Posted(PostVerdict.REFUSED, edit.base, message=words)

    async def _hash_after(self) -> str:
        return (await self._client.status()).hash

    def _refused(self, answer: Response, edit: EditResult) -> Posted:
        entities = positions(edit.units.values(), edit.foreign)
        scrub = scrubber_of(entities)
        body: dict[str, Any] = answer.json("the refusal", dict)
        found = {at: scrub(words) for at, words in offending_entities(body, entities).items()}
        words = scrub(_said(body))
        return Posted(PostVerdict.REFUSED, _once_taken(edit, ""), found, words)


def _once_taken(edit: EditResult, document_hash: str) -> NodeSnapshot:
    """Return the picture that an edit makes, once the node holds it."""
    base = edit.base
    return NodeSnapshot(base.node, base.owner, edit.units, edit.foreign, document_hash)


def _changed(edit: EditResult) -> Mapping[Key, EntityGroup | None]:
    return {k: u for k, u in edit.touched.items() if edit.base.units.get(k) is not u}


def _text_of(edit: EditResult) -> tuple[str, str]:
    text = document(edit.units.values(), edit.foreign)
    return text, hash_of(text)


def _said(body: Mapping[str, Any]) -> str:
    message = str(body.get("message", ""))
    return "" if message.endswith("{}") else message[:1000]


def _check_size(text: str, base: NodeSnapshot) -> None:
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


def _too_large(answer: Response, size: int) -> GatewayError:
    if "json" in answer.headers.get("content-type", ""):
        return DocumentTooLarge(
            f"the document does not fit into the node's store ({answer.text}): raise lmdb_map_size on the node"
        )
    return DocumentTooLarge(
        f"the node, or a proxy before it, does not take a body of {size:,} bytes (413): raise "
        "nginx_admin_client_max_body_size on the node"
    )
