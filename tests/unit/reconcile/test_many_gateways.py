"""A fleet that is forgotten at one moment: whoever has a gateway key can make it a large one."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from stoa_gitops.model.outcomes import Status
from stoa_gitops.reconcile.counters import Counters
from stoa_gitops.reconcile.queue import EXPIRY, DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler
from tests.unit.reconcile.test_status import worked

MANY = 10_000
NAMES = [f"edges/pod-{number}-edgemcp-dev" for number in range(MANY)]


def test_ten_thousand_gateways_leave_the_counters_at_once() -> None:
    counters, report = Counters(), worked(Status.APPLIED).report
    for name in NAMES:
        counters.count_cycle(name, report, 0.1, is_ok=True)
    began = time.process_time()
    for name in NAMES[1:]:
        counters.remove_gateway(name)
    assert time.process_time() - began < 2, "it was 6 s, and is 0.02 s"
    labels = {s.labels[0] for metric in counters.metrics() for s in metric.samples}
    assert labels == {("gateway", NAMES[0])}


def test_ten_thousand_gateways_leave_the_scheduler_at_once() -> None:
    scheduler = Scheduler(DirtyQueue())
    when = datetime.now(UTC) + timedelta(days=1)
    for name in NAMES:
        scheduler.set_interval(name, 3600)
        scheduler.schedule(name, when, EXPIRY)
    began = time.process_time()
    for name in NAMES[1:]:
        scheduler.remove_gateway(name)
    assert time.process_time() - began < 2, "it was 8 s, and is 0.02 s"
    assert scheduler.next_run(NAMES[0]) is not None
    assert scheduler.next_run(NAMES[0], EXPIRY) == when
    assert not any(scheduler.next_run(name) for name in NAMES[1:])
    assert not any(scheduler.next_run(name, EXPIRY) for name in NAMES[1:])
