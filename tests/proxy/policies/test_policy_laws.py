"""What `api_key`, `headers`, `request_size` and `mock` hold for all configs and requests."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin.store import Store
from stoa_proxy.core.backend import Backend
from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.model import Consumer, PolicyEntry, Route
from stoa_proxy.core.problems import Respond
from stoa_proxy.http.heads import Header, RequestHead, lower_names
from stoa_proxy.pipeline.decide import Pipeline
from stoa_proxy.policies.headers import parse_headers
from stoa_proxy.policies.mock import parse_mock

from tests.laws import examples
from tests.proxy.conftest import FakeClock, policy_body

BACKEND = Backend("http", "backend.test", 80, "", "")
KEYS = ["k1", "k2", "k 3", "ü&=%+#"]
KNOWN = {"k1": "c1", "ü&=%+#": "c2"}
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
NAMES = st.sampled_from(["X-One", "x-one", "X-Two", "Accept", "x-three"])


def request_filter(
    entries: list[tuple[str, dict[str, Any]]],
    headers: tuple[Header, ...] = (),
    query: str = "",
    *,
    has_body: bool = False,
) -> RequestContext | Respond:
    """What an API with these policies makes of a request, up to where a backend is called."""
    store = Store()
    store.put_route(Route("r1", "n", "acme", "r1", ("a",), BACKEND), {})
    for number, (kind, config) in enumerate(entries):
        entry = PolicyEntry(f"p{number}", "n", kind, config, 1, "r1")
        store.put_policy(entry, policy_body(entry.id, "r1", kind, config))
    for key, owner in KNOWN.items():
        digest = hashlib.sha256(key.encode()).hexdigest()
        store.put_consumer(Consumer(owner, "n", "acme", (digest,)), {})
    headers = (("Host", "x"), *headers)
    head = RequestHead(
        "POST" if has_body else "GET", f"/a?{query}" if query else "/a", headers,
        lower_names(headers), "192.0.2.7", has_body=has_body,
    )  # fmt: skip
    found = Pipeline(FakeClock()).request_filter(head, store.table)
    assert isinstance(found, RequestContext | Respond)
    return found


@examples(200)
@given(
    place=st.sampled_from(["header", "query"]),
    hide=st.booleans(),
    sent=st.lists(st.sampled_from(KEYS), max_size=3),
    other=st.sampled_from(KEYS),
)
def test_one_known_key_in_its_place_identifies_and_nothing_else_does(
    place: str, hide: bool, sent: list[str], other: str
) -> None:
    in_query = "&".join(f"key={quote_plus(key)}" for key in sent)
    # What is in the other place counts for nothing.
    if place == "query":
        query, headers = in_query, [("Key", other)]
    else:
        query, headers = f"key={quote_plus(other)}", [("Key", key) for key in sent]
    config = {"in": place, "name": "key", "hide": hide}
    found = request_filter([("api_key", config)], tuple(headers), query)
    if len(sent) > 1:
        assert isinstance(found, Respond)
        assert found.status == 400
    elif sent and sent[0] in KNOWN:
        assert isinstance(found, RequestContext)
        assert found.consumer is not None
        assert found.consumer.id == KNOWN[sent[0]]
        hidden = found.hidden_headers if place == "header" else found.hidden_query
        secret = found.secret_headers if place == "header" else found.secret_query
        assert ("key" in hidden) == hide
        assert "key" in secret
    else:
        assert isinstance(found, Respond)
        assert found.status == 401
        assert any(name == "WWW-Authenticate" for name, _ in found.headers)


EDITS = st.fixed_dictionaries(
    {},
    optional={
        "set": st.dictionaries(NAMES, TEXT.map(str.strip), max_size=3),
        "add": st.dictionaries(NAMES, TEXT.map(str.strip), max_size=3),
        "remove": st.lists(NAMES, max_size=3),
    },
)


@examples(200)
@given(edits=EDITS, sent=st.lists(st.tuples(NAMES, TEXT), max_size=6))
def test_headers_that_no_edit_names_stay_as_they_came_and_in_their_order(
    edits: dict[str, Any], sent: list[Header]
) -> None:
    policy = parse_headers("p", {"response": edits})
    edited = list(sent)
    policy.response.apply(edited)
    gone = {name.lower() for name in (*edits.get("remove", ()), *edits.get("set", ()))}
    kept = [pair for pair in sent if pair[0].lower() not in gone]
    added = [*edits.get("set", {}).items(), *edits.get("add", {}).items()]
    assert edited == [*kept, *added]
    assert policy.request.is_empty
    assert policy.response.is_empty == (edited == sent and not gone)


@examples(200)
@given(bounds=st.lists(st.integers(1, 300), min_size=1, max_size=3), length=st.integers(0, 400))
def test_an_announced_body_passes_if_no_bound_is_smaller_and_one_unannounced_is_bounded(
    bounds: list[int], length: int
) -> None:
    entries = [("request_size", {"max": most}) for most in bounds]
    for headers, size in (((("Content-Length", str(length)),), length), ((), None)):
        found = request_filter(entries, headers, has_body=True)
        if size is not None and size > min(bounds):
            assert isinstance(found, Respond)
            assert found.status == 413
        else:
            assert isinstance(found, RequestContext)
            assert found.max_body == min(bounds)


@examples(200)
@given(
    status=st.integers(200, 599),
    body=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    headers=st.dictionaries(
        st.sampled_from(["Content-Type", "content-type", "X-One"]), TEXT.map(str.strip), max_size=1
    ),
)
def test_a_mock_responds_with_what_its_config_says(
    status: int, body: str, headers: dict[str, str]
) -> None:
    config: dict[str, Any] = {"status": status, "headers": headers, "body": body}
    if body and status in (204, 205, 304):
        with pytest.raises(ValueError, match="has no body"):
            parse_mock("p", config)
        return
    found = request_filter([("mock", config)])
    assert isinstance(found, Respond)
    assert (found.status, found.body) == (status, body.encode())
    names = [name.lower() for name, _ in found.headers]
    assert names.count("content-type") == bool(body or "content-type" in map(str.lower, headers))
    assert set(headers.items()) <= set(found.headers)
