"""What applications, strategies, aliases and configurations do that nobody expects."""

from __future__ import annotations

import pytest

from tests.adapters.webmethods.double.runtime import accepted_keys, target
from tests.adapters.webmethods.testbed import BASIC, ENDPOINT, gateway, leaf

STRATEGY = {"name": "jwt", "type": "JWT_RSA", "authServerAlias": "idp", "secret": "c2VjcmV0"}


async def test_one_application_comes_in_the_envelope_of_the_list() -> None:
    async with gateway() as here:
        made = await here.call("POST", "/applications", {"name": "app"})
        found = await here.call("GET", f"/applications/{made['id']}")
        assert [one["id"] for one in found["applications"]] == [made["id"]]


async def test_names_of_applications_are_not_unique() -> None:
    async with gateway() as here:
        for _ in range(2):
            await here.call("POST", "/applications", {"name": "app"})
        found = await here.call("GET", "/applications")
        assert [one["name"] for one in found["applications"]] == ["app", "app"]


@pytest.mark.parametrize("verb", ["PUT", "POST"])
async def test_links_of_an_application_are_replaced_by_both_verbs(verb: str) -> None:
    async with gateway() as here:
        one, two = await here.add_api("one"), await here.add_api("two")
        app = await here.call("POST", "/applications", {"name": "app"})
        at = f"/applications/{app['id']}/apis"
        await here.call(verb, at, {"apiIDs": [one["id"]]})
        await here.call(verb, at, {"apiIDs": [two["id"]]})
        assert (await here.call("GET", at))["apiIDs"] == [two["id"]]
        status, body = await here.ask(verb, at, [one["id"]])
        assert (status, body) == (500, {"errorDetails": None})


async def test_an_update_empties_what_it_leaves_out_but_links_and_tokens() -> None:
    async with gateway() as here:
        api = await here.add_api()
        ranges = {"key": "ipAddressRange", "name": "net", "value": ["10.0.0.1-10.0.0.9"]}
        sent = {"name": "app", "description": "ours", "identifiers": [ranges],
                "newApisForAssociation": [api["id"]]}  # fmt: skip
        made = await here.call("POST", "/applications", sent)
        emptied = {"name": "app", "consumingAPIs": [], "accessTokens": {}}
        found = await here.call("PUT", f"/applications/{made['id']}", emptied)
        assert (found["description"], found["identifiers"]) == (None, [])
        assert found["consumingAPIs"] == [api["id"]]
        assert found["accessTokens"] == made["accessTokens"]


async def test_unknown_identifiers_are_refused_and_11_reads_values_otherwise() -> None:
    odd = {"key": "cidr", "name": "net", "value": ["10.0.0.0/8"]}
    good = {"key": "hostNameAddress", "name": "host", "value": ["a.example"]}
    async with gateway("11") as here:
        status, body = await here.ask("POST", "/applications", {"name": "a", "identifiers": [odd]})
        assert (status, "Undefined 'key'" in body["errorDetails"]) == (400, True)
        made = await here.call("POST", "/applications", {"name": "a", "identifiers": [good]})
        assert made["identifiers"][0]["swaggerValue"] == ["a.example"]
        assert "value" not in made["identifiers"][0]


async def test_a_posted_token_is_a_new_key_and_the_old_one_is_gone() -> None:
    async with gateway() as here:
        api = await here.add_api()
        key = {"key": "apiKey", "name": "key", "value": ["chosen"]}
        sent = {"name": "app", "identifiers": [key], "newApisForAssociation": [api["id"]]}
        made = await here.call("POST", "/applications", sent)
        old = accepted_keys(here.double.store, here.double.store.record("apis", api["id"]))
        assert "chosen" in old
        status, _ = await here.ask("POST", f"/applications/{made['id']}/accessTokens",
                                   {"type": "apiAccessKeyCredentials"})  # fmt: skip
        new = accepted_keys(here.double.store, here.double.store.record("apis", api["id"]))
        assert (status, old & new) == (201, {"chosen"})


async def test_expiries_without_an_id_change_the_keys_of_everybody() -> None:
    async with gateway() as here:
        for name in ("one", "two"):
            await here.call("POST", "/applications", {"name": name})
        await here.call("PUT", "/applications/accessTokens", {"expirationInterval": "1"})
        found = (await here.call("GET", "/applications"))["applications"]
        tokens = [one["accessTokens"]["apiAccessKey_credentials"] for one in found]
        assert [one["expirationInterval"] for one in tokens] == ["1", "1"]
        assert here.double.store.expiry_changes == 1


async def test_a_strategy_in_an_envelope_is_of_no_type_and_its_secret_is_masked() -> None:
    async with gateway() as here:
        status, body = await here.ask("POST", "/strategies", {"strategy": STRATEGY})
        assert (status, body["errorDetails"]) == (400, " Unrecognized Type: [null]")
        made = (await here.call("POST", "/strategies", STRATEGY))["strategy"]
        assert made["secret"] == "*" * 32
        assert set(await here.call("GET", "/strategies")) == {"strategies"}
        here.double.behaviour.bare_strategies = True
        assert [one["id"] for one in await here.call("GET", "/strategies")] == [made["id"]]


async def test_a_scope_passes_over_fields_that_it_does_not_know() -> None:
    async with gateway() as here:
        sent = {"scopeName": "local:read", "apiIds": ["x"], "keycloakScope": "y"}
        found = (await here.call("POST", "/scopes", sent))["scope"]
        assert found["apiScopes"] == []
        assert {"apiIds", "keycloakScope"}.isdisjoint(found)


