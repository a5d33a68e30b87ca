"""POST /config: sends one document and confirms it by the configuration hash.

Kong has no compare-and-swap: the hash before a POST and after it is all that tells of a second
writer. After a 5xx the hash alone tells whether the document was taken, because Kong commits it
before it reloads its workers.
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
from stoa_gitops.adapters.kong.entities.entity import JsonTree
from stoa_gitops.adapters.kong.entities.secrets import build_redactor
from stoa_gitops.adapters.kong.node.edit import EditResult
from stoa_gitops.adapters.kong.node.snapshot import (
    EntityGroup,
    NodeSnapshot,
    document_hash,
    document_text,
    entities_by_type,
)
from stoa_gitops.adapters.kong.writing.config_errors import EntityErrors, offending_entities
from stoa_gitops.errors import GatewayError, GatewayMalformed, GatewayUnreachable
from stoa_gitops.model.keys import Key

MAX_POSTS: Final = 64
"""Posts of one apply; what is not isolated by then waits for the next cycle."""


class ConcurrentModification(Exception):
    """Another writer's document is on the node now."""


class DocumentTooLarge(GatewayError):
    """The node does not take a document of this size; trying again does not help."""

    reason = "DocumentTooLarge"


class PostVerdict(Enum):
    """What a node did with a document."""

    TAKEN = "taken"
    REFUSED = "refused"


@dataclass(frozen=True)
class PostResult:
    """Result of a POST; `errors` by entity, empty where the node named none."""

    verdict: PostVerdict
    snapshot: NodeSnapshot
    errors: EntityErrors = field(default_factory=dict)
    message: str = ""


class ConfigPoster:
    """Posts the documents of one apply and counts them.

    is_doubtful  the last refusal was a single 500, which may be a passing fault
    """

    def __init__(self, client: KongClient) -> None:
        self._client = client
        self._failures = 0
        self.posts = 0
        self.is_doubtful = False

    async def post(self, edit: EditResult, *, flatten: bool, is_forced: bool = False) -> PostResult:
        """Send one document and confirm it.

        Raises ConcurrentModification, DocumentTooLarge, or GatewayError where the result is
        unknown.
        """
        text, wanted = await asyncio.to_thread(_text_of, edit)
        known = edit.base.hash
        taken = _snapshot_after(edit, wanted)
        # A POST of the same text would rebuild router, plugins and balancer in every worker.
        if wanted == known and not is_forced:
            return PostResult(PostVerdict.TAKEN, taken)
        _check_size(text, edit.base)
        if self.posts >= MAX_POSTS:
            raise GatewayError(
                f"{MAX_POSTS} documents were posted and some changes are still refused; the rest "
                "waits"
            )
        # The last look before the POST: Kong itself lets the later of two writers win silently.
        if (await self._client.status()).hash != known:
            raise ConcurrentModification
        self.posts += 1
        try:
            response = await self._client.post_config(text, flatten=flatten)
        except (GatewayUnreachable, GatewayMalformed):
            # Kong goes on loading when the client is gone: the hash tells whether it was taken.
            if await self._read_hash() == wanted:
                return PostResult(PostVerdict.TAKEN, taken)
            raise
        return await self._classify(response, edit, taken, text, flatten=flatten)

    async def _classify(
        self, response: Response, edit: EditResult, taken: NodeSnapshot, text: str, *, flatten: bool
    ) -> PostResult:
        if response.status in (200, 201, 304):
            return self._confirm(await self._read_hash(), edit, taken)
        if response.status == 400:
            self.is_doubtful = False
            return self._rejection(response, edit)
        # Raised, not quarantined: no single change is at fault.
        if response.status == 413:
            raise _too_large(response, len(text))
        after, before = await self._read_hash(), edit.base.hash
        if after != before:
            if after == taken.hash:
                return PostResult(PostVerdict.TAKEN, taken)
            raise ConcurrentModification
        # Of a proxy, or Kong's own "Timed out while loading configuration".
        if response.status in (502, 504):
            raise GatewayUnreachable(
                f"the document: the node is not available ({response.status}); it was not taken"
            )
        return await self._on_server_error(response, edit, flatten=flatten)

    def _confirm(self, after: str, edit: EditResult, taken: NodeSnapshot) -> PostResult:
        """Return the result of a 2xx; a missing document is found when it is read back."""
        if after not in (taken.hash, edit.base.hash):
            raise ConcurrentModification
        return PostResult(PostVerdict.TAKEN, taken if after == taken.hash else edit.base)

    async def _on_server_error(
        self, response: Response, edit: EditResult, *, flatten: bool
    ) -> PostResult:
        """Return the result of a 500 with an unchanged hash: a refusal the second time.

        Kong 3.4.2 and 3.9.1 answer 500 to plainly wrong documents as well, at every try. Where
        several changes are under way, the next probe is the second time: nothing is posted twice
        for it.
        """
        self._failures += 1
        self.is_doubtful = self._failures == 1
        if self.is_doubtful and len(_changed_groups(edit)) <= 1:
            return await self.post(edit, flatten=False)
        message = f"the node fails on it ({response.status}: {response.text})"
        return PostResult(PostVerdict.REFUSED, edit.base, message=message)

    async def _read_hash(self) -> str:
        return (await self._client.status()).hash

    def _rejection(self, response: Response, edit: EditResult) -> PostResult:
        entities = entities_by_type(edit.groups.values(), edit.foreign)
        redact = build_redactor(entities)
        body: JsonTree = response.json("the refusal", dict)
        errors = {at: redact(message) for at, message in offending_entities(body, entities).items()}
        message = redact(_message_of(body))
        return PostResult(PostVerdict.REFUSED, _snapshot_after(edit, ""), errors, message)


def _snapshot_after(edit: EditResult, content_hash: str) -> NodeSnapshot:
    """Return the snapshot that an edit makes, once the node holds it."""
    base = edit.base
    return NodeSnapshot(
        base.node, base.owner, edit.groups, edit.foreign, content_hash, is_whole=True
    )


def _changed_groups(edit: EditResult) -> Mapping[Key, EntityGroup | None]:
    return {k: u for k, u in edit.touched.items() if edit.base.groups.get(k) is not u}


def _text_of(edit: EditResult) -> tuple[str, str]:
    text = document_text(edit.groups.values(), edit.foreign)
    return text, document_hash(text)


def _message_of(body: Mapping[str, Any]) -> str:
    message = str(body.get("message", ""))
    return "" if message.endswith("{}") else message[:1000]


def _check_size(text: str, base: NodeSnapshot) -> None:
    """Raise DocumentTooLarge before a document is sent that the node would not take.

    The size of the request body counts, in which each quote of the text is escaped once more.
    """
    limit = base.node.options.body_limit
    # JSON escapes at most double the text: only documents near the limit are encoded to be
    # measured.
    if 2 * len(text) + 32 < limit:
        return
    size = len(json.dumps({"config": text}).encode())
    if size > limit:
        raise DocumentTooLarge(
            f"the document has {size:,} bytes and the node takes {limit:,}: raise "
            "nginx_admin_client_max_body_size (and "
            "client_body_buffer_size) on the node and options.adminBodyLimit here, or split the "
            "catalog over two gateways"
        )


def _too_large(response: Response, size: int) -> GatewayError:
    if "json" in response.headers.get("content-type", ""):
        return DocumentTooLarge(
            f"the document does not fit into the node's store ({response.text}): raise "
            "lmdb_map_size on the node"
        )
    return DocumentTooLarge(
        f"the node, or a proxy before it, does not take a body of {size:,} bytes (413): raise "
        "nginx_admin_client_max_body_size on the node"
    )
