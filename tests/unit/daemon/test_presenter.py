from __future__ import annotations

import asyncio
import logging
import threading

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
async def test_what_cannot_be_shown_reaches_nobody_and_is_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(error)
    shown = SafePresenter(failing)
    shown.catalog(CATALOG)
    await shown.cycle(REPORT)
    await shown.listening("", "", CATALOG)
    assert failing.asked == ["catalog", "cycle", "listening"]
    assert caplog.records


def test_a_reader_that_is_gone_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    shown = SafePresenter(Failing(BrokenPipeError(32, "Broken pipe")))
    for _ in range(3):
        shown.catalog(CATALOG)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


class Slow:
    """A presenter that notes when two of its calls run at once."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.others = threading.Barrier(2)

    def catalog(self, _: Catalog) -> None:
        self._show()

    def cycle(self, _: Report) -> None:
        self._show()

    def listening(self, *_: object) -> None:
        self._show()

    def _show(self) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            self.others.wait(0.05)  # nobody else comes while this one is here
        except threading.BrokenBarrierError:
            self.others.reset()
        self.running -= 1


async def test_what_cycles_show_at_once_is_shown_in_turn() -> None:
    slow = Slow()
    shown = SafePresenter(slow)
    await asyncio.gather(shown.cycle(REPORT), shown.cycle(REPORT))
    assert slow.most == 1
