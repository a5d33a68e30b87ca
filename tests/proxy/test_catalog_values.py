"""What the catalog takes of a policy, the data plane takes: nothing valid is always refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin import consumers
from stoa_proxy.policies import POLICIES, parsing

from stoa_gitops.adapters.stoa.data_plane import data_plane_losses
from stoa_gitops.catalog.documents.schemas import Schemas
from stoa_gitops.catalog.evaluation import policy_values
from stoa_gitops.catalog.evaluation.policy_values import find_odd_values
from stoa_gitops.model.keys import POLICY
from tests.laws import examples
from tests.schema_values import schema, values

TYPES = {one.name: one for one in POLICIES.types}
SCHEMAS = Schemas(())


@pytest.mark.parametrize("policy_type", sorted(TYPES))
@examples(300)
@given(data=st.data())
def test_a_policy_without_a_finding_is_taken(policy_type: str, data: Any) -> None:
    root = schema(f"policies/{policy_type}.json")
    written = data.draw(values(root, root))
    config = SCHEMAS.normaliser(policy_type)(written)
    if list(find_odd_values(policy_type, written, (), 0)):
        return
    if not data_plane_losses(POLICY, {"type": policy_type, "config": config}):
        TYPES[policy_type].parse("p", config)


@pytest.mark.parametrize(
    ("policy_type", "config", "place"),
    [
        ("cors", {"origins": ["https://a.example", "portal.example"]}, ("origins", 1)),
        ("cors", {"origins": ["https://a.example/"]}, ("origins", 0)),
        ("cors", {"origins": ["https://a.example", "*"]}, ("origins", 1)),
        ("cors", {"origins": ["*"], "credentials": True}, ("credentials",)),
        ("ip_filter", {"deny": ["10.0.0.0/8", "10.0.0.1/8"]}, ("deny", 1)),
        ("ip_filter", {"allow": ["1.2.3"]}, ("allow", 0)),
        ("headers", {"request": {"set": {"X-Town": "Zürich"}}}, ("request", "set", "X-Town")),
        ("headers", {"response": {"add": {"X-A": "a\n"}}}, ("response", "add", "X-A")),
        ("headers", {"response": {"remove": ["Content-Length"]}}, ("response", "remove", 0)),
        ("headers", {"request": {"set": {"te": "x"}}}, ("request", "set", "te")),
        ("headers", {"request": {"set": {f"X-{n}": "v" for n in range(65)}}}, ("request",)),
        ("headers", {"response": {"add": {"X-A": "v" * 16 * 1024}}}, ("response",)),
        ("mock", {"headers": {f"X-{n}": "v" for n in range(65)}}, ("headers",)),
        ("api_key", {"name": "a b"}, ("name",)),
        ("api_key", {"in": "query", "name": " "}, ("name",)),
        ("rate_limit", {"requests": 1, "window": "0m"}, ("window",)),
        ("mock", {"body": "\ud800"}, ("body",)),
        ("mock", {"status": 101}, ("status",)),
        ("mock", {"status": 204, "body": "x"}, ("body",)),
        ("mock", {"headers": {"Transfer-Encoding": "x"}}, ("headers", "Transfer-Encoding")),
    ],
)
def test_a_value_that_nothing_can_use_is_found_at_its_place(
    policy_type: str, config: dict[str, Any], place: tuple[str | int, ...]
) -> None:
    (found,) = find_odd_values(policy_type, config, ("spec",), 0)
    assert (found.code, found.pointer) == ("policy.value", ("spec", *place))
    assert found.is_error
    assert found.hint


def test_an_application_has_the_bounds_of_a_consumer() -> None:
    fields = schema("application.json")["properties"]["spec"]["properties"]
    bounds = {name: fields[name]["maxItems"] for name in ("credentials", "subscriptions")}
    assert bounds == {
        "credentials": consumers.MAX_CREDENTIALS, "subscriptions": consumers.MAX_SUBSCRIPTIONS
    }  # fmt: skip
    assert (policy_values.MAX_HEADERS, policy_values.MAX_HEADER_BYTES) == (
        parsing.MAX_HEADERS,
        parsing.MAX_HEADER_BYTES,
    )
