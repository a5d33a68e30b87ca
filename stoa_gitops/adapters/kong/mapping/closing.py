"""Closes an API to one application whose subscription to it has ended. Pure.

Groups only let in: an application of the tenant is in the tenant's group, which every API without
plans lets in. A request-termination plugin of consumer and service answers 403 in its place; it
runs for this consumer alone (Kong's documentation, "Precedence order of plugins": consumer and
service come before route and service, and before each of them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import ApplicationParts, Entity, JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.tags import entity_name, owner_tag, parse_pairs, tag_values
from stoa_gitops.adapters.kong.mapping.plugins import plugin_entity
from stoa_gitops.model.keys import Key

PLUGIN: Final = "request-termination"
_CONFIG: Final[Mapping[str, Any]] = {
    "message": "the subscription to this API has ended",
    "status_code": 403,
}


def compile_closed(
    parts: ApplicationParts, api: Key, service_id: str, end: str, node: NodeInfo, owner: str
) -> Entity:
    """Return the plugin that answers an application's requests to an API; `end` is RFC 3339."""
    identifier = parts.key.identifier(owner, f"ended|{entity_name(api)}")
    scope = {"consumer": parts.consumer_id, "service": service_id}
    tags = [owner_tag(owner), tag_of(api, end)]
    return plugin_entity(PLUGIN, dict(_CONFIG), identifier, scope, tags, node)


def tag_of(api: Key, end: str) -> str:
    """Return the tag that says which subscription has ended, and when."""
    return f"stoa-ended:{entity_name(api)} at={end}"


def read_closed(tree: JsonTree) -> Iterator[tuple[str, str]]:
    """Yield the names of the APIs that an entity is tagged with, and when each ended."""
    for text in tag_values(tree, "ended"):
        name, words = parse_pairs(text)
        yield name, words.get("at", "")
