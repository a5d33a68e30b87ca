"""Finds what the lists of a node miss, before a document replaces all that it holds.

Lists may miss an entity without a word (contract kong.md R.7 no. 45 and 46). That they are whole is
proven where the hash of the node is that of the document that they make. Where it is not, because
somebody else wrote the document, the ids of its export are compared: one that no list has is asked
for by itself.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from stoa_gitops.adapters.kong.api.client import KongClient
from stoa_gitops.adapters.kong.entities.entity import JsonTree
from stoa_gitops.adapters.kong.node.snapshot import NodeSnapshot, document_hash, document_text

log = logging.getLogger(__name__)

_SECTION: Final = re.compile(r"([a-z0-9_]+):")
"""Type of the entities that follow: all else in an export is indented or an item of a list."""

# At the indent of an entity's own fields: texts of several lines are further in, so that none of
# a tenant's is taken for ids.
_ID: Final = re.compile(r"[ -] id: ['\"]?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})['\"]?")


def is_proven(snapshot: NodeSnapshot) -> bool:
    """Whether a node holds nothing beyond a snapshot. CPU-bound: it makes the whole document."""
    text = document_text(snapshot.groups.values(), snapshot.foreign)
    return document_hash(text) == snapshot.hash


async def find_unlisted(
    client: KongClient,
    collections: Mapping[str, str],
    read: Mapping[str, Sequence[JsonTree]],
) -> tuple[dict[str, list[JsonTree]], tuple[str, ...]]:
    """Return the entities that the lists miss, by type; and in words what cannot be read.

    Raises GatewayError. The export takes 30 s at 10,000 services (contract kong.md no. 36).
    """
    exported = await client.config()
    known = {str(tree.get("id")) for trees in read.values() for tree in trees}
    found: dict[str, list[JsonTree]] = {}
    unread = []
    for section, ident in sorted({*exported_ids(exported)}):
        if ident in known:
            continue
        if section == "targets":
            unread.append(f"no list of targets has {ident}, which the node holds")
        elif section in collections:
            # Deleted since: the hash tells.
            tree = await client.find_entity(collections[section], ident, f"{section}/{ident}")
            if tree is not None:
                found.setdefault(section, []).append(tree)
    if found:
        log.warning(
            "the lists of the node miss entities that it holds (%s): they were read by their ids",
            ", ".join(f"{name}/{trees[0]['id']}" for name, trees in sorted(found.items())),
        )
    return found, tuple(unread)


def exported_ids(text: str) -> Iterator[tuple[str, str]]:
    """Yield type and id of each entity of an export, and of lines that look like one."""
    section = ""
    for line in text.splitlines():
        if (head := _SECTION.match(line)) is not None:
            section = head[1]
        elif (ident := _ID.fullmatch(line)) is not None:
            yield section, ident[1]
