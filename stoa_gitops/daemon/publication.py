"""One gateway that fetches its configuration, and what is published for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from stoa_gitops.control.fleet_port import Published
from stoa_gitops.daemon.draft_table import Draft, TableContent
from stoa_gitops.fleet.registration import Registration
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.store import PublishedRecord


@dataclass
class Publication:
    """One publication: its number and content, for whom, and what was made of it to be sent."""

    audience: tuple[str, bool]
    generation: int
    content: TableContent
    table: Published
    routes: tuple[GatewayInstance, Published] | None = None


@dataclass
class PublishedGateway:
    """One gateway.

    record     what the store has of it
    version    what is served; None before the first cycle of this process
    seen_at    monotonic time since which this process could have been asked
    asked_at   monotonic time of the last request for routes or a table
    """

    draft: Draft
    seen_at: float
    record: PublishedRecord | None = None
    version: Publication | None = None
    asked_at: float | None = None
    failures: dict[str, str] = field(default_factory=dict)
    applied: set[str] = field(default_factory=set)


def audience_of(registration: Registration) -> tuple[str, bool]:
    """Return what decides which objects a gateway may get, and in which form."""
    return registration.tenant_id, registration.has_table


def as_table(generation: int, content: TableContent) -> Published:
    """Return a content as a document for a gateway of ours; its form is `saved_table`'s."""
    header = {"stoa_proxy_table": 1, "generation": generation}
    whole = json.dumps(header, separators=(",", ":")).encode() + b"\n" + content.lines
    digest = hashlib.sha256(whole).hexdigest()
    return Published(digest, whole + json.dumps({"sha256": digest}).encode() + b"\n")
