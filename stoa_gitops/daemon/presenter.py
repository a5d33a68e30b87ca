"""Shows people what the process does; a failure to show it never reaches a cycle."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.outcomes import Report

log = logging.getLogger(__name__)


class Presenter(Protocol):
    """Interface to people; the command line implements it."""

    def catalog(self, catalog: Catalog) -> None:
        """Show the findings of a reading of the catalog."""

    def cycle(self, report: Report) -> None:
        """Show what a cycle did."""

    def listening(self, control: str, gateway: str, catalog: Catalog) -> None:
        """Show where the process listens, once everything is up."""


@dataclass
class SafePresenter:
    """A presenter that never raises: a closed terminal or a full disk must not stop a cycle.

    What takes long is put into words on a thread: the text of 10,000 new APIs takes half a second.
    """

    presenter: Presenter
    _is_reported: bool = False
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def catalog(self, catalog: Catalog) -> None:
        """Show the findings of a reading of the catalog."""
        self._try(lambda: self.presenter.catalog(catalog))

    async def cycle(self, report: Report) -> None:
        """Show what a cycle did."""
        await asyncio.to_thread(self._try, lambda: self.presenter.cycle(report))

    async def listening(self, control: str, gateway: str, catalog: Catalog) -> None:
        """Show where the process listens, once everything is up."""
        await asyncio.to_thread(
            self._try, lambda: self.presenter.listening(control, gateway, catalog)
        )

    def _try(self, show: Callable[[], None]) -> None:
        try:
            with self._turn:
                show()
        except (OSError, StoaGitopsError) as error:
            # Once: it would be said for every cycle of every gateway until a restart.
            if not self._is_reported:
                self._is_reported = True
                log.warning("plans and recaps cannot be shown; reconciling continues: %s", error)
        except Exception:
            log.exception("unexpected error while showing what was done")
