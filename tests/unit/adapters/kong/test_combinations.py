"""What Kong cannot do of an API with its policies is known before any call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.kong.entities.entity import NodeInfo
from stoa_gitops.adapters.kong.mapping.combinations import combined_losses
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible
from stoa_gitops.adapters.kong.mapping.mappers import compile_api
from stoa_gitops.adapters.kong.mapping.rules import RULES, losses
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, POLICY
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.secret import Secret
from tests.laws import examples
from tests.unit.adapters.kong.specs import CONFIGS, OWNER, PARTIAL, apis, nodes, parts_of

Config = dict[str, Any]

_KINDS = {
    **CONFIGS,
    **PARTIAL,
    "rate_limit": st.fixed_dictionaries({
        "requests": st.integers(1, 9), "window": st.sampled_from(["1m", "1h"]),
        "by": st.sampled_from(["consumer", "ip", "header:X-A"]),
    }),
    "quota": st.fixed_dictionaries({
        "requests": st.integers(1, 9), "period": st.sampled_from(["hour", "day"]),
        "by": st.sampled_from(["consumer", "ip", "header:X-A"]),
    }),
}  # fmt: skip
_SOME = ("api_key", "jwt", "rate_limit", "quota", "headers", "cors")


@st.composite
def any_policies(draw: st.DrawFn) -> dict[str, Config]:
    types = draw(st.lists(st.sampled_from(_SOME), unique=True))
    return {name: draw(_KINDS[name]) for name in types}


def policy_spec(name: str, config: Config) -> Spec:
    return Spec.of({"api": "billing", "type": name, "priority": 100, "config": config})


def found_before(api: Config, policies: dict[str, Config], node: NodeInfo) -> list[Loss]:
    """Return what a plan and `validate` are told, where secrets are references."""
    named = {**api, "backend": dict(api["backend"])}
    if "auth" in named["backend"]:
        reference = {"$secret": "env:ACME_KEY"}
        named["backend"]["auth"] = {**named["backend"]["auth"], "value": reference}
    specs = {name: policy_spec(name, config) for name, config in policies.items()}
    own = [losses(POLICY, spec.value, node) for spec in specs.values()]
    found = [losses(API, named, node), *own, combined_losses(Spec.of(named), specs)]
    return [loss for each in found for loss in each if not loss.is_partial]


@given(apis, any_policies(), nodes)
@examples(300)  # many pairs of six types
def test_what_is_refused_when_it_is_written_was_known_before(
    api: Config, policies: dict[str, Config], node: NodeInfo
) -> None:
    refused = ""
    try:
        compile_api(parts_of(api, policies), node, OWNER)
    except Inexpressible as error:
        refused = str(error)
    assert bool(found_before(api, policies, node)) == bool(refused), refused


LIMIT = {"requests": 5, "window": "1h", "by": "consumer"}
QUOTA = {"requests": 5, "period": "day", "by": "consumer"}
PLAN = {"name": "gold", "perMinute": 5}


@pytest.mark.parametrize(
    ("plans", "policies", "words"),
    [
        ([], {"api_key": {}, "jwt": {}}, "api_key together with jwt"),
        ([PLAN], {"rate_limit": {**LIMIT, "by": "ip"}}, "plans with limits beside a limit"),
        ([], {"rate_limit": LIMIT, "quota": {**QUOTA, "by": "ip"}}, "count by different things"),
        ([], {"rate_limit": LIMIT, "quota": {**QUOTA, "period": "hour"}}, "both count per hour"),
        ([], {"headers": {"request": {"set": {"x-KEY": "1"}, "add": {}, "remove": []}}},
         "headers edits X-Key, which carries the backend's credential"),
    ],
)  # fmt: skip
def test_each_pair_has_its_words(plans: list[Config], policies: Config, words: str) -> None:
    auth = {"in": "header", "name": "X-Key", "value": {"$secret": "env:ACME_KEY"}}
    api = Spec.of({"backend": {"url": "https://a.example", "auth": auth}, "plans": plans})
    specs = {name: policy_spec(name, config) for name, config in policies.items()}
    assert RULES.combined is not None
    (loss,) = RULES.combined(api, specs)
    assert words in loss.message
    assert not loss.is_partial
    assert loss.at[0] == "policies"
    assert loss.at[1] in policies


def test_pairs_that_fit_lose_nothing() -> None:
    api = Spec.of({"backend": {"url": "https://a.example"}, "plans": [PLAN]})
    specs = {name: policy_spec(name, c) for name, c in (("rate_limit", LIMIT), ("quota", QUOTA))}
    assert combined_losses(api, specs) == ()


def test_the_key_of_a_token_is_a_loss_where_its_value_is_known() -> None:
    def application(key: object) -> Config:
        credential = {"type": "jwt", "key": key, "clientId": Secret("https://issuer.example")}
        return {"credentials": [credential], "subscriptions": []}

    assert losses("application", application({"$secret": "env:ACME_PEM"}), None) == ()
    (loss,) = losses("application", application(Secret("{}-the-secret")), None)
    assert loss.at == ("credentials", 0, "key")
    assert "the-secret" not in loss.message


CORS = {"origins": ["https://a.example"], "credentials": False}


@pytest.mark.parametrize(
    ("methods", "is_lost"), [([], False), (["GET"], True), (["GET", "OPTIONS"], False)]
)
def test_that_options_reach_a_backend_for_cors_is_said(
    methods: list[str], *, is_lost: bool
) -> None:
    route = {"path": "/x", "methods": methods, "hosts": [], "stripPath": True}
    api = Spec.of({"backend": {"url": "https://a.example"}, "plans": [], "routes": [route]})
    found = combined_losses(api, {"cors": policy_spec("cors", CORS)})
    assert [loss.is_partial for loss in found] == [True] * is_lost
    assert all("OPTIONS" in loss.message for loss in found)
