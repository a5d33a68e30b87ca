"""One gateway that fetches its configuration, and what is published for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stoa_gitops.control.fleet_port import Acknowledged, Published
from stoa_gitops.daemon.draft_table import Draft, TableContent
from stoa_gitops.daemon.published_views import object_ids
from stoa_gitops.fleet.registration import Registration
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.store import PublishedRecord

MAX_REFUSED: Final = 100
"""Refused objects of a gateway whose names and errors are kept: one acknowledgement may have 4 MiB
of them, and there may be 10,000 gateways."""

_MAX_ERROR: Final = 300
_MAX_ID: Final = 200
_FURTHER: Final = "failed"


@dataclass
class Publication:
    """One publication: its number and content, for whom, and what was made of it to be sent."""

    audience: tuple[str, bool]
    generation: int
    content: TableContent
    table: Published
    routes: tuple[GatewayInstance, Published] | None = None
    _ids: tuple[frozenset[str], frozenset[str]] | None = None

    def object_ids(self, gateway_id: str) -> tuple[frozenset[str], frozenset[str]]:
        """Return every id that its gateway may acknowledge, and those of deployments among them."""
        if self._ids is None:
            self._ids = object_ids(self.content.lines, gateway_id)
        return self._ids


@dataclass
class PublishedGateway:
    """One gateway.

    record     what the store has of it
    version    what is served; None before the first cycle of this process
    told       of which it was told since it started, where it can be
    seen_at    monotonic time since which this process could have been asked
    asked_at   monotonic time of the last request for routes or a table
    failures   what it did not take, by id, with its error; `unnamed` counts further ones
    applied    ids of routes that it took
    concluded  state of the draft for which the last publication succeeded, or was not needed
    """

    draft: Draft[Any]
    seen_at: float
    record: PublishedRecord | None = None
    version: Publication | None = None
    told: Publication | None = None
    asked_at: float | None = None
    concluded: object = None
    failures: dict[str, str] = field(default_factory=dict)
    unnamed: int = 0
    applied: set[str] = field(default_factory=set)

    @property
    def is_concluded(self) -> bool:
        """Whether the draft is published as it is, or needed no publication."""
        return self.concluded == self.draft.state

    def start_over(self) -> None:
        """Drop what was acknowledged: of another publication."""
        self.failures, self.unnamed, self.applied = {}, 0, set()

    def take_failure(self, object_id: str, error: str | None) -> None:
        """Note one object of its own that it did not take."""
        text = (error or "failed without a message")[:_MAX_ERROR]
        is_kept = self.failures.get(object_id, _FURTHER) != _FURTHER
        if len(self.failures) >= MAX_REFUSED and not is_kept:
            text = _FURTHER
        self.failures[object_id] = text
        self.applied.discard(object_id)

    def take_refused(self, objects: Sequence[Acknowledged]) -> None:
        """Note the objects of a table that it did not take; it took all others."""
        self.start_over()
        for one in objects[:MAX_REFUSED]:
            self.take_failure(one.id[:_MAX_ID], one.error or "refused")
        self.unnamed = len(objects) - len(self.failures)


def audience_of(registration: Registration) -> tuple[str, bool]:
    """Return what decides which objects a gateway may get, and in which form."""
    return registration.tenant_id, registration.has_table


def as_table(generation: int, content: TableContent) -> Published:
    """Return a content as a document for a gateway of ours; its form is `saved_table`'s.

    Gateways that have as many publications behind them get the very same one.
    """
    known = content.tables.get(generation)
    if known is not None:
        return known
    header = {"stoa_proxy_table": 1, "generation": generation}
    whole = json.dumps(header, separators=(",", ":")).encode() + b"\n" + content.lines
    digest = hashlib.sha256(whole).hexdigest()
    table = Published(digest, whole + json.dumps({"sha256": digest}).encode() + b"\n")
    content.tables[generation] = table
    return table
