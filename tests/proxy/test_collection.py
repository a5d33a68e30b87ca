"""The lists of the admin API: read back as they were put, whole, and of one moment."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.object_list import Collection
from stoa_proxy.admin.policies_consumers import (
    CONSUMER_WORDS,
    POLICY_WORDS,
    Scope,
    read_consumer,
    read_policy,
)
from stoa_proxy.admin.routes import ROUTE_WORDS, read_route
from stoa_proxy.foundation.address_guard import AddressGuard

from tests.proxy.conftest import TOKEN, Api, policy_body, route_body
from tests.proxy.raw import exchange

SCOPE = Scope()
GUARD = AddressGuard()
IDS = st.sampled_from(["a", "b", "c", "d", "é", '"'])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
VIEWS = st.dictionaries(st.sampled_from(["id", "config", "metadata"]), VALUES)


@given(st.lists(st.tuples(IDS, VIEWS | st.just(None)), max_size=20), st.binary(max_size=5000))
def test_a_collection_reads_back_what_was_put_whatever_it_expects(
    writes: list[tuple[str, dict[str, Any] | None]], words: bytes
) -> None:
    collection, kept, tags = Collection("t", words), dict[str, Any](), set[str]()
    for item_id, view in writes:
        tags.add(collection.etag)
        if view is not None:
            collection.put(item_id, view)
            kept[item_id] = view
        elif item_id in kept:
            collection.drop(item_id)
            del kept[item_id]
        else:
            tags.discard(collection.etag)
            with pytest.raises(KeyError):
                collection.drop(item_id)
        assert collection.etag not in tags
    assert json.loads(b"".join(collection.listing())) == [kept[one] for one in sorted(kept)]
    assert len(collection) == len(kept)
    for item_id in ("a", "b", "c", "d", "é", '"'):
        found = collection.get(item_id)
        assert (found and json.loads(found)) == kept.get(item_id)


def test_a_listing_shows_the_moment_at_which_it_was_asked_for() -> None:
    collection = Collection("t", b"")
    views = [{"id": f"{number:04}", "text": str(number) * 200} for number in range(2000)]
    for view in views:
        collection.put(str(view["id"]), view)
    listing = collection.listing()
    first = next(listing)
    collection.drop("1999")
    collection.put("1998", {"id": "changed"})
    collection.put("0000x", {"id": "0000x"})
    pieces = [first, *listing]
    assert len(pieces) > 2
    assert json.loads(b"".join(pieces)) == views


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 63, 64, 65])
def test_a_listing_is_an_array_wherever_its_pieces_end(count: int) -> None:
    collection = Collection("t", b"")
    views = [{"id": f"{number:03}", "text": "x" * 1002} for number in range(count)]
    for view in views:
        collection.put(view["id"], view)
    assert json.loads(b"".join(collection.listing())) == views


def test_objects_are_expected_with_all_their_fields() -> None:
    auth = {"in": "header", "name": "X-K", "value": "v"}
    plan = {
        "name": "gold",
        "per_second": 1,
        "per_minute": 1,
        "per_day": 1,
        "per_month": 1,
        "burst": 1,
    }
    fields = {"backend_auth": auth, "plans": [plan], "classification": "H", "contract_key": "k"}
    _, view = read_route(Body(route_body("http://b.test", **fields)), GUARD, SCOPE)
    policy = policy_body("p", "a", "cors", {"origins": ["*"]})
    credential = {"type": "api_key", "key_sha256": "0" * 64}
    consumer = {
        "id": "c", "name": "n", "tenant_id": "t", "credentials": [credential],
        "subscriptions": [{"api_id": "a"}],
    }  # fmt: skip
    _, other = read_policy(Body(policy))
    _, third = read_consumer(Body(consumer), SCOPE)
    for one, words in ((view, ROUTE_WORDS), (other, POLICY_WORDS), (third, CONSUMER_WORDS)):
        missing = {name for name in _names(one) if f'"{name}":' not in words.decode()}
        assert missing == set()


def _names(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_names, value.values()))
    return set().union(*map(_names, value)) if isinstance(value, list) else set()


async def test_a_long_list_is_read_whole_with_its_tag_and_has_no_body_for_head(api: Api) -> None:
    for number in range(1000):
        body = policy_body(f"{number:04}", f"a{number}", "mock", {"body": "x" * 300})
        api.gateway.store.put_policy(*read_policy(Body(body)))
    answer = await api.admin("GET", "/admin/policies")
    found = await answer.json()
    assert [one["id"] for one in found] == [f"{number:04}" for number in range(1000)]
    assert answer.content_type == "application/json"
    tag = answer.headers["ETag"]
    again = await api.admin("GET", "/admin/policies", headers={"If-None-Match": tag})
    assert again.status == 304
    asked = f"HEAD /admin/policies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    head = await exchange(api.gateway.port, asked.encode() + b"Connection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert tag.encode() in head
    assert head.partition(b"\r\n\r\n")[2] == b""


@pytest.mark.parametrize(
    "metadata",
    [
        '{"x": 1e400}',
        '{"x": [-1e400]}',
        '{"x": Infinity}',
        '{"x": "\\ud800"}',
        '{"\\udc00": 1}',
        '{"x": %s}' % ("[" * 200 + "]" * 200),
        '{"x": %s}' % ('{"x":' * 950 + "1" + "}" * 950),
    ],
    ids=lambda text: text[:20],
)
async def test_what_could_not_be_read_back_is_refused_and_the_list_stays_json(
    api: Api, metadata: str
) -> None:
    await api.route("http://example.com")
    body = (
        json.dumps(route_body("http://example.com", id="r2"))[:-1] + f', "metadata": {metadata}}}'
    )
    sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    answer = await api.send("POST", "/admin/apis", sent, data=body.encode())
    assert answer.status == 400
    assert "Failed to parse the request body as JSON" in await answer.text()
    listed = await api.admin("GET", "/admin/apis")
    assert [one["id"] for one in json.loads(await listed.text())] == ["r1"]


async def test_values_of_every_kind_are_read_back_as_they_were_sent(api: Api) -> None:
    metadata = {
        "whole": 1234567890123456789012345678901234567890, "real": -0.1, "zero": -0.0, "one": 1.0,
        "small": 5e-324, "large": 1.7976931348623157e308, "text": "é😀\u2028\x00\\\"",
        "deep": [[[[{"": [None, True, False]}]]]], "": {"é": ""},
    }  # fmt: skip
    await api.route("http://example.com", metadata=metadata)
    listed = json.loads(await (await api.admin("GET", "/admin/apis")).text())
    assert repr(listed[0]["metadata"]) == repr(metadata)
