"""Changes of a table as JSON, credentials included, for another process of the same gateway.

Objects have the form of the admin API, and are parsed as there; whoever sends them has validated
them. They never leave the machine, nor go to any disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_proxy.admin.backend_tls import with_secrets
from stoa_proxy.admin.batch import Parse
from stoa_proxy.admin.changes import Changes
from stoa_proxy.admin.checks import View
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.saved_table import consumer_body, withheld_policy
from stoa_proxy.admin.store import Store
from stoa_proxy.core.withheld import WITHHELD

Document = Mapping[str, Any]

# Objects of one document, so that whoever reads a table can do other work in between.
_OBJECTS: Final = 20


def document_of(changes: Changes) -> Document:
    """Return changes as JSON has them; `changes_of` is the way back."""
    return {
        "apis": [with_secrets(route, view) for route, view in changes.routes],
        "policies": [view for _, view in changes.policies],
        "consumers": [consumer_body(consumer, view) for consumer, view in changes.consumers],
        "without": [
            changes.without_routes, changes.without_policies, changes.without_consumers,
        ],
    }  # fmt: skip


def changes_of(document: Document, parsers: Mapping[str, Parse]) -> Changes:
    """Return the changes of a document. Raises what the parsers of the admin API raise."""
    found: dict[str, list[tuple[Any, View]]] = {
        kind: [_parse(kind, values, parsers) for values in document[kind]]
        for kind in ("apis", "policies", "consumers")
    }
    routes, policies, consumers = (tuple(ids) for ids in document["without"])
    return Changes(
        routes=tuple(found["apis"]),
        policies=tuple(found["policies"]),
        consumers=tuple(found["consumers"]),
        without_routes=routes,
        without_policies=policies,
        without_consumers=consumers,
    )


def table_documents(store: Store) -> Iterator[Document]:
    """Yield documents that make an empty store equal to this one, as it is at the first of them."""
    table = store.table
    bodies = [
        ("policies", (json.loads(content) for content in store.policies.snapshot())),
        (
            "apis",
            (
                with_secrets(table.routes[view["id"]], view)
                for view in map(json.loads, store.routes.snapshot())
            ),
        ),
        (
            "consumers",
            (
                consumer_body(table.consumers[view["id"]], view)
                for view in map(json.loads, store.consumers.snapshot())
            ),
        ),
    ]
    return _documents(bodies)


def _documents(bodies: Sequence[tuple[str, Iterator[View]]]) -> Iterator[Document]:
    for kind, found in bodies:
        part: list[View] = []
        for body in found:
            part.append(body)
            if len(part) == _OBJECTS:
                yield _of_kind(kind, part)
                part = []
        if part:
            yield _of_kind(kind, part)


def _of_kind(kind: str, bodies: list[View]) -> Document:
    document: dict[str, Any] = {
        "apis": [],
        "policies": [],
        "consumers": [],
        "without": [(), (), ()],
    }
    return document | {kind: bodies}


def _parse(kind: str, values: dict[str, Any], parsers: Mapping[str, Parse]) -> tuple[Any, View]:
    if kind == "policies" and values.get("config") == WITHHELD:
        return withheld_policy(values)
    return parsers[kind](Body(values))
