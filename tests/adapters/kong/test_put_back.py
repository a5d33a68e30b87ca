"""What a node refuses in part is put back whole, and costs nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.kong.testbed import Testbed, apis, kong, statuses

MOBILE = Key("application", "acme", "mobile")
ALWAYS = 1_000_000


def held(testbed: Testbed) -> dict[str, dict[str, dict[str, object]]]:
    """Return all that is on the node, but for the times that Kong sets."""
    times = ("created_at", "updated_at")
    return {
        name: {
            ident: {field: value for field, value in entity.items() if field not in times}
            for ident, entity in entities.items()
        }
        for name, entities in testbed.double.entities.items()
        if entities
    }


def large(version: int) -> dict[Key, dict[str, Any]]:
    """An API of 150 entities, with a limit by its plan for who subscribes to it."""
    routes = [
        {"path": f"/apis/acme/billing/{number:03}/v{version}", "methods": [], "hosts": [],
         "stripPath": True}
        for number in range(147)
    ]  # fmt: skip
    backend = {"url": f"https://v{version}.example", "timeout": "30s", "retries": 0}
    plans = [{"name": "gold", "perMinute": version}]
    return apis("billing", routes=routes, backend=backend, plans=plans)


SUBSCRIBER: dict[str, Any] = {
    "displayName": "Mobile", "identifiers": {},
    "credentials": [{"type": "api_key", "key": {"$secret": "env:MOBILE_KEY"}}],
    "subscriptions": [{"api": "billing", "plan": "gold"}],
}  # fmt: skip


@pytest.mark.parametrize("how", [401, 500])
async def test_an_api_of_150_entities_is_put_back_whole_when_its_last_write_fails(how: int) -> None:
    async with kong("3.9.1", "postgres") as testbed:
        await testbed.converge({**large(1), MOBILE: SUBSCRIBER, **apis("other")})
        before = held(testbed)
        assert sum(len(entities) for entities in before.values()) > 150
        # The last of all: the limit of the subscriber follows from the plan of the API.
        start = len(testbed.double.requests)
        (limit,) = [
            ident for ident, one in before["plugins"].items() if one["name"] == "rate-limiting"
        ]
        if how == 401:
            testbed.double.nginx_401(1, match=f"PUT /plugins/{limit}")
        else:
            testbed.double.answer_500_without_commit(1, match=f"PUT /plugins/{limit}")
        outcomes = await testbed.converge({**large(2), MOBILE: SUBSCRIBER, **apis("other")})
        assert {o.status for o in outcomes} == {Status.FAILED}, outcomes
        written = [r for r in testbed.requests_since(start) if r.startswith("PUT /routes/")]
        assert len(written) == 2 * 147, "all routes were written, and put back"
        assert held(testbed) == before


async def test_a_new_api_that_is_refused_at_its_end_leaves_nothing() -> None:
    async with kong("3.9.1", "postgres") as testbed:
        last = max(Key("api", "acme", "billing").identifier("default", f"route|{n}")
                   for n in range(147))  # fmt: skip
        testbed.double.answer_500_without_commit(ALWAYS, match=f"PUT /routes/{last}")
        outcomes = await testbed.converge({**large(1), **apis("other")})
        assert statuses(outcomes) == {"api/acme/billing": "failed", "api/acme/other": "applied"}
        assert {one["name"] for one in held(testbed)["services"].values()} == {"acme.other"}
        assert len(held(testbed)["routes"]) == 1
        testbed.double.heal()
        specs = {**large(1), **apis("other")}
        assert statuses(await testbed.converge(specs)) == {"api/acme/billing": "applied"}
        assert (await testbed.plan(specs)).is_empty


async def test_a_refusal_that_names_nobody_costs_the_one_that_is_refused() -> None:
    async with kong("3.9.1", "postgres") as testbed:
        names = [f"api-{number}" for number in range(6)]
        service = Key("api", "acme", "api-3").identifier("default")
        testbed.double.answer_500_without_commit(ALWAYS, match=f"PUT /services/{service}")
        outcomes = await testbed.converge(apis(*names))
        bad = {str(o.change.key) for o in outcomes if o.status is not Status.APPLIED}
        assert bad == {"api/acme/api-3"}
        assert {one["name"] for one in held(testbed)["services"].values()} == {
            f"acme.{name}" for name in names if name != "api-3"
        }


async def test_what_a_write_deleted_is_there_again_when_a_later_call_fails() -> None:
    async with kong("3.9.1", "postgres") as testbed:
        await testbed.converge(apis("billing"))
        before = held(testbed)
        testbed.double.answer_500_without_commit(ALWAYS, match="DELETE /services/*")
        outcomes = await testbed.converge({})
        assert [o.status for o in outcomes] == [Status.FAILED]
        assert testbed.count("DELETE /routes/") == 1, "its routes go before a service"
        assert held(testbed) == before
