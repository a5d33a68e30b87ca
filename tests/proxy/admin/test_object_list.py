"""The lists of the admin API: read back as they were put, whole, and of one moment."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.object_list import ObjectList
from stoa_proxy.admin.policies import parse_policy_object
from stoa_proxy.policies import POLICIES

from tests.proxy.conftest import TOKEN, Api, policy_body, route_body
from tests.proxy.raw import exchange

IDS = st.sampled_from(["a", "b", "c", "d", "é", '"'])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
VIEWS = st.dictionaries(st.sampled_from(["id", "config", "metadata"]), VALUES)


@given(st.lists(st.tuples(IDS, VIEWS | st.just(None)), max_size=20))
def test_a_list_reads_back_what_was_put(
    writes: list[tuple[str, dict[str, Any] | None]],
) -> None:
    objects, kept, tags = ObjectList("t"), dict[str, Any](), set[str]()
    for item_id, view in writes:
        tags.add(objects.etag)
        if view is not None:
            objects.put(item_id, view)
            kept[item_id] = view
        elif item_id in kept:
            objects.remove(item_id)
            del kept[item_id]
        else:
            tags.discard(objects.etag)
            with pytest.raises(KeyError):
                objects.remove(item_id)
        assert objects.etag not in tags
    assert json.loads(b"".join(objects.stream_json())) == [kept[one] for one in sorted(kept)]
    assert len(objects) == len(kept)
    for item_id in ("a", "b", "c", "d", "é", '"'):
        found = objects.get(item_id)
        assert (found and json.loads(found)) == kept.get(item_id)


def test_a_streamed_list_is_a_snapshot_of_the_moment_of_the_request() -> None:
    objects = ObjectList("t")
    views = [{"id": f"{number:04}", "text": str(number) * 200} for number in range(2000)]
    for view in views:
        objects.put(str(view["id"]), view)
    streamed = objects.stream_json()
    first = next(streamed)
    objects.remove("1999")
    objects.put("1998", {"id": "changed"})
    objects.put("0000x", {"id": "0000x"})
    pieces = [first, *streamed]
    assert len(pieces) > 2
    assert json.loads(b"".join(pieces)) == views


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 63, 64, 65])
def test_a_listing_is_an_array_wherever_its_pieces_end(count: int) -> None:
    objects = ObjectList("t")
    views = [{"id": f"{number:03}", "text": "x" * 1002} for number in range(count)]
    for view in views:
        objects.put(view["id"], view)
    assert json.loads(b"".join(objects.stream_json())) == views


async def test_a_long_list_is_read_whole_with_its_tag_and_has_no_body_for_head(api: Api) -> None:
    for number in range(1000):
        body = policy_body(f"{number:04}", f"a{number}", "mock", {"body": "x" * 300})
        api.gateway.store.put_policy(*parse_policy_object(Body(body), POLICIES))
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
