"""Values that cannot be sent where they should go are refused with words, and never shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.errors import SecretUnresolved, SecretUnsuitable
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.secret import Secret, SecretRef
from stoa_gitops.model.secret_rights import OPERATOR
from stoa_gitops.secrets import SecretForm, SecretPlaces, SecretResolver
from stoa_gitops.secrets.forms import find_flaw

PEM = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("abc-key-1\r", "ends with a carriage return (CR)"),
        ("abc-key-1\n", "ends with a line feed (LF)"),
        ("abc\r\nX-Admin: 1", "holds a carriage return (CR)"),
        ("\ufeffabc", "begins with a byte order mark"),
        (" abc", "begins with a blank"),
        ("abc\t", "ends with a tab"),
        ("ab\0c", "holds a NUL"),
        ("abc\x7f", "holds a character that is not printable ASCII"),
        ("schlüssel", "holds a character that is not printable ASCII"),
        ("abc\udcff", "holds a character that is not printable ASCII"),
        ("k" * 8193, "is larger than 8 KiB"),
        ("  \n", "holds nothing but blanks"),
    ],
)
def test_what_no_header_carries_is_named(value: str, said: str) -> None:
    resolver = SecretResolver(SecretPlaces(), {"KEY": value})
    with pytest.raises(SecretUnsuitable) as caught:
        resolver.resolve(SecretRef("env", "KEY"), OPERATOR)
    assert said in str(caught.value)
    assert str(caught.value).startswith("env:KEY: the value ")
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("value", ["abc-key-1", "two words", "k" * 8192, "=+/~", "a\\b"])
def test_what_a_header_carries_is_taken(value: str) -> None:
    assert find_flaw(value, SecretForm.FIELD) == ""


TREE: Json = {
    "credentials": [
        {"type": "jwt", "key": {"$secret": "env:PEM"}},
        {"type": "basic", "username": {"$secret": "env:U"}, "password": {"$secret": "env:P"}},
    ]
}


def test_each_place_has_its_own_rule() -> None:
    env = {"PEM": PEM, "U": "jürgen", "P": "pass wörd"}
    found = SecretResolver(SecretPlaces(), env).resolve_tree(TREE, OPERATOR)
    assert found == {
        "credentials": [
            {"type": "jwt", "key": Secret(PEM)},
            {"type": "basic", "username": Secret("jürgen"), "password": Secret("pass wörd")},
        ]
    }
    env["P"] = "two\nlines"
    with pytest.raises(SecretUnsuitable, match="env:P: the value holds a line feed"):
        SecretResolver(SecretPlaces(), env).resolve_tree(TREE, OPERATOR)
    del env["U"]
    with pytest.raises(SecretUnresolved, match=r"env:P: .*; env:U: the variable is not set"):
        SecretResolver(SecretPlaces(), env).resolve_tree(TREE, OPERATOR)


@given(st.text(max_size=20))
def test_a_taken_key_is_one_field_value_that_no_parser_changes(text: str) -> None:
    """RFC 9110 §5.5: visible characters and blanks between them."""
    if find_flaw(text, SecretForm.FIELD) == "":
        assert text == text.strip()
        assert text.isascii()
        assert text.isprintable()
        assert text
