"""What archives of webMethods do that nobody expects (contract A.10): the double does it too."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from tests.adapters.webmethods.double.app import BASE
from tests.adapters.webmethods.double.runtime import target
from tests.adapters.webmethods.testbed import BASIC, ENDPOINT, PETS, Person, gateway

EVERYTHING = "apis,policies,policyactions"


async def _export(here: Person, **query: str) -> bytes:
    response = await here.http.get(f"{BASE}/archive", params=query)
    assert response.status_code == 200, response.text
    return response.content


def changed(raw: bytes, **fields: Any) -> bytes:
    """The archive with fields of its API set anew."""
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(found, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.rpartition("/")[2].startswith("API."):
                content = json.dumps({**json.loads(content), **fields}).encode()
            new.writestr(name, content)
    return found.getvalue()


def outcomes(body: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        kind: (one["status"], one["explanation"])
        for entry in body["ArchiveResult"]
        for kind, one in entry.items()
    }


async def test_an_export_is_a_zip_with_a_manifest_and_nested_parts() -> None:
    async with gateway() as here:
        api = await here.add_api()
        raw = await _export(here, apis=api["id"])
        assert raw.startswith(b"PK")
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = archive.namelist()
        key, policy = api["id"], api["policies"][0]
        assert f"API/API.{key}/API.{key}" in names
        assert f"API/API.{key}/Policy/Policy.{policy}/Policy.{policy}" in names
        nested = f"API/API.{key}/Policy/Policy.{policy}/PolicyAction/PolicyAction."
        assert sum(name.startswith(nested) for name in names) == 2
        assert {"APIGatewayAssets.acdl", "ExportReport.json"} <= set(names)


async def test_two_exports_of_the_same_are_not_the_same_bytes() -> None:
    async with gateway() as here:
        api = await here.add_api()
        assert await _export(here, apis=api["id"]) != await _export(here, apis=api["id"])


async def test_what_cannot_be_exported_is_answered_with_json() -> None:
    async with gateway() as here:
        assert (await here.ask("GET", "/archive", apis="nobody"))[0] == 400
        assert (await here.ask("GET", "/archive", include="apis"))[0] == 400


async def test_an_empty_filter_exports_everything() -> None:
    async with gateway() as here:
        await here.add_api()
        await here.call("POST", "/alias", ENDPOINT)
        headers = {"x-HTTP-Method-Override": "GET"}
        response = await here.http.post(f"{BASE}/archive", json={}, headers=headers)
        with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
            kinds = {name.partition("/")[0] for name in archive.namelist()}
        assert {"API", "Alias", "Policy"} <= kinds


async def test_an_import_is_201_though_nothing_was_taken() -> None:
    async with gateway() as here:
        api = await here.add_api()
        raw = await _export(here, apis=api["id"])
        status, body = await here.archive(raw)
        assert status == 201
        assert set(outcomes(body).values()) == {("Failed", "Asset already exists.")}


async def test_another_case_of_overwrite_is_passed_over() -> None:
    async with gateway() as here:
        api = await here.add_api()
        raw = await _export(here, apis=api["id"])
        _, body = await here.archive(raw, overwrite="APIs,policies,policyActions")
        assert outcomes(body)["API"][0] == "Failed"
        assert outcomes(body)["PolicyAction"][0] == "Failed"
        assert outcomes(body)["Policy"][0] == "Success"


async def test_an_active_api_is_overwritten_without_an_outage() -> None:
    async with gateway() as here:
        api = await here.add_api(is_active=True)
        raw = changed(await _export(here, apis=api["id"]), apiDescription="new")
        status, body = await here.archive(raw, overwrite=EVERYTHING)
        assert (status, {one[0] for one in outcomes(body).values()}) == (201, {"Success"})
        found = here.double.store.record("apis", api["id"])
        assert (found["apiDescription"], found["isActive"]) == ("new", True)
        assert target(here.double.store, found) is not None


async def test_an_archive_of_an_inactive_api_deactivates_the_live_one() -> None:
    async with gateway() as here:
        api = await here.add_api(is_active=True)
        raw = changed(await _export(here, apis=api["id"]), isActive=False)
        await here.archive(raw, overwrite=EVERYTHING)
        assert not here.double.store.record("apis", api["id"])["isActive"]


async def test_a_state_that_is_not_preserved_is_inactive() -> None:
    async with gateway() as here:
        api = await here.add_api(is_active=True)
        raw = await _export(here, apis=api["id"])
        await here.archive(raw, overwrite=EVERYTHING, preserveAssetState="false")
        assert not here.double.store.record("apis", api["id"])["isActive"]


async def test_guids_are_kept_and_an_active_api_is_served_at_once() -> None:
    async with gateway() as here, gateway() as there:
        api = await here.add_api(is_active=True)
        raw = await _export(here, apis=api["id"])
        await there.archive(raw)
        found = there.double.store.record("apis", api["id"])
        assert (found["isActive"], found["policies"]) == (True, api["policies"])


async def test_one_asset_fails_and_the_others_are_taken() -> None:
    async with gateway() as here, gateway() as there:
        one, two = await here.add_api("one"), await here.add_api("two")
        raw = await _export(here, apis=f"{one['id']},{two['id']}")
        there.double.imports.failures[one["id"]] = "Internal error"
        status, body = await there.archive(raw)
        found = {
            entry["API"]["name"]: entry["API"]["status"]
            for entry in body["ArchiveResult"]
            if "API" in entry
        }
        assert (status, found) == (201, {"one": "Failed", "two": "Success"})


async def test_an_asset_whose_dependency_failed_says_so() -> None:
    async with gateway() as here, gateway() as there:
        api = await here.add_api()
        raw = await _export(here, apis=api["id"])
        there.double.imports.failures[api["policies"][0]] = "Internal error"
        _, body = await there.archive(raw)
        found = next(entry["API"] for entry in body["ArchiveResult"] if "API" in entry)
        assert (found["status"], found["dependencyFailed"]) == ("Failed", True)


async def test_a_name_that_another_id_has_is_refused() -> None:
    async with gateway() as here, gateway() as there:
        raw = await _export(here, apis=(await here.add_api())["id"])
        await there.add_api("other")
        await there.add_api()
        _, body = await there.archive(raw, overwrite="apis")
        assert "already exists" in outcomes(body)["API"][1]


async def test_a_reference_to_an_action_that_is_missing_is_imported_and_not_served() -> None:
    async with gateway() as here:
        api = await here.add_api(is_active=True)
        raw = await _export(here, apis=api["id"])
        policy = here.double.store.record("policies", api["policies"][0])
        # A policy that stays as it is on the gateway, with an action that is gone.
        here.double.store.actions.drop(here.double.store.action_ids(policy)[0])
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = [name for name in archive.namelist() if "PolicyAction" not in name]
            entries = {name: archive.read(name) for name in names}
        text = entries["APIGatewayAssets.acdl"].decode()
        kept = [line for line in text.splitlines() if "dependsOn" not in line]
        entries["APIGatewayAssets.acdl"] = "\n".join(kept).encode()
        found = io.BytesIO()
        with zipfile.ZipFile(found, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
        _, body = await here.archive(found.getvalue(), overwrite="apis")
        status, explanation = outcomes(body)["API"]
        assert (status, "NullPointerException" in explanation) == ("Success", True)
        assert not here.double.store.record("apis", api["id"])["isActive"]


@pytest.mark.parametrize(("overwrite", "is_kept"), [
    ("applications", True), ("application_apiKeys", True),
    ("applications,application_apiKeys", False),
])  # fmt: skip
async def test_keys_of_applications_need_a_word_of_their_own(overwrite: str, is_kept: bool) -> None:
    async with gateway() as here:
        app = await here.call("POST", "/applications", {"name": "app"})
        old = app["accessTokens"]["apiAccessKey_credentials"]["apiAccessKey"]
        raw = await _export(here, applications=app["id"])
        await here.call("POST", f"/applications/{app['id']}/accessTokens",
                        {"type": "apiAccessKeyCredentials"})  # fmt: skip
        await here.archive(raw, overwrite=overwrite)
        held = here.double.store.record("applications", app["id"])
        key = held["accessTokens"]["apiAccessKey_credentials"]["apiAccessKey"]
        assert (key != old) == is_kept


async def test_secrets_of_aliases_are_in_passman_data_only() -> None:
    async with gateway() as here, gateway() as there:
        alias = (await here.call("POST", "/alias", BASIC))["alias"]
        raw = await _export(here, aliases=alias["id"])
        assert b"cGFzcw==" not in raw
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            assert "PassmanData" in archive.namelist()
            assert b"password" not in archive.read(f"Alias/Alias.{alias['id']}")
        await there.archive(raw)
        held = there.double.store.record("aliases", alias["id"])
        assert held["httpAuthCredentials"]["password"] == "cGFzcw=="


async def test_what_is_no_archive_is_400() -> None:
    async with gateway() as here:
        assert (await here.archive(b"PK, or so"))[0] == 400
        found = io.BytesIO()
        with zipfile.ZipFile(found, "w") as archive:
            archive.writestr("API/API.x/API.x", json.dumps(PETS))
        assert (await here.archive(found.getvalue()))[0] == 400
