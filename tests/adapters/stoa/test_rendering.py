"""What `render` shows of our data plane: requests without secrets, and the order of policies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.policy import Phase
from stoa_proxy.policies import POLICIES

from stoa_gitops.adapters.stoa.policy_order import PHASES, policy_order
from stoa_gitops.adapters.stoa.rendering import rendered
from stoa_gitops.model.keys import Key
from stoa_gitops.model.secret import Secret
from tests.adapters.stoa.specs import spec_of

API = Key("api", "acme", "billing")


def test_the_order_is_that_of_the_data_plane() -> None:
    assert list(PHASES) == [phase.title for phase in Phase]
    for policy_type in POLICIES.types:
        assert policy_type.name in PHASES[policy_type.phase.title]
    named = {name for types in PHASES.values() for name in types}
    assert named == {*POLICIES.names, "plans and subscriptions"}


@given(
    st.lists(
        st.tuples(st.sampled_from(POLICIES.names), st.integers(0, 9)), unique_by=lambda one: one[0]
    )
)
def test_policies_are_shown_as_the_data_plane_runs_them(found: list[tuple[str, int]]) -> None:
    from stoa_proxy.core.model import PolicyEntry

    configs: dict[str, Any] = {
        "cors": {"origins": ["*"]}, "ip_filter": {"deny": []}, "jwt": {"issuer": "https://i"},
        "quota": {"requests": 1, "period": "day"}, "rate_limit": {"requests": 1, "window": "1s"},
        "request_size": {"max": 1}, "headers": {"request": {}}, "caching": {"ttl": "1s"},
        "circuit_breaker": {"failures": 1, "window": "1s", "reset": "1s"}, "retry": {"attempts": 1},
    }  # fmt: skip
    specs = [
        spec_of(
            Key("policy", "acme", f"billing.{name}"),
            {"api": "billing", "type": name, "priority": priority, "config": {}},
        )
        for name, priority in found
    ]
    shown: Any = policy_order(spec_of(API, {"plans": []}), specs)
    entries = [
        PolicyEntry(spec.identifier, "", name, configs.get(name, {}), priority, "a")
        for spec, (name, priority) in zip(specs, found, strict=True)
    ]
    policies = POLICIES.compile_api("a", (), entries).policies
    # Of several that identify callers the one that takes either holds all.
    each = [part for one in policies for part in getattr(one, "policies", (one,))]
    run = [type(one).__module__.rpartition(".")[2] for one in each]
    shown_names = [one["policy"] for one in shown["policies"]]
    names = ["plans" if name == "plans and subscriptions" else name for name in shown_names]
    single = [name for name in run if name in ("api_key", "jwt")]
    assert [name for name in names if name not in single] == [n for n in run if n not in single]
    assert sorted(names) == sorted(run)


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (
            {"type": "api_key", "key": Secret("env:A")},
            {"type": "api_key", "key_sha256": "sha256(env:A)"},
        ),
        (
            {"type": "jwt", "clientId": Secret("env:C"), "key": Secret("env:K")},
            {"type": "jwt", "client_id_sha256": "sha256(env:C)"},
        ),
    ],
    ids=["api_key", "jwt"],
)  # fmt: skip
def test_credentials_are_shown_as_hashes_of_their_references(
    credential: dict[str, Any], expected: dict[str, Any]
) -> None:
    value = {
        "displayName": "M",
        "subscriptions": [],
        "identifiers": {},
        "credentials": [credential],
    }
    shown: Any = rendered(spec_of(Key("application", "acme", "mobile"), value))
    (body,) = shown["POST /admin/consumers"]
    assert body["credentials"] == [expected]
