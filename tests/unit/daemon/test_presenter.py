from __future__ import annotations

import logging

import pytest

from stoa_gitops.daemon.presenter import SafePresenter
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.outcomes import Report
from stoa_gitops.model.plan import Plan

CATALOG = Catalog("default", "main@1", None)
REPORT = Report(Plan("kong", "memory", "main@1"))


class Failing:
    """A presenter that cannot show anything."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked: list[str] = []

    def catalog(self, _: Catalog) -> None:
        self._fail("catalog")

    def cycle(self, _: Report) -> None:
        self._fail("cycle")

    def listening(self, *_: object) -> None:
        self._fail("listening")

    def _fail(self, what: str) -> None:
        self.asked.append(what)
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "full"), KeyError("defect")])
def test_what_cannot_be_shown_reaches_nobody_and_is_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(error)
    shown = SafePresenter(failing)
    shown.catalog(CATALOG)
    shown.cycle(REPORT)
    shown.listening("", "", CATALOG)
    assert failing.asked == ["catalog", "cycle", "listening"]
    assert caplog.records


def test_a_reader_that_is_gone_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    shown = SafePresenter(Failing(BrokenPipeError(32, "Broken pipe")))
    for _ in range(3):
        shown.catalog(CATALOG)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
