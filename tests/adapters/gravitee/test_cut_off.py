"""An apply that ends anywhere in the middle: everything has a result, and the next one finishes.

Each write of a plan is once the first that the gateway does not take any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.gravitee.testbed import CLASSIC, Bed, bed
from tests.contract import rig as contract
from tests.contract.rig import BILLING, CRM, MOBILE, api

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "4.12": ("4.12.12", {}),
    "4.10": ("4.10.8", {}),
    "import": ("4.6.0", {"has_automation": False}),
    "classic": ("4.1.0", CLASSIC),
}
NEW_KEY = "env:NEW_KEY"
MOST = 40
QUICK = {
    ("before", "4.12"): 1,
    ("before", "classic"): 4,
    ("after", "4.12"): 2,
    ("nothing", "4.10"): 2,
}
"""Cases that are tried at each how many writes; the others are heavy, at every write."""

Specs = Mapping[Key, Mapping[str, Any]]


def before(here: Bed) -> Specs:
    return here.specs


def after(here: Bed) -> Specs:
    """A plan with another name, a key in the place of the old one, and one API less."""
    specs = here.specs
    credential = {"type": "api_key", "key": {"$secret": NEW_KEY}}
    silver = [{"name": "silver", "perMinute": 5}]
    named = [{"api": "billing", "plan": "silver"}]
    del specs[CRM]
    return {
        **specs,
        BILLING: {**specs[BILLING], "plans": silver, "displayName": "Invoices"},
        MOBILE: {**specs[MOBILE], "credentials": [credential], "subscriptions": named},
    }


def nothing(here: Bed) -> Specs:
    return {}


@pytest.fixture(autouse=True)
def new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contract.SECRETS, "env:MOBILE_KEY", "the-old-key-with-32-letters-and-more")
    monkeypatch.setitem(contract.SECRETS, NEW_KEY, "the-new-key-with-32-letters-and-more")
    monkeypatch.setitem(contract.HMACS, NEW_KEY, "hmac-new")


def _cases() -> Iterator[Any]:
    for wanted in (before, after, nothing):
        for way in WAYS:
            case = wanted.__name__, way
            name = "-".join(case)
            if case in QUICK:
                yield pytest.param(way, wanted, QUICK[case], id=name)
            if QUICK.get(case) != 1:
                yield pytest.param(way, wanted, 1, id=f"{name}-each", marks=pytest.mark.heavy)


@pytest.mark.parametrize(("way", "wanted", "step"), list(_cases()))
async def test_a_token_that_is_revoked_anywhere_leaves_nothing_unknown(
    way: str, wanted: Any, step: int
) -> None:
    version, options = WAYS[way]
    for taken in range(0, MOST, step):
        async with bed(version, **options) as here:
            if wanted is not before:
                await here.rig.converge(before(here))
            specs = wanted(here)
            plan = await here.rig.plan(specs)
            here.double.writes_left = taken
            outcomes = await here.rig.execute(plan)
            is_whole = here.double.writes_left >= 0
            here.double.writes_left = None
            assert len(outcomes) == len(plan.changes)
            assert {o.status for o in outcomes} <= {Status.APPLIED, Status.FAILED, Status.BLOCKED}
            reasons = {o.reason for o in outcomes if o.status is Status.FAILED}
            assert reasons <= {"GatewayUnauthorized", "HalfWritten"}, outcomes
            assert is_whole or any(o.status is not Status.APPLIED for o in outcomes), taken
            await whole(here, specs, taken)
        if is_whole:
            return
    pytest.fail(f"more than {MOST} writes")


async def whole(here: Bed, specs: Specs, taken: int) -> None:
    """What is there is known as ours, and the next cycle makes it what is wanted."""
    seen = await here.rig.observe()
    assert all(one.managed for one in seen.objects), (taken, seen.objects)
    for _ in range(2):
        here.rig.adapter._session.invalidate()  # type: ignore[attr-defined]  # a deep look
        await here.rig.converge(specs)
    here.rig.adapter._session.invalidate()  # type: ignore[attr-defined]
    again = await here.rig.plan(specs)
    assert again.is_empty, (taken, again.changes)
    names = sorted(one.spec["name"] for one in here.double.store.apis.values())
    wanted = sorted(str(spec["displayName"]) for key, spec in specs.items() if key.kind == "api")
    assert names == wanted, taken
    working = [key for key, works in here.keys().items() if works]
    if MOBILE in specs:
        ref = specs[MOBILE]["credentials"][0]["key"]["$secret"]
        assert working == [contract.SECRETS[ref]], taken
    else:
        assert working == [], taken


REASONS = {
    "licence": ("GatewayUnauthorized", "look whether its licence ended"),
    "method": ("GatewayUnauthorized", "its management API is read only"),
    "database": ("GatewayError", "TechnicalManagementException"),
}


@pytest.mark.parametrize("way", ["4.12", "classic"])
@pytest.mark.parametrize("trouble", REASONS)
async def test_a_gateway_that_takes_no_writes_quarantines_nothing(trouble: str, way: str) -> None:
    version, options = WAYS[way]
    async with bed(version, **options) as here:
        specs = here.specs
        plan = await here.rig.plan(specs)
        here.double.read_only = trouble
        outcomes = await here.rig.execute(plan)
        reason, text = REASONS[trouble]
        first = {o.reason for o in outcomes if o.status is Status.FAILED}
        assert {o.status for o in outcomes} <= {Status.FAILED, Status.BLOCKED}
        assert first == {reason}
        assert text in next(o.message for o in outcomes if o.status is Status.FAILED)
        assert not here.double.store.apis
        # What is there is read meanwhile, and nothing is taken for gone.
        assert (await here.rig.observe()).is_complete
        here.double.read_only = ""
        outcomes = await here.rig.converge(specs)
        assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes


async def test_a_page_for_people_is_no_api_of_another_account() -> None:
    async with bed() as here:
        plan = await here.rig.plan({CRM: api("crm")})
        here.double.read_only, here.double.refuses_reads = "licence", True
        outcomes = await here.rig.execute(plan)
        assert [(o.status, o.reason) for o in outcomes] == [(Status.FAILED, "GatewayUnauthorized")]
        state = await here.rig.observe()
        assert (state.is_complete, state.error_reason) == (False, "GatewayUnauthorized")
