"""Which of the three ways a gateway is written in, and what it says about itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.adapters.gravitee.api.client import classify
from stoa_gitops.drivers.driver import Driver
from stoa_gitops.model.instances import GatewayAuth
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.secret import Secret
from tests.adapters.gravitee.testbed import CLASSIC, bed
from tests.contract.rig import BILLING, CRM, NOW, api

FIRST = {
    "4.12.12": "PUT automation/apis",
    "4.8.0": "PUT automation/apis",
    "4.6.0": "PUT /_import/crd",
    "4.1.0": "POST ",
}


@pytest.mark.parametrize("version", FIRST)
async def test_the_first_way_that_is_there_is_taken(version: str) -> None:
    options: dict[str, Any] = {"has_automation": version >= "4.8" or version == "4.12.12"}
    options["has_import"] = version != "4.1.0"
    async with bed(version, **options) as here:
        here.writes()
        await here.rig.converge({CRM: api("crm")})
        assert here.writes()[0] == FIRST[version]


async def test_the_description_is_asked_for_without_a_credential() -> None:
    async with bed() as here:
        assert "GET /automation/open-api.yaml" in here.double.requests
        # With one it answers 500, and no way would be found.
        assert "Automation API" in here.rig.driver.title


@pytest.mark.parametrize(("version", "text"), [("4.12.12", "4.12 or later"), ("4.10.8", "4.9 to")])
async def test_the_title_says_the_version_as_far_as_it_is_known(version: str, text: str) -> None:
    async with bed(version) as here:
        assert text in here.rig.driver.title


async def driver_like(here: Any, **changes: Any) -> Driver:
    link = here.rig.driver.connection
    instance = replace(link.instance, **{n: v for n, v in changes.items() if n != "credentials"})
    credentials = changes.get("credentials", link.credentials)
    return Driver(
        here.rig.driver.info,
        replace(link, instance=instance, credentials=credentials),
        clock=lambda: NOW,
    )


async def test_a_way_that_the_gateway_does_not_have_is_refused_with_those_it_has() -> None:
    async with bed("4.1.0", **CLASSIC) as here:
        driver = await driver_like(here, options={"way": "automation"})
        health = await driver.health()
        assert "options.way is automation, and this gateway (4.0 or 4.1) has classic" in str(
            health.error
        )
        await driver.aclose()


async def test_an_environment_that_is_not_there_says_which_option_to_write() -> None:
    async with bed() as here:
        driver = await driver_like(here, options={"environment": "production"})
        health = await driver.health()
        assert "options.organization and options.environment" in str(health.error)
        await driver.aclose()


@pytest.mark.parametrize(("password", "is_right"), [("admin", True), ("other", False)])
async def test_a_user_name_and_password_are_taken(password: str, is_right: bool) -> None:
    async with bed() as here:
        credentials = {"username": Secret("admin"), "password": Secret(password)}
        driver = await driver_like(here, auth=GatewayAuth("basic"), credentials=credentials)
        health = await driver.health()
        assert (health.success, health.reason) == (
            is_right, "" if is_right else "GatewayUnauthorized",
        )  # fmt: skip
        await driver.aclose()


@pytest.mark.parametrize(
    "text",
    [
        "io.gravitee.rest.api.service.exceptions.PluginNotFoundException: Plugin [nope]",
        "io.gravitee.rest.api.service.exceptions.InvalidDataException: #: required key [target]",
        "java.lang.NullPointerException: Name is null",
        "io.gravitee.apim.core.exception.ValidationDomainException: Invalid status for plan 'Free'",
    ],
)
def test_a_refusal_that_looks_like_a_fault_is_told_from_one(text: str) -> None:
    error = classify(500, text)
    assert isinstance(error, RequestRefused)
    assert "io.gravitee" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "it broke",
        "io.gravitee.rest.api.service.exceptions.TechnicalManagementException: An error occurs",
        "org.springframework.dao.DataAccessResourceFailureException: no connection",
        "java.net.SocketTimeoutException: Read timed out",
        "java.sql.SQLException: database is closed",
        "An error occurred while trying to create the plan: 1",
    ],
)
def test_a_fault_stays_one(text: str) -> None:
    assert classify(500, text) is None


async def test_policies_that_are_not_installed_are_known_before_any_call() -> None:
    async with bed(policies={"key-less", "api-key", "rate-limit", "quota"}) as here:
        assert not here.rig.driver.capabilities["policy:jwt"].supported
        assert "mock is not installed" in here.rig.driver.capabilities["policy:mock"].reason
        # Methods of routes need it, too.
        route = {"path": "/crm", "methods": ["GET"], "hosts": [], "stripPath": True}
        here.writes()
        outcomes = await here.rig.converge({CRM: api("crm", routes=[route]), BILLING: api("b")})
        assert [o.status for o in outcomes] == [Status.APPLIED, Status.QUARANTINED]
        assert "methods of routes: mock is not installed" in outcomes[1].message
        assert here.writes() == ["PUT automation/apis"]
