"""What the admin API has been told: compiled and found alike by any way, and kept small."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin.changes import Changes
from stoa_proxy.admin.checks import Scope
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.policies import entry_from_body, parse_policy_object
from stoa_proxy.admin.routes import parse_route
from stoa_proxy.admin.store import Store
from stoa_proxy.core.model import Route
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.errors import ObjectRefused
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.foundation.interning import interned
from stoa_proxy.policies import POLICIES

from tests.proxy.conftest import policy_body, route_body
from tests.proxy.core.test_match import route

SCOPE = Scope()
GUARD = AddressGuard()


@pytest.mark.parametrize("value", [1, True, 1.0, "1", (), frozenset(), ("a", "b")])
def test_what_is_shared_equals_what_was_given_and_is_of_its_type(value: Any) -> None:
    for _ in range(2):
        found = interned(value)
        assert (found, type(found)) == (value, type(value))


def test_equal_parts_of_routes_are_kept_once() -> None:
    plans = [{"name": "gold", "per_minute": 5}]
    fields = {"plans": plans, "hosts": ["h.test"], "methods": ["GET", "PUT"], "timeout_ms": 1234}
    one, other = (
        parse_route(
            Body(json.loads(json.dumps(route_body("https://b.test", **fields)))), GUARD, SCOPE
        )[0]
        for _ in range(2)
    )
    for name in ("tenant_id", "plans", "hosts", "methods", "timeout"):
        assert getattr(one, name) is getattr(other, name), name


ROUTE_BODIES = st.builds(
    lambda number, prefix, api_id, hosts, plans, methods: route_body(
        "https://b.test/v1",
        prefix,
        id=f"r{number}",
        api_id=api_id,
        hosts=hosts,
        methods=methods,
        plans=[{"name": name, "per_minute": rate} for name, rate in plans.items()],
    ),
    st.integers(0, 9),
    st.sampled_from(["/", "/a", "/a/b", "/c"]),
    st.sampled_from(["x", "y"]),
    st.sampled_from([[], ["h.test"], ["*.test", "h.test", "H.test"]]),
    st.dictionaries(st.sampled_from(["gold", "silver"]), st.integers(1, 2)),
    st.sampled_from([[], ["get"]]),
)
POLICY_BODIES = st.builds(
    lambda number, api_id, config, priority: policy_body(f"p{number}", api_id, *config, priority),
    st.integers(0, 5),
    st.sampled_from(["x", "y", "r1", "r2"]),
    st.sampled_from(
        [
            ("api_key", {}),
            ("api_key", {"in": "query", "name": "k"}),
            ("rate_limit", {"requests": 5, "window": "1m", "by": "header:X-A"}),
            ("rate_limit", {"maxRequests": 5, "intervalSeconds": 60}),
            ("headers", {"response": {"set": {"X-A": "v"}}}),
            ("ip_filter", {"deny": ["10.0.0.0/8"]}),
            ("cors", {"origins": ["*"]}),
            ("request_size", {"max": "1MiB"}),
            ("mock", {"body": "téa"}),
        ]
    ),
    st.integers(0, 2),
)
EDITS = st.lists(
    ROUTE_BODIES
    | POLICY_BODIES
    | st.sampled_from([f"{kind}{n}" for kind in "rp" for n in range(10)]),
    max_size=40,
)


def put(store: Store, body: dict[str, Any]) -> None:
    if "policy_type" in body:
        store.put_policy(*parse_policy_object(Body(body), POLICIES))
    else:
        store.put_route(*parse_route(Body(body), GUARD, SCOPE))


@given(EDITS, st.randoms(use_true_random=False))
def test_a_store_by_edits_equals_a_store_of_what_is_left(edits: list[Any], random: Any) -> None:
    edited, kept = Store(), dict[str, dict[str, Any]]()
    for edit in edits:
        if isinstance(edit, dict):
            put(edited, edit)
            kept[edit["id"]] = edit
        else:
            delete = edited.delete_route if edit[0] == "r" else edited.delete_policy
            assert delete(edit) is (kept.pop(edit, None) is not None)
    bodies = list(kept.values())
    random.shuffle(bodies)
    anew = Store()
    for body in bodies:
        put(anew, body)
    assert edited.table == anew.table
    assert edited.table.root == RoutingTable.from_routes(edited.table.routes.values()).root
    assert list(edited.routes.stream_json()) == list(anew.routes.stream_json())
    assert list(edited.policies.stream_json()) == list(anew.policies.stream_json())


def test_a_route_that_ties_with_another_tenants_is_refused_whatever_its_id() -> None:
    """Nothing but the ids would decide, and a gateway never decides between owners."""

    def body(route_id: str, tenant: str, **fields: Any) -> dict[str, Any]:
        full = {"path_prefix": "/a", "hosts": ["h.test", "*.test"], "methods": ["GET"], **fields}
        return route_body("https://b.test", id=route_id, api_id=tenant, tenant_id=tenant, **full)

    for other in ("0", "z"):
        store = Store()
        put(store, body("m", "acme"))
        for fields in ({}, {"methods": []}, {"hosts": ["*.test"]}, {"methods": ["PUT", "GET"]}):
            with pytest.raises(ObjectRefused, match="route 'm' of another tenant") as refused:
                put(store, body(other, "evil", **fields))
            assert refused.value.status == 409
            assert other not in store.routes
        for fields in (
            {"methods": ["PUT"]}, {"hosts": []}, {"hosts": ["x.test"]}, {"path_prefix": "/a/b"},
        ):  # fmt: skip
            put(store, body(other, "evil", **fields))
            assert store.delete_route(other)
        put(store, body(other, "acme"))
        assert store.delete_route(other)
        put(store, body("m", "acme", path_prefix="/elsewhere"))
        put(store, body(other, "evil"))


def test_one_change_passes_a_path_from_tenant_to_tenant() -> None:
    """What goes in the same change is no longer there; two that come together tie."""
    store = Store()
    bodies = [
        route_body("https://b.test", id=tenant, api_id=tenant, tenant_id=tenant)
        for tenant in ("acme", "evil")
    ]
    parsed = [parse_route(Body(body), GUARD, SCOPE) for body in bodies]
    with pytest.raises(ObjectRefused):
        store.change(Changes(routes=tuple(parsed)))
    store.change(Changes(routes=(parsed[0],)))
    store.change(Changes(routes=(parsed[1],), without_routes=("acme",)))
    assert list(store.table.routes) == ["evil"]


@given(st.lists(POLICY_BODIES, max_size=12), st.lists(ROUTE_BODIES, max_size=6))
def test_an_api_is_compiled_from_what_was_sent(
    policies: list[dict[str, Any]], routes: list[dict[str, Any]]
) -> None:
    store = Store()
    for body in (*policies, *routes, *policies):
        put(store, body)
    sent = {body["id"]: entry_from_body(Body(body)) for body in policies}
    latest = {body["id"]: parse_route(Body(body), GUARD, SCOPE)[0] for body in routes}
    for api_id in ("x", "y"):
        mine = [latest[one] for one in sorted(latest) if latest[one].api_id == api_id]
        plans = {plan.name: plan for one in reversed(mine) for plan in one.plans}
        ordered = dict.fromkeys(plan.name for one in mine for plan in one.plans)
        names = {api_id, *(one.id for one in mine)}
        entries = [one for one in sent.values() if one.api_id in names]
        expected = POLICIES.compile_api(api_id, tuple(plans[name] for name in ordered), entries)
        assert store.table.api(api_id).policies == expected.policies
        assert store.table.api(api_id).request_filters == expected.request_filters
        assert store.table.api(api_id).plans == expected.plans
    attached = {"x", "y"} & {one.api_id for one in latest.values()} | latest.keys()
    unattached = sorted(one.id for one in sent.values() if one.api_id not in attached)
    assert list(store.unattached_policies()) == unattached


SEGMENTS = ("a", "b")
FEW_OR_MANY = st.lists(
    st.builds(
        lambda number, prefix, hosts: (f"r{number:02}", prefix, hosts),
        st.integers(0, 20),
        st.sampled_from(["/", "/a", "/a/b"]),
        st.lists(st.sampled_from(["h.test", "*.test", "*.h.test", "i.test"]), max_size=3),
    ),
    max_size=20,
    unique_by=lambda one: one[0],
)


def expected_routes(routes: list[Route], host: str, segments: tuple[str, ...]) -> list[str]:
    """The rule: the longest prefix with the host; exact, then the longest wildcard, then any."""
    rest = host.split(".")
    names = [host, *("*." + ".".join(rest[cut:]) for cut in range(1, len(rest))), ""]
    for depth in range(len(segments), -1, -1):
        here = [one for one in routes if one.prefix == segments[:depth]]
        for name in names:
            found = sorted(one.id for one in here if name in (one.hosts or ("",)))
            if found:
                return found
    return []


@given(FEW_OR_MANY)
def test_routes_are_matched_by_the_rule_however_many_end_at_one_node(
    drawn: list[tuple[str, str, list[str]]],
) -> None:
    routes = [route(prefix, name, hosts=tuple(hosts)) for name, prefix, hosts in drawn]
    stepwise = RoutingTable()
    for one in routes:
        stepwise = stepwise.with_route(one)
    assert stepwise == RoutingTable.from_routes(routes)
    hosts = ("h.test", "x.h.test", "i.test", "z.i.test", "test", ".h.test", "xh.test", "*.test", "")
    paths = [path for size in range(4) for path in itertools.product(SEGMENTS, repeat=size)]
    for host, segments in itertools.product(hosts, paths):
        found = stepwise.find(host, segments)
        names = [] if found is None else [one.id for one in found.routes]
        assert names == expected_routes(routes, host, segments)


def test_an_api_with_two_policies_takes_about_two_kibibytes() -> None:
    auth = {"in": "header", "name": "X-K", "value": "v"}
    plans = [{"name": "gold", "per_second": 50, "per_day": 100_000}]
    store = Store()
    tracemalloc.start()
    try:
        for number in range(500):
            put(
                store,
                route_body(
                    f"https://api-{number}.backend-{number % 37}.example.com/v1",
                    f"/apis/tenant-{number % 10}/api-{number}",
                    id=f"api-with-an-identifier-{number:08}",
                    hosts=[f"{number % 9}.example.com"],
                    backend_auth=auth,
                    plans=plans,
                    metadata={"description": "words " * 20},
                ),
            )
            for kind, config in (("api_key", {}), ("rate_limit", {"requests": 9, "window": "1m"})):
                policy_id = f"{kind}-with-an-identifier-{number:08}"
                put(
                    store,
                    policy_body(policy_id, f"api-with-an-identifier-{number:08}", kind, config),
                )
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / 500 < 2500


def test_a_fork_goes_its_own_way_and_no_entity_tag_of_it_is_one_of_the_other() -> None:
    store = Store()
    body = route_body("https://b.test", id="r1")
    store.put_route(*parse_route(Body(body), GUARD, SCOPE))
    fork = store.fork()
    assert (fork.routes.get("r1"), list(fork.table.routes)) == (store.routes.get("r1"), ["r1"])
    seen = {*store.version, *fork.version}
    assert len(seen) == 6
    for one, name in ((store, "r2"), (fork, "r3")):
        one.put_route(*parse_route(Body(body | {"id": name}), GUARD, SCOPE))
        assert one.routes.etag not in seen
        seen.add(one.routes.etag)
    assert (list(store.routes), list(fork.routes)) == (["r1", "r2"], ["r1", "r3"])
    assert (sorted(store.table.routes), sorted(fork.table.routes)) == (["r1", "r2"], ["r1", "r3"])
