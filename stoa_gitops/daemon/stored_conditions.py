"""Conditions of gateways and of the catalog across restarts of the process."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from stoa_gitops.errors import StoreError
from stoa_gitops.model.conditions import Condition
from stoa_gitops.reconcile.status import StatusRegistry
from stoa_gitops.store import Store

log = logging.getLogger(__name__)


@dataclass
class StoredConditions:
    """Keeps the conditions of `statuses` in the store."""

    store: Store
    statuses: StatusRegistry
    _restored: set[str] = field(default_factory=set)

    async def restore(self, subject: str) -> None:
        """Load what an earlier process stored of a subject, with its times, once."""
        if subject not in self._restored:
            current = await self.store.load_conditions(subject)
            self.statuses.restore_conditions(subject, current)
            self._restored.add(subject)

    def forget(self, subject: str) -> None:
        """Have a subject restored again when it comes back."""
        self._restored.discard(subject)

    async def save(self) -> None:
        """Store conditions that changed; a failure is logged and retried after the next cycle."""
        unsaved = self.statuses.take_unsaved()
        # At once: the store commits together what waits for it.
        await asyncio.gather(*(self._save(subject, moved) for subject, moved in unsaved.items()))

    async def _save(self, subject: str, moved: tuple[Condition, ...]) -> None:
        try:
            await self.store.save_conditions(subject, moved)
        except StoreError as error:
            self.statuses.keep_unsaved(subject, moved)
            log.warning("conditions of %s are not stored: %s", subject, error)
