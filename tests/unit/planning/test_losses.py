"""What a gateway cannot express of an object: skipped, or written in part with a warning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.plan import Plan
from stoa_gitops.planning.inputs import SpecMemo
from tests.unit.planning.world import BILLING, LIMIT, TARGET, plan, resource


def losses_of(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
    if kind == "policy" and spec.get("burst"):
        return (Loss("it has no bursts", is_partial=True),)
    if kind == "policy" and spec.get("window"):
        return (Loss("it has no such window"),)
    return ()


POOR = replace(TARGET, losses=SpecMemo(losses_of))


def plan_of(spec: JsonObject, on_unsupported: str) -> Plan:
    policy = resource(LIMIT, spec, on_unsupported=on_unsupported, guarded_api=BILLING)
    api = resource(BILLING, guarded_api=BILLING, depends_on=(LIMIT,))
    return plan([policy, api], gateway=POOR)


@pytest.mark.parametrize("spec", [{"burst": 1}, {"window": 1}])
def test_by_default_the_api_is_held_back_in_the_words_of_the_loss(spec: JsonObject) -> None:
    made = plan_of(spec, "fail")
    assert not made.changes
    assert {skip.key for skip in made.skipped} == {BILLING, LIMIT}
    assert all(s.is_failure and s.reason is SkipReason.UNSUPPORTED for s in made.skipped)
    assert all("it has no" in skip.message for skip in made.skipped)


def test_what_can_be_written_in_part_is_written_where_a_warning_is_enough() -> None:
    made = plan_of({"burst": 1}, "warn")
    assert {change.key for change in made.changes} == {BILLING, LIMIT}
    assert made.warnings == (f"{LIMIT}: it has no bursts",)


@pytest.mark.parametrize(("spec", "mode"), [({"window": 1}, "warn"), ({"burst": 1}, "skip")])
def test_the_api_goes_without_what_is_left_out(spec: JsonObject, mode: str) -> None:
    made = plan_of(spec, mode)
    assert {change.key for change in made.changes} == {BILLING}
    assert [(s.key, s.is_failure) for s in made.skipped] == [(LIMIT, False)]
    assert made.warnings == ()


def test_many_objects_with_one_loss_are_one_warning() -> None:
    keys = [LIMIT._replace(name=f"api-{number}.rate_limit") for number in range(5)]
    wanted = [
        resource(key, {"burst": 1}, on_unsupported="warn", guarded_api=BILLING) for key in keys
    ]
    (warning,) = plan(wanted, gateway=POOR).warnings
    assert warning.endswith("and 2 more: it has no bursts")
