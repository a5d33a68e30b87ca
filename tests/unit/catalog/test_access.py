"""Who may call an API without plans, and whose applications may subscribe to one with plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.keys import Key

API = "tenants/acme/apis/billing/api.yaml"
APP = "tenants/evil/applications/a.yaml"
TENANT = "tenants/evil/tenant.yaml"
BASE = "version: '1'\nbackend: {url: https://billing.example}\n"

Read = Callable[..., Catalog]
Document = Callable[..., str]


@pytest.fixture
def catalog(read: Read, document: Document) -> Callable[[str, str], Catalog]:
    """Return a catalog with lines of acme's API, and subscriptions of evil's application."""

    def catalog(api: str, subscriptions: str = "[]") -> Catalog:
        return read({
            TENANT: document("Tenant", "evil"),
            API: document("API", "billing", BASE + api),
            APP: document("Application", "a", f"subscriptions: {subscriptions}"),
        })  # fmt: skip

    return catalog


def found(catalog: Catalog) -> list[tuple[str, str]]:
    return [(d.source.path, d.code) for d in catalog.diagnostics]


def spec(catalog: Catalog, key: Key) -> Any:
    resource = catalog.desired["main"].resources.get(key)
    return None if resource is None else resource.spec.value


GOLD = "[{api: acme/billing, plan: gold}]"
MINE = Key("application", "evil", "a")
BILLING = Key("api", "acme", "billing")


@pytest.mark.parametrize(
    ("tenants", "is_fine"),
    [("", False), (", tenants: [globex]", False), (", tenants: [evil]", True),
     (", tenants: ['*']", True), (", tenants: [globex, evil]", True)],
)  # fmt: skip
def test_a_subscription_across_tenants_needs_consent(
    catalog: Callable[[str, str], Catalog], tenants: str, is_fine: bool
) -> None:
    read = catalog(f"plans: [{{name: gold{tenants}}}]", GOLD)
    errors = [(d.source.full, d.code) for d in read.errors]
    assert errors == ([] if is_fine else [(f"{APP}:6:25", "subscription.consent")])
    assert (spec(read, MINE) is not None) is is_fine
    # Who may subscribe is nothing that a gateway is told.
    assert spec(read, BILLING)["plans"] == [{"name": "gold"}]


def test_a_plan_that_takes_a_tenant_does_not_open_the_others(
    catalog: Callable[[str, str], Catalog],
) -> None:
    plans = "plans: [{name: gold}, {name: free, tenants: [evil]}]"
    read = catalog(plans, "[{api: acme/billing, plan: gold}, {api: acme/billing, plan: free}]")
    assert [code for _, code in found(read)] == ["subscription.consent"]
    assert spec(read, MINE)["subscriptions"] == [{"api": "acme/billing", "plan": "free"}]


def test_an_api_without_plans_takes_no_other_tenant(
    catalog: Callable[[str, str], Catalog],
) -> None:
    read = catalog("policies: [{type: api_key, config: {}}]", "[{api: acme/billing}]")
    assert [code for _, code in found(read)] == ["subscription.consent"]
    assert spec(read, MINE) is None


def test_consent_to_a_tenant_that_is_not_there_is_a_warning(
    catalog: Callable[[str, str], Catalog],
) -> None:
    """An error would let a tenant break others' APIs by removing its own document."""
    read = catalog("plans: [{name: gold, tenants: [evli]}]")
    assert [(d.code, d.severity) for d in read.diagnostics] == [("plan.tenant", Severity.WARNING)]
    assert spec(read, BILLING) is not None


KEY = "policies: [{type: api_key, config: {}}]\n"


@pytest.mark.parametrize(
    ("lines", "access", "code"),
    [
        (KEY, None, None),
        (KEY + "access: tenant", None, None),
        (KEY + "access: subscribed", "subscribed", None),
        ("plans: [{name: gold}]\naccess: subscribed", None, None),
        ("plans: [{name: gold}]\naccess: tenant", None, "access.unused"),
        ("access: subscribed", None, "access.unused"),
        ("access: tenant", None, "access.unused"),
        (KEY + "access: nobody", None, "schema.enum"),
    ],
)
def test_access_is_told_to_gateways_where_it_differs_and_never_without_effect(
    catalog: Callable[[str, str], Catalog], lines: str, access: str | None, code: str | None
) -> None:
    read = catalog(lines)
    assert [one for _, one in found(read)] == ([code] if code else [])
    if code is None:
        assert spec(read, BILLING).get("access") == access
        resource = read.desired["main"].resources[BILLING]
        assert ("access:subscribed" in resource.hints.requires) is (access is not None)
    else:
        assert spec(read, BILLING) is None


@pytest.mark.parametrize(
    ("policies", "access", "is_there"),
    [("api_key", "", True), ("api_key", "access: subscribed", False), ("cors", "", False)],
)
def test_an_application_that_names_no_api_goes_where_its_tenant_may_call(
    read: Read, document: Document, policies: str, access: str, is_there: bool
) -> None:
    config = "{origins: ['*']}" if policies == "cors" else "{}"
    policy = f"policies: [{{type: {policies}, config: {config}}}]\n{access}"
    documents = {
        TENANT: document("Tenant", "evil"),
        APP: document("Application", "a"),
        API: document("API", "billing", BASE + "policies: [{type: api_key, config: {}}]"),
    }
    assert spec(read(documents), MINE) is None, "another tenant's API lets nobody else in"
    documents["tenants/evil/apis/open/api.yaml"] = document("API", "open", BASE + policy)
    seen = spec(read(documents), MINE)
    assert (seen is not None) is is_there
    assert seen is None or seen["subscriptions"] == []
