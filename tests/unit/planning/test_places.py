"""Who holds a path on a gateway keeps it: what is held back, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import (
    AppliedRecord,
    ForeignRoute,
    Observed,
    PlaceHint,
    Resource,
)
from stoa_gitops.model.routing import SEGMENTS, RoutePattern
from stoa_gitops.planning import (
    BrokenScope,
    PlanContext,
    PlanInputs,
    plan_adoption,
    plan_gateway,
    replan,
)
from tests.unit.planning.world import (
    NOW,
    QUIET,
    TARGET,
    actions,
    actual,
    desired,
    observed,
    record,
    resource,
)

SHOP, EVIL = Key("api", "shop", "search"), Key("api", "evil", "a")


def spec(*routes: str | dict[str, Any]) -> dict[str, Any]:
    full = [{"path": route} if isinstance(route, str) else route for route in routes]
    return {"routes": [{"methods": [], "hosts": [], "stripPath": True, **route} for route in full]}


def api(key: Key, *routes: str | dict[str, Any], **hints: Any) -> Resource:
    return resource(key, spec(*routes), **hints)


def there(key: Key, *routes: str | dict[str, Any]) -> tuple[Observed, AppliedRecord]:
    return observed(key, spec(*routes)), record(key, spec(*routes))


def plan_with(
    wanted: list[Resource],
    live: list[tuple[Observed, AppliedRecord]] = [],  # noqa: B006
    foreign: list[ForeignRoute] = [],  # noqa: B006
    context: PlanContext = QUIET,
) -> Plan:
    seen = replace(actual(*(one for one, _ in live)), routes=tuple(foreign))
    return plan_gateway(
        TARGET, desired(*wanted), seen, {last.key: last for _, last in live}, context
    )


def held(made: Plan) -> dict[Key, str]:
    return {skip.key: skip.message for skip in made.skipped if skip.reason is SkipReason.HELD}


def test_a_newcomer_on_the_path_of_another_tenant_is_held_whatever_its_name() -> None:
    for name in ("a", "zz"):
        made = plan_with(
            [api(SHOP, "/search"), api(Key("api", name, name), "/search")], [there(SHOP, "/search")]
        )
        assert list(held(made)) == [Key("api", name, name)]
        assert "shop/search at a.yaml:1" in held(made)[Key("api", name, name)]
        assert not actions(made)


def test_a_deeper_path_a_more_exact_host_and_one_method_are_held_as_well() -> None:
    live = [there(SHOP, {"path": "/search", "hosts": ["*.shop.example"]})]
    shop = api(SHOP, {"path": "/search", "hosts": ["*.shop.example"]})
    for route in (
        "/search/deep",
        {"path": "/search", "hosts": ["www.shop.example"]},
        {"path": "/search", "hosts": ["*.eu.shop.example"]},
        {"path": "/search", "hosts": ["*.shop.example"], "methods": ["GET"]},
        {"path": "/%73earch/x"},
    ):
        assert list(held(plan_with([shop, api(EVIL, route)], live))) == [EVIL], route


def test_what_takes_nothing_is_not_held() -> None:
    shop = api(SHOP, {"path": "/search", "hosts": ["shop.example"], "methods": ["GET"]})
    live = [there(SHOP, {"path": "/search", "hosts": ["shop.example"], "methods": ["GET"]})]
    for route in (
        "/",
        "/searching",
        "/search",
        {"path": "/search/x", "hosts": ["other.example"]},
        {"path": "/search", "hosts": ["*.example"]},
        {"path": "/search", "hosts": ["shop.example"], "methods": ["POST"]},
    ):
        assert not held(plan_with([shop, api(EVIL, route)], live)), route


def test_a_parameter_takes_nothing_from_a_literal_segment_and_loses_nothing_to_it() -> None:
    """A tenant that wants what another one has, by parameters."""
    for mine, taking, harmless in (
        ("/search/deep", ("/search/{x}/y", "/{a}/{b}/{c}", "/search/deep/{x}"),
         ("/search/{x}", "/{x}/deep", "/{a}/{b}", "/search/{x}/")),
        ("/search/{x}", ("/search/deep", "/search/{y}", "/search/{x}/y", "/{a}/{b}/{c}"),
         ("/{x}/{y}", "/{x}/deep", "/{x}", "/searching/{x}")),
        ("/{x}/deep", ("/search/deep", "/search/{x}", "/{y}/deep"), ("/{x}/{y}", "/{x}/other")),
    ):  # fmt: skip
        shop, live = api(SHOP, mine), [there(SHOP, mine)]
        for path in taking:
            made = plan_with([shop, api(EVIL, path)], live)
            assert list(held(made)) == [EVIL], (mine, path)
            assert f"({mine})" in held(made)[EVIL]
        for path in harmless:
            assert not held(plan_with([shop, api(EVIL, path)], live)), (mine, path)


def test_another_name_of_a_parameter_is_no_other_place() -> None:
    made = plan_with(
        [api(SHOP, "/search/{id}"), api(EVIL, "/search/{x}/y")],
        [there(SHOP, "/search/{x}"), there(EVIL, "/search/{x}/y")],
    )
    assert not held(made)
    assert actions(made)


def test_of_two_newcomers_both_are_held_and_told() -> None:
    made = plan_with([api(SHOP, "/search"), api(EVIL, "/search/x")])
    assert held(made).keys() == {SHOP, EVIL}
    assert "evil/a" in held(made)[SHOP]
    assert "shop/search" in held(made)[EVIL]


def test_a_stronger_claim_wins_over_a_newcomer_and_over_who_is_there() -> None:
    granted = api(SHOP, "/search", places=(PlaceHint(is_granted=True),))
    assert held(plan_with([granted, api(EVIL, "/search")])).keys() == {EVIL}
    assert not held(plan_with([granted, api(EVIL, "/search")], [there(EVIL, "/search")]))
    own = api(SHOP, "/apis/shop/x")
    assert held(plan_with([own, api(EVIL, "/apis/shop/x")])).keys() == {EVIL}


def test_consent_of_the_holder_lets_the_other_in() -> None:
    for name in ("evil", "evil/a"):
        shop = api(SHOP, "/search", places=(PlaceHint(delegates=(name,)),))
        made = plan_with([shop, api(EVIL, "/search/deep")], [there(SHOP, "/search")])
        assert not held(made)
    other = api(SHOP, "/search", places=(PlaceHint(delegates=("evil/b",)),))
    assert held(plan_with([other, api(EVIL, "/search/deep")], [there(SHOP, "/search")]))


def test_one_tenant_nests_its_own_paths() -> None:
    other = Key("api", "shop", "deep")
    assert not held(plan_with([api(SHOP, "/a"), api(other, "/a/b")], [there(SHOP, "/a")]))


def test_a_stand_in_for_a_broken_document_holds_its_places() -> None:
    broken = PlanContext(NOW, broken=BrokenScope(frozenset({"shop"})))
    made = plan_with([api(EVIL, "/search")], [there(SHOP, "/search")], context=broken)
    assert list(held(made)) == [EVIL]


def test_a_removed_holder_keeps_its_place_until_the_removal_was_applied() -> None:
    made = plan_with([api(EVIL, "/search")], [there(SHOP, "/search")])
    assert [str(action.value) for action in actions(made).values()] == ["delete"]
    assert "until its removal was applied" in held(made)[EVIL]
    assert not held(plan_with([api(EVIL, "/search")]))


def test_a_renamed_holder_keeps_its_place() -> None:
    new = Key("api", "shop", "find")
    made = plan_with(
        [api(new, "/search", moved_from=SHOP), api(EVIL, "/search")], [there(SHOP, "/search")]
    )
    assert list(held(made)) == [EVIL]
    assert new in actions(made)


def test_nobody_takes_a_place_by_saying_that_it_was_another_tenants_api() -> None:
    made = plan_with([api(EVIL, "/search", moved_from=SHOP)], [there(SHOP, "/search")])
    assert list(held(made)) == [EVIL]


def test_what_vanished_from_the_gateway_still_holds_its_place() -> None:
    made = plan_gateway(
        TARGET, desired(api(SHOP, "/search"), api(EVIL, "/search")), actual(),
        {SHOP: record(SHOP, spec("/search"))}, QUIET,
    )  # fmt: skip
    assert list(held(made)) == [EVIL]
    assert SHOP in actions(made)


def test_a_route_that_is_there_stays_when_others_appear_beside_it() -> None:
    foreign = ForeignRoute("hand-made", RoutePattern("/search"))
    made = plan_with([api(SHOP, "/search")], [there(SHOP, "/search")], [foreign])
    assert not held(made)


def test_a_foreign_route_holds_the_one_api_and_its_policies_and_never_the_rest() -> None:
    policy = Key("policy", "evil", "a.cors")
    foreign = ForeignRoute("hand-made", RoutePattern("/search"))
    made = plan_with(
        [api(EVIL, "/search/x"), resource(policy, guarded_api=EVIL), api(SHOP, "/other")],
        foreign=[foreign],
    )
    assert "the foreign route hand-made (/search)" in held(made)[EVIL]
    assert held(made).keys() == {EVIL, policy}
    assert actions(made).keys() == {SHOP}
    skip = next(skip for skip in made.skipped if skip.key == EVIL)
    assert skip.meanwhile == "nothing of it is live meanwhile"


def test_a_route_of_another_catalog_is_named_with_it() -> None:
    foreign = ForeignRoute("shop.search", RoutePattern("/search"), owner="payments")
    made = plan_with([api(EVIL, "/search/x")], foreign=[foreign])
    assert "the route shop.search of the catalog payments (/search)" in held(made)[EVIL]


def test_only_a_grant_takes_requests_from_a_foreign_route() -> None:
    foreign = [ForeignRoute("catch-all", RoutePattern("/"))]
    made = plan_with([api(EVIL, "/apis/evil/x"), api(SHOP, "/other")], foreign=foreign)
    assert held(made).keys() == {EVIL, SHOP}
    assert "`spec: {tenants: {evil: {paths: [/apis/evil/x]}}}`" in held(made)[EVIL]
    headers = [{"name": "x-env", "values": ["a"]}]
    asking = {"path": "/apis/evil/x", "methods": ["GET"], "headers": headers}
    text = held(plan_with([api(EVIL, asking)], foreign=foreign))[EVIL]
    assert "GET /apis/evil/x [x-env=a] would receive" in text
    assert "`spec: {tenants: {evil: {paths: [/apis/evil/x]}}}`" in text  # a place is a path alone
    granted = api(EVIL, "/apis/evil/x", places=(PlaceHint(is_granted=True),))
    assert held(plan_with([granted, api(SHOP, "/other")], foreign=foreign)).keys() == {SHOP}


def test_a_new_route_of_a_live_api_is_checked_and_the_old_one_stays() -> None:
    live = [there(EVIL, "/mine"), there(SHOP, "/search")]
    made = plan_with([api(SHOP, "/search"), api(EVIL, "/mine", "/search/x")], live)
    assert list(held(made)) == [EVIL]
    skip = next(skip for skip in made.skipped if skip.key == EVIL)
    assert "stays live" in skip.meanwhile


def test_an_adoption_that_takes_requests_of_another_foreign_route_is_refused() -> None:
    import pytest

    from stoa_gitops.errors import UsageError

    def adopt(path: str, *others: str) -> Plan:
        foreign = observed(EVIL, spec("/a"), managed=False)
        routes = [ForeignRoute("own", RoutePattern("/a"), EVIL)]
        routes += [ForeignRoute(other, RoutePattern(other)) for other in others]
        seen = replace(actual(foreign), routes=tuple(routes))
        return plan_adoption(TARGET, desired(api(EVIL, path)), seen, {}, QUIET, [EVIL])

    assert adopt("/a", "/a/b").changes
    assert adopt("/a", "/").changes
    with pytest.raises(UsageError, match=r"route\.held: /a/b/c would receive"):
        adopt("/a/b/c", "/a/b")


def test_the_router_of_the_gateway_decides() -> None:
    nothing = replace(TARGET, router=replace(SEGMENTS, wins=lambda *_: False))
    made = plan_gateway(
        nothing, desired(api(EVIL, "/search")), actual(observed(SHOP, spec("/search"))),
        {SHOP: record(SHOP, spec("/search"))}, QUIET,
    )  # fmt: skip
    assert not held(made)


CORS = replace(TARGET, router=replace(SEGMENTS, policy_methods={"cors": ("OPTIONS",)}))
GET, OPTIONS = ({"path": "/search", "methods": [method]} for method in ("GET", "OPTIONS"))


def cors_of(key: Key) -> Resource:
    return resource(key.policy("cors"), {"type": "cors"}, guarded_api=key)


def with_cors(key: Key) -> tuple[Observed, AppliedRecord]:
    return observed(key.policy("cors"), {"type": "cors"}), record(
        key.policy("cors"), {"type": "cors"}
    )


def plan_on_cors(
    wanted: list[Resource], live: list[tuple[Observed, AppliedRecord]]
) -> dict[Key, str]:
    records = {last.key: last for _, last in live}
    seen = actual(*(one for one, _ in live))
    return held(plan_gateway(CORS, desired(*wanted), seen, records, QUIET))


def test_a_newcomer_that_gets_options_for_cors_takes_them_from_nobody() -> None:
    shop, live = api(SHOP, OPTIONS), [there(SHOP, OPTIONS)]
    assert not plan_on_cors([shop, api(EVIL, GET)], live)
    found = plan_on_cors([shop, api(EVIL, GET), cors_of(EVIL)], live)
    assert found.keys() == {EVIL, EVIL.policy("cors")}
    assert "GET,OPTIONS/search" in found[EVIL].replace(" ", "")


def test_preflights_of_who_is_there_are_kept_from_newcomers() -> None:
    shop, live = [api(SHOP, GET), cors_of(SHOP)], [there(SHOP, GET), with_cors(SHOP)]
    assert plan_on_cors([*shop, api(EVIL, OPTIONS)], live).keys() == {EVIL}
    assert not plan_on_cors([api(SHOP, GET), api(EVIL, OPTIONS)], [there(SHOP, GET)])


def test_cors_that_comes_to_a_live_api_takes_no_options_of_others() -> None:
    live = [there(SHOP, GET), there(EVIL, OPTIONS)]
    wanted = [api(SHOP, GET), cors_of(SHOP), api(EVIL, OPTIONS)]
    assert plan_on_cors(wanted, live).keys() == {SHOP, SHOP.policy("cors")}


def test_the_next_plan_sees_that_only_the_policy_came() -> None:
    live = [there(SHOP, GET), there(EVIL, OPTIONS)]
    others = [there(Key("api", "shop", str(n)), f"/o/{n}") for n in range(20)]
    records = {last.key: last for _, last in (*live, *others)}
    seen = actual(*(one for one, _ in (*live, *others)))
    rest = [resource(last.key, last.spec.value) for _, last in others]
    before = desired(api(SHOP, GET), api(EVIL, OPTIONS), *rest)
    first = replan(None, PlanInputs(CORS, before, seen, records, QUIET))
    assert not held(first.plan)
    after = replace(before, resources={**before.resources, SHOP.policy("cors"): cors_of(SHOP)})
    second = replan(first, PlanInputs(CORS, after, seen, records, QUIET))
    assert second.recomputed < len(after.resources)
    assert held(second.plan).keys() == {SHOP, SHOP.policy("cors")}
    third = replan(second, PlanInputs(CORS, before, seen, records, QUIET))
    assert not held(third.plan)


def test_a_route_that_gives_up_a_method_takes_nothing_from_a_deeper_one() -> None:
    both = {"path": "/search", "methods": ["GET", "POST"]}
    deeper = {"path": "/search/deep", "methods": ["GET"]}
    router = replace(SEGMENTS, wins=lambda one, other, host: True, reaches_below=True)
    live = [there(SHOP, both), there(EVIL, deeper)]
    made = plan_gateway(
        replace(TARGET, router=router),
        desired(api(SHOP, GET), api(EVIL, deeper)),
        actual(*(one for one, _ in live)),
        {last.key: last for _, last in live},
        QUIET,
    )
    assert not held(made)


def test_no_index_is_made_as_long_as_all_tenants_keep_to_their_own_places() -> None:
    def state_of(*wanted: Resource) -> object:
        inputs = PlanInputs(TARGET, desired(*wanted), actual(), {}, QUIET)
        return replan(None, inputs).places

    home = api(Key("api", "shop", "a"), "/apis/shop/a"), api(EVIL, "/apis/evil/a")
    assert state_of(*home) is None
    assert state_of(*home, api(SHOP, "/search")) is not None
    assert state_of(*home, api(Key("api", "evil", "b"), "/apis/shop/a/b")) is not None
