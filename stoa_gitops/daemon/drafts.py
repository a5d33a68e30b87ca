"""Makes the drafts of gateways that fetch: those that begin alike share what they begin with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from stoa_gitops.daemon.draft_table import Draft, RouteDraft, Snapshot, TableDraft
from stoa_gitops.daemon.publication import audience_of
from stoa_gitops.fleet.registration import Registration

_Start = tuple[tuple[str, bool], bytes]
"""For whom, and the hash of what was published before."""


@dataclass
class Drafts:
    """What drafts began with, as long as one of them still has it."""

    _starts: WeakValueDictionary[_Start, Snapshot[Any]] = field(default_factory=WeakValueDictionary)

    def make(self, registration: Registration, saved: bytes) -> Draft[Any]:
        """Return a draft with what was published for a gateway before; empty for nothing."""
        draft = TableDraft(registration) if registration.has_table else RouteDraft(registration)
        start = audience_of(registration), hashlib.sha256(saved).digest()
        known = self._starts.get(start)
        if known is not None:
            draft.take(known)
            return draft
        if saved:
            draft.restore(saved)
        if not draft.is_torn:  # each gateway has its own warning about what is missing
            self._starts[start] = draft.snapshot
        return draft
