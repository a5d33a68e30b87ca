"""An API never goes live without a policy that it waits for, whoever refuses the policy."""

from __future__ import annotations

import pytest

from stoa_gitops.model.keys import POLICY, Key
from stoa_gitops.model.resources import PlanHints
from tests.adapters.kong.test_adopt import MODES, Database
from tests.adapters.kong.testbed import Specs, Testbed, apis, kong, limit, policy, statuses

BILLING = Key("api", "acme", "billing")


def waiting(testbed: Testbed, specs: Specs) -> None:
    policies = tuple(key for key in specs if key.kind == POLICY)
    testbed.hints = lambda key: PlanHints(depends_on=policies if key == BILLING else ())


@pytest.mark.parametrize("database", MODES)
async def test_policies_that_do_not_fit_together_keep_their_api_away(database: Database) -> None:
    quota = policy("billing", "quota", {"requests": 10, "period": "day", "by": "ip"})
    specs = {**apis("billing", "crm"), **dict([limit("billing"), quota])}
    async with kong(database=database) as testbed:
        waiting(testbed, specs)
        plan = await testbed.plan(specs)
        held = {skip.key for skip in plan.skipped}
        assert held == {BILLING, limit("billing")[0], quota[0]}
        assert statuses(await testbed.execute(plan)) == {"api/acme/crm": "applied"}
        assert testbed.ours("routes").keys() == {"acme.crm.0"}


async def test_a_policy_that_the_node_refuses_keeps_its_api_away() -> None:
    specs = {**apis("billing", "crm"), **dict([limit("billing")])}
    async with kong() as testbed:
        waiting(testbed, specs)
        testbed.double.refuse(lambda held: "no limits here" if held.get("plugins") else None)
        found = statuses(await testbed.execute(await testbed.plan(specs)))
        assert found["api/acme/billing"] in ("blocked", "quarantined")
        assert found["api/acme/crm"] == "applied"
        assert testbed.ours("routes").keys() == {"acme.crm.0"}


async def test_a_policy_whose_plugin_the_node_lost_meanwhile_keeps_its_api_away() -> None:
    specs = {**apis("billing", "crm"), **dict([limit("billing")])}
    async with kong() as testbed:
        waiting(testbed, specs)
        plan = await testbed.plan(specs)
        assert testbed.adapter is not None
        node = await testbed.adapter._session.node_info()  # type: ignore[attr-defined]
        object.__setattr__(node, "plugins", node.plugins - {"rate-limiting"})
        found = statuses(await testbed.execute(plan))
        assert found["policy/acme/billing.rate_limit"] == "quarantined"
        assert found["api/acme/billing"] == "blocked"
        assert testbed.ours("routes").keys() == {"acme.crm.0"}
