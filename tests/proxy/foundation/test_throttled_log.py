"""Lines that clients can provoke: few, and none hidden by those about somebody else."""

from __future__ import annotations

import logging

import pytest
from stoa_proxy.foundation.throttled_log import PAUSE_SECONDS, ThrottledLog

from tests.proxy.conftest import FakeClock

LOG = logging.getLogger("tests.throttled")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_line_says_how_many_like_it_were_left_out(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    log = ThrottledLog(LOG, clock)
    for turn in range(5):
        log.warning("full: %d", turn)
    clock.advance(PAUSE_SECONDS)
    log.warning("full: %d", 5)
    clock.advance(PAUSE_SECONDS)
    log.warning("full: %d", 6)
    assert lines(caplog) == ["full: 0", "full: 5 (left out since: 4)", "full: 6"]


def test_each_subject_has_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    log = ThrottledLog(LOG, FakeClock())
    for tenant in ("evil", "evil", "acme", "evil", "acme"):
        log.warning("full: %s", tenant, subject=tenant)
    assert lines(caplog) == ["full: evil", "full: acme"]


def test_made_up_subjects_fill_neither_log_nor_memory(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    log = ThrottledLog(LOG, clock)
    for number in range(10_000):
        log.warning("full: %d", number, subject=str(number))
    assert len(lines(caplog)) == 65, "64 subjects, and one line for all others"
    clock.advance(PAUSE_SECONDS)
    log.warning("full: %s", "acme", subject="acme")
    log.warning("full: %s", "others")
    assert lines(caplog)[65:] == ["full: acme", "full: others (left out since: 9935)"]
    assert len(log._pauses) <= 65
