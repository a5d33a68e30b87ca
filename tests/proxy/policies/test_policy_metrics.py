"""Each type of policy counts what it does, in a number of series that nobody else decides."""

from __future__ import annotations

import re
from typing import Any

import pytest
from stoa_proxy.core.policy import PolicyType
from stoa_proxy.core.policy_states import OutcomeCounts, PolicyStates
from stoa_proxy.policies import POLICIES

from tests.proxy.conftest import Api, FakeClock, Upstream
from tests.structure.repository import ROOT

PAGE = (ROOT / "docs" / "data-plane-admin.md").read_text()
# What the pipeline counts itself, by all its kinds: policies, plans, and those of sidecars.
COUNTED_ELSEWHERE = {"rate_limit": "stoa_rate_limit_hits_total"}
PREFLIGHT = {"Access-Control-Request-Method": "GET"}
PAGE_OF_ANOTHER = {"Origin": "https://other.test"}
PAGE_OF_OURS = {"Origin": "https://app.test"}


async def counts(api: Api, name: str) -> dict[str, float]:
    """The figures of a metric with one label, by its value."""
    text = await (await api.get("/metrics")).text()
    found = re.findall(rf'^{name}\{{\w+="([^"]+)"\}} (\S+)$', text, re.MULTILINE)
    assert found, f"{name} is not served"
    return {value: float(figure) for value, figure in found if float(figure)}


@pytest.mark.parametrize("policy_type", POLICIES.types, ids=lambda one: one.name)
def test_each_type_has_metrics_that_the_page_documents(policy_type: PolicyType) -> None:
    states = PolicyStates(FakeClock())
    names = [one.name for kind in policy_type.states for one in states.of(kind).families()]
    names += [name for kind, name in COUNTED_ELSEWHERE.items() if kind == policy_type.name]
    assert names
    assert [name for name in names if f"`{name}" not in PAGE] == []


@pytest.mark.parametrize("kind", OutcomeCounts.__subclasses__(), ids=lambda one: one.__name__)
def test_what_is_only_explained_counts_for_nobody(kind: type[OutcomeCounts]) -> None:
    states = PolicyStates(FakeClock())
    preview = states.preview().of(kind)
    for outcome in kind.outcomes:
        preview.counts[outcome] += 1
    assert set(states.of(kind).counts.values()) == {0}
    assert preview is not states.of(kind)


async def test_keys_that_are_refused_are_counted_by_what_is_wrong(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("api_key", {})
    await api.consumer("k1")
    for sent in ([], ["k1"], ["no"], ["no"], ["k1", "k1"]):
        await api.get("/a", [("X-API-Key", key) for key in sent])
    found = await counts(api, "stoa_key_refusals_total")
    assert found == {"missing": 1, "unknown": 2, "ambiguous": 1}


async def test_addresses_that_are_refused_are_counted_with_their_preflights(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("cors", {"origins": ["*"]})
    await api.policy("ip_filter", {"deny": ["127.0.0.0/8"]})
    await api.get("/a")
    await api.send("OPTIONS", "/a", PREFLIGHT | PAGE_OF_OURS)
    found = await counts(api, "stoa_ip_filter_refusals_total")
    assert found == {"request": 1, "preflight": 1}


async def test_bodies_that_are_refused_are_counted_by_how_it_was_found(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("request_size", {"max": 2})

    async def streamed() -> Any:
        yield b"abc"

    for body in (b"ab", b"abc", streamed()):
        await api.send("POST", "/a", data=body)
    found = await counts(api, "stoa_request_size_refusals_total")
    assert found == {"announced": 1, "streamed": 1}


async def test_a_mock_that_says_413_is_no_body_that_is_too_large(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("request_size", {"max": 2})
    await api.policy("mock", {"status": 413})
    assert (await api.get("/a")).status == 413
    assert await counts(api, "stoa_request_size_refusals_total") == {}
    assert await counts(api, "stoa_mock_responses_total") == {"4xx": 1}


async def test_preflights_and_responses_are_counted_by_what_their_origin_may(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("cors", {"origins": ["https://app.test"]})
    for origin in (PAGE_OF_OURS, PAGE_OF_ANOTHER, PAGE_OF_ANOTHER, {}):
        await api.get("/a", origin)
    for origin in (PAGE_OF_OURS, PAGE_OF_OURS, PAGE_OF_ANOTHER):
        await api.send("OPTIONS", "/a", PREFLIGHT | origin)
    assert await counts(api, "stoa_cors_responses_total") == {"allowed": 1, "other": 2}
    assert await counts(api, "stoa_cors_preflights_total") == {"allowed": 2, "other": 1}


async def test_heads_are_counted_where_there_is_something_to_edit(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("headers", {"request": {"set": {"X-One": "1"}}, "response": {}})
    await api.get("/a")
    assert await counts(api, "stoa_headers_edited_total") == {"request": 1}
    await api.policy("headers", {"response": {"remove": ["X-One"]}})
    await api.get("/a")
    assert await counts(api, "stoa_headers_edited_total") == {"request": 1, "response": 1}
