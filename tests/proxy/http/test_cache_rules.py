"""Laws of RFC 9111: no head, however odd, makes a shared cache keep what is not for others."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stoa_proxy.http import cache_rules as rules
from stoa_proxy.http.heads import RequestHead, lower_names

from tests.laws import examples

words = st.sampled_from(
    [
        "no-store", "private", "no-cache", "public", "max-age=5", "s-maxage=9", "must-revalidate",
        'private="x, no-store"', "MAX-AGE = 3", "max-age=-1", "max-age=99999999999999999", "=", '"',
        "stale-if-error=7", "",
    ]
)  # fmt: skip
directives = st.lists(words, max_size=4).map(", ".join)
dates = st.sampled_from(["Mon, 01 Jun 2026 00:00:00 GMT", "0", "never", "", "Mon, 99 Jun 2026"])
headers = st.lists(
    st.one_of(
        st.tuples(st.just("Cache-Control"), directives),
        st.tuples(st.sampled_from(["Date", "Expires", "Last-Modified"]), dates | st.text()),
        st.tuples(st.just("Age"), st.sampled_from(["5", "x", "-1", "", "9" * 30])),
        st.tuples(st.just("ETag"), st.sampled_from(['"a"', 'W/"a"', "a"])),
        st.tuples(st.just("Vary"), st.sampled_from(["*", "Accept, *", "a,,b", ""])),
        st.just(("Set-Cookie", "a=1")),
    ),
    max_size=6,
)


@examples(400)
@given(st.integers(100, 599), headers, st.booleans())
@example(200, [("Cache-Control", '"'), ("Cache-Control", '", private')], False)
def test_what_is_kept_is_for_others(
    status: int, found: list[tuple[str, str]], personal: bool
) -> None:
    said = rules.read_directives(rules.values_of(found, "cache-control"))
    if not rules.is_storable(status, found, said, personal=personal):
        return
    text = " ".join(rules.values_of(found, "cache-control")).lower()
    outside = "".join(text.split('"')[::2])
    assert "no-store" not in outside.replace(" ", "").split(",")
    assert "private" not in outside.replace(" ", "").split(",")
    assert not rules.values_of(found, "set-cookie")
    assert all("*" not in value for value in rules.values_of(found, "vary"))
    assert status >= 200
    if personal:
        assert "public" in said or "s-maxage" in said or "must-revalidate" in said


@examples(400)
@given(headers, st.floats(0, 1e6))
def test_lifetimes_are_finite_and_never_negative(
    found: list[tuple[str, str]], usual: float
) -> None:
    said = rules.read_directives(rules.values_of(found, "cache-control"))
    life = rules.lifetime(found, said, usual, 1_780_272_000.0)
    assert 0.0 <= life.fresh < 1e11
    assert 0.0 <= life.age < 1e11
    assert 0.0 <= life.stale_if_error < 1e11
    if "must-revalidate" in said:
        assert life.stale_if_error == 0.0


@examples(300)
@given(st.lists(st.text(max_size=30), max_size=3))
def test_directives_of_any_text_are_read(values: list[str]) -> None:
    found = rules.read_directives(values)
    assert all(name == name.strip().lower() and name for name in found)
    for name in found:
        seconds = rules.seconds_of(found, name)
        assert seconds is not None
        assert 0.0 <= seconds <= 2**31


@examples(200)
@given(headers, headers)
def test_a_304_changes_no_header_of_the_body(
    stored: list[tuple[str, str]], newer: list[tuple[str, str]]
) -> None:
    found = rules.freshened(stored, newer)
    assert rules.values_of(found, "etag") == rules.values_of(stored, "etag")
    for name in ("cache-control", "expires", "date"):
        expected = rules.values_of(newer, name) or rules.values_of(stored, name)
        assert rules.values_of(found, name) == expected


def head_of(*pairs: tuple[str, str], method: str = "GET", has_body: bool = False) -> RequestHead:
    return RequestHead(method, "/", pairs, lower_names(pairs), "192.0.2.1", has_body=has_body)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (head_of(), False),
        (head_of(method="HEAD"), False),
        (head_of(method="POST"), True),
        (head_of(has_body=True), True),
        (head_of(("Range", "bytes=0-")), True),
        (head_of(("X-Rewrite-Url", "/")), True),
    ],
)
def test_requests_that_pass_by(head: RequestHead, expected: bool) -> None:
    assert rules.bypasses(head) is expected
