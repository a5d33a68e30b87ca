"""What somebody adds to an API of ours is drift; what the server fills in is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo
from stoa_gitops.adapters.gravitee.mapping.added_fields import find_added
from tests.adapters.gravitee.double import plugins
from tests.adapters.gravitee.testbed import CLASSIC, Bed, bed
from tests.contract.rig import BILLING, LIMIT

Edit = Callable[[dict[str, Any]], Any]
GROUP = "gravitee"


def limit_step(spec: dict[str, Any]) -> dict[str, Any]:
    flow = next(flow for flow in spec["flows"] if flow["name"] == "stoa:rate_limit")
    step: dict[str, Any] = flow["request"][0]
    return step


def flow_of(spec: dict[str, Any]) -> dict[str, Any]:
    return next(flow for flow in spec["flows"] if flow["name"] == "stoa:rate_limit")


def shared(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["endpointGroups"][0]["sharedConfiguration"]
    return found


def endpoint(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["endpointGroups"][0]["endpoints"][0]
    return found


AT = "endpointGroups.0"
OF_API: dict[str, tuple[Edit, str]] = {
    "certificates that nobody checks": (
        lambda spec: shared(spec).update(ssl={"trustAll": True, "hostnameVerifier": True}),
        f"{AT}.sharedConfiguration.ssl",
    ),
    "names of certificates that nobody checks": (
        lambda spec: shared(spec).update(ssl={"hostnameVerifier": False}),
        f"{AT}.sharedConfiguration.ssl",
    ),
    "a proxy before the backend": (
        lambda spec: shared(spec).update(proxy={"enabled": True, "host": "proxy.example"}),
        f"{AT}.sharedConfiguration.proxy",
    ),
    "redirects that are followed": (
        lambda spec: shared(spec)["http"].update(followRedirects=True),
        f"{AT}.sharedConfiguration.http.followRedirects",
    ),
    "settings of one endpoint": (
        lambda spec: endpoint(spec).update(
            sharedConfigurationOverride={"http": {"readTimeout": 1}}
        ),
        f"{AT}.endpoints.0.sharedConfigurationOverride",
    ),
    "an endpoint for some gateways": (
        lambda spec: endpoint(spec).update(tenants=["eu"]), f"{AT}.endpoints.0.tenants"
    ),
    "endpoints that are discovered": (
        lambda spec: spec["endpointGroups"][0].update(
            services={"discovery": {"enabled": True, "type": "consul-service-discovery"}}
        ),
        f"{AT}.services",
    ),
    "properties that are fetched": (
        lambda spec: spec.update(services={"dynamicProperty": {"enabled": True, "type": "x"}}),
        "services.dynamicProperty",
    ),
    "a listener of some servers": (
        lambda spec: spec["listeners"][0].update(servers=["internal"]), "listeners.0.servers"
    ),
}  # fmt: skip
OF_POLICY: dict[str, tuple[Edit, str]] = {
    "a condition": (
        lambda spec: limit_step(spec).update(condition="{#request.path == '/nowhere'}"),
        "flows.rate_limit.request.0.condition",
    ),
    "a limit that is worked out": (
        lambda spec: limit_step(spec)["configuration"]["rate"].update(dynamicLimit="{1000000}"),
        "flows.rate_limit.request.0.configuration.rate.dynamicLimit",
    ),
    "a flow of some gateways": (
        lambda spec: flow_of(spec).update(tags=["eu"]), "flows.rate_limit.tags"
    ),
}  # fmt: skip
HARMLESS: dict[str, Edit] = {
    "what a console writes": lambda spec: shared(spec)["http"].update(
        keepAlive=True, useCompression=True, followRedirects=False
    ),
    "certificates that are checked": lambda spec: shared(spec).update(
        ssl={"trustAll": False, "hostnameVerifier": True}
    ),
    "a proxy that is off": lambda spec: shared(spec).update(
        proxy={"enabled": False, "host": "proxy.example"}
    ),
    "a service that is off": lambda spec: spec.update(
        services={"dynamicProperty": {"enabled": False, "type": "x"}}
    ),
    "a text beside a step": lambda spec: limit_step(spec).update(description="why"),
    "what the portal shows": lambda spec: spec.update(
        groups=["partners"], tags=["eu"], labels=[*spec["labels"], "mine"]
    ),
    "a cors that is off": lambda spec: spec["listeners"][0].update(
        cors={"enabled": False, "allowOrigin": ["*"], "maxAge": -1}
    ),
}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "4.12": ("4.12.12", {}), "4.10": ("4.10.8", {}), "classic": ("4.1.0", CLASSIC),
}  # fmt: skip


async def edited(here: Bed, edit: Edit) -> None:
    await here.rig.converge(here.specs)
    held = here.api("Billing")
    edit(held.spec)
    held.updated = here.double.store.now()


@pytest.mark.parametrize("case", [*OF_API, *OF_POLICY])
async def test_what_somebody_added_is_shown_and_taken_away(case: str) -> None:
    edit, field = {**OF_API, **OF_POLICY}[case]
    key = LIMIT if case in OF_POLICY else BILLING
    async with bed() as here:
        await edited(here, edit)
        plan = await here.rig.plan(here.specs)
        assert [change.key for change in plan.changes] == [key]
        (found,) = plan.changes[0].fields
        assert found.dotted == GROUP
        assert found.before == {field: "present"}
        await here.rig.execute(plan)
        assert (await here.rig.plan(here.specs)).is_empty


@pytest.mark.parametrize("case", HARMLESS)
async def test_what_changes_nothing_is_no_drift(case: str) -> None:
    async with bed() as here:
        await edited(here, HARMLESS[case])
        assert (await here.rig.plan(here.specs)).is_empty


@pytest.mark.parametrize("way", WAYS)
async def test_a_plan_that_takes_some_requests_alone_takes_all_again(way: str) -> None:
    version, options = WAYS[way]
    async with bed(version, **options) as here:
        await here.rig.converge(here.specs)
        (plan,) = here.api("Billing").plans
        plan.spec["selectionRule"] = "{#request.headers['X-Beta'] != null}"
        plan.spec["security"].setdefault("configuration", {})["apiKeyHeader"] = "X-Other"
        here.rig.adapter._session.invalidate()  # type: ignore[attr-defined]  # a deep look
        found = await here.rig.plan(here.specs)
        assert [change.key for change in found.changes] == [BILLING]
        assert set(found.changes[0].fields[0].before) == {  # type: ignore[arg-type]
            "plans.gold.selectionRule", "plans.gold.security.configuration.apiKeyHeader",
        }  # fmt: skip
        await here.rig.execute(found)
        here.rig.adapter._session.invalidate()  # type: ignore[attr-defined]
        assert (await here.rig.plan(here.specs)).is_empty
        (plan,) = here.api("Billing").plans
        assert not plan.spec.get("selectionRule")


@pytest.mark.parametrize("way", WAYS)
async def test_what_the_portal_says_of_a_plan_goes_along_with_a_write(way: str) -> None:
    version, options = WAYS[way]
    async with bed(version, **options) as here:
        await here.rig.converge(here.specs)
        (plan,) = here.api("Billing").plans
        said = {"description": "For partners", "characteristics": ["fast"],
                "excludedGroups": ["guests"]}  # fmt: skip
        plan.spec.update(said, selectionRule="{false}")
        here.rig.adapter._session.invalidate()  # type: ignore[attr-defined]  # a deep look
        changed = {**here.specs, BILLING: {**here.specs[BILLING], "displayName": "Invoices"}}
        await here.rig.converge(changed)
        (plan,) = here.api("Invoices").plans
        assert {name: plan.spec.get(name) for name in said} == said
        assert not plan.spec.get("selectionRule")


async def test_without_a_schema_nothing_of_a_configuration_is_taken_for_added() -> None:
    async with bed(schemas={"rate-limit": {}}) as here:
        await edited(here, OF_POLICY["a limit that is worked out"][0])
        assert (await here.rig.plan(here.specs)).is_empty


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers())
)
_TREES = st.recursive(
    _LEAVES, lambda below: st.dictionaries(st.text(max_size=5), below, max_size=4), max_leaves=12
)
_INFO = GatewayInfo(
    schemas={f"policies/{name}": schema for name, schema in plugins.POLICIES.items() if schema}
)


@given(_TREES)
def test_nothing_is_added_to_what_was_written(tree: Any) -> None:
    step = {"policy": "rate-limit", "configuration": tree}
    for part in (tree, step):
        assert list(find_added({"at": part}, {"at": part}, "", _INFO)) == []


@given(st.sampled_from(sorted(name for name, schema in plugins.POLICIES.items() if schema)))
def test_what_a_plugin_fills_in_is_not_added(policy: str) -> None:
    filled = plugins.with_defaults(plugins.POLICIES[policy], {})
    wanted = {"policy": policy, "configuration": {}}
    assert list(find_added(wanted, {**wanted, "configuration": filled}, "", _INFO)) == []
