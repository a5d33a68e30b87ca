"""Changes that are skipped or held: capabilities, policy, protection, quarantine, budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoa_gitops.model.changes import Action, Direction, Skip, SkipReason
from stoa_gitops.model.instances import PruneBudget, WritePolicy
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.planning import BrokenScope, GatewayPlanInput, PlanContext
from tests.unit.planning.world import (
    BILLING,
    LIMIT,
    MOBILE,
    NOW,
    TARGET,
    actions,
    change_of,
    observed,
    plan,
    record,
    resource,
)

CORS = Key("policy", "acme", "billing.cors")
CRM = Key("api", "acme", "crm")
PLAIN = replace(TARGET, capabilities={"api": None, "policy:cors": "this version enforces none"})


def skips(made: Plan) -> dict[Key, Skip]:
    return {skip.key: skip for skip in made.skipped}


def needs(on_unsupported: str) -> list:
    return [
        resource(BILLING, requires=("api",)),
        resource(
            CORS, requires=("policy:cors",), on_unsupported=on_unsupported, guarded_api=BILLING
        ),
        resource(LIMIT, guarded_api=BILLING),
        resource(CRM, requires=("api",)),
    ]


def test_fail_holds_back_the_api_and_everything_of_it_and_nothing_else() -> None:
    made = plan(needs("fail"), gateway=PLAIN)
    assert actions(made) == {CRM: Action.CREATE}
    found = skips(made)
    assert found.keys() == {BILLING, CORS, LIMIT}
    assert all(s.reason is SkipReason.UNSUPPORTED and s.is_failure for s in found.values())
    assert found[CORS].message == "kong-prod has no policy:cors (this version enforces none)"
    assert made.has_failures


@pytest.mark.parametrize("on_unsupported", ["warn", "skip"])
def test_warn_and_skip_go_on_without_the_policy(on_unsupported: str) -> None:
    made = plan(needs(on_unsupported), gateway=PLAIN)
    assert actions(made).keys() == {BILLING, LIMIT, CRM}
    assert not made.has_failures
    assert skips(made)[CORS].reason is SkipReason.UNSUPPORTED


def test_a_capability_that_nobody_declared_is_unsupported() -> None:
    made = plan([resource(CRM, requires=("hosts",))], gateway=PLAIN)
    assert skips(made)[CRM].message == "kong-prod has no hosts (not declared for kong)"


@pytest.mark.parametrize(
    ("declared", "is_held"),
    [(set(), False), ({"rest", "rate_limiting"}, True), ({"rest", "policy:cors"}, False)],
)
def test_the_gateway_document_narrows_and_never_widens(declared: set[str], is_held: bool) -> None:
    able = replace(
        TARGET, capabilities={"api": None, "policy:cors": None, "policy:rate_limit": None}
    )
    made = plan(needs("fail"), gateway=replace(able, declared=frozenset(declared)))
    assert (BILLING in skips(made)) is is_held
    unable = replace(PLAIN, declared=frozenset({"rest", "policy:cors"}))
    assert BILLING in skips(plan(needs("fail"), gateway=unable))


def test_a_held_back_api_keeps_what_it_has_on_the_gateway() -> None:
    made = plan(needs("fail"), [observed(BILLING, {"old": 1}), observed(LIMIT)], gateway=PLAIN)
    assert actions(made) == {CRM: Action.CREATE}
    gone = plan(needs("fail")[:2], [observed(BILLING), observed(LIMIT)], gateway=PLAIN)
    assert not gone.changes
    assert "kept with api/acme/billing" in skips(gone)[LIMIT].message


def test_an_application_goes_on_without_a_subscription_to_an_api_that_is_not_there() -> None:
    wanted = resource(
        MOBILE,
        {"subscriptions": [{"api": "billing"}, {"api": "crm"}, {"api": "acme/billing"}]},
        depends_on=(BILLING, CRM),
    )
    made = plan([*needs("fail"), wanted], gateway=PLAIN)
    sent = change_of(made, MOBILE)
    assert sent.resource is not None
    assert sent.resource.spec.value == {"subscriptions": [{"api": "crm"}]}
    assert sent.depends_on == (CRM,)


def test_quarantine_skips_what_needs_it_and_does_not_exist_yet() -> None:
    context = PlanContext(NOW, quarantined={LIMIT: "limit too high"})
    wanted = [resource(BILLING), resource(LIMIT, guarded_api=BILLING), resource(CRM)]
    made = plan(wanted, context=context)
    assert actions(made) == {CRM: Action.CREATE}
    assert skips(made)[LIMIT].message == "refused by the gateway: limit too high"
    assert skips(made)[BILLING].reason is SkipReason.QUARANTINED
    there = plan(wanted, [observed(BILLING, {"old": 1})], context=context)
    assert actions(there) == {BILLING: Action.UPDATE, CRM: Action.CREATE}


def test_a_skip_says_what_of_the_object_is_live_meanwhile() -> None:
    context = PlanContext(NOW, quarantined={LIMIT: "limit too high", CRM: ""})
    made = plan(
        [resource(BILLING), resource(LIMIT, guarded_api=BILLING), resource(CRM), resource(MOBILE)],
        [observed(CRM, {"old": 1}), observed(MOBILE, managed=False)],
        [record(CRM)],
        context=context,
    )
    assert {key: skip.meanwhile for key, skip in skips(made).items()} == {
        BILLING: "nothing of it is live meanwhile",
        LIMIT: "nothing of it is live meanwhile",
        CRM: "it stays live as it is (last applied at main@old)",
        MOBILE: "what is there stays as it is",
    }
    assert skips(made)[CRM].explanation.startswith("refused by the gateway; it stays live")


def test_what_a_write_policy_forbids_says_what_is_live_meanwhile() -> None:
    made = plan(
        [resource(BILLING), resource(CRM)],
        [observed(BILLING, {"old": 1})],
        gateway=replace(TARGET, policy=WritePolicy.OBSERVE_ONLY),
    )
    assert {key: skip.meanwhile for key, skip in skips(made).items()} == {
        BILLING: "it stays live as it is",
        CRM: "nothing of it is live meanwhile",
    }


def test_an_api_keeps_its_policies_while_another_of_them_is_refused() -> None:
    jwt = Key("policy", "acme", "billing.jwt")
    made = plan(
        [resource(BILLING), resource(jwt, guarded_api=BILLING)],
        [observed(BILLING), observed(LIMIT)],
        context=PlanContext(NOW, quarantined={jwt: "no"}),
    )
    assert not made.changes
    assert skips(made)[LIMIT].reason is SkipReason.QUARANTINED


def test_quarantine_reaches_along_a_chain() -> None:
    alias, scope = Key("alias", "", "pay"), Key("scope", "", "read")
    made = plan(
        [resource(scope), resource(alias, depends_on=(scope,)), resource(CRM, depends_on=(alias,))],
        context=PlanContext(NOW, quarantined={scope: ""}),
    )
    assert not made.changes
    assert skips(made).keys() == {alias, scope, CRM}


EVERY = [observed(BILLING, {"old": 1}), observed(LIMIT)]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (WritePolicy.FULL, {CRM: Action.CREATE, BILLING: Action.UPDATE, LIMIT: Action.DELETE}),
        (WritePolicy.NO_DELETE, {CRM: Action.CREATE, BILLING: Action.UPDATE}),
        (WritePolicy.CREATE_ONLY, {CRM: Action.CREATE}),
        (WritePolicy.OBSERVE_ONLY, {}),
    ],
)
def test_a_policy_turns_what_it_forbids_into_skips(
    policy: WritePolicy, kept: dict[Key, Action]
) -> None:
    made = plan([resource(BILLING), resource(CRM)], EVERY, gateway=replace(TARGET, policy=policy))
    assert actions(made) == kept
    assert len(made.changes) + len(made.skipped) == 3
    assert all(s.reason is SkipReason.POLICY and not s.is_failure for s in made.skipped)
    assert all(policy.value in s.message for s in made.skipped)


def test_a_protected_object_is_not_deleted_and_keeps_its_policies() -> None:
    made = plan(
        [], [observed(BILLING), observed(LIMIT)], [record(BILLING, protected=True), record(LIMIT)]
    )
    assert not made.changes
    assert {s.key for s in made.skipped} == {BILLING, LIMIT}
    assert all(s.reason is SkipReason.PROTECTED for s in made.skipped)


def many(count: int) -> list:
    return [observed(Key("api", "acme", f"a{i}")) for i in range(count)]


@pytest.mark.parametrize(
    ("there", "gone", "budget", "is_held"),
    [
        (9, 8, PruneBudget(), False),
        (10, 3, PruneBudget(), False),
        (10, 4, PruneBudget(), True),
        (100, 31, PruneBudget(), True),
        (100, 100, PruneBudget(None, None), False),
        (100, 99, PruneBudget(None, 100), False),
        (5, 2, PruneBudget(max_count=1), True),
        (5, 1, PruneBudget(max_count=1), False),
        (5, 1, PruneBudget(max_count=0), True),
    ],
)
def test_more_deletions_than_the_budget_wait_for_force(
    there: int, gone: int, budget: PruneBudget, is_held: bool
) -> None:
    objects = many(there)
    kept = [resource(one.key) for one in objects[gone:]]
    records = [record(one.key) for one in objects]
    made = plan(kept, objects, records, gateway=replace(TARGET, prune=budget))
    assert made.count(Action.DELETE) == gone
    assert bool(made.holds) is is_held
    assert len(made.held_keys) == (gone if is_held else 0)


def test_renames_do_not_count_as_deletions() -> None:
    objects = many(10)
    wanted = [
        resource(Key("api", o.key.tenant, f"new-{i}"), moved_from=o.key)
        for i, o in enumerate(objects)
    ]
    made = plan(wanted, objects)
    assert made.count(Action.DELETE) == 10
    assert not made.holds


BROKEN = PlanContext(NOW, broken=BrokenScope(frozenset({"acme"})))


def test_nothing_of_a_broken_tenant_is_deleted() -> None:
    other = Key("api", "globex", "shop")
    made = plan([], [observed(BILLING), observed(other)], [record(BILLING)], context=BROKEN)
    assert actions(made) == {other: Action.DELETE}
    assert skips(made)[BILLING].reason is SkipReason.CATALOG_BROKEN


def test_where_everything_is_broken_nothing_is_deleted() -> None:
    context = PlanContext(NOW, broken=BrokenScope(everything=True))
    made = plan([], [observed(BILLING), observed(Key("api", "", "x"))], context=context)
    assert not made.changes
    assert len(made.skipped) == 2


def test_a_gateway_that_lost_its_state_gets_back_what_a_broken_catalog_hides() -> None:
    (change,) = plan([], [], [record(BILLING)], context=BROKEN).changes
    assert change.action is Action.CREATE
    assert change.direction is Direction.GATEWAY
    assert change.resource is not None
    assert change.resource.spec == record(BILLING).spec
    assert "stays as last applied (at main@old)" in change.reason


def test_drift_of_a_hidden_object_is_put_right() -> None:
    made = plan([], [observed(BILLING, {"name": "x"})], [record(BILLING)], context=BROKEN)
    assert actions(made) == {BILLING: Action.UPDATE}
    assert not made.skipped


def test_a_document_that_still_reads_in_a_broken_tenant_is_applied() -> None:
    made = plan([resource(BILLING, {"v": 2})], [observed(BILLING, {"v": 1})], context=BROKEN)
    assert actions(made) == {BILLING: Action.UPDATE}


def test_a_plan_for_one_tenant_does_not_see_the_others() -> None:
    other = Key("api", "globex", "shop")
    context = PlanContext(NOW, tenant="acme")
    made = plan([resource(CRM)], [observed(BILLING), observed(other)], context=context)
    assert actions(made) == {BILLING: Action.DELETE, CRM: Action.CREATE}
    assert not made.skipped


def test_a_new_api_waits_for_the_policies_it_must_not_be_without() -> None:
    made = plan([resource(BILLING), resource(LIMIT, guarded_api=BILLING)])
    assert [change.key for change in made.changes] == [LIMIT, BILLING]
    assert change_of(made, BILLING).depends_on == (LIMIT,)


def test_a_policy_that_waits_for_its_api_comes_after_it() -> None:
    made = plan([resource(BILLING), resource(LIMIT, guarded_api=BILLING, depends_on=(BILLING,))])
    assert [change.key for change in made.changes] == [BILLING, LIMIT]
    assert change_of(made, BILLING).depends_on == ()


def test_a_policy_goes_only_after_the_one_that_replaces_it() -> None:
    made = plan([resource(BILLING), resource(CORS)], [observed(BILLING), observed(LIMIT)])
    assert change_of(made, LIMIT).depends_on == (CORS,)


def test_changes_come_in_order_of_need_and_deletions_last_and_reversed() -> None:
    kinds = ["config", "application", "api", "alias", "policy", "strategy", "scope", "auth_server"]
    new = [resource(Key(kind, "acme", "new")) for kind in kinds]
    old = [observed(Key(kind, "acme", "old")) for kind in reversed(kinds)]
    made = plan(new, old)
    assert [c.key.kind for c in made.changes] == [*reversed(kinds), *kinds]
    assert [c.action for c in made.changes] == [Action.CREATE] * 8 + [Action.DELETE] * 8


def test_a_circle_of_dependencies_is_still_ordered() -> None:
    a, b = Key("api", "acme", "a"), Key("api", "acme", "b")
    made = plan([resource(b, depends_on=(a,)), resource(a, depends_on=(b,)), resource(LIMIT)])
    assert [c.key for c in made.changes] == [LIMIT, a, b]


def test_a_gateway_without_declared_capabilities_takes_everything() -> None:
    made = plan(needs("fail"), gateway=GatewayPlanInput("g", "memory"))
    assert made.count(Action.CREATE) == 4


def test_what_is_refused_but_there_keeps_nobody_waiting() -> None:
    alias = Key("alias", "", "pay")
    made = plan(
        [resource(alias, {"v": 2}), resource(CRM, depends_on=(alias,))],
        [observed(alias, {"v": 1})],
        context=PlanContext(NOW, quarantined={alias: "no"}),
    )
    assert actions(made) == {CRM: Action.CREATE}


def test_a_policy_that_may_be_missing_keeps_nobody_waiting_and_guards_no_other() -> None:
    wanted = [
        resource(BILLING, depends_on=(CORS,)),
        resource(CORS, requires=("policy:cors",), on_unsupported="warn", guarded_api=BILLING),
    ]
    assert actions(plan(wanted, gateway=PLAIN)) == {BILLING: Action.CREATE}
    made = plan(wanted, [observed(BILLING), observed(LIMIT)], gateway=PLAIN)
    assert actions(made) == {LIMIT: Action.DELETE}


def test_an_api_that_is_there_is_updated_though_its_policy_may_fail() -> None:
    made = plan(
        [resource(BILLING), resource(LIMIT, guarded_api=BILLING)], [observed(BILLING, {"v": 1})]
    )
    assert change_of(made, BILLING).depends_on == ()


def test_what_was_renamed_in_a_broken_tenant_does_not_come_back_under_its_old_name() -> None:
    made = plan([resource(CRM, moved_from=BILLING)], [], [record(BILLING)], context=BROKEN)
    assert actions(made) == {CRM: Action.CREATE}
