"""Nothing that the catalog's schemas let through is refused by Kong's, nor read back otherwise."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.kong.entities.defaults import strip_defaults
from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity, NodeInfo
from stoa_gitops.adapters.kong.mapping.mappers import compile_api, decompile_api
from stoa_gitops.adapters.kong.mapping.routes import route_order
from stoa_gitops.adapters.kong.mapping.rules import losses
from stoa_gitops.adapters.kong.policies import MAPPINGS
from stoa_gitops.catalog.documents.schemas import Schemas
from stoa_gitops.model.keys import API, POLICY
from tests.adapters.kong.double import KongDouble
from tests.laws import examples
from tests.schema_values import schema, values
from tests.unit.adapters.kong.specs import BILLING, NEW, OLD, OWNER, parts_of

SCHEMAS = Schemas(())


@cache
def node_of(version: str) -> KongDouble:
    return KongDouble(version)


def loaded(entities: tuple[Entity, ...], node: NodeInfo) -> list[Entity]:
    """Load entities into a node and read them back; fails where its schema refuses one."""
    document: dict[str, Any] = {"_format_version": "3.0", "_transform": False}
    for entity in entities:
        document.setdefault(entity.type, []).append(entity.tree)
    double = node_of(node.text)
    double.load(document)
    return [
        Entity.of(sort, strip_defaults(sort, tree, node))
        for sort, held in double.entities.items()
        for tree in held.values()
    ]


def is_written(kind: str, spec: dict[str, Any], node: NodeInfo) -> bool:
    """Whether the validator lets it pass: nothing of it gets lost as a whole."""
    return all(loss.is_partial for loss in losses(kind, spec, node))


def assert_comes_back(parts: ApiParts, node: NodeInfo) -> None:
    entities = compile_api(parts, node, OWNER)
    assert decompile_api(loaded(entities, node), node, OWNER, BILLING) == (parts, {})


@pytest.mark.parametrize("node", [OLD, NEW], ids=lambda node: node.text)
@pytest.mark.parametrize("policy_type", sorted(MAPPINGS))
@examples(60)
@given(data=st.data())
def test_a_policy_with_any_value_is_held_back_or_taken_and_read_back(
    policy_type: str, node: NodeInfo, data: Any
) -> None:
    root = schema(f"policies/{policy_type}.json")
    config = SCHEMAS.normaliser(policy_type)(data.draw(values(root, root)))
    spec = {"api": "billing", "type": policy_type, "priority": 100, "config": config}
    if is_written(POLICY, spec, node):
        assert_comes_back(parts_of(None, {policy_type: config}), node)


hosts = st.one_of(
    st.sampled_from([
        "münchen.example", "h-.example", "-h.example", "1.2.3.4.5", "8.8", "*.example.com", "a..b",
        "[::ffff:8.8.8.8]", "[::1]", "[2001:DB8::1]", "10.0.0.1", "256.1.1.1", "a_b", "a.b.",
        "x" * 300, "1.2.3.4.", "0177.1", "a,b", "localhost",
    ]),
    st.from_regex(r"[a-zA-Z0-9._-]{1,12}", fullmatch=True),
)  # fmt: skip
paths = st.one_of(
    st.sampled_from(["", "/", "//", "/a//b", "/%zz", "/a%20b", "/é", "/(a);b=1", "/a?b=1", "/a#b"]),
    st.from_regex(r"(/[ -~]{0,6}){0,3}", fullmatch=True),
)


def _headers(route: dict[str, Any]) -> dict[str, Any]:
    found = {one["name"].lower(): one["values"] for one in route.get("headers", ())}
    asked = {name: sorted({value.lower() for value in found[name]}) for name in sorted(found)}
    return {"headers": [{"name": n, "values": v} for n, v in asked.items()]} if asked else {}


@st.composite
def odd_apis(draw: st.DrawFn) -> dict[str, Any]:
    root = schema("api.json")["properties"]["spec"]["properties"]
    wanted = {name: root[name] for name in ("routes", "plans")}
    found = draw(values({"type": "object", "properties": wanted, "required": ["routes"]}, root))
    routes = [
        {
            # Braces are more than a pattern can say: tests of the mapping have parameters.
            "path": route["path"].translate({123: "a", 125: "a"}).rstrip("/") or "/",
            "methods": sorted({method.upper() for method in route.get("methods", ())}),
            "hosts": sorted({host.lower() for host in route.get("hosts", ())}),
            "stripPath": route.get("stripPath", True),
            **_headers(route),
        }
        for route in found["routes"]
    ]
    # Two equal ones collide, which validation refuses.
    routes = sorted({str(one): one for one in routes}.values(), key=route_order)
    # Whom a plan is open to is the catalog's to know.
    plans = {
        plan["name"]: {name: value for name, value in plan.items() if name != "tenants"}
        for plan in found.get("plans", ())
    }
    port = draw(st.sampled_from(["", ":80", ":443", ":65535"]))
    url = f"{draw(st.sampled_from(['http', 'https']))}://{draw(hosts)}{port}{draw(paths)}"
    timeout = draw(st.sampled_from(["1ms", "30s", "2147483646ms", "2147483647ms", "999999999999h"]))
    return {
        "displayName": "B", "version": "1", "active": draw(st.booleans()), "routes": routes,
        "plans": [plans[name] for name in sorted(plans)],
        "backend": {"url": url, "timeout": timeout, "retries": draw(st.integers(0, 10))},
    }  # fmt: skip


@pytest.mark.parametrize("node", [OLD, NEW], ids=lambda node: node.text)
@examples(400)
@given(spec=odd_apis())
def test_an_api_with_any_value_is_held_back_or_taken_and_read_back(
    node: NodeInfo, spec: dict[str, Any]
) -> None:
    if is_written(API, spec, node):
        assert_comes_back(parts_of(spec, {}), node)
