"""Names and descriptions: Gravitee keeps no HTML, and writes some letters as such."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.gravitee.mapping.rules import losses
from stoa_gitops.adapters.gravitee.mapping.texts import read_text, stored_text
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.gravitee.double.texts import sanitized
from tests.adapters.gravitee.testbed import CLASSIC, bed
from tests.contract.rig import CRM, MOBILE, api
from tests.laws import examples

SEEN = {
    "größer als ∞": "größer als ∞",
    "🚀 x": "&#x1f680; x",
    "x < y & z > a": "x < y & z > a",
    "<b>q</b>": "q",
    "a\\b/c 'q' \"z\"": "a\\b/c 'q' \"z\"",
    "a &amp; b": "a & b",
    "a &lt;b&gt; c": "a  c",
    "a<b c": "a",
    "if a<b and c>d": "if ad",
    "<!-- c -->x": "x",
    "<3 you": "<3 you",
    "1 <2> 3": "1 <2> 3",
    "a<>b": "a<>b",
    "<A:b>c": "c",
    "x<br/>y": "xy",
    "a </b> c": "a  c",
    "&nbsp;x": "\xa0x",
    "&foo; &amp": "&foo; &",
    "<script>alert(1)</script>y": "y",
    "<style>p</style>z": "z",
    '<a href="u>v">l</a>': "l",
    "{{x}}": "{<!-- -->{x}}",
    "x{": "x{<!-- -->",
    "a\nb\tc": "a\nb\tc",
    "\u200b|\ufeff|\xa0|": "\u200b|&#xfeff;|\xa0|",
}
"""What a 4.10.8 stored of names, descriptions, and both of applications."""


@pytest.mark.parametrize("text", SEEN)
def test_a_text_is_known_beforehand_as_it_will_be_kept(text: str) -> None:
    assert read_text(SEEN[text]) == stored_text(text)


@pytest.mark.parametrize("text", SEEN)
def test_the_double_keeps_what_a_real_one_kept(text: str) -> None:
    assert sanitized(text) == SEEN[text]


@examples(400)
@given(st.text(st.sampled_from("ab <>/&;{}'\"🚀é\n1"), max_size=30))
def test_what_is_kept_once_is_kept_for_ever(text: str) -> None:
    kept = stored_text(text)
    assert stored_text(kept) == kept
    if "<" not in text and "&" not in text:
        assert kept == text
        assert read_text(sanitized(text)) == text


@pytest.mark.parametrize("kind", [API, APPLICATION])
def test_html_is_a_loss_that_is_told_and_a_name_of_nothing_else_is_not_written(kind: str) -> None:
    spec = {**api("crm"), "credentials": [], "subscriptions": []}
    for text, is_partial in (("<b>Shop</b>", True), ("<b></b>", False)):
        (found,) = losses(kind, {**spec, "displayName": text}, None)
        assert (found.at, found.is_partial) == (("displayName",), is_partial)
        assert "HTML" in found.message


@pytest.mark.parametrize("way", ["automation", "classic"])
async def test_names_of_applications_and_apis_come_back_as_they_are_meant(way: str) -> None:
    async with bed("4.1.0" if way == "classic" else "4.12.12",
                   **(CLASSIC if way == "classic" else {})) as here:  # fmt: skip
        mobile = {**here.rig.specs[MOBILE], "displayName": "Größe 🚀 {{x}} \"a/b\"",
                  "subscriptions": []}  # fmt: skip
        specs: dict[Key, dict[str, object]] = {
            CRM: api("crm", displayName="🚀 {{x}}", description="a < b & c"), MOBILE: mobile
        }  # fmt: skip
        outcomes = await here.rig.converge(specs)
        assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes
        assert here.api("&#x1f680; {<!-- -->{x}}").spec["description"] == "a < b & c"
        assert (await here.rig.plan(specs)).is_empty
