"""Secrets in a plan: compared by HMAC, never shown, unchanged where they do not resolve."""

from __future__ import annotations

from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.changes import Action, Direction, FieldChange
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.planning import (
    BrokenScope,
    GatewayPlanInput,
    PlanContext,
    find_inventory_updates,
    secret_references,
)
from tests.unit.planning.world import (
    BILLING,
    MOBILE,
    NOW,
    actual,
    desired,
    observed,
    plan,
    record,
    resource,
)

WITH_KEY: JsonObject = {"credentials": [{"type": "api_key", "key": {"$secret": "env:K"}}]}
SHOWN: JsonObject = {"credentials": [{"type": "api_key", "key": {"$secret": ""}}]}
PATH = "credentials.0.key"
KNOWN = PlanContext(NOW, secrets={"env:K": "h1"})
ROTATED = PlanContext(NOW, secrets={"env:K": "h2"})
OUT_OF_REACH = PlanContext(NOW, secrets={"env:K": None})
APPLIED = record(MOBILE, WITH_KEY, secret_hmacs={PATH: "h1"})


def test_the_same_secret_is_no_change() -> None:
    assert plan(
        [resource(MOBILE, WITH_KEY)], [observed(MOBILE, SHOWN)], [APPLIED], context=KNOWN
    ).is_empty


def test_a_rotated_secret_is_a_change_without_values() -> None:
    (change,) = plan(
        [resource(MOBILE, WITH_KEY)], [observed(MOBILE, SHOWN)], [APPLIED], context=ROTATED
    ).changes
    expected = FieldChange(("credentials", 0, "key"), None, None, sensitive=True, note="changed")
    assert change.fields == (expected,)
    assert change.secret_hmacs == ((PATH, "h2"),)
    assert change.direction is Direction.SECRET


def test_another_reference_to_another_secret_is_a_change_in_git() -> None:
    key: JsonObject = {"$secret": "env:OTHER"}
    other: JsonObject = {"credentials": [{"type": "api_key", "key": key}]}
    context = PlanContext(NOW, secrets={"env:OTHER": "h2"})
    (change,) = plan(
        [resource(MOBILE, other)], [observed(MOBILE, SHOWN)], [APPLIED], context=context
    ).changes
    assert change.direction is Direction.GIT


def test_a_rotated_secret_changes_the_digest() -> None:
    made = [
        plan([resource(MOBILE, WITH_KEY)], context=PlanContext(NOW, secrets={"env:K": hmac}))
        for hmac in ("h1", "h2")
    ]
    assert PlanSet("r", (made[0],)).digest != PlanSet("r", (made[1],)).digest


def test_one_that_does_not_resolve_is_not_compared_and_no_change_by_itself() -> None:
    made = plan(
        [resource(MOBILE, WITH_KEY)], [observed(MOBILE, SHOWN)], [APPLIED], context=OUT_OF_REACH
    )
    assert made.is_empty
    assert made.warnings == ("no value here for env:K: whether it changed is not known",)


def test_those_without_a_value_are_one_warning() -> None:
    spec: JsonObject = {
        "credentials": [{"key": {"$secret": f"env:K{number}"}} for number in range(7)]
    }
    context = PlanContext(NOW, secrets={f"env:K{number}": None for number in range(1, 7)})
    made = plan([resource(MOBILE, spec)], context=context)
    named = "env:K1, env:K2, env:K3, env:K4, env:K5 and 1 more"
    assert made.warnings == (f"no value here for {named}: whether they changed is not known",)


def test_a_reference_that_was_never_resolved_is_no_change_either() -> None:
    context = PlanContext(NOW)
    assert plan([resource(MOBILE, WITH_KEY)], [observed(MOBILE, SHOWN)], context=context).is_empty


def test_beside_another_change_it_is_named_as_not_compared() -> None:
    wanted: JsonObject = {**WITH_KEY, "displayName": "New"}
    there: JsonObject = {**SHOWN, "displayName": "Old"}
    (change,) = plan(
        [resource(MOBILE, wanted)], [observed(MOBILE, there)], context=OUT_OF_REACH
    ).changes
    assert [(f.dotted, f.note) for f in change.fields] == [
        ("displayName", ""),
        (PATH, "not compared"),
    ]


def test_without_a_record_it_is_written_once_and_the_reason_says_why() -> None:
    (change,) = plan([resource(MOBILE, WITH_KEY)], [observed(MOBILE, SHOWN)], context=KNOWN).changes
    assert change.action is Action.UPDATE
    assert change.reason == "no record of the secrets applied last, so they are written once"
    assert change.direction is Direction.UNKNOWN


def test_one_that_resolves_after_it_did_not_is_written() -> None:
    unknown = record(MOBILE, WITH_KEY)
    (change,) = plan(
        [resource(MOBILE, WITH_KEY)], [observed(MOBILE, SHOWN)], [unknown], context=KNOWN
    ).changes
    assert [f.note for f in change.fields] == ["changed"]


def test_a_secret_in_an_ignored_field_is_left_alone() -> None:
    wanted = resource(MOBILE, WITH_KEY, ignore_fields=("credentials",))
    assert plan([wanted], [observed(MOBILE, SHOWN)], [APPLIED], context=ROTATED).is_empty


def test_drift_and_rotation_together_are_both() -> None:
    wanted: JsonObject = {**WITH_KEY, "displayName": "A"}
    there: JsonObject = {**SHOWN, "displayName": "B"}
    last = record(MOBILE, wanted, secret_hmacs={PATH: "h1"})
    (change,) = plan(
        [resource(MOBILE, wanted)], [observed(MOBILE, there)], [last], context=ROTATED
    ).changes
    assert change.direction is Direction.BOTH


def test_references_name_what_has_to_be_resolved_also_for_fallbacks() -> None:
    hidden = record(BILLING, {"auth": {"value": {"$secret": "file:/b"}}})
    wanted = desired(resource(MOBILE, WITH_KEY))
    broken = BrokenScope(everything=True)
    assert secret_references(wanted, {BILLING: hidden}, broken) == {
        ("acme", "env:K"),
        ("acme", "file:/b"),
    }
    assert secret_references(wanted, {BILLING: hidden}, BrokenScope()) == {("acme", "env:K")}


def test_inventory_updates_keep_the_hash_of_a_secret_that_does_not_resolve() -> None:
    moved = record(MOBILE, WITH_KEY, secret_hmacs={PATH: "h1"}, protected=True)
    kept = find_inventory_updates(
        GatewayPlanInput("g", "t"),
        desired(resource(MOBILE, WITH_KEY)),
        actual(observed(MOBILE, SHOWN)),
        {MOBILE: moved},
        OUT_OF_REACH,
    )
    assert kept.records[0].secret_hmacs == {PATH: "h1"}
    assert not kept.records[0].protected


def test_inventory_updates_leave_out_objects_whose_secrets_have_to_be_written() -> None:
    kept = find_inventory_updates(
        GatewayPlanInput("g", "t"),
        desired(resource(MOBILE, WITH_KEY)),
        actual(observed(MOBILE, SHOWN)),
        {},
        KNOWN,
    )
    assert not kept


def test_the_reason_is_left_to_the_fields_where_there_are_some() -> None:
    wanted: JsonObject = {**WITH_KEY, "displayName": "A"}
    there: JsonObject = {**SHOWN, "displayName": "B"}
    (change,) = plan([resource(MOBILE, wanted)], [observed(MOBILE, there)], context=KNOWN).changes
    assert change.reason == ""
    assert len(change.fields) == 2
