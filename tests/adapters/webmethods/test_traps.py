"""What webMethods API Gateway does that nobody expects (contract A.14): the double does it too."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.adapters.webmethods.double.app import BASE
from tests.adapters.webmethods.double.runtime import actions_of, target
from tests.adapters.webmethods.testbed import LOG, PETS, gateway

NOBODY = "00000000-0000-4000-8000-000000000000"
BOTH = pytest.mark.parametrize("version", ["10.15", "11"])


# surroundings


async def test_without_accept_it_answers_200_with_html_and_works_all_the_same() -> None:
    async with gateway() as here:
        headers = {"Accept": "*/*"}
        alias = {"name": "a", "type": "simple", "value": "x"}
        made = await here.http.post(f"{BASE}/alias", json=alias, headers=headers)
        assert made.status_code == 200
        assert made.headers["Content-Type"].startswith("text/html")
        assert "a" in [one["name"] for one in (await here.call("GET", "/alias"))["alias"]]


@pytest.mark.parametrize("path", ["/apis", "/policies"])
@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE"])
async def test_an_unknown_id_is_401_and_not_404(path: str, verb: str) -> None:
    async with gateway() as here:
        status, body = await here.ask(verb, f"{path}/{NOBODY}")
        assert status == 401
        assert "permission" in body["errorDetails"]


@pytest.mark.parametrize(("version", "expected"), [("10.15", 401), ("11", 404)])
async def test_unknown_parts_are_401_or_404_by_version(version: str, expected: int) -> None:
    async with gateway(version) as here:
        for path in ("policyActions", "applications", "strategies", "scopes", "alias"):
            assert (await here.ask("DELETE", f"/{path}/{NOBODY}"))[0] == expected


async def test_wrong_credentials_are_401_too_and_so_are_missing_rights() -> None:
    async with gateway() as here:
        wrong = await here.http.get(f"{BASE}/apis", auth=("Administrator", "guess"))
        assert wrong.status_code == 401
        reader = ("reader", "reader")
        assert (await here.http.get(f"{BASE}/apis", auth=reader)).status_code == 200
        alias = {"name": "a", "type": "simple", "value": "x"}
        assert (await here.http.post(f"{BASE}/alias", json=alias, auth=reader)).status_code == 401


async def test_credentials_can_end_in_the_middle() -> None:
    async with gateway() as here:
        here.double.revoke_after(1)
        assert [(await here.ask("GET", "/apis"))[0] for _ in range(3)] == [200, 401, 401]


async def test_a_licence_that_ended_is_403_with_html() -> None:
    async with gateway() as here:
        here.double.is_expired = True
        status, body = await here.ask("GET", "/apis")
        assert (status, "<html>" in body) == (403, True)


async def test_a_store_that_is_read_only_refuses_writes_only() -> None:
    async with gateway() as here:
        here.double.is_read_only = True
        assert (await here.ask("GET", "/apis"))[0] == 200
        assert (await here.upload(PETS))[0] == 500


async def test_quiesce_mode_answers_503_to_writes_and_not_to_searches() -> None:
    async with gateway() as here:
        await here.call("PUT", "/quiescemode", {"block": "designtime", "enable": True})
        assert (await here.upload(PETS))[0] == 503
        assert (await here.ask("GET", "/apis"))[0] == 200
        assert (await here.ask("POST", "/search", {"types": ["api"]}))[0] == 200
        await here.call("PUT", "/quiescemode", {"block": "designtime", "enable": False})
        assert (await here.upload(PETS))[0] == 201


async def test_health_needs_no_credentials_and_serverinfo_does() -> None:
    async with (
        gateway() as here,
        httpx.AsyncClient(timeout=30, base_url=here.http.base_url) as stranger,
    ):
        headers = {"Accept": "application/json"}
        health = await stranger.get(f"{BASE}/health", headers=headers)
        assert (health.status_code, health.json()) == (200, {"status": "green"})
        info = await stranger.get(f"{BASE}/is/serverinfo", headers=headers)
        assert info.status_code == 401


async def test_a_write_is_missing_in_lists_for_the_next_reads() -> None:
    async with gateway() as here:
        here.double.lag(2)
        api = await here.add_api()
        seen = [len((await here.call("GET", "/apis"))["apiResponse"]) for _ in range(3)]
        assert seen == [0, 0, 1]
        await here.call("PUT", f"/apis/{api['id']}/activate")
        listed = [await here.call("GET", "/apis") for _ in range(3)]
        states = [one["apiResponse"][0]["api"]["isActive"] for one in listed]
        assert states == [False, False, True]
        assert (await here.call("GET", f"/apis/{api['id']}"))["apiResponse"]["api"]["isActive"]


async def test_a_deleted_object_stays_in_lists_for_the_next_reads() -> None:
    async with gateway() as here:
        api = await here.add_api()
        here.double.lag(1)
        await here.call("DELETE", f"/apis/{api['id']}")
        seen = [len((await here.call("GET", "/apis"))["apiResponse"]) for _ in range(2)]
        assert seen == [1, 0]


async def test_only_apis_and_searches_know_pages() -> None:
    async with gateway() as here:
        for number in range(3):
            await here.add_api(f"pets-{number}")
            await here.call("POST", "/applications", {"name": f"app-{number}"})
        page = {"from": "1", "size": "1"}
        assert len((await here.call("GET", "/apis", **page))["apiResponse"]) == 1
        assert len((await here.call("GET", "/applications", **page))["applications"]) == 3
        assert len((await here.call("GET", "/policies", **page))["policy"]) == 4


async def test_faults_are_planned_by_method_and_path() -> None:
    async with gateway() as here:
        faults = here.double.faults
        faults.fail("POST */alias", 502)
        alias = {"name": "a", "type": "simple", "value": "x"}
        assert (await here.ask("POST", "/alias", alias))[0] == 502
        faults.fail("POST */alias", 500, is_done=True)
        assert (await here.ask("POST", "/alias", alias))[0] == 500
        assert (await here.ask("POST", "/alias", alias))[0] == 409


async def test_a_failure_can_hide_behind_200() -> None:
    async with gateway() as here:
        api = await here.add_api()
        here.double.faults.answer_status("PUT */activate", "ERROR")
        status, body = await here.ask("PUT", f"/apis/{api['id']}/activate")
        assert (status, body["apiResponse"]["responseStatus"]) == (200, "ERROR")
        assert not here.double.store.record("apis", api["id"])["isActive"]
        listed = await here.call("GET", "/apis", apiIds=f"{api['id']},{NOBODY}")
        found = [one["responseStatus"] for one in listed["apiResponse"]]
        assert found == ["SUCCESS", "NOT_FOUND"]


# APIs


@BOTH
async def test_an_import_is_inactive_and_has_a_policy_of_transport_and_routing(
    version: str,
) -> None:
    async with gateway(version) as here:
        api = await here.add_api()
        assert api["isActive"] is False
        policy = (await here.call("GET", f"/policies/{api['policies'][0]}"))["policy"]
        assert policy["names"][0]["value"] == "Default Policy for API pets"
        assert {one["stageKey"] for one in policy["policyEnforcements"]} == {"transport", "routing"}
        found = {one["templateKey"]: one for one in actions_of(here.double.store, api)}
        assert found["entryProtocolPolicy"]["parameters"][0]["values"] == ["http"]
        endpoint = found["straightThroughRouting"]["parameters"][0]["values"]
        assert endpoint == ["https://pets.example/v2/${sys:resource_path}"]


async def test_a_definition_is_read_back_otherwise_than_it_was_sent() -> None:
    async with gateway() as here:
        definition = (await here.add_api())["apiDefinition"]
        assert "openapi" not in definition
        assert definition["externalDocs"] == [PETS["externalDocs"]]
        get = definition["paths"]["/pets"]["get"]
        assert (get["enabled"], get["produces"]) == (True, ["application/json"])
        parameter = get["parameters"][0]
        assert "schema" not in parameter
        assert (parameter["style"], parameter["parameterSchema"]) == ("FORM", {"type": "integer"})
        assert list(get["responses"]["200"]["headersV3"]) == ["X-Next"]
        assert get["responses"]["200"]["headers"] == {}


@pytest.mark.parametrize(
    "document",
    [
        {**PETS, "openapi": "3.1.0"},
        {**PETS, "components": {"schemas": {"Pet": {"type": ["object", "null"]}}}},
        {**PETS, "components": {"schemas": {"Pet": {"exclusiveMinimum": 1}}}},
        {**PETS, "info": {"title": "Pets"}},
    ],
    ids=["3.1", "a list of types", "a bound of 3.1", "no version"],
)
async def test_what_is_not_3_0_is_refused(document: dict[str, Any]) -> None:
    async with gateway() as here:
        status, body = await here.upload(document)
        assert (status, body["errorDetails"]) == (400, " openapi file is not valid")


async def test_a_boolean_for_additional_properties_is_a_500_of_updates_only() -> None:
    pet = {"type": "object", "additionalProperties": False}
    document = {**PETS, "components": {"schemas": {"Pet": pet}}}
    async with gateway() as here:
        status, made = await here.upload(document)
        assert status == 201
        status, body = await here.upload(document, at=made["apiResponse"]["api"]["id"])
        assert status == 500
        assert "no boolean-argument constructor" in body["errorDetails"]


async def test_the_route_of_json_wants_other_forms_than_an_upload() -> None:
    async with gateway() as here:
        sent = {"apiName": "pets", "type": "openapi", "apiDefinition": PETS}
        assert (await here.ask("POST", "/apis", sent))[0] == 400
        listed = {**PETS, "externalDocs": [PETS["externalDocs"]]}
        assert (await here.ask("POST", "/apis", {**sent, "apiDefinition": listed}))[0] == 201


@pytest.mark.parametrize(("version", "expected"), [("10.15", 400), ("11", 409)])
async def test_a_name_is_taken_for_every_version(version: str, expected: int) -> None:
    async with gateway(version) as here:
        await here.add_api()
        other = {**PETS, "info": {"title": "Pets", "version": "2.0.0"}}
        status, body = await here.upload(other)
        assert status == expected
        assert "already exists" in body["errorDetails"]


async def test_a_name_with_other_characters_is_refused() -> None:
    async with gateway() as here:
        assert (await here.upload(PETS, "my pets"))[0] == 400


async def test_10_15_refuses_to_change_an_active_api() -> None:
    async with gateway() as here:
        api = await here.add_api(is_active=True)
        assert (await here.upload(PETS, at=api["id"]))[0] == 400
        await here.call("PUT", f"/apis/{api['id']}/deactivate")
        assert (await here.upload(PETS, at=api["id"]))[0] == 200


async def test_11_changes_an_active_api_which_ends_inactive_if_that_fails() -> None:
    async with gateway("11") as here:
        api = await here.add_api(is_active=True)
        status, body = await here.upload(PETS, at=api["id"])
        assert (status, body["apiResponse"]["api"]["isActive"]) == (200, True)
        assert (await here.upload(PETS, "other", at=api["id"]))[0] == 400
        here.double.behaviour.fails_hot_updates = True
        assert (await here.upload(PETS, at=api["id"]))[0] == 500
        assert not here.double.store.record("apis", api["id"])["isActive"]


async def test_an_update_leaves_the_route_where_it_was() -> None:
    async with gateway() as here:
        api = await here.add_api()
        moved = {**PETS, "servers": [{"url": "https://new.example"}]}
        status, body = await here.upload(moved, at=api["id"])
        found = body["apiResponse"]["api"]
        assert (status, found["policies"]) == (200, api["policies"])
        assert found["nativeEndpoint"][0]["uri"] == "https://new.example"
        await here.call("PUT", f"/apis/{api['id']}/activate")
        stored = here.double.store
        assert target(stored, stored.record("apis", api["id"])) == (
            "https://pets.example/v2/${sys:resource_path}"
        )


async def test_an_update_without_tags_erases_them_unless_it_says_otherwise() -> None:
    bare = {name: value for name, value in PETS.items() if name != "tags"}
    async with gateway() as here:
        api = await here.add_api()
        query = {"overwriteTags": "false"}
        document = {"externalDocs": [], **{k: v for k, v in bare.items() if k != "externalDocs"}}
        sent = {"apiName": "pets", "type": "openapi", "apiDefinition": document}
        kept = await here.call("PUT", f"/apis/{api['id']}", sent, **query)
        assert kept["apiResponse"]["api"]["apiDefinition"]["tags"] == PETS["tags"]
        gone = await here.call("PUT", f"/apis/{api['id']}", {**sent, "apiTags": ["a"]})
        assert gone["apiResponse"]["api"]["apiDefinition"]["tags"] == []
        assert gone["apiResponse"]["api"]["apiTags"] == []


async def test_activating_what_is_active_is_400() -> None:
    async with gateway() as here:
        api = await here.add_api()
        assert (await here.ask("PUT", f"/apis/{api['id']}/deactivate"))[0] == 400
        await here.call("PUT", f"/apis/{api['id']}/activate")
        assert (await here.ask("PUT", f"/apis/{api['id']}/activate"))[0] == 400


async def test_an_api_without_resources_cannot_be_activated() -> None:
    async with gateway() as here:
        _, made = await here.upload({**PETS, "paths": {}})
        key = made["apiResponse"]["api"]["id"]
        assert (await here.ask("PUT", f"/apis/{key}/activate"))[0] == 400


async def test_a_reference_to_a_deleted_action_is_a_500_at_activation() -> None:
    async with gateway() as here:
        api = await here.add_api()
        action = await here.add_action("logInvocation", LOG)
        await here.place(api["policies"][0], "LMT", action["id"])
        await here.call("DELETE", f"/policyActions/{action['id']}")
        status, body = await here.ask("PUT", f"/apis/{api['id']}/activate")
        assert (status, "NullPointerException" in body["errorDetails"]) == (500, True)
        await here.place(api["policies"][0], "LMT")
        assert (await here.ask("PUT", f"/apis/{api['id']}/activate"))[0] == 200


async def test_versions_come_from_the_latest_only_and_are_inactive() -> None:
    async with gateway() as here:
        first = await here.add_api(is_active=True)
        at = f"/apis/{first['id']}/versions"
        assert (await here.ask("POST", at, {"newapiversion": "2.0.0"}))[0] == 400
        body = await here.call("POST", at, {"newApiVersion": "2.0.0"})
        second = body["apiResponse"]["api"]
        assert (second["isActive"], second["prevVersion"]) == (False, first["id"])
        assert second["policies"] != first["policies"]
        status, body = await here.ask("POST", at, {"newApiVersion": "3.0.0"})
        assert (status, body["errorDetails"]) == (
            400,
            " Versioning is allowed only from latest version",
        )
        again = f"/apis/{second['id']}/versions"
        assert (await here.ask("POST", again, {"newApiVersion": "1.0.0"}))[0] == 400


async def test_an_active_api_cannot_be_deleted_and_links_hide_behind_200() -> None:
    async with gateway() as here:
        api = await here.add_api(is_active=True)
        app = {"name": "app", "newApisForAssociation": [api["id"]]}
        app = await here.call("POST", "/applications", app)
        at = f"/apis/{api['id']}"
        assert (await here.ask("DELETE", at))[0] == 400
        await here.call("PUT", f"{at}/deactivate")
        status, body = await here.ask("DELETE", at)
        assert (status, body["apiId"]) == (200, api["id"])
        assert body["errorReason"]
        assert (await here.ask("DELETE", at, forceDelete="true"))[0] == 204
        assert (await here.call("GET", f"/applications/{app['id']}/apis"))["apiIDs"] == []
