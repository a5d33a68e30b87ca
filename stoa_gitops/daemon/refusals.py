"""Registrations that are refused, summed up so that a flood of them pushes nothing out."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stoa_proxy.foundation.client_network import client_network

from stoa_gitops.store import AuditEntry

log = logging.getLogger(__name__)

WINDOW: Final = 60.0
"""Seconds in which the refusals of one peer are one sum."""

MAX_PEERS: Final = 64
"""Peers that are summed up apart from each other; all others are one."""

_OTHERS: Final = "other addresses"

_GROUP: Final = "register/-/"
"""Of keys in the audit trail, which drops the oldest entries of the tenant that has most, by the
second part of the key: refusals have a share of their own, and no tenant is called `-`."""


@dataclass(slots=True)
class _Sum:
    since: float
    fingerprint: str
    why: str
    more: int = 0


class Refusals:
    """The first refusal of a peer is told at once, those of the minute after it as one sum."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}

    def add(
        self, peer: str, fingerprint: str, why: str, *, now: float, at: datetime
    ) -> AuditEntry | None:
        """Count a refusal; return the entry of the audit trail if it is the first of its peer."""
        name = client_network(peer)
        if name not in self._sums and len(self._sums) >= MAX_PEERS:
            name = _OTHERS
        known = self._sums.get(name)
        if known is not None:
            known.more += 1
            known.fingerprint, known.why = fingerprint, why
            return None
        self._sums[name] = _Sum(now, fingerprint, why)
        log.warning("register: refused: %s (from %s, key %s)", why, name, fingerprint or "none")
        return _entry(at, name, fingerprint, why)

    def take_sums(self, *, now: float, at: datetime) -> list[AuditEntry]:
        """Return entries for those whose minute is over, and forget them."""
        entries = []
        for name, one in [item for item in self._sums.items() if now - item[1].since >= WINDOW]:
            del self._sums[name]
            if one.more:
                why = f"{one.more} more registrations within a minute, the last one: {one.why}"
                log.warning("register: refused: %s (from %s)", why, name)
                entries.append(_entry(at, name, one.fingerprint, why))
        return entries


def _entry(at: datetime, peer: str, fingerprint: str, why: str) -> AuditEntry:
    actor = f"gateway key {fingerprint or 'none'} from {peer}"
    return AuditEntry(at, actor, "", f"{_GROUP}{peer}", "register", "refused", why)
