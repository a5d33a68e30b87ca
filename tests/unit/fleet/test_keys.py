"""Keys of gateways: which are live, for which environment, and what is said of others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.fleet.keys import SHORT, GatewayKeys, new_key

LONG = "k" * SHORT
keys = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","), min_size=1
)


@given(st.lists(keys, unique=True), keys)
def test_live_keys_are_found_and_no_others(live: list[str], other: str) -> None:
    parsed = GatewayKeys.parse(",".join(live))
    assert len(parsed) == len(live)
    for key in live:
        assert parsed.find(key) is not None
    assert (parsed.find(other) is None) is (other not in live)


@pytest.mark.parametrize(
    ("key", "environment"),
    [
        ("gw_prod_key_abc123", "prod"),
        ("gw_production_x", "prod"),
        ("gw_staging_key_xyz789", "staging"),
        (f"gw_qa_{LONG}", "qa"),
        ("gw_your_key", None),
        ("gw_your_key_here", None),
        ("gw_prod_", None),
        ("gw__x", None),
        ("prod_key", None),
        (LONG, None),
    ],
)
def test_the_environment_of_a_key(key: str, environment: str | None) -> None:
    (found,) = GatewayKeys.parse(key)
    assert found.environment == environment


def test_a_bound_key_is_for_any_spelling_of_its_environment() -> None:
    (key,) = GatewayKeys.parse(f"gw_prod_{LONG}")
    assert [key.is_for(one) for one in ("prod", "PRODUCTION", "dev")] == [True, True, False]


@pytest.mark.parametrize("environment", ["dev", "production", "eu-west", "qa"])
def test_a_new_key_is_bound_to_its_environment(environment: str) -> None:
    (key,) = GatewayKeys.parse(new_key(environment, LONG))
    assert key.is_for(environment)
    assert not key.is_for("other")
    assert GatewayKeys.parse(new_key(environment, LONG)).problems == ()


@pytest.mark.parametrize(
    "text", [f"{LONG}a, {LONG}b", f"{LONG}a\n{LONG}b\n", f"\ufeff{LONG}a,\r\n,{LONG}b,"]
)
def test_commas_and_lines_separate(text: str) -> None:
    parsed = GatewayKeys.parse(text)
    assert [parsed.find(LONG + end) is not None for end in "ab"] == [True, True]
    assert parsed.problems == ()


@pytest.mark.parametrize("text", ["", " , ,\n", "\ufeff"])
def test_no_key_is_no_key(text: str) -> None:
    parsed = GatewayKeys.parse(text)
    assert len(parsed) == 0
    assert parsed.find("") is None


@pytest.mark.parametrize("odd", ["with blank", "ümlaut", "nul\x00", "del\x7f"])
def test_a_key_that_no_header_can_carry_is_named_by_its_position(odd: str) -> None:
    parsed = GatewayKeys.parse(f"{LONG},{odd}")
    assert len(parsed) == 1
    assert len(parsed.problems) == 1
    assert "key 2 " in parsed.problems[0]
    assert odd not in parsed.problems[0]


def test_a_short_key_is_warned_of_and_live() -> None:
    parsed = GatewayKeys.parse("short")
    assert parsed.find("short") is not None
    assert parsed.problems == ("key 1 has 5 characters: `gateways new-key` makes longer ones",)


def test_the_same_key_twice_is_one() -> None:
    assert len(GatewayKeys.parse(f"{LONG},{LONG}")) == 1


def test_neither_a_key_nor_its_hash_is_shown() -> None:
    (key,) = GatewayKeys.parse(LONG)
    assert LONG not in repr(key)
    assert key.digest.hex() not in repr(key)
    assert str(key.digest) not in repr(key)
