"""What a gateway cannot express of an object: skipped, or written in part with a warning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import Resource
from stoa_gitops.planning.inputs import SpecMemo
from tests.unit.planning.world import BILLING, LIMIT, MOBILE, QUIET, TARGET, plan, resource


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


def combined(api: Spec, policies: Mapping[str, Spec]) -> tuple[Loss, ...]:
    if policies.keys() >= {"rate_limit", "quota"}:
        return (Loss("it has one counter"),)
    return ()


TOGETHER = replace(POOR, combined=combined)
QUOTA = BILLING.policy("quota")


def wanted(limit: JsonObject | None = None, mode: str = "warn") -> list[Resource]:
    return [
        resource(BILLING, guarded_api=BILLING, depends_on=(LIMIT, QUOTA)),
        resource(LIMIT, limit, on_unsupported=mode, guarded_api=BILLING),
        resource(QUOTA, on_unsupported="warn", guarded_api=BILLING),
        resource(MOBILE),
    ]


def test_an_api_whose_policies_do_not_fit_together_is_held_with_them() -> None:
    made = plan(wanted(), gateway=TOGETHER)
    assert {change.key for change in made.changes} == {MOBILE}
    messages = {skip.key: skip.message for skip in made.skipped}
    assert messages[BILLING] == "kong-prod cannot express it: it has one counter"
    assert messages.keys() == {BILLING, LIMIT, QUOTA}
    assert all(skip.reason is SkipReason.UNSUPPORTED for skip in made.skipped)
    assert all(skip.is_failure for skip in made.skipped)


def test_a_policy_that_is_left_out_by_itself_is_in_the_way_of_none() -> None:
    made = plan(wanted({"window": 1}), gateway=TOGETHER)
    assert {change.key for change in made.changes} == {BILLING, QUOTA, MOBILE}


def test_an_object_whose_secret_cannot_be_sent_is_not_sent() -> None:
    context = replace(QUIET, unsuitable={MOBILE: "its key is a certificate"})
    made = plan([resource(MOBILE), resource(BILLING)], context=context)
    assert {change.key for change in made.changes} == {BILLING}
    (skip,) = made.skipped
    assert skip.reason is SkipReason.SECRET
    assert skip.is_failure
    assert skip.message == "not sent: its key is a certificate"


def test_what_was_held_back_before_any_call_is_not_said_to_be_refused_by_the_gateway() -> None:
    refused = {MOBILE: "not sent: a name is taken", BILLING: "host: invalid"}
    made = plan([resource(MOBILE), resource(BILLING)], context=replace(QUIET, quarantined=refused))
    assert {skip.key: skip.message for skip in made.skipped} == {
        MOBILE: "not sent: a name is taken",
        BILLING: "refused by the gateway: host: invalid",
    }
