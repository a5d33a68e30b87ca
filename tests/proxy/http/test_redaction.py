"""What is shown of requests holds no credential."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.http.redaction import REDACTED, scrub, scrub_path, shown_headers, shown_query

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9Pl"
TOKENS = st.text("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=24)


@pytest.mark.parametrize(
    "text",
    [
        "text/html, application/json;q=0.9", "curl/8.5.0",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "application/vnd.company.orders-v2+json", "Mon, 30 Nov 2026 14:43:46 GMT",
        "customer-orders-of-all-regions-2024", "no-cache, no-store, must-revalidate",
    ],
)  # fmt: skip
def test_usual_values_are_shown_as_they_are(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize(
    "text",
    [
        JWT, "550e8400-e29b-41d4-a716-446655440000", "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "d41d8cd98f00b204e9800998ecf8427e", "abcdefghijklmnopqrstuvwxyzabcdefghijkl",
    ],
)  # fmt: skip
def test_what_looks_like_a_token_is_not(text: str) -> None:
    for shown in (scrub(f"a {text} b"), scrub_path(f"/a/{text}/b")):
        assert text not in shown
        assert REDACTED in shown


def test_queries_users_and_schemes_are_not_shown() -> None:
    assert scrub("https://u:p@h/x?k=1 next") == f"https://{REDACTED}@h/x?{REDACTED} next"
    assert scrub("Basic dTpw") == f"Basic {REDACTED}"


@given(TOKENS, st.sampled_from(["Authorization", "X-Any", "Cookie", "X-API-Key"]))
def test_no_token_is_shown_whatever_carries_it(token: str, name: str) -> None:
    token = f"{token}7a"
    shown = json.dumps(shown_headers([(name, token)], (), most=8, longest=200))
    assert token not in shown
    assert token not in shown_query(f"a={token}&{token}&{token}=1", longest=500)


def test_headers_of_policies_are_hidden_and_all_is_bounded() -> None:
    headers = [("X-Team", "short"), ("X-Plain", "value"), *[("X-More", "a " * 500)] * 9]
    shown = shown_headers(headers, {"x-team"}, most=4, longest=50)
    assert shown[:2] == [["X-Team", REDACTED], ["X-Plain", "value"]]
    assert len(shown) == 4
    assert all(len(value) <= 50 for _, value in shown)


def test_a_query_keeps_the_names_of_its_parameters() -> None:
    assert shown_query("q=x&page=2&flag", longest=200) == f"q={REDACTED}&page={REDACTED}&{REDACTED}"
