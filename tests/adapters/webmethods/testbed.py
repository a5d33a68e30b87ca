"""A running double of webMethods API Gateway, with a person at its admin API.

`gateway()` is the double on loopback alone; put a `Front` of `tests/adapters/front.py` before it
(`fronted()` of the contract suite does) to spoil the network.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.adapters.front import listening
from tests.adapters.webmethods.double import WebMethodsDouble
from tests.adapters.webmethods.double.app import BASE

WRITES = ("POST ", "PUT ", "PATCH ", "DELETE ")
PERSON = ("Administrator", "manage")

PETS: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1.0.0", "description": "All pets"},
    "servers": [{"url": "https://pets.example/v2"}],
    "tags": [{"name": "pet"}],
    "externalDocs": {"url": "https://pets.example/docs"},
    "paths": {
        "/pets": {
            "get": {
                "operationId": "listPets",
                "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer"}}],
                "responses": {
                    "200": {
                        "description": "Pets",
                        "headers": {"X-Next": {"schema": {"type": "string"}}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}
                        },
                    }
                },
            }
        }
    },
    "components": {"schemas": {"Pet": {"type": "object"}}},
}


@dataclass
class Person:
    """Somebody with a client of the admin API; each call returns status and body."""

    double: WebMethodsDouble
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Call `BASE + path`; returns the body of a 2xx, and asserts that it is one."""
        status, found = await self.ask(method, path, body, **query)
        assert status < 300, (status, found)
        return found

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        response = await self.http.request(method, BASE + path, json=body, params=query)
        try:
            return response.status_code, response.json()
        except ValueError:
            return response.status_code, response.text

    async def upload(
        self,
        document: Mapping[str, Any] | str,
        name: str = "pets",
        *,
        kind: str = "openapi",
        at: str | None = None,
        **fields: str,
    ) -> tuple[int, Any]:
        """Import a document as multipart; `at` is the id of the API to update."""
        text = document if isinstance(document, str) else json.dumps(document)
        response = await self.http.request(
            "PUT" if at else "POST",
            f"{BASE}/apis/{at}" if at else f"{BASE}/apis",
            data={"apiName": name, "type": kind, **fields},
            files={"file": ("document", text.encode())},
        )
        return response.status_code, response.json()

    async def add_api(self, name: str = "pets", *, is_active: bool = False) -> dict[str, Any]:
        """Import the pets under a name; returns the API as it is stored then."""
        status, body = await self.upload(PETS, name)
        assert status in (200, 201), body
        api: dict[str, Any] = body["apiResponse"]["api"]
        if is_active:
            body = await self.call("PUT", f"/apis/{api['id']}/activate")
            api = body["apiResponse"]["api"]
        return api

    async def add_action(self, template: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
        names = [{"value": template, "locale": "en"}]
        sent = {"names": names, "templateKey": template, "parameters": parameters}
        body = await self.call("POST", "/policyActions", {"policyAction": sent})
        found: dict[str, Any] = body["policyAction"]
        return found

    async def place(self, policy_id: str, stage: str, *actions: str) -> tuple[int, Any]:
        """Put actions into one stage of a policy and leave its other stages as they are."""
        policy = (await self.call("GET", f"/policies/{policy_id}"))["policy"]
        others = [one for one in policy["policyEnforcements"] if one["stageKey"] != stage]
        placed = [
            {"enforcementObjectId": key, "order": str(order)} for order, key in enumerate(actions)
        ]
        others += [{"stageKey": stage, "enforcements": placed}] if placed else []
        body = {"policy": {**policy, "policyEnforcements": others}}
        return await self.ask("PUT", f"/policies/{policy_id}", body)

    async def archive(self, raw: bytes, **query: str) -> tuple[int, Any]:
        response = await self.http.post(
            f"{BASE}/archive", params=query, files={"zipFile": ("archive.zip", raw)}
        )
        return response.status_code, response.json()

    def writes(self) -> list[str]:
        """The writes since the last call, without the prefix and the ids."""
        found = [line for line in self.double.requests if line.startswith(WRITES)]
        self.double.requests.clear()
        return [without_ids(line.replace(BASE, "")) for line in found]


def without_ids(line: str) -> str:
    parts = line.split("/")
    return "/".join("…" if len(part) == 36 and part.count("-") == 4 else part for part in parts)


def leaf(key: str, *values: str) -> dict[str, Any]:
    return {"templateKey": key, "values": list(values)}


def branch(key: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"templateKey": key, "parameters": list(parts)}


DESTINATION = branch("destination", leaf("destinationType", "GATEWAY"))
LOG = [leaf("logGenerationFrequency", "Always"), DESTINATION]
IDENTIFY = [
    leaf("logicalConnector", "AND"),
    leaf("allowAnonymous", "false"),
    branch(
        "IdentificationRule",
        leaf("applicationLookup", "strict"),
        leaf("identificationType", "apiKey"),
    ),
]


ENDPOINT = {"name": "backend", "type": "endpoint", "endPointURI": "https://one.example"}
BASIC: dict[str, Any] = {
    "name": "login",
    "type": "httpTransportSecurityAlias",
    "authType": "HTTP_BASIC",
    "authMode": "NEW",
    "httpAuthCredentials": {"userName": "me", "password": "cGFzcw=="},
}


@asynccontextmanager
async def gateway(version: str = "10.15", **options: Any) -> AsyncIterator[Person]:
    """Run a double; yields an administrator of it."""
    double = WebMethodsDouble(version, **options)
    async with person_at(double) as person:
        yield person


@asynccontextmanager
async def person_at(double: WebMethodsDouble) -> AsyncIterator[Person]:
    runner, url = await listening(double.app())
    headers = {"Accept": "application/json"}
    try:
        async with httpx.AsyncClient(
            timeout=30, base_url=url, auth=PERSON, headers=headers
        ) as client:
            yield Person(double, client)
    finally:
        await runner.cleanup()
