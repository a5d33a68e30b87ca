"""What a route has beyond the canonical form is seen, taken back, and never dropped unsaid."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.adapters.stoa.adoption import refuse_adoption
from stoa_gitops.adapters.stoa.mappers import apis_from, unmapped_from
from stoa_gitops.adapters.stoa.rules import EXTENDED
from stoa_gitops.errors import UsageError
from stoa_gitops.model.changes import Action, Direction
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.resources import DesiredState
from stoa_gitops.planning.adoption import plan_adoption
from stoa_gitops.planning.inputs import PlanContext
from tests.adapters.stoa.double import Dialect, StoaDouble
from tests.adapters.stoa.rig import stoa_rig
from tests.contract.rig import BILLING, CRM, LIMIT, NOW, TOKEN, Rig, resource

HIJACK: dict[str, Any] = {
    "upstreams": [{"url": "http://evil.example", "weight": 1, "health_check_path": None}],
    "load_balancer": "random",
    "upstream_http_version": "h2",
    "classification": "VVH",
    "contract_key": "acme:pay",
}


@pytest.fixture(params=list(Dialect), ids=lambda dialect: dialect.name.lower())
def double(request: pytest.FixtureRequest) -> StoaDouble:
    return StoaDouble(request.param, TOKEN)


def routes_of(double: StoaDouble, key: Key) -> list[dict[str, Any]]:
    return [r for r in double.routes.values() if r["name"].partition("#")[0] == key.name]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("field", HIJACK)
async def test_drift_of_a_field_that_no_document_has_shows_and_is_taken_back(
    double: StoaDouble, field: str, number: int
) -> None:
    if field == "upstreams" and double.dialect is Dialect.OURS:
        return  # a document has it: the next test
    async with stoa_rig(double) as rig:
        await rig.converge()
        routes_of(double, CRM)[number][field] = HIJACK[field]
        plan = await rig.plan(rig.specs)
        assert [(c.action, c.key, c.direction) for c in plan.changes] == [
            (Action.UPDATE, CRM, Direction.GATEWAY)
        ]
        (change,) = plan.changes[0].fields
        assert field in f"{change.dotted} {change.before}"
        outcomes = await rig.execute(plan)
        assert [o.status for o in outcomes] == [Status.APPLIED], outcomes[0].message
        assert (await rig.plan(rig.specs)).is_empty
    assert routes_of(double, CRM)[number].get(field) in (None, [], "auto", "round_robin")


@pytest.mark.parametrize("number", [0, 1])
async def test_several_backends_that_somebody_set_by_hand_are_taken_back(number: int) -> None:
    double = StoaDouble(Dialect.OURS, TOKEN)
    async with stoa_rig(double) as rig:
        await rig.converge()
        routes_of(double, CRM)[number]["upstreams"] = HIJACK["upstreams"]
        plan = await rig.plan(rig.specs)
        assert [(c.action, c.key, c.direction) for c in plan.changes] == [
            (Action.UPDATE, CRM, Direction.GATEWAY)
        ]
        await rig.execute(plan)
        assert (await rig.plan(rig.specs)).is_empty
    assert [route.get("upstreams", []) for route in routes_of(double, CRM)] == [[], []]


async def test_a_route_that_was_pulled_and_is_not_trusted_shows_on_the_real_gateway() -> None:
    double = StoaDouble(Dialect.REAL, TOKEN)
    async with stoa_rig(double) as rig:
        await rig.converge()
        routes_of(double, BILLING)[0]["trusted_backend"] = False
        assert [c.key for c in (await rig.plan(rig.specs)).changes] == [BILLING]
        await rig.converge()
        assert (await rig.plan(rig.specs)).is_empty


async def test_a_route_moved_away_from_its_policies_shows_on_our_data_plane() -> None:
    double = StoaDouble(Dialect.OURS, TOKEN)
    async with stoa_rig(double) as rig:
        await rig.converge()
        (route,) = routes_of(double, BILLING)
        route["api_id"] = "without-policies"
        assert [c.key for c in (await rig.plan(rig.specs)).changes] == [BILLING]
        await rig.converge()
        assert (await rig.plan(rig.specs)).is_empty


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fallback_url", "https://evil.example"),
        ("backend_auth", {"in": "header", "name": "X-Evil", "value": "k", "value_set": True}),
        ("access", "subscribed"),
    ],
)
async def test_an_optional_field_that_somebody_set_by_hand_is_taken_back(
    field: str, value: object
) -> None:
    double = StoaDouble(Dialect.OURS, TOKEN)
    async with stoa_rig(double) as rig:
        await rig.converge()
        for route in routes_of(double, CRM):
            route[field] = value
        plan = await rig.plan(rig.specs)
        assert [(c.key, c.direction) for c in plan.changes] == [(CRM, Direction.GATEWAY)]
        await rig.execute(plan)
        assert (await rig.plan(rig.specs)).is_empty
    assert all(route.get(field) in (None, "tenant") for route in routes_of(double, CRM))


async def test_a_credential_of_a_backend_that_somebody_replaced_is_written_again() -> None:
    """Its value is never shown; a fingerprint tells that it is another one."""
    double = StoaDouble(Dialect.OURS, TOKEN)
    async with stoa_rig(double) as rig:
        await rig.converge()
        (route,) = routes_of(double, BILLING)
        written = route["backend_auth"]
        route["backend_auth"] = {**written, "fingerprint": "0123456789abcdef"}
        plan = await rig.plan(rig.specs)
        assert [c.key for c in plan.changes] == [BILLING]
        await rig.execute(plan)
        assert routes_of(double, BILLING)[0]["backend_auth"] == written
        # A gateway of before shows no fingerprint.
        del routes_of(double, BILLING)[0]["backend_auth"]["fingerprint"]
        assert (await rig.plan(rig.specs)).is_empty


async def test_a_limit_that_somebody_made_burst_is_taken_back() -> None:
    double = StoaDouble(Dialect.OURS, TOKEN)
    async with stoa_rig(double) as rig:
        await rig.converge()
        (policy,) = double.policies.values()
        policy["config"]["burst"] = 1_000
        assert [c.key for c in (await rig.plan(rig.specs)).changes] == [LIMIT]
        await rig.converge()
        assert (await rig.plan(rig.specs)).is_empty


async def test_fields_that_a_later_gateway_adds_are_no_drift(double: StoaDouble) -> None:
    async with stoa_rig(double) as rig:
        await rig.converge()
        for route in double.routes.values():
            route["created_at"] = "2027-01-01"
        assert (await rig.plan(rig.specs)).is_empty


def their_billing(**fields: Any) -> dict[str, Any]:
    return {
        "id": "theirs", "name": "billing", "tenant_id": "acme",
        "path_prefix": "/apis/acme/billing", "backend_url": "https://billing.example/v2",
        "methods": [], "spec_hash": "", "activated": True, "upstreams": [],
        "upstream_http_version": "auto", "load_balancer": "round_robin", **fields,
    }  # fmt: skip


async def adoption(rig: Rig) -> Any:
    await rig.driver.health()
    desired = DesiredState(
        rig.name, "default", "main@1", {BILLING: resource(BILLING, rig.specs[BILLING])}
    )
    observed = await rig.observe()
    return plan_adoption(
        rig.driver.plan_input(), desired, observed, {}, PlanContext(NOW), [BILLING]
    )


@pytest.mark.parametrize("field", ["upstreams", "upstream_http_version", "contract_key"])
async def test_what_would_move_requests_keeps_a_route_from_being_adopted(
    double: StoaDouble, field: str
) -> None:
    if field == "upstreams" and double.dialect is Dialect.OURS:
        return  # a document has it, so the plan shows what becomes of it
    async with stoa_rig(double) as rig:
        double.routes["theirs"] = their_billing(**{field: HIJACK[field]})
        with pytest.raises(UsageError, match=f"api/acme/billing: {field} on the gateway"):
            await adoption(rig)


async def test_what_moves_no_request_is_named_by_the_plan_that_adopts_it(
    double: StoaDouble,
) -> None:
    async with stoa_rig(double) as rig:
        double.routes["theirs"] = their_billing(classification="VVH")
        plan = await adoption(rig)
        assert "VVH" in str([change.fields for change in plan.changes])


async def test_everything_that_an_adoption_drops_is_listed(double: StoaDouble) -> None:
    async with stoa_rig(double) as rig:
        double.routes["theirs"] = their_billing(**HIJACK, mirror="http://copy.example", note="")
        await rig.driver.health()
        found = {item.field: item for item in await rig.driver.unmapped()}
    # Of several backends a document of our data plane can say what the route says.
    mapped = {"upstreams", "load_balancer"} if double.dialect is Dialect.OURS else set()
    assert found.keys() == {*HIJACK, "mirror"} - mapped
    assert {item.key for item in found.values()} == {BILLING}
    if not mapped:
        assert "evil.example" in found["upstreams"].value
    assert {name for name, item in found.items() if item.changes} == {
        "upstreams", "upstream_http_version", "contract_key",
    } - mapped  # fmt: skip


async def test_a_policy_of_a_foreign_route_is_listed_where_policies_are_enforced(
    double: StoaDouble,
) -> None:
    async with stoa_rig(double) as rig:
        double.routes["theirs"] = their_billing()
        double.policies["p"] = {
            "id": "p", "name": "keys", "policy_type": "api_key", "priority": 1,
            "api_id": "theirs", "config": {},
        }  # fmt: skip
        await rig.driver.health()
        found = await rig.driver.unmapped()
    expected = ["policy keys"] if double.dialect is Dialect.OURS else []
    assert [item.what for item in found if item.changes] == expected


def test_the_second_route_keeps_an_api_from_being_adopted_too() -> None:
    first, second = {"path": "/a", "methods": []}, {"path": "/b", "methods": [], "upstreams": [1]}
    assert "upstreams on the gateway" in refuse_adoption("api", {"routes": [first, second]})
    assert refuse_adoption("api", {"routes": [first, {**first, "classification": "H"}]}) == ""
    assert refuse_adoption("policy", {"type": "cors"}) == ""


def test_a_route_that_differs_from_the_first_keeps_a_foreign_api_from_being_adopted() -> None:
    routes = [
        their_billing(api_id="x"),
        their_billing(api_id="x", id="u", path_prefix="/b", backend_url="https://other.example"),
    ]
    (item,) = apis_from(routes, "default", EXTENDED)
    assert [route["path"] for route in item["spec"]["routes"]] == ["/apis/acme/billing", "/b"]
    assert "backend_url on the gateway" in refuse_adoption("api", item["spec"])
    (left,) = unmapped_from(routes, [], "default", EXTENDED)
    assert (left.field, left.value, left.changes) == ("backend_url", "https://other.example", True)
