"""What is learned from paths: words stay, values go, whatever callers send."""

from __future__ import annotations

import json
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.http.heads import RequestHead, lower_names
from stoa_proxy.shadow.learner import MAX_HOSTS, MAX_PLACES, Learner, Observation, Place
from stoa_proxy.shadow.observing import observe
from stoa_proxy.shadow.proposals import Proposal, propose
from stoa_proxy.shadow.saved import dump, load
from stoa_proxy.shadow.segments import is_parameter, value_kind

HOST = "api.acme.test"


def head(target: str, method: str = "GET", **headers: str) -> RequestHead:
    pairs = (("Host", HOST), *((name.replace("_", "-"), text) for name, text in headers.items()))
    return RequestHead(method, target, pairs, lower_names(pairs), "192.0.2.1")


def learn(learner: Learner, target: str, method: str = "GET", **headers: str) -> bool:
    seen = observe(head(target, method, **headers))
    return seen is not None and learner.note(seen)


def proposal(learner: Learner) -> Proposal:
    return propose("api", HOST, learner.hosts[HOST], "acme", None)


def paths(learner: Learner) -> dict[str, list[str]]:
    found = json.loads(proposal(learner).openapi)["paths"]
    return {path: [key for key in item if key != "parameters"] for path, item in found.items()}


@pytest.mark.parametrize(
    ("segment", "kind"),
    [
        ("42", "integer"), ("007", "integer"), ("2026-01-31", "date"),
        ("0b7e6f2e-6f0c-4c1e-9a51-3a3a0f2b7a10", "uuid"), ("deadbeefcafe", "string"),
        ("user42", "string"), ("alice@example.com", "string"), ("AB-4711", "string"),
        ("eyJhbGciOiJIUzI1NiJ9", "string"), ("QmFzZVNpeHR5Rm91cg", "string"), ("\u00e9", "string"),
        ("sk_live_51H8xY", "string"), ("a b", "string"), ("\u0664\u0662", "string"), ("", "string"),
        ("XKQJWPZMBTRALOPQ", "string"), ("abcdefghijklmnopqrst", "string"),
        ("orders", None), ("line-items", None),
        ("rechtsschutz", None), ("xmlrpc", None),
        ("order_lines", None), ("v1", None), ("v2.1", None),
        ("oauth2", None), ("openapi.json", None), ("getUserName", None), ("API", None),
    ],
)  # fmt: skip
def test_words_and_values_are_told_apart(segment: str, kind: str | None) -> None:
    assert value_kind(segment) == kind


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("page", True), ("filter[name]", True), ("sort_by", True), ("_embed", True), ("x.y", True),
        ("ids[]", True), ("deadbeefcafe", False), ("a" * 41, False), ("4711", False),
        ("eyJhbGciOiJIUzI1NiJ9", False), ("alice@example.com", False), ("tok123456", False),
    ],
)  # fmt: skip
def test_names_of_parameters_are_told_from_values(name: str, is_one: bool) -> None:
    assert is_parameter(name) is is_one


def test_values_become_parameters() -> None:
    learner = Learner()
    for number in range(20):
        learn(learner, "/v1/orders")
        learn(learner, f"/v1/orders/{number}")
        learn(learner, f"/v1/orders/{number}/lines/A-{number}", "DELETE")
        learn(learner, "/v1/orders", "POST", content_type="application/json; charset=utf-8")
        learn(learner, "/v1/orders/me")
    assert paths(learner) == {
        "/v1/orders": ["get", "post"],
        "/v1/orders/me": ["get"],
        "/v1/orders/{orderId}": ["get"],
        "/v1/orders/{orderId}/lines/{lineId}": ["delete"],
    }


def test_words_that_come_in_numbers_and_look_alike_are_values() -> None:
    learner = Learner()
    words = ["".join(pair) + "name" for pair in zip(string.ascii_lowercase, "b" * 26, strict=True)]
    for word in words:
        for _ in range(3):
            learn(learner, f"/users/{word}/avatar")
        learn(learner, "/users/search", "POST")
    assert paths(learner) == {"/users/search": ["post"], "/users/{userId}/avatar": ["get"]}
    assert not any(word in proposal(learner).openapi for word in words)


def test_few_words_stay_words() -> None:
    learner = Learner()
    for word in ("daily", "weekly", "monthly"):
        for _ in range(2):
            learn(learner, f"/reports/{word}")
    assert set(paths(learner)) == {"/reports/daily", "/reports/weekly", "/reports/monthly"}


def test_what_is_seen_once_is_not_proposed_but_told() -> None:
    learner = Learner()
    learn(learner, "/orders")
    learn(learner, "/orders")
    learn(learner, "/wp-login.php")
    assert paths(learner) == {"/orders": ["get"]}
    assert proposal(learner).rare == 1


def test_what_callers_of_an_operation_send_is_told_by_name() -> None:
    learner = Learner()
    for number in range(4):
        names = "page=1&filter[city]=Bonn" + ("&debug=1" if number else "")
        learn(learner, f"/orders?{names}&s3cr3tValue&=x", authorization="Bearer s3cr3t.a.b")
    (operation,) = (one["get"] for one in json.loads(proposal(learner).openapi)["paths"].values())
    required = {one["name"]: one["required"] for one in operation["parameters"]}
    assert required == {"page": True, "filter[city]": True, "debug": False}
    assert operation["security"] == [{"bearer": []}]
    assert operation["responses"] == {"default": {"description": "Not observed."}}


