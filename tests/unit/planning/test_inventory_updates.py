"""What time changes, what the records need beside outcomes, and plans between two revisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import DesiredState, Resource, SourceRef
from stoa_gitops.planning import (
    BrokenScope,
    PlanContext,
    applied_record,
    compare_revisions,
    find_inventory_updates,
    next_expiry,
)
from tests.unit.planning.world import (
    BILLING,
    GATEWAY,
    LIMIT,
    MOBILE,
    NOW,
    QUIET,
    TARGET,
    actual,
    desired,
    observed,
    plan,
    record,
    resource,
)

ENDS: JsonObject = {
    "subscriptions": [
        {"api": "billing", "expiresAt": "2026-06-01T00:00:00Z"},
        {"api": "crm"},
        {"api": "shop", "expiresAt": "2026-07-01T02:00:00+02:00"},
    ]
}
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def test_an_expired_subscription_without_a_plan_is_marked_and_stays() -> None:
    """Without it, an API of the tenant would let the application in as it does all others."""
    made = plan([resource(MOBILE, ENDS)], [observed(MOBILE, ENDS)], context=PlanContext(JUNE))
    (change,) = made.changes
    assert change.resource is not None
    listed: Any = change.resource.spec.value["subscriptions"]
    assert [(s["api"], s.get("ended")) for s in listed] == [
        ("billing", True),
        ("crm", None),
        ("shop", None),
    ]


@pytest.mark.parametrize("more", [{"plan": "gold"}, {"api": "globex/billing"}])
def test_an_expired_subscription_that_nothing_else_stands_for_is_left_out(
    more: dict[str, str],
) -> None:
    over = {"subscriptions": [{"api": "billing", "expiresAt": "2026-06-01T00:00:00Z", **more}]}
    (change,) = plan(
        [resource(MOBILE, over)], [observed(MOBILE, over)], context=PlanContext(JUNE)
    ).changes
    assert change.resource is not None
    assert change.resource.spec.value["subscriptions"] == []


def test_it_is_applied_up_to_the_last_moment() -> None:
    before = PlanContext(JUNE - timedelta(microseconds=1))
    assert plan([resource(MOBILE, ENDS)], [observed(MOBILE, ENDS)], context=before).is_empty


def test_an_end_that_cannot_be_read_is_over() -> None:
    odd: JsonObject = {"subscriptions": [{"api": "crm", "expiresAt": "soon"}]}
    made = plan([resource(MOBILE, odd)])
    assert made.changes[0].resource is not None
    (left,) = cast("Any", made.changes[0].resource.spec.value["subscriptions"])
    assert left == {"api": "crm", "expiresAt": "1970-01-01T00:00:00Z", "ended": True}


def test_a_time_without_zone_is_utc() -> None:
    odd: JsonObject = {"subscriptions": [{"api": "crm", "expiresAt": "2026-06-01T00:00:00"}]}
    assert next_expiry(desired(resource(MOBILE, odd)), NOW) == JUNE


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW, JUNE),
        (JUNE, datetime(2026, 7, 1, tzinfo=UTC)),
        (datetime(2026, 7, 1, tzinfo=UTC), None),
    ],
)
def test_the_next_expiry_is_the_next_end(now: datetime, expected: datetime | None) -> None:
    assert next_expiry(desired(resource(MOBILE, ENDS), resource(BILLING)), now) == expected


def test_a_lost_store_is_rebuilt_from_what_matches() -> None:
    kept = find_inventory_updates(
        TARGET, desired(resource(BILLING)), actual(observed(BILLING)), {}, QUIET
    )
    (made,) = kept.records
    assert (made.key, made.gateway_id, made.revision) == (BILLING, f"id:{BILLING}", "main@3f2a91c")


def test_nothing_is_rewritten_that_is_right() -> None:
    records = {BILLING: record(BILLING)}
    assert not find_inventory_updates(
        TARGET, desired(resource(BILLING)), actual(observed(BILLING)), records, QUIET
    )


def test_protection_is_recorded_though_nothing_else_changed() -> None:
    kept = find_inventory_updates(
        TARGET,
        desired(resource(BILLING, protected=True)),
        actual(observed(BILLING)),
        {BILLING: record(BILLING)},
        QUIET,
    )
    assert kept.records[0].protected


def test_records_of_what_is_neither_desired_nor_actual_are_dropped_but_not_in_a_broken_tenant() -> (
    None
):
    records = {BILLING: record(BILLING)}
    assert find_inventory_updates(TARGET, desired(), actual(), records, QUIET).removed == (BILLING,)
    broken = PlanContext(NOW, broken=BrokenScope(frozenset({"acme"})))
    assert not find_inventory_updates(TARGET, desired(), actual(), records, broken)
    assert not find_inventory_updates(
        TARGET, desired(), actual(), records, PlanContext(NOW, tenant="globex")
    )


def test_the_fallback_of_a_broken_catalog_keeps_its_record() -> None:
    broken = PlanContext(NOW, broken=BrokenScope(everything=True))
    moved = observed(BILLING, gateway_id="another")
    assert not find_inventory_updates(
        TARGET, desired(), actual(moved), {BILLING: record(BILLING)}, broken
    )


def test_an_unread_gateway_teaches_nothing() -> None:
    assert not find_inventory_updates(
        TARGET, desired(), actual(error="down"), {BILLING: record(BILLING)}, QUIET
    )


def test_a_record_is_made_of_an_applied_change_and_stays_adopted() -> None:
    adoption = Change(Action.ADOPT, BILLING, resource(BILLING), observed(BILLING, managed=False))
    first = applied_record(adoption, "7", "r1")
    assert first is not None
    assert first.adopted
    second = applied_record(Change(Action.UPDATE, BILLING, resource(BILLING)), "7", "r2", first)
    assert second is not None
    assert second.adopted
    assert applied_record(Change(Action.DELETE, BILLING), "7", "r3") is None


def instance(name: str) -> GatewayInstance:
    return GatewayInstance(name, "kong", "prod", "http://k", SourceRef("g.yaml"))


def catalog(revision: str, *resources: Resource, gateways: tuple[str, ...] = (GATEWAY,)) -> Catalog:
    state = DesiredState(GATEWAY, "default", revision, {r.key: r for r in resources})
    return Catalog(
        "default", revision, None, tuple(map(instance, gateways)), {GATEWAY: state}, ("acme",)
    )


def test_two_revisions_are_compared_without_a_gateway() -> None:
    base = catalog("main@1", resource(BILLING, {"v": 1}), resource(LIMIT))
    head = catalog("main@2", resource(BILLING, {"v": 2}), resource(MOBILE))
    found = compare_revisions(base, head, now=NOW)
    assert (found.revision, found.base, found.tenants) == ("main@2", "main@1", 1)
    (made,) = found.plans
    assert {c.key: c.action for c in made.changes} == {
        BILLING: Action.UPDATE,
        MOBILE: Action.CREATE,
        LIMIT: Action.DELETE,
    }


def test_a_revision_under_another_name_says_so() -> None:
    base = replace(catalog("main@1", resource(BILLING)), owner="payments")
    (made,) = compare_revisions(base, catalog("main@2", resource(BILLING)), now=NOW).plans
    assert made.warnings[0].startswith("the catalog was payments and is default now")


def test_equal_revisions_are_an_empty_plan() -> None:
    spec: JsonObject = {"auth": {"value": {"$secret": "env:A"}}}
    found = compare_revisions(
        catalog("a", resource(BILLING, spec)), catalog("b", resource(BILLING, spec)), now=NOW
    )
    assert found.is_empty
    assert not found.plans[0].warnings


def test_another_reference_is_a_change_between_revisions() -> None:
    specs: list[JsonObject] = [{"auth": {"value": {"$secret": f"env:{n}"}}} for n in "AB"]
    base, head = (catalog(str(i), resource(BILLING, spec)) for i, spec in enumerate(specs))
    (change,) = compare_revisions(base, head, now=NOW).plans[0].changes
    assert [(f.before, f.after) for f in change.fields] == [
        ({"$secret": "env:A"}, {"$secret": "env:B"})
    ]


def test_a_gateway_whose_document_is_gone_is_not_pruned() -> None:
    base = catalog("1", resource(BILLING), gateways=(GATEWAY, "kong-old"))
    made = compare_revisions(base, catalog("2", resource(BILLING)), now=NOW).plans[1]
    assert made.gateway == "kong-old"
    assert made.is_empty
    assert "no longer in the catalog" in made.warnings[0]


def test_a_new_gateway_gets_everything() -> None:
    head = catalog("2", resource(BILLING), gateways=(GATEWAY,))
    (made,) = compare_revisions(catalog("1", gateways=()), head, now=NOW).plans
    assert made.count(Action.CREATE) == 1


def test_a_broken_head_deletes_nothing_of_its_broken_tenants() -> None:
    base = catalog("1", resource(BILLING), resource(Key("api", "globex", "shop")))
    head = Catalog("default", "2", None, base.gateways, {}, broken_tenants=frozenset({"acme"}))
    (made,) = compare_revisions(base, head, now=NOW).plans
    assert [c.key.tenant for c in made.changes] == ["globex"]