@pytest.mark.parametrize(("version", "expected"), [("10.15", 409), ("11", 400)])
async def test_the_name_of_an_alias_is_unique(version: str, expected: int) -> None:
    async with gateway(version) as here:
        made = (await here.call("POST", "/alias", ENDPOINT))["alias"]
        assert made["suspendDurationOnFailure"] == 0
        assert (await here.ask("POST", "/alias", ENDPOINT))[0] == expected


async def test_secrets_of_aliases_are_masked_and_lost_if_they_are_not_sent_again() -> None:
    async with gateway() as here:
        made = (await here.call("POST", "/alias", BASIC))["alias"]
        assert made["httpAuthCredentials"]["password"] == "*" * 32
        held = here.double.store.record("aliases", made["id"])
        assert held["httpAuthCredentials"]["password"] == "cGFzcw=="
        await here.call("PUT", f"/alias/{made['id']}", made)
        held = here.double.store.record("aliases", made["id"])
        assert held["httpAuthCredentials"]["password"] == "*" * 32


async def test_an_authorization_server_needs_its_nested_form() -> None:
    flat = {"name": "idp", "type": "authServerAlias", "clientId": "a", "clientSecret": "b",
            "discoveryURL": "https://idp.example"}  # fmt: skip
    async with gateway() as here:
        assert (await here.ask("POST", "/alias", flat))[0] == 400
        remote = {"introspectionEndpoint": "https://idp.example/i", "clientId": "a",
                  "clientSecret": "b"}  # fmt: skip
        sent = {**flat, "authServerType": "EXTERNAL", "remoteIntrospectionConfig": remote}
        assert (await here.ask("POST", "/alias", sent))[0] == 400
        remote["user"] = "Administrator"
        made = (await here.call("POST", "/alias", sent))["alias"]
        assert made["remoteIntrospectionConfig"]["clientSecret"] == "***"


async def test_an_alias_is_bound_at_activation_so_a_new_one_of_its_name_is_not_it() -> None:
    async with gateway() as here:
        api = await here.add_api()
        alias = (await here.call("POST", "/alias", ENDPOINT))["alias"]
        route = [leaf("endpointUri", "${backend}/${sys:resource_path}"), leaf("method", "CUSTOM")]
        action = await here.add_action("straightThroughRouting", route)
        await here.place(api["policies"][0], "routing", action["id"])
        await here.call("PUT", f"/apis/{api['id']}/activate")
        store = here.double.store
        held = store.record("apis", api["id"])
        await here.call("PUT", f"/alias/{alias['id']}",
                        {**ENDPOINT, "endPointURI": "https://two.example"})  # fmt: skip
        assert target(store, held) == "https://two.example/${sys:resource_path}"
        assert (await here.ask("DELETE", f"/alias/{alias['id']}"))[0] == 405
        store.aliases.drop(alias["id"])
        await here.call("POST", "/alias", ENDPOINT)
        assert target(store, held) is None


@pytest.mark.parametrize("name", ["jsonWebToken", "apiCallBackProcessorSettings"])
async def test_unknown_configurations_are_400_with_their_id(name: str) -> None:
    async with gateway() as here:
        status, body = await here.ask("GET", f"/configurations/{name}")
        assert status == 400
        assert body["errorDetails"] == f" Invalid configId value in request. configId: {name}."


async def test_unknown_keys_of_a_configuration_are_400_and_a_put_replaces() -> None:
    async with gateway() as here:
        at = "/configurations/errorProcessing"
        status, body = await here.ask("PUT", at, {"message": "x"})
        assert status == 400
        assert body["errorDetails"] == " Invalid property key found in request payload."
        await here.call("PUT", at, {"defaultErrorMessage": "sorry"})
        await here.call("PUT", at, {"sendNativeProviderFault": "true"})
        found = await here.call("GET", at)
        assert found["sendNativeProviderFault"] == "true"
        assert found["defaultErrorMessage"] != "sorry"


async def test_settings_show_all_and_take_preferred_ones() -> None:
    async with gateway() as here:
        at = "/configurations/settings"
        keys = {"extendedKeys": {"pg_JWT_isHTTPS": "false"}, "wattKeys": {}}
        await here.call("PUT", at, {"preferredSettings": keys})
        found = await here.call("GET", at)
        assert found["allSettings"]["pg_JWT_isHTTPS"] == "false"
        assert found["allSettings"]["watt.net.timeout"] == "300"


async def test_url_aliases_are_addressed_by_name_in_the_query() -> None:
    async with gateway() as here:
        sent = {"alias": "pets", "package": "WmAPIGateway"}
        assert (await here.ask("POST", "/urlaliases", sent))[0] == 400
        sent["urlPath"] = "gateway/pets/1.0.0"
        made = await here.call("POST", "/urlaliases", sent)
        assert (made["association"], made["urlPath"]) == ("1", sent["urlPath"])
        assert (await here.ask("POST", "/urlaliases", sent))[0] == 400
        moved = await here.call("PUT", "/urlaliases", {**sent, "urlPath": "gateway/pets/2.0.0"})
        listed = await here.call("GET", "/urlaliases")
        assert listed["urlAliases"] == [moved]
        await here.call("DELETE", "/urlaliases", alias="pets")
        assert (await here.ask("GET", "/urlaliases", alias="pets"))[0] == 404
