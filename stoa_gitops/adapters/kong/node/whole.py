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
from dataclasses import dataclass
from typing import Final

from stoa_gitops.adapters.kong.api.client import KongClient
from stoa_gitops.adapters.kong.entities.entity import JsonTree
from stoa_gitops.adapters.kong.node.snapshot import NodeSnapshot, document_hash, document_text

log = logging.getLogger(__name__)

_SECTION: Final = re.compile(r"([a-z0-9_]+):")
"""Type of the entities that follow: all else in an export is indented or an item of a list."""

# At the indent of an entity's own fields: texts of several lines are further in, so that none of
# a tenant's is taken for ids.
_FIELD: Final = re.compile(
    r"[ -] (id|upstream): ['\"]?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})['\"]?"
)


@dataclass(frozen=True, slots=True, order=True)
class ExportedId:
    """Type and id of an entity of an export; for a target that of its upstream."""

    entity_type: str
    id: str
    upstream: str = ""

    def path(self, collections: Mapping[str, str]) -> str | None:
        """Return where entities of its type are found by their ids; None where nobody knows."""
        if self.entity_type == "targets":
            return f"/upstreams/{self.upstream}/targets" if self.upstream else None
        return collections.get(self.entity_type)


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
    known = {(name, str(tree.get("id"))) for name, trees in read.items() for tree in trees}
    found: dict[str, list[JsonTree]] = {}
    unread = []
    for one in sorted({*exported_ids(exported)}):
        if (one.entity_type, one.id) in known:
            continue
        path, what = one.path(collections), f"{one.entity_type}/{one.id}"
        tree = path and await client.find_entity(path, one.id, what)
        # 3.4.2 answers 404 for a key that is there, too: one that was deleted since moves the hash.
        if tree:
            found.setdefault(one.entity_type, []).append(tree)
        else:
            hint = ": give all keys the same key set, or none" if one.entity_type == "keys" else ""
            unread.append(f"{what} is in the export alone, in no list and at no address{hint}")
    if found:
        log.warning(
            "the lists of the node miss entities that it holds (%s): they were read by their ids",
            ", ".join(f"{name}/{trees[0]['id']}" for name, trees in sorted(found.items())),
        )
    return found, tuple(unread)


def exported_ids(text: str) -> Iterator[ExportedId]:
    """Yield each entity of an export, and what looks like one."""
    section = ""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        head = _SECTION.match(line)
        if head is not None or line.startswith("- "):
            yield from _entity_of(section, fields)
            fields = {}
        if head is not None:
            section = head[1]
        elif (field := _FIELD.fullmatch(line)) is not None:
            fields[field[1]] = field[2]
    yield from _entity_of(section, fields)


def _entity_of(section: str, fields: Mapping[str, str]) -> Iterator[ExportedId]:
    if "id" in fields:
        yield ExportedId(
            section, fields["id"], fields.get("upstream", "") if section == "targets" else ""
        )
