"""Laws of tokens: whatever is sent is refused by a sentence, and only the issuer's word passes."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.tokens.claims import ClaimRules, client_of
from stoa_proxy.tokens.keys import ALGORITHMS, KeysInvalid, parse_key_set
from stoa_proxy.tokens.signatures import TokenRefused, read_token, select_keys, verify

from tests.laws import examples
from tests.proxy.conftest import FakeClock
from tests.proxy.tokens.issuer import ISSUER, jwk, make_token

CLOCK = FakeClock()
TOKEN = make_token(CLOCK)
KEYS = parse_key_set(json.dumps({"keys": [jwk("ES256", "k1")]}).encode())
RULES = ClaimRules(ISSUER, frozenset(), (("plan", ("gold", 1)),), 0.0)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def passes(text: str) -> bool:
    try:
        token = read_token(text)
        verify(token, select_keys(token, KEYS))
    except TokenRefused:
        return False
    return True


def test_the_token_of_the_laws_is_a_good_one() -> None:
    assert passes(TOKEN)


@examples(400)
@given(st.integers(0, len(TOKEN) - 1), st.sampled_from("AQgw059_-.=+ \u00e9"))
def test_no_other_letter_in_a_token_leaves_it_good(at: int, letter: str) -> None:
    changed = TOKEN[:at] + letter + TOKEN[at + 1 :]
    # The last letters of base64 have bits that belong to no byte: some changes change nothing.
    ends = {len(TOKEN) - 1, TOKEN.index(".") - 1, TOKEN.rindex(".") - 1}
    if changed != TOKEN and at not in ends:
        assert not passes(changed)


@examples(400)
@given(st.text() | st.lists(st.binary(max_size=40).map(urlsafe_b64encode), max_size=5).map(
    lambda parts: b".".join(parts).decode().replace("=", "")
))  # fmt: skip
def test_whatever_is_sent_for_a_token_is_refused_by_a_sentence(text: str) -> None:
    assert not passes(text)


@examples(300)
@given(st.dictionaries(st.sampled_from(["alg", "kid", "crit", "typ", "x"]), json_values))
def test_a_head_says_an_accepted_algorithm_or_the_token_is_not_read(header: Any) -> None:
    part = urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    try:
        token = read_token(f"{part}.e30.AA")
    except TokenRefused:
        return
    assert token.algorithm in ALGORITHMS
    assert "crit" not in header


@examples(300)
@given(
    st.dictionaries(
        st.sampled_from(["iss", "exp", "nbf", "aud", "plan", "azp", "client_id"]), json_values
    )
)
def test_claims_of_any_shape_are_checked_without_an_exception(claims: Any) -> None:
    client = client_of(claims)
    assert client is None or isinstance(client, str)
    try:
        RULES.check(claims, 1_000_000.0)
    except TokenRefused:
        return
    assert claims["iss"] == ISSUER
    assert claims["exp"] > 1_000_000


@examples(300)
@given(json_values | st.builds(lambda keys: {"keys": keys}, st.lists(st.one_of(
    json_values,
    st.dictionaries(
        st.sampled_from(["kty", "crv", "alg", "use", "key_ops", "kid", "n", "e", "x", "y", "d"]),
        json_values | st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB"]),
    ),
), max_size=3)))  # fmt: skip
def test_a_key_set_of_any_shape_has_usable_keys_or_is_refused(value: Any) -> None:
    try:
        keys = parse_key_set(json.dumps(value).encode())
    except KeysInvalid:
        return
    assert all(key.algorithms <= set(ALGORITHMS) for key in keys)


@pytest.mark.parametrize("size", [16 * 1024 + 1, 100_000])
def test_a_token_that_is_too_long_is_not_even_read(size: int) -> None:
    head = TOKEN.partition(".")[0]
    with pytest.raises(TokenRefused):
        read_token(f"{head}.{'A' * size}.AA")
