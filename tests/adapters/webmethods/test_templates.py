"""What a gateway says of its templates is compared with what we write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stoa_gitops.model.keys import Key
from tests.adapters.webmethods.beds import Bed
from tests.adapters.webmethods.double import templates
from tests.contract.rig import BILLING, api

CORS = {"origins": ["*"], "credentials": False}


def specs() -> dict[Key, dict[str, Any]]:
    policy = {"api": "billing", "type": "cors", "priority": 1, "config": CORS}
    return {BILLING: api("billing"), BILLING.policy("cors"): policy}


async def skips(bed: Bed) -> str:
    await bed.rig.adapter.disconnect()
    bed.rig.adapter.session.info = None  # type: ignore[attr-defined]
    plan = await bed.rig.plan(specs())
    return " ".join(one.message for one in plan.skipped)


async def test_all_templates_that_we_write_are_those_of_the_gateway(old: Bed) -> None:
    assert await skips(old) == ""


@pytest.mark.parametrize("name", ["cors", "straightThroughRouting"])
async def test_a_template_that_the_gateway_does_not_have_is_known_before_any_write(
    old: Bed, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delitem(templates.TEMPLATES, name)
    assert f"this gateway has no policy action {name}" in await skips(old)


async def test_a_parameter_that_is_needed_and_not_known_is_named(
    old: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = templates.TEMPLATES["cors"]
    first = (held.parameters or ())[0]
    needed = replace(first, key="newOne", is_required=True)
    changed = replace(held, parameters=(*(held.parameters or ()), needed))
    monkeypatch.setitem(templates.TEMPLATES, "cors", changed)
    assert "needs newOne" in await skips(old)