def test_statuses_are_told_and_what_is_not_there_is_not_learned() -> None:
    learner = Learner()
    for status in (201, 201, 422, 404, 405):
        learner.note(
            Observation(HOST, "POST", ("orders",), response_type="application/json", status=status)
        )
    responses = json.loads(proposal(learner).openapi)["paths"]["/orders"]["post"]["responses"]
    assert {status: one["description"] for status, one in responses.items()} == {
        "201": "Seen 2 times.", "422": "Seen 1 times.",
    }  # fmt: skip
    assert "content" in responses["201"]
    assert "content" not in responses["422"]
    assert learner.ignored == 2


@pytest.mark.parametrize(
    "target", ["/a/../b", "/%00", "*", "/" + "x/" * 20, "http://a.test/\u00e9"]
)
def test_what_is_no_request_for_an_endpoint_teaches_nothing(target: str) -> None:
    assert not learn(Learner(), target)


def test_preflights_teach_nothing() -> None:
    assert not learn(Learner(), "/orders", "OPTIONS")
    assert not learn(Learner(), "/orders", "PURGE")


def test_a_mirror_of_envoy_is_the_same_host() -> None:
    pairs = (("Host", f"{HOST}-shadow:8080"),)
    seen = observe(RequestHead("GET", "/a", pairs, lower_names(pairs), "192.0.2.1"))
    assert seen is not None
    assert seen.host == HOST


# Whoever sends what he likes.


def test_memory_is_bounded_and_what_is_known_stays() -> None:
    learner = Learner()
    chance = random.Random(7)

    def word() -> str:
        return "".join(chance.choices(string.ascii_lowercase, k=8))

    for _ in range(50):
        learn(learner, "/v1/orders/1/lines")
        learn(learner, "/v1/orders", "POST")
    for number in range(5_000):
        learn(learner, "/" + "/".join(word() for _ in range(chance.randint(1, 8))))
        seen = Observation(f"{word()}.test", "GET", (word(),), (word(),), f"text/{word()}")
        learner.note(seen)
        if number % 1000 == 0:
            assert learner.places <= MAX_PLACES
    assert len(learner.hosts) <= MAX_HOSTS
    assert learner.places == sum(map(len, learner.hosts.values()))
    found = paths(learner)
    assert found["/v1/orders"] == ["post"]
    assert found["/v1/orders/{orderId}/lines"] == ["get"]


def test_names_and_types_of_an_operation_are_bounded() -> None:
    learner = Learner()
    for number in range(500):
        name = "p" + "".join(chr(97 + int(digit)) for digit in str(number))
        learner.note(Observation(HOST, "POST", ("a",), (name,), f"text/{name}", status=200))
    operation = learner.hosts[HOST].words["a"].operations["POST"]
    assert len(operation.names) <= 32
    assert len(operation.request_types) <= 8


SECRETS = st.text(string.ascii_letters + string.digits, min_size=6, max_size=30).filter(
    lambda text: any(one.isdigit() for one in text[1:-1]) and not text[0].isdigit()
)


@given(SECRETS, SECRETS, SECRETS, st.booleans())
def test_no_value_is_ever_kept(path: str, query: str, key: str, is_scheme: bool) -> None:
    learner = Learner()
    authorization = f"{'Bearer ' if is_scheme else ''}{key}"
    target = f"/orders/x{path}x/lines?page={query}&x{query}x"
    for _ in range(3):
        learn(learner, target, "POST", authorization=authorization, x_api_key=f"k{key}",
              cookie=key, content_type=f"application/json; boundary={key}")  # fmt: skip
    found = proposal(learner)
    for text in (found.openapi, found.document, dump(learner).decode()):
        for secret in (path, query, key):
            assert secret not in text


names = st.sampled_from(["orders", "lines", "v1", "4711", "0b7e6f2e", "me", "\u00e9", "a b"])
observations = st.builds(
    Observation,
    st.sampled_from(["a.test", "b.test"]), st.sampled_from(["GET", "POST", "OPTIONS"]),
    st.lists(names, max_size=5).map(tuple), st.lists(st.sampled_from(["page", "q"])).map(tuple),
    st.sampled_from(["", "application/json"]), st.sampled_from(["", "text/plain"]),
    st.sampled_from(["", "bearer"]), st.sampled_from([None, 200, 204, 404, 500]),
)  # fmt: skip


@given(st.lists(observations, max_size=60))
def test_what_is_saved_is_what_is_known(seen: list[Observation]) -> None:
    learner, later = Learner(), Learner()
    for one in seen:
        learner.note(one)
    load(later, dump(learner))
    assert later.hosts == learner.hosts
    assert (later.observed, later.places) == (learner.observed, learner.places)
    assert learner.observed + learner.ignored == len(seen)


@given(st.lists(observations, max_size=60))
def test_a_merge_loses_no_request(seen: list[Observation]) -> None:
    learner = Learner()
    for one in seen:
        learner.note(one)
    for place in learner.hosts.values():
        before = _requests(place)
        place.take_as_values(list(place.words))
        assert _requests(place) == before
        assert not place.words


def _requests(place: Place) -> int:
    own = sum(operation.requests for operation in place.operations.values())
    return own + sum(_requests(below) for below in place.places())


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"version":2}', b'{"version":1,"observed":1,"hosts":{"a":{}}}',
     b'{"version":1,"observed":1,"hosts":[]}', b'{"version":1,"observed":1,"hosts":{"a":'
     + b'{"requests":1,"kinds":{},"parameter":' * 60 + b"1" + b"}" * 60 + b"}}"],
)  # fmt: skip
def test_what_is_damaged_is_not_loaded(content: bytes) -> None:
    learner = Learner()
    with pytest.raises(ValueError):
        load(learner, content)
    assert not learner.hosts
