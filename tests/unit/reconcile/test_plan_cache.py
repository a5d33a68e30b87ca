"""The cache between cycles: what it saves, and when it must not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import DesiredState
from stoa_gitops.planning import BrokenScope
from stoa_gitops.reconcile import plan_cache
from stoa_gitops.reconcile.cycle import cycle, prepare_plan
from stoa_gitops.reconcile.plan_cache import PlanCache
from tests.unit.reconcile.rig import rig
from tests.unit.reconcile.world import BILLING, NOW, resource

END = NOW + timedelta(days=2)
MOBILE = resource(
    Key("application", "acme", "mobile"),
    {"subscriptions": [{"api": "billing", "expiresAt": END.isoformat()}]},
)


def desired(*resources: object) -> DesiredState:
    return DesiredState("kong", "default", "main@1", {one.key: one for one in resources})  # type: ignore[attr-defined]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was searched for in a whole catalog."""
    found: list[str] = []
    for name in ("secret_references", "next_expiry"):
        real = getattr(plan_cache, name)

        def noted(*args: object, name: str = name, real: object = real) -> object:
            found.append(name)
            return real(*args)  # type: ignore[operator]

        monkeypatch.setattr(plan_cache, name, noted)
    return found


def test_the_same_resources_are_searched_once(searches: list[str]) -> None:
    cache, wanted = PlanCache(), desired(MOBILE)
    records: dict[object, object] = {}
    for _ in range(3):
        assert cache.references(wanted, records, BrokenScope()) == frozenset()  # type: ignore[arg-type]
        assert cache.next_expiry(wanted, NOW) == END
    assert searches == ["secret_references", "next_expiry"]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW + timedelta(days=1), END),
        (END, None),
        (NOW - timedelta(days=1), END),
    ],
)
def test_the_next_expiry_is_right_whatever_the_clock_does(now: object, expected: object) -> None:
    cache, wanted = PlanCache(), desired(MOBILE)
    cache.next_expiry(wanted, NOW)
    assert cache.next_expiry(wanted, now) == expected  # type: ignore[arg-type]


def test_other_resources_are_searched_again(searches: list[str]) -> None:
    cache = PlanCache()
    cache.next_expiry(desired(MOBILE), NOW)
    assert cache.next_expiry(desired(), NOW) is None
    assert searches == ["next_expiry", "next_expiry"]


async def test_a_quiet_cycle_hands_on_the_plan_of_before(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        assignment = one.assignment(resource())
        for _ in range(2):
            await cycle(one.session, assignment)
        before = one.cache.state
        one.turn(hours=1)
        prepared = await prepare_plan(one.session, assignment)
        assert before is not None
        assert prepared.plan is before.plan
        assert one.cache.state is not None
        assert one.cache.state.recomputed == 0


async def test_a_session_without_a_cache_plans_the_same(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        await cycle(one.session, one.assignment(resource()))
        changed = one.assignment(resource(BILLING, {"displayName": "new"}), revision="main@2")
        cached = await prepare_plan(one.session, changed)
        one.cache = PlanCache()
        fresh = await prepare_plan(one.session, changed)
        assert cached.plan == fresh.plan
        assert [change.key for change in fresh.plan.changes] == [BILLING]
