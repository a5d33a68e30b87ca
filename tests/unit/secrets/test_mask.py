"""Known secrets never come back in a vendor's words."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.model.secret import Secret
from stoa_gitops.secrets import masked

ODD = 'p/ä+s "w\\ö=rd'


@pytest.mark.parametrize(
    "spelled",
    [
        ODD,
        json.dumps(ODD),
        json.dumps(ODD, ensure_ascii=False),
        repr(ODD),
        quote(ODD),
        quote(ODD, safe=""),
        quote_plus(ODD),
        base64.b64encode(ODD.encode()).decode(),
        base64.urlsafe_b64encode(ODD.encode()).decode().rstrip("="),
    ],
)
def test_every_spelling_of_a_secret_is_masked(spelled: str) -> None:
    said = masked(f"invalid value {spelled} given", [Secret(ODD)])
    assert spelled.strip("\"'=") not in said
    assert said.startswith("invalid value ")
    assert "***" in said


def test_a_secret_within_a_longer_one_does_not_leave_its_rest() -> None:
    assert masked("hunter2-extra", [Secret("hunter2"), Secret("hunter2-extra")]) == "***"


def test_a_short_secret_is_masked_as_a_word_only() -> None:
    assert masked("pin 42 in 1420", [Secret("42")]) == "pin *** in 1420"


def test_the_lines_of_a_longer_secret_are_masked_one_by_one() -> None:
    pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n-----END KEY-----"
    assert masked("bad line MIIEvQIBADANBgkqhkiG", [Secret(pem)]) == "bad line ***"


def test_without_secrets_a_text_stays_as_it_is() -> None:
    assert masked("said no", []) == "said no"
    assert masked("said no", [None, Secret("")]) == "said no"


@given(
    st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=4),
    st.text(max_size=9),
    st.text(max_size=9),
)
def test_no_secret_of_some_length_survives(value: str, before: str, after: str) -> None:
    assert value not in masked(before + value + after, [Secret(value)])


@given(st.text(max_size=30))
def test_a_text_without_the_secret_is_untouched(text: str) -> None:
    secret = "\x00not-there\x00"
    assert masked(text, [Secret(secret)]) == text
