from __future__ import annotations

import base64
import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.model.redaction import Scrubber, reveal
from stoa_gitops.model.secret import Secret

secrets = st.text(min_size=6, max_size=30).filter(
    lambda text: text.strip("* \n\t") and "*" not in text
)


@given(secrets, st.text(max_size=20))
def test_no_form_of_a_secret_survives(secret: str, around: str) -> None:
    scrub = Scrubber([Secret(secret)])
    raw = secret.encode("utf-8", "surrogatepass")
    forms = [
        secret,
        json.dumps(secret),
        base64.b64encode(raw).decode(),
        quote(raw, safe=""),
        repr(secret),
    ]  # fmt: skip
    for form in forms:
        assert form.strip("\"'") not in scrub(f"{around}<{form}>").replace(around, "")


def test_the_longer_of_two_secrets_leaves_no_tail() -> None:
    scrub = Scrubber([Secret("token"), Secret("token-of-the-admin")])
    assert scrub("it was token-of-the-admin") == "it was ***"


def test_an_empty_secret_hides_nothing() -> None:
    assert Scrubber([Secret("")])("a b c") == "a b c"


def test_its_repr_shows_nothing() -> None:
    assert "hunter" not in repr(Scrubber([Secret("hunter22")]))


def test_reveal_fills_in_and_remembers() -> None:
    seen: list[Secret] = []
    assert reveal({"a": [Secret("x"), 1, None], "b": {"c": True}}, seen) == {
        "a": ["x", 1, None], "b": {"c": True},
    }  # fmt: skip
    assert seen == [Secret("x")]
