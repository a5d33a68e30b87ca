"""Rigs of the webMethods adapter: by doubles of 10.15 and of 11, which update APIs otherwise."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from stoa_gitops.adapter_sdk.contract import GatewayAdapter
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.webmethods.adapter import WebMethodsAdapter
from stoa_gitops.adapters.webmethods.api.client import classify
from tests.adapters.webmethods.double import WebMethodsDouble
from tests.adapters.webmethods.testbed import PERSON, Person, person_at
from tests.contract.rig import Rig, RigBuilders, fronted, without_pause

EXTENDED: dict[str, tuple[str, dict[str, Any]]] = {
    "alias": ("one", {"type": "simple", "value": "1"}),
    "auth_server": (
        "issuer",
        {
            "authServerType": "EXTERNAL",
            "localIntrospectionConfig": {"issuer": "https://a.example", "jwksuri": "https://a/k"},
        },
    ),
    "strategy": ("tokens", {"type": "OAUTH2", "authServerAlias": "issuer", "clientId": "c"}),
    "scope": ("read", {"audience": "a"}),
    "config": ("errorProcessing", {"defaultErrorMessage": "sorry"}),
    "global_policy": ("acme-cors", {"tenant": "acme", "cors": {"origins": ["*"]}}),
}
READS = ("GET *", "POST */search")
_WRITTEN = (
    "apis", "policies", "policyActions", "alias", "urlaliases", "applications", "strategies",
    "scopes", "configurations",
)  # fmt: skip
WRITES = tuple(f"{method} */{path}*" for method in ("POST", "PUT", "DELETE") for path in _WRITTEN)


def build_webmethods(link: Connection, http: AdminClient) -> GatewayAdapter:
    return WebMethodsAdapter(link, http, without_pause)


@asynccontextmanager
async def webmethods_rig(
    double: WebMethodsDouble, name: str, *, login: tuple[str, str] | None = None
) -> AsyncIterator[tuple[Rig, Person]]:
    """Yield the rig of an adapter, and a person at the same gateway."""
    foreign: dict[str, str] = {}
    async with person_at(double) as person:

        async def add_foreign() -> None:
            api = await person.add_api("other-feed", is_active=True)
            foreign["id"] = api["id"]

        async def foreign_bytes() -> bytes:
            held = await person.call("GET", f"/apis/{foreign['id']}")
            policy_id = held["apiResponse"]["api"]["policies"][0]
            policy = await person.call("GET", f"/policies/{policy_id}")
            return json.dumps([held, policy]).encode()

        base_url = str(person.http.base_url).rstrip("/")
        async with fronted(
            f"webmethods-{name}", "webmethods", base_url, build_webmethods, add_foreign,
            foreign_bytes, classify, reads=READS, writes=WRITES, login=login,
        ) as rig:  # fmt: skip
            # The policy that comes with an import is read before it is written.
            rig.reads_first = True
            rig.extended = EXTENDED
            yield rig, person


@asynccontextmanager
async def _rig(version: str) -> AsyncIterator[Rig]:
    async with webmethods_rig(WebMethodsDouble(version), version) as (rig, _):
        yield rig


@asynccontextmanager
async def _rig_with_password() -> AsyncIterator[Rig]:
    # A gateway that takes no tokens at all.
    double = WebMethodsDouble("11", tokens={})
    async with webmethods_rig(double, "11-password", login=PERSON) as (rig, _):
        yield rig


RIGS: RigBuilders = {
    "10.15": lambda: _rig("10.15"),
    "11": lambda: _rig("11"),
    "11-password": _rig_with_password,
}
