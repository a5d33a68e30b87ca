"""Known secrets never come back in a gateway's words, in whatever form they are quoted."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.model.redaction import MIN_EMBEDDED, Redactor, reveal
from stoa_gitops.model.secret import Secret

ODD = 'p/ä+s "w\\ö=rd'
LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
PEM = (
    f"-----BEGIN PRIVATE KEY-----\n{LINE}\nMzEfYyjiWA4R4/M2bS1GB4t7NXp9\n-----END PRIVATE KEY-----"
)


def redact(text: str, *secrets: str) -> str:
    return Redactor(map(Secret, secrets))(text)


def forms(secret: str) -> Iterator[str]:
    """Every form that a gateway, a proxy in front of it or a library was seen to quote."""
    raw = secret.encode("utf-8", "surrogatepass")
    for text in (secret, base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
        data = text.encode("utf-8", "surrogatepass")
        yield text
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        yield json.dumps(text)[1:-1].replace("/", "\\/")
        yield json.dumps(json.dumps(text))[3:-3]
        yield quote(data, safe="")
        yield quote(data, safe="/")
        yield quote(data, safe="/:@!$&'()*+,;=")
        yield re.sub("%..", lambda match: match[0].lower(), quote(data, safe=""))
        yield quote_plus(data)
        yield repr(text)[1:-1]
        yield html.escape(text)


# -- every form --------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_characters="\0"), min_size=MIN_EMBEDDED, max_size=30))
def test_nothing_of_any_form_of_a_secret_is_left(secret: str) -> None:
    for form in forms(secret):
        assert redact(f"a\0{form}\0b", secret) == "a\0***\0b"


@given(
    st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=4),
    st.text(max_size=9),
    st.text(max_size=9),
)
def test_no_secret_of_some_length_survives(value: str, before: str, after: str) -> None:
    assert value not in redact(before + value + after, value)


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
    said = redact(f"invalid value {spelled} given", ODD)
    assert spelled.strip("\"'=") not in said
    assert said.startswith("invalid value ")
    assert "***" in said


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"bad line {LINE}", "bad line ***"),
        ("bad line MzEfYyjiWA4R4%2FM2bS1GB4t7NXp9", "bad line ***"),
        (f"bad key {json.dumps(PEM)}", 'bad key "***"'),
        (f"bad key {PEM}\n", "bad key ***\n"),
    ],
)
def test_the_lines_of_a_pem_are_masked_one_by_one(text: str, left: str) -> None:
    assert redact(text, PEM) == left


def test_a_short_line_of_a_secret_is_masked_with_the_whole_of_it_only() -> None:
    assert redact("the name is missing", "user: anna\nname\n") == "the name is missing"
    assert redact("got user: anna\nname\n.", "user: anna\nname\n") == "got ***."


def test_a_secret_without_the_white_space_around_it_is_masked_as_well() -> None:
    assert redact("got hunter2.", "hunter2\n") == "got ***."


def test_url_safe_base64_is_masked() -> None:
    encoded = base64.urlsafe_b64encode(b"~~~secret???").decode()
    assert "-" in encoded or "_" in encoded
    assert redact(f"token {encoded} expired", "~~~secret???") == "token *** expired"


def test_a_secret_in_a_path_is_masked() -> None:
    assert redact("GET /keys/a/b%20c gave 404", "a/b c") == "GET /keys/*** gave 404"


# -- short secrets -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("connection refused", "connection refused"),
        ("the word on stands alone", "the word *** stands alone"),
        ('{"token": "on"}', '{"token": "***"}'),
        ("?key=on&x=1", "?key=***&x=1"),
        ("user:on@host", "user:***@host"),
        ("a%20on%20b", "a%20***%20b"),
        ('"first\\non"', '"first\\n***"'),
        ("on", "***"),
    ],
)
def test_a_short_secret_is_masked_where_it_stands_alone(text: str, left: str) -> None:
    assert redact(text, "on") == left


def test_a_short_secret_of_digits_is_masked_as_a_word_only() -> None:
    assert redact("pin 42 in 1420", "42") == "pin *** in 1420"


def test_from_four_characters_on_a_secret_is_masked_inside_of_words() -> None:
    assert redact("the latest error", "test") == "the la*** error"


# -- several secrets ---------------------------------------------------------------------------


def test_the_longer_of_two_secrets_leaves_no_tail() -> None:
    assert redact("it was token-of-the-admin", "token", "token-of-the-admin") == "it was ***"
    assert redact("hunter2-extra", "hunter2", "hunter2-extra") == "***"


def test_two_secrets_that_overlap_leave_nothing_of_either() -> None:
    assert redact("got abcd1234wxyz.", "abcd1234", "1234wxyz") == "got ***."


def test_a_mask_is_not_masked_again() -> None:
    assert redact("got hunter2 and *", "hunter2", "*") == "got *** and ***"


# -- nothing to hide ---------------------------------------------------------------------------


@given(st.text(max_size=30))
def test_a_text_without_the_secret_is_untouched(text: str) -> None:
    assert redact(text, "\x00not-there\x00") == text


def test_without_secrets_a_text_stays_as_it_is() -> None:
    assert Redactor()("said no") == "said no"
    assert Redactor([None, Secret("")])("said no") == "said no"
    assert Redactor([Secret("")])("a b c") == "a b c"


# -- the object --------------------------------------------------------------------------------


def test_secrets_are_added_later_and_to_a_copy() -> None:
    first = Redactor([Secret("first-one")])
    both = first.extended([Secret("second-one")])
    assert both("first-one, second-one") == "***, ***"
    assert first("first-one, second-one") == "***, second-one"
    first.add([Secret("second-one")])
    assert first("first-one, second-one") == "***, ***"


def test_its_repr_shows_nothing() -> None:
    assert "hunter" not in repr(Redactor([Secret("hunter22")]))


def test_reveal_fills_in_and_remembers() -> None:
    seen: list[Secret] = []
    assert reveal({"a": [Secret("x"), 1, None], "b": {"c": True}}, seen) == {
        "a": ["x", 1, None], "b": {"c": True},
    }  # fmt: skip
    assert seen == [Secret("x")]
