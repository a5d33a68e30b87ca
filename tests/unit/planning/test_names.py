"""On a gateway that knows no tenants two APIs may have one name: who is there keeps it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import Observed, Resource
from stoa_gitops.model.routing import UNNESTED
from stoa_gitops.planning import PlanInputs, plan_gateway, replan
from tests.unit.planning.world import QUIET, TARGET, actual, desired, observed, record, resource

FLAT = replace(TARGET, has_one_name_space=True, router=UNNESTED)
HOLDER, NEWCOMER = Key("api", "acme-eu", "billing"), Key("api", "acme", "eu-billing")


def api(key: Key, path: str) -> Resource:
    route = {"path": path, "methods": [], "hosts": [], "stripPath": True}
    return resource(key, {"routes": [route]})


def plan(wanted: list[Resource], live: list[Resource]) -> Plan:
    there: list[Observed] = [observed(one.key, one.spec.value) for one in live]
    last = {one.key: record(one.key, one.spec.value) for one in live}
    return plan_gateway(FLAT, desired(*wanted), actual(*there), last, QUIET)


def held(made: Plan) -> dict[Key, str]:
    return {skip.key: skip.message for skip in made.skipped if skip.reason is SkipReason.HELD}


def test_who_is_there_keeps_a_name_whatever_the_order_of_documents() -> None:
    for there, new in ((HOLDER, NEWCOMER), (NEWCOMER, HOLDER)):
        wanted = [api(there, "/there"), api(new, "/new")]
        found = held(plan(wanted, [api(there, "/there")]))
        assert found.keys() == {new}
        assert f"acme-eu-billing is that of {there.short}" in found[new]


def test_of_two_newcomers_with_one_name_neither_gets_it() -> None:
    assert held(plan([api(HOLDER, "/a"), api(NEWCOMER, "/b")], [])).keys() == {HOLDER, NEWCOMER}


def test_a_name_is_free_once_it_is_removed() -> None:
    live = [api(HOLDER, "/a")]
    assert held(plan([api(NEWCOMER, "/b")], live)).keys() == {NEWCOMER}
    assert not held(plan([api(NEWCOMER, "/b")], []))


def test_gateways_that_know_tenants_hold_nothing_for_names() -> None:
    wanted = [api(HOLDER, "/a"), api(NEWCOMER, "/b")]
    made = plan_gateway(TARGET, desired(*wanted), actual(), {}, QUIET)
    assert not held(made)


TENANTS = ("a", "a-a", "b")
NAMES = ("a", "a-a", "b", "a-b")
PATHS = ("/", "/p", "/p/q", "/p/q/r", "/apis/a/x", "/apis/a-a/x", "/apis/b/x")
keys = st.builds(Key, st.just("api"), st.sampled_from(TENANTS), st.sampled_from(NAMES))
objects = st.dictionaries(keys, st.sampled_from(PATHS), max_size=6)


def split(found: dict[Key, str], tenant: str) -> tuple[list[Resource], list[Resource]]:
    resources = [api(key, path) for key, path in found.items()]
    return [r for r in resources if r.key.tenant == tenant], [
        r for r in resources if r.key.tenant != tenant
    ]


@given(objects, objects, st.sampled_from(TENANTS))
def test_nothing_that_others_want_holds_what_a_tenant_has(
    live: dict[Key, str], wanted: dict[Key, str], tenant: str
) -> None:
    """By names and by paths one below the other, whatever sorts first."""
    own, others = split(live, tenant)
    _, news = split(wanted, tenant)
    found = held(plan([*own, *news], [*own, *others]))
    assert not [key for key in found if key.tenant == tenant]


@given(objects, objects, objects)
def test_the_next_plan_is_that_from_scratch(
    live: dict[Key, str], before: dict[Key, str], after: dict[Key, str]
) -> None:
    there = [observed(key, api(key, path).spec.value) for key, path in live.items()]
    last = {key: record(key, api(key, path).spec.value) for key, path in live.items()}
    seen = actual(*there)
    states = [desired(*(api(k, p) for k, p in wanted.items())) for wanted in (before, after)]
    first, second = (PlanInputs(FLAT, state, seen, last, QUIET) for state in states)
    assert replan(replan(None, first), second, worthwhile=2.0).plan == replan(None, second).plan
