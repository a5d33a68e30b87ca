"""Paths that an upstream reads as another route's: no spelling leads around a deeper route."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.backend import Backend
from stoa_proxy.core.exchange import Forward
from stoa_proxy.core.model import Route
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.foundation.clock import SystemClock
from stoa_proxy.http.heads import RequestHead, lower_names
from stoa_proxy.http.targets import read_segments
from stoa_proxy.pipeline.decide import Pipeline

BACKEND = Backend("http", "backend.test", 80, "", "")


def table(*prefixes: str) -> RoutingTable:
    return RoutingTable.from_routes(
        Route(prefix, "n", "acme", prefix, () if prefix == "/" else read_segments(prefix), BACKEND)
        for prefix in prefixes
    )


NESTED = table("/a", "/a/admin")


def decide(target: str, routes: RoutingTable = NESTED) -> str | int:
    """The route that a request is forwarded to, or the status of a refusal."""
    headers = (("Host", "x"),)
    head = RequestHead("GET", target, headers, lower_names(headers), "192.0.2.1")
    decision = Pipeline(SystemClock()).decide(head, routes)
    if isinstance(decision, Respond):
        return decision.status
    assert isinstance(decision, Forward)
    return decision.context.route.id


def escape(text: str, rounds: int, *, upper: bool) -> str:
    for _ in range(rounds):
        text = "".join(f"%{ord(char):02{'X' if upper else 'x'}}" for char in text)
    return text


boundaries = st.one_of(
    st.sampled_from(["/", "//", "///", "/;x/", ";x/", ";/", "/%3Bx/", "%u002f", "%U005C"]),
    st.builds(
        lambda char, rounds, upper: escape(char, rounds, upper=upper),
        st.sampled_from(["/", "\\", ";v=1/", "//"]), st.integers(0, 3), st.booleans(),
    ),
)  # fmt: skip


def spelt(word: str) -> st.SearchStrategy[str]:
    return st.tuples(
        *(
            st.builds(
                lambda rounds, upper, char=char: escape(char, rounds, upper=upper),
                st.integers(0, 2), st.booleans(),
            )
            for char in word
        )
    ).map("".join)  # fmt: skip


@given(boundaries, spelt("admin"), boundaries)
def test_no_spelling_of_a_deeper_path_reaches_the_route_above(
    first: str, word: str, second: str
) -> None:
    assert decide(f"/a{first}{word}{second}x") in ("/a/admin", 400, 404)


@pytest.mark.parametrize(
    "target",
    ["/a//admin", "/a/%2Fadmin", "/a%2Fadmin/x", "/a/;x/admin", "/a/x;/..%2Fadmin", "/a/%5Cadmin",
     "/a\\admin", "/a/%2f%2Fadmin", "/a/%252fadmin", "/a/%2561dmin", "/a/admin;x/y", "/a/admin%3bx",
     "/a/%u0061dmin", "//a/admin", "/%2525252fa%25252fadmin", "/a;v=1/admin"],
)  # fmt: skip
def test_a_path_in_doubt_is_refused_below_an_open_root(target: str) -> None:
    assert decide(target, table("/", "/a", "/a/admin")) == 400


@pytest.mark.parametrize(
    "target",
    ["/a/b//c", "/a/b%2Fc", "/a/b;v=1", "/a/b%5cc", "/a/100%25", "/a/b%252Fc", "/a/%C3%A9", "/a/",
     "/a/administrator;x", "/a/b/admin", "/%61/b", "/a/%zz", "/a//administrators"],
)  # fmt: skip
def test_what_no_other_route_claims_is_forwarded(target: str) -> None:
    assert decide(target) == "/a"


def test_escapes_of_a_route_are_its_own() -> None:
    routes = table("/a", "/a/x", "/a/x%2Fy", "/a/x%2Fy/z")
    assert decide("/a/x%2Fy", routes) == "/a/x%2Fy"
    assert decide("/a/x%2fy/q", routes) == "/a/x%2Fy"
    assert decide("/a/x%2fy//z", routes) == 400
    assert decide("/a/admin/x;y//z") == "/a/admin"


@pytest.mark.parametrize(
    "target",
    ["/a/%252e%252e/b", "/a/%25252E./b", "/a/%u002e%u002e/b", "/a/..%253bx/b", "/a/x%252f..%252f",
     "/a/%f0%80%80%ae./b", "/a/%f0%80%80%af", "/a/%F8%80%80%80%AE", "/a/%fc%80%80%80%80%ae",
     "/a/%25c0%25ae", "/a/%e0%80%af"],
)  # fmt: skip
def test_dots_and_overlong_forms_are_refused_however_they_are_escaped(target: str) -> None:
    assert decide(target) == 400


@given(
    st.text(
        st.characters(
            min_codepoint=0x20, exclude_categories=["Cs", "Cc"], exclude_characters="./;\\%"
        ),
        max_size=8,
    )
)
def test_no_character_in_its_shortest_form_is_overlong(text: str) -> None:
    assert decide("/a/q" + "".join(f"%{byte:02x}" for byte in text.encode())) == "/a"
