"""What a shared cache may keep: the policy of Gravitee decides by a condition that we write."""

from __future__ import annotations

import re

import pytest

from stoa_gitops.adapters.gravitee.entities.parts import ApiParts
from stoa_gitops.adapters.gravitee.mapping.apis import compile_api
from stoa_gitops.adapters.gravitee.mapping.flows import all_steps
from tests.contract.rig import api
from tests.unit.adapters.gravitee.specs import BILLING, NEW, OWNER

CONFIG = {
    "ttl": "1m", "methods": ["GET"], "statuses": [200, 404], "varyHeaders": ["Accept"],
    "varyQuery": [],
}  # fmt: skip
KEPT = {
    "public, max-age=10": True, "max-age=05": True, "must-revalidate, s-maxage=60": True,
    "private": False, "Private, max-age=60": False, "no-store": False, "max-age=9, no-cache": False,
    "max-age=0": False, "public, s-maxage=0, max-age=9": False, "max-age=00, public": False,
}  # fmt: skip
"""Cache-Control of an answer, and whether a real 4.10.8 kept it with our condition."""


def condition() -> tuple[str, str]:
    definition = compile_api(ApiParts(BILLING, api("billing"), {"caching": CONFIG}), NEW, OWNER)
    ((_, step),) = list(all_steps(definition))
    return step["configuration"]["responseCondition"], step["configuration"]["key"]


@pytest.mark.parametrize("control", KEPT)
def test_what_is_one_callers_alone_is_not_kept(control: str) -> None:
    found = re.search(r"matches\('(.*)'\)", condition()[0])
    assert found is not None
    # Java's `matches` is about the whole text, and a list of one prints with brackets.
    assert (re.fullmatch(found[1], f"[{control.lower()}]") is None) is KEPT[control]


def test_answers_with_a_cookie_and_those_for_another_credential_are_apart() -> None:
    when, key = condition()
    assert "#upstreamResponse.headers['Set-Cookie'] == null" in when
    assert key == "{#request.headers['Authorization']}.{#request.headers['Accept']}"
