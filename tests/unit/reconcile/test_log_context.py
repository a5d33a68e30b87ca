from __future__ import annotations

import asyncio
import logging

import pytest

from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Report, Status
from stoa_gitops.model.plan import Plan
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.log_context import CycleFilter, in_cycle, log_result


def record() -> logging.LogRecord:
    made = logging.LogRecord("x", logging.INFO, __file__, 1, "words", None, None)
    assert CycleFilter().filter(made)
    return made


async def test_every_line_of_a_cycle_carries_its_id_on_threads_and_tasks_too() -> None:
    with in_cycle("kong") as number:
        lines = [
            record(),
            await asyncio.to_thread(record),
            await asyncio.create_task(asyncio.to_thread(record)),
        ]
    assert {(line.__dict__["cycle"], line.__dict__["gateway"]) for line in lines} == {
        (number, "kong")
    }
    assert "cycle" not in record().__dict__


async def test_cycles_side_by_side_keep_their_own_ids() -> None:
    async def one(gateway: str) -> tuple[str, str]:
        with in_cycle(gateway) as number:
            await asyncio.sleep(0)
            found = record().__dict__
            assert found["gateway"] == gateway
            return number, found["cycle"]

    pairs = await asyncio.gather(*(one(f"g{number}") for number in range(20)))
    assert all(number == seen for number, seen in pairs)
    assert len({number for number, _ in pairs}) == 20


def outcome(name: str, status: Status, message: str = "", reason: str = "") -> Outcome:
    change = Change(Action.CREATE, Key("api", "acme", name))
    return Outcome(change, status, reason=reason, message=message)


def logged(caplog: pytest.LogCaptureFixture, *outcomes: Outcome) -> logging.LogRecord:
    plan = Plan("edge", "stoa", "r", tuple(o.change for o in outcomes))
    with caplog.at_level(logging.DEBUG):
        log_result(CycleResult(Report(plan, outcomes), is_ok=False))
    return caplog.records[-1]


@pytest.mark.parametrize("status", [Status.FAILED, Status.QUARANTINED])
def test_a_cycle_that_left_something_is_logged_at_warning_with_its_reason(
    status: Status, caplog: pytest.LogCaptureFixture
) -> None:
    line = logged(
        caplog,
        outcome("good", Status.APPLIED),
        outcome("after", Status.BLOCKED, "waits for api/acme/bad"),
        outcome("bad", status, "schema violation", "Refused"),
    )
    assert line.levelno == logging.WARNING
    assert "api/acme/bad: schema violation (and 1 more)" in line.getMessage()
    assert line.__dict__["reason"] == "Refused"


def test_a_cycle_in_which_all_went_well_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, outcome("good", Status.APPLIED)).levelno == logging.INFO
