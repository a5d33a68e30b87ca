"""What holds for every object that webMethods can hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stoa_gitops.adapters.webmethods.entities.actions import STAGES, differences, leaf
from stoa_gitops.adapters.webmethods.entities.marks import Mark, read_mark, without_mark
from stoa_gitops.adapters.webmethods.entities.parts import ApiParts, GatewayInfo
from stoa_gitops.adapters.webmethods.entities.templates import TEMPLATES, schema_of
from stoa_gitops.adapters.webmethods.mapping.apis import ApiContext, compile_api
from stoa_gitops.adapters.webmethods.mapping.limits import rate_of, window_of
from stoa_gitops.adapters.webmethods.mapping.losses import Inexpressible
from stoa_gitops.adapters.webmethods.mapping.routes import find_overlapping
from stoa_gitops.adapters.webmethods.mapping.rules import losses, stored_spec
from stoa_gitops.model.canonical import canonical_duration, duration_ms
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.redaction import reveal
from stoa_gitops.model.secret import Secret
from tests.contract.rig import api

INFO = GatewayInfo()
BILLING = Key(API, "acme", "billing")
VALIDATORS = {name: Draft202012Validator(schema_of(name)) for name in TEMPLATES}

words = st.from_regex(r"[A-Za-z0-9-]{1,8}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
durations = st.integers(1, 10**9).map(lambda ms: canonical_duration(f"{ms}ms"))
counts = st.integers(1, 10**6)


def sets(items: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, unique=True, min_size=least, max_size=3).map(sorted)


edits = st.fixed_dictionaries({
    "set": st.dictionaries(words, texts, max_size=2), "add": st.just({}), "remove": sets(words),
})  # fmt: skip
CONFIGS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "api_key": st.fixed_dictionaries(
        {"in": st.just("header"), "name": st.just("x-Gateway-APIKey"), "hide": st.booleans()}
    ),
    "cors": st.fixed_dictionaries(
        {"origins": sets(words, 1), "credentials": st.booleans()},
        optional={"methods": sets(st.sampled_from(["GET", "PUT"]), 1), "headers": sets(words),
                  "exposeHeaders": sets(words), "maxAge": durations},
    ),
    "headers": st.fixed_dictionaries({}, optional={"request": edits, "response": edits}),
    "jwt": st.fixed_dictionaries({
        "issuer": words, "jwksUri": st.just("https://id.example/keys"), "clockSkew": durations,
        "audiences": st.just([]), "requiredClaims": st.just({}), "forwardClaims": st.just({}),
    }),
    "logging": st.fixed_dictionaries(
        {"sinks": st.just([]), "payloads": st.booleans(), "redact": st.just([])}
    ),
    "quota": st.fixed_dictionaries({
        "requests": counts, "period": st.sampled_from(["hour", "day", "week", "month"]),
        "by": st.just("consumer"),
    }),
    "rate_limit": st.fixed_dictionaries(
        {"requests": counts, "window": durations, "by": st.just("consumer")}
    ),
}  # fmt: skip
plans = st.lists(
    st.fixed_dictionaries(
        {"name": st.from_regex(r"[a-z]{1,6}", fullmatch=True)},
        optional=dict.fromkeys(("perSecond", "perMinute", "perDay", "perMonth"), counts),
    ),
    max_size=2, unique_by=lambda plan: plan["name"],
)  # fmt: skip


@st.composite
def compiled(draw: st.DrawFn) -> Any:
    types = draw(st.lists(st.sampled_from(sorted(CONFIGS)), unique=True))
    configs = {}
    for name in types:
        spec = {"api": "billing", "type": name, "config": draw(CONFIGS[name])}
        if not any(not loss.is_partial for loss in losses(POLICY, spec, INFO)):
            configs[name] = stored_spec(POLICY, spec)["config"]
    backend = {"url": "https://b.example/v2", "timeout": draw(durations), "retries": 0}
    if draw(st.booleans()):
        backend["auth"] = {"in": "header", "name": "X-Key", "value": Secret("s3cret")}
    wanted = draw(plans)
    spec = stored_spec(API, api("billing", backend=backend, plans=wanted))
    consumers = {plan["name"]: ("one", "two") for plan in wanted}
    return compile_api(ApiParts(BILLING, spec, configs), INFO, "default", ApiContext(consumers))


@given(compiled())
def test_every_action_fits_the_schema_of_its_template(found: Any) -> None:
    for action in found.actions:
        body: Any = reveal(action.body("mark"), [])["policyAction"]
        VALIDATORS[action.template].validate(body["parameters"])
    stages = [STAGES.index(action.stage) for action in found.actions]
    assert stages == sorted(stages)
    singles = ("evaluatePolicy", "cors", "entryProtocolPolicy", "straightThroughRouting")
    templates = [action.template for action in found.actions]
    assert all(templates.count(one) <= 1 for one in singles)
    # `throttle` needs a caller that was identified.
    assert "throttle" not in templates or "evaluatePolicy" in templates


@given(compiled())
def test_an_action_differs_from_another_and_not_from_itself(found: Any) -> None:
    for action in found.actions:
        body: Any = reveal(action.body(""), [])["policyAction"]["parameters"]
        assert list(differences(action.parameters, body, "")) == []
        assert list(differences(action.parameters, [*body, leaf("more", "x")], ""))
        assert list(differences(action.parameters, body[1:], ""))


@pytest.mark.parametrize(
    "parameters",
    [
        [],
        [leaf("protocol", "ftp")],
        [leaf("protocol", "http"), leaf("protocol", "https")],
        [{"templateKey": "protocol", "values": [True]}],
        [leaf("protocol", "http"), leaf("more", "x")],
    ],
)
def test_a_schema_refuses_what_the_gateway_would(parameters: list[Any]) -> None:
    assert not VALIDATORS["entryProtocolPolicy"].is_valid(parameters)


@given(compiled())
def test_no_mark_and_no_memory_has_a_secret(found: Any) -> None:
    assert "s3cret" not in found.memory
    assert "s3cret" not in str(found.body)


@given(texts, st.dictionaries(words.map(str.lower).filter(str.isalpha), words, max_size=2))
def test_a_description_keeps_its_text_and_its_mark(text: str, further: dict[str, str]) -> None:
    mark = Mark("default", BILLING, tuple(further.items()))
    held = mark.below(text)
    assert read_mark(held) == mark
    assert without_mark(held) == text


@given(counts, durations)
def test_a_rate_is_never_higher_than_it_was_asked_for(requests: int, window: str) -> None:
    number, interval, unit = rate_of(requests, window)
    scaled = window_of(interval, unit)
    asked = requests / duration_ms(window)
    assert number == 1 or number / duration_ms(scaled) <= asked * 1.000001


@given(st.lists(st.from_regex(r"[ab/]{1,5}", fullmatch=True), unique=True, max_size=6), st.data())
def test_an_overlap_is_found_wherever_there_is_one(aliases: list[str], data: Any) -> None:
    one = data.draw(st.from_regex(r"[ab/]{1,5}", fullmatch=True))
    others = sorted(set(aliases) | {one})
    expected = {
        other
        for other in others
        if other != one and (other.startswith(one) or one.startswith(other))
    }
    found = find_overlapping(one, others)
    assert (found in expected) if expected else found == ""


@given(st.text(min_size=1, max_size=6))
def test_a_version_that_is_no_part_of_a_path_is_refused(version: str) -> None:
    spec = stored_spec(API, api("billing", version=version))
    is_plain = version.isascii() and all(c.isalnum() or c in "._-" for c in version)
    if is_plain:
        compile_api(ApiParts(BILLING, spec), INFO, "default")
    else:
        with pytest.raises(Inexpressible, match="version"):
            compile_api(ApiParts(BILLING, spec), INFO, "default")
