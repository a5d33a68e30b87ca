"""One gateway: who moved, what is foreign, what vanished, what is renamed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoa_gitops.errors import UsageError
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.changes import Action, Direction, SkipReason
from stoa_gitops.model.keys import Key
from stoa_gitops.planning import (
    GatewayPlanInput,
    PlanContext,
    plan_adoption,
    plan_gateway,
    projection,
)
from tests.unit.planning.world import (
    BILLING,
    GATEWAY,
    LIMIT,
    MOBILE,
    NOW,
    QUIET,
    TARGET,
    actions,
    actual,
    change_of,
    desired,
    observed,
    plan,
    record,
    resource,
)

OLD: JsonObject = {"timeout": "30s", "active": True}
NEW: JsonObject = {"timeout": "5s", "active": True}
HAND: JsonObject = {"timeout": "9s", "active": True}


def test_what_is_missing_is_created() -> None:
    made = plan([resource(BILLING)])
    assert actions(made) == {BILLING: Action.CREATE}
    assert made.changes[0].source is not None


def test_what_is_equal_is_counted_and_not_changed() -> None:
    made = plan([resource(BILLING)], [observed(BILLING)], [record(BILLING)])
    assert made.is_empty
    assert made.unchanged == 1


@pytest.mark.parametrize(
    ("wanted", "there", "last", "direction"),
    [
        (NEW, OLD, OLD, Direction.GIT),
        (OLD, HAND, OLD, Direction.GATEWAY),
        (NEW, HAND, OLD, Direction.BOTH),
        (NEW, HAND, None, Direction.UNKNOWN),
    ],
)
def test_the_direction_says_which_side_changed(
    wanted: JsonObject, there: JsonObject, last: JsonObject | None, direction: Direction
) -> None:
    records = [record(BILLING, last)] if last else []
    (change,) = plan([resource(BILLING, wanted)], [observed(BILLING, there)], records).changes
    assert change.action is Action.UPDATE
    assert change.direction is direction
    assert [field.dotted for field in change.fields] == ["timeout"]


def test_the_same_change_on_both_sides_is_no_change() -> None:
    made = plan([resource(BILLING, NEW)], [observed(BILLING, NEW)], [record(BILLING, OLD)])
    assert made.is_empty


def test_a_managed_object_that_vanished_is_created_and_called_drift() -> None:
    (change,) = plan([resource(BILLING)], [], [record(BILLING)]).changes
    assert change.action is Action.CREATE
    assert change.direction is Direction.GATEWAY
    assert change.reason == "vanished from the gateway"
    (both,) = plan([resource(BILLING, NEW)], [], [record(BILLING, OLD)]).changes
    assert both.direction is Direction.BOTH


def test_what_a_gateway_lacks_that_begins_empty_is_no_drift() -> None:
    embedded = replace(TARGET, begins_empty=True)
    wanted = [resource(BILLING, NEW), resource(MOBILE)]
    records = [record(BILLING, OLD), record(MOBILE)]
    for change in plan(wanted, [], records, gateway=embedded).changes:
        assert (change.action, change.direction) == (Action.CREATE, Direction.UNKNOWN)
        assert change.reason == "the gateway began empty"
    made = plan(wanted, [observed(BILLING)], records, gateway=embedded)
    assert change_of(made, MOBILE).reason == "vanished from the gateway", "the other is there"


def test_what_left_the_catalog_is_deleted_with_the_revision_in_words() -> None:
    (change,) = plan([], [observed(BILLING)], [record(BILLING)]).changes
    assert change.action is Action.DELETE
    assert change.reason == "removed from the catalog in 3f2a91c"
    assert change.resource is None


def test_an_unread_gateway_gives_an_incomplete_plan_without_changes() -> None:
    made = plan_gateway(
        TARGET, desired(), actual(error="timed out"), {BILLING: record(BILLING)}, QUIET
    )
    assert not made.complete
    assert made.error == "timed out"
    assert not made.changes
    assert not made.is_empty


def test_foreign_objects_are_left_alone() -> None:
    assert plan([], [observed(BILLING, managed=False)]).is_empty


def test_a_desired_object_that_is_foreign_is_skipped_with_the_command_to_adopt_it() -> None:
    made = plan([resource(BILLING)], [observed(BILLING, managed=False)])
    (skip,) = made.skipped
    assert not made.changes
    assert skip.reason is SkipReason.UNMANAGED
    assert skip.message == (
        "exists but is not managed; run `stoa-gitops adopt kong-prod api/acme/billing`"
    )


def test_what_another_catalog_manages_is_skipped_with_its_name() -> None:
    there = replace(observed(BILLING, managed=False), owner="payments")
    (skip,) = plan([resource(BILLING)], [there]).skipped
    assert skip.reason is SkipReason.UNMANAGED
    assert skip.message.startswith("exists and is managed by the catalog payments; rename it here")
    assert skip.message.endswith("`stoa-gitops adopt kong-prod api/acme/billing`")


def test_an_adoption_from_another_catalog_says_whose_the_object_is() -> None:
    there = actual(replace(observed(BILLING, managed=False), owner="payments"))
    made = plan_adoption(TARGET, desired(resource(BILLING)), there, {}, QUIET, [BILLING])
    assert [change.action for change in made.changes] == [Action.ADOPT]
    assert made.warnings == (
        f"{BILLING} is managed by the catalog payments: remove it there, or both will write it",
    )


def test_policies_of_a_foreign_api_are_left_out_too() -> None:
    made = plan([resource(BILLING), resource(LIMIT)], [observed(BILLING, managed=False)])
    assert not made.changes
    assert {skip.key for skip in made.skipped} == {BILLING, LIMIT}


def test_a_foreign_object_beside_ours_under_one_key_changes_nothing() -> None:
    foreign = observed(BILLING, {"x": 1}, managed=False, gateway_id="a")
    made = plan([resource(BILLING)], [foreign, observed(BILLING, gateway_id="b")])
    assert made.is_empty
    assert not made.skipped


def test_of_two_managed_objects_the_recorded_one_counts_and_a_warning_names_it() -> None:
    one = observed(BILLING, OLD, gateway_id="a")
    two = observed(BILLING, NEW, gateway_id=f"id:{BILLING}")
    for there in ([one, two], [two, one]):
        made = plan([resource(BILLING, NEW)], there, [record(BILLING, NEW)])
        assert made.is_empty
        assert made.warnings == (
            f"{BILLING} is on the gateway more than once; only id:{BILLING} is managed",
        )


def test_adoption_is_one_change_that_shows_what_it_will_write() -> None:
    there = actual(observed(BILLING, HAND, managed=False), observed(MOBILE, managed=False))
    wanted = desired(resource(BILLING, OLD), resource(MOBILE), resource(LIMIT))
    made = plan_adoption(TARGET, wanted, there, {}, QUIET, [BILLING])
    (change,) = made.changes
    assert change.action is Action.ADOPT
    assert change.observed is not None
    assert change.observed.gateway_id == f"id:{BILLING}"
    assert [field.dotted for field in change.fields] == ["timeout"]


def test_adopting_an_object_that_matches_is_still_a_change() -> None:
    there = actual(observed(BILLING, managed=False))
    made = plan_adoption(TARGET, desired(resource(BILLING)), there, {}, QUIET, [BILLING])
    assert actions(made) == {BILLING: Action.ADOPT}


def test_adoption_names_every_key_that_cannot_be_adopted() -> None:
    there = actual(observed(BILLING))
    wanted = desired(resource(BILLING), resource(MOBILE))
    with pytest.raises(UsageError) as caught:
        plan_adoption(TARGET, wanted, there, {}, QUIET, [BILLING, MOBILE, LIMIT])
    words = str(caught.value)
    assert "api/acme/billing is managed already" in words
    assert "application/acme/mobile does not exist on kong-prod" in words
    assert "policy/acme/billing.rate_limit is not in the catalog" in words


def test_adopting_on_an_unread_gateway_is_incomplete() -> None:
    made = plan_adoption(TARGET, desired(), actual(error="down"), {}, QUIET, [BILLING])
    assert made.error == "down"


NEXT = Key("api", "acme", "invoices")


def test_a_rename_creates_first_and_deletes_after() -> None:
    made = plan([resource(NEXT, moved_from=BILLING)], [observed(BILLING)], [record(BILLING)])
    assert [(c.action, c.key) for c in made.changes] == [
        (Action.CREATE, NEXT),
        (Action.DELETE, BILLING),
    ]
    assert made.changes[1].depends_on == (NEXT,)
    assert made.changes[0].reason == "renamed from api/acme/billing"
    assert made.changes[1].reason == "renamed to api/acme/invoices"


def test_a_rename_that_was_half_done_is_finished() -> None:
    made = plan([resource(NEXT, moved_from=BILLING)], [observed(BILLING), observed(NEXT)])
    assert actions(made) == {BILLING: Action.DELETE}
    assert made.changes[0].depends_on == ()


def test_the_old_object_is_kept_while_the_new_one_is_skipped() -> None:
    context = PlanContext(NOW, quarantined={NEXT: "no"})
    made = plan([resource(NEXT, moved_from=BILLING)], [observed(BILLING)], context=context)
    assert not made.changes
    assert {skip.key: skip.reason for skip in made.skipped} == {
        BILLING: SkipReason.QUARANTINED,
        NEXT: SkipReason.QUARANTINED,
    }


def test_a_copy_with_the_old_document_left_in_place_deletes_nothing() -> None:
    made = plan([resource(NEXT, moved_from=BILLING), resource(BILLING)], [observed(BILLING)])
    assert actions(made) == {NEXT: Action.CREATE}


def test_policies_of_a_renamed_api_go_after_it() -> None:
    made = plan([resource(NEXT, moved_from=BILLING)], [observed(BILLING), observed(LIMIT)])
    assert [c.key for c in made.changes] == [NEXT, BILLING, LIMIT]
    assert change_of(made, LIMIT).depends_on == (BILLING, NEXT)


def test_a_projection_decides_what_the_vendor_can_hold() -> None:
    def only_timeout(kind: str, spec: JsonObject) -> JsonObject:
        return {"timeout": spec["timeout"], "kind": kind}

    gateway = GatewayPlanInput(GATEWAY, "kong", project=projection(only_timeout))
    held: JsonObject = {"timeout": "5s", "kind": "api"}
    assert plan([resource(BILLING, NEW)], [observed(BILLING, held)], gateway=gateway).is_empty
    made = plan(
        [resource(BILLING, OLD)], [observed(BILLING, held)], [record(BILLING, NEW)], gateway=gateway
    )
    assert [field.dotted for field in made.changes[0].fields] == ["timeout"]
    assert made.changes[0].direction is Direction.GIT


def test_ignored_fields_are_left_to_the_gateway_also_when_others_are_written() -> None:
    wanted = resource(BILLING, {"timeout": "5s", "retries": 1}, ignore_fields=("retries",))
    there = observed(BILLING, {"timeout": "5s", "retries": 7})
    assert plan([wanted], [there]).is_empty
    drifted = observed(BILLING, {"timeout": "9s", "retries": 7})
    (change,) = plan([wanted], [drifted]).changes
    assert [field.dotted for field in change.fields] == ["timeout"]
    assert change.resource is not None
    assert change.resource.spec.value == {"timeout": "5s", "retries": 7}


def test_an_ignored_field_inside_a_list_is_found_by_its_index() -> None:
    wanted = resource(BILLING, {"routes": [{"path": "/a"}]}, ignore_fields=("routes.0.path",))
    assert plan([wanted], [observed(BILLING, {"routes": [{"path": "/b"}]})]).is_empty


def test_a_mask_of_the_gateway_is_never_written_over_a_secret() -> None:
    wanted = resource(
        BILLING,
        {"timeout": "5s", "backend": {"auth": {"value": {"$secret": "env:K"}}}},
        ignore_fields=("backend",),
    )
    there = observed(BILLING, {"timeout": "1s", "backend": {"auth": {"value": "hunter2"}}})
    made = plan([wanted], [there])
    assert made.changes[0].resource is not None
    assert made.changes[0].resource.spec == wanted.spec
    assert "hunter2" not in repr(made.changes[0].resource)


def test_of_two_that_claim_one_old_key_the_first_by_name_has_it() -> None:
    first, second = Key("api", "acme", "n1"), Key("api", "acme", "n2")
    claims = [resource(first, moved_from=BILLING), resource(second, moved_from=BILLING)]
    for wanted in (claims, claims[::-1]):
        made = plan(wanted, [observed(BILLING)])
        assert change_of(made, BILLING).depends_on == (first,)


def test_a_field_that_left_the_catalog_is_taken_from_the_gateway_and_others_are_not() -> None:
    full: JsonObject = {**OLD, "description": "x"}
    there = observed(BILLING, {**full, "server": "default"})
    (change,) = plan([resource(BILLING, OLD)], [there], [record(BILLING, full)]).changes
    assert [field.dotted for field in change.fields] == ["description"]
    assert change.direction is Direction.GIT


def test_a_secret_that_only_the_gateway_shows_is_not_taken_over_with_an_ignored_field() -> None:
    wanted = resource(
        BILLING, {"timeout": "5s", "backend": {"url": "u"}}, ignore_fields=("backend",)
    )
    shown: JsonObject = {"timeout": "1s", "backend": {"url": "v", "auth": {"value": "hunter2"}}}
    (change,) = plan([wanted], [observed(BILLING, shown)]).changes
    assert "hunter2" not in repr((change.resource, change.fields))
