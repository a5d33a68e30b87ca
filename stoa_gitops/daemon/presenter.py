"""Showing people what the process does, so that no failure to show it reaches those who do it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.outcomes import Report

log = logging.getLogger(__name__)


class Presenter(Protocol):
    """Shows people what the process does; the command line implements it."""

    def catalog(self, catalog: Catalog) -> None:
        """Show what a reading of the catalog found."""

    def cycle(self, report: Report) -> None:
        """Show what a cycle did."""

    def listening(self, control: str, gateway: str, catalog: Catalog) -> None:
        """Show where the process listens, once everything is up."""


@dataclass
class SafePresenter:
    """A presenter that never raises: a terminal that is gone, or a full disk, is no reason to stop working."""

    presenter: Presenter
    _is_told: bool = False

    def catalog(self, catalog: Catalog) -> None:
        """Show what a reading of the catalog found."""
        self._try(lambda: self.presenter.catalog(catalog))

    def cycle(self, report: Report) -> None:
        """Show what a cycle did."""
        self._try(lambda: self.presenter.cycle(report))

    def listening(self, control: str, gateway: str, catalog: Catalog) -> None:
        """Show where the process listens, once everything is up."""
        self._try(lambda: self.presenter.listening(control, gateway, catalog))

    def _try(self, show: Callable[[], None]) -> None:
        try:
            show()
        except (OSError, StoaGitopsError) as error:
            if not self._is_told:
                self._is_told = True
                log.warning("plans and recaps cannot be shown; reconciling continues: %s", error)
        except Exception:
            log.exception("unexpected error while showing what was done")
