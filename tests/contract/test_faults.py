"""What every adapter owes when things go wrong: a result, never an exception, and never a guess."""

from __future__ import annotations

import pytest

from stoa_gitops.drivers.per_gateway import Drivers
from stoa_gitops.errors import GatewayError, GatewayUnknown
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.front import Trouble
from tests.contract.rig import BILLING, CRM, NOW, Rig, api, resolve, resource

WRITES = {
    Trouble.TIMEOUT: (Status.FAILED, "GatewayUnreachable"),
    Trouble.REFUSED_CONNECTION: (Status.FAILED, "GatewayUnreachable"),
    Trouble.UNAUTHORIZED: (Status.FAILED, "GatewayUnauthorized"),
    Trouble.CONFLICT: (Status.QUARANTINED, "GatewayRefused"),
    Trouble.BUSY: (Status.FAILED, "GatewayBusy"),
    Trouble.SERVER_ERROR: (Status.FAILED, "GatewayError"),
    Trouble.HALF_WRITTEN: (Status.FAILED, "HalfWritten"),
}
READS = {
    Trouble.TIMEOUT: "GatewayUnreachable",
    Trouble.REFUSED_CONNECTION: "GatewayUnreachable",
    Trouble.UNAUTHORIZED: "GatewayUnauthorized",
    Trouble.CONFLICT: "GatewayRefused",
    Trouble.BUSY: "GatewayBusy",
    Trouble.SERVER_ERROR: "GatewayError",
    Trouble.MALFORMED: "GatewayMalformed",
    Trouble.HTML: "GatewayMalformed",
}


@pytest.mark.parametrize("trouble", WRITES, ids=lambda t: t.value)
async def test_a_write_that_goes_wrong_is_an_outcome_with_a_reason(
    rig: Rig, trouble: Trouble
) -> None:
    plan = await rig.plan({BILLING: rig.specs[BILLING], CRM: rig.specs[CRM]})
    rig.fail(trouble, "write")
    outcomes = await rig.execute(plan)
    assert {(o.status, o.reason) for o in outcomes} == {WRITES[trouble]}
    assert all(o.message for o in outcomes)


@pytest.mark.parametrize("trouble", WRITES, ids=lambda t: t.value)
async def test_after_the_trouble_the_same_catalog_converges(rig: Rig, trouble: Trouble) -> None:
    plan = await rig.plan(rig.specs)
    rig.fail(trouble, "write")
    await rig.execute(plan)
    rig.heal()
    await rig.converge()
    assert (await rig.plan(rig.specs)).is_empty


@pytest.mark.parametrize("trouble", READS, ids=lambda t: t.value)
async def test_a_list_that_cannot_be_read_raises_and_a_state_is_unknown_never_empty(
    rig: Rig, trouble: Trouble
) -> None:
    await rig.converge()
    rig.fail(trouble, "read")
    with pytest.raises(GatewayError) as caught:
        await rig.adapter.list_apis()
    assert caught.value.reason == READS[trouble]
    state = await rig.observe()
    assert (state.is_complete, state.error_reason, state.objects) == (False, READS[trouble], ())


async def test_an_object_that_cannot_be_read_makes_no_other_unreadable(rig: Rig) -> None:
    if rig.name.startswith("memory"):
        return  # it holds objects of our own form only
    await rig.converge()
    before = {seen.key for seen in (await rig.observe()).objects if seen.managed}
    rig.fail(Trouble.ODD_OBJECTS, "read")
    state = await rig.observe()
    assert state.is_complete, state.error
    assert {seen.key for seen in state.objects if seen.managed} >= before
    plan = await rig.plan(rig.specs)
    assert not [one for one in plan.changes if one.action is Action.DELETE]


async def test_a_list_that_shows_one_object_twice_and_another_not_deletes_and_doubles_nothing(
    rig: Rig,
) -> None:
    """Kong 3.4.2 has such lists (R.7 no. 45): what is missing in one is there when it is asked for.

    An adapter that tells them reports nothing; one that cannot makes no second object of it.
    """
    if rig.name.startswith("memory"):
        return  # it lists by id
    specs = {**rig.specs, Key("api", "acme", "more"): api("more")}
    await rig.converge(specs)
    before = sorted(str(seen.key) for seen in (await rig.observe()).objects)
    rig.fail(Trouble.DOUBLED, "read")
    plan = await rig.plan(specs)
    if rig.driver.info.name in ("gravitee", "webmethods"):
        assert not plan.complete
        assert "twice" in str(plan.error) or "changes while" in str(plan.error)
    assert not [one for one in plan.changes if one.action is Action.DELETE]
    rig.heal()
    if plan.complete:
        await rig.execute(plan)
    await rig.converge(specs)
    assert sorted(str(seen.key) for seen in (await rig.observe()).objects) == before
    assert (await rig.plan(specs)).is_empty


async def test_retry_after_of_the_gateway_reaches_the_caller(rig: Rig) -> None:
    await rig.driver.health()
    rig.fail(Trouble.BUSY, "write")
    spec = resolve("default", resource(BILLING, rig.specs[BILLING]))
    result = await rig.adapter.sync_api(spec, "acme")
    assert (result.success, result.reason) == (False, "GatewayBusy")
    assert (result.data or {})["retry_after"] in (7.0, 90.0)


async def test_a_deletion_that_did_not_happen_is_not_believed(rig: Rig) -> None:
    await rig.converge({CRM: rig.specs[CRM]})
    plan = await rig.plan({})
    if rig.name.startswith("memory"):
        rig.fail(Trouble.CONFLICT, "write")
        assert [o.status for o in await rig.execute(plan)] == [Status.QUARANTINED]
    else:
        rig.fail(Trouble.HALF_WRITTEN, "write")
        outcomes = await rig.execute(plan)
        assert [(o.status, o.reason) for o in outcomes] == [(Status.FAILED, "HalfWritten")]
    rig.heal()
    assert CRM in {o.key for o in (await rig.observe()).objects}


async def test_a_write_that_cannot_be_read_back_is_applied_with_a_warning(rig: Rig) -> None:
    plan = await rig.plan({BILLING: rig.specs[BILLING]})
    rig.fail(Trouble.SERVER_ERROR, "read")
    outcomes = await rig.execute(plan)
    if rig.reads_first:
        assert [(o.status, o.reason) for o in outcomes] == [(Status.FAILED, "GatewayError")]
        rig.heal()
        assert (await rig.observe()).objects == ()
        return
    assert [o.status for o in outcomes] == [Status.APPLIED]
    assert "could not be read back" in outcomes[0].warnings[0]


async def test_an_unknown_gateway_is_told_how_to_register(rig: Rig) -> None:
    drivers = Drivers(clock=lambda: NOW)
    await drivers.register(rig.driver.connection)
    assert drivers.for_gateway(rig.name).name == rig.name
    with pytest.raises(
        GatewayUnknown,
        match="gateway 'nowhere' is not registered: register it via API or catalog first",
    ):
        drivers.for_gateway("nowhere")
    await drivers.aclose()
