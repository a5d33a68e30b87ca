"""STOA's admin API, typed: routes, policies, consumers. No words of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from stoa_gitops.adapter_sdk.contract import ListItem
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.errors import GatewayError, GatewayMalformed, GatewayUnauthorized
from stoa_gitops.model.secret import Value

ROUTES = "apis"
POLICIES = "policies"
CONSUMERS = "consumers"

_REQUIRED: Mapping[str, Mapping[str, type[Any]]] = {
    ROUTES: {
        "id": str, "name": str, "tenant_id": str, "path_prefix": str, "backend_url": str,
        "methods": list, "spec_hash": str, "activated": bool,
    },
    POLICIES: {"id": str, "name": str, "policy_type": str, "priority": int, "api_id": str},
    CONSUMERS: {
        "id": str, "name": str, "tenant_id": str, "credentials": list, "subscriptions": list,
    },
}  # fmt: skip


def classify(status: int, text: str) -> GatewayError | None:
    """Read what a STOA gateway means by a 503: it has no token, and will have none a second later."""
    if status == 503 and "admin_api_token" in text:
        return GatewayUnauthorized(
            "the gateway's admin API is off because it has no token: set STOA_ADMIN_API_TOKEN there"
        )
    return None


class StoaClient:
    """The calls of `/admin`. Every POST is an upsert by id, so all of them may be repeated."""

    def __init__(self, http: AdminClient) -> None:
        self._http = http

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def health(self) -> dict[str, Any]:
        """Return `GET /admin/health`; raises GatewayMalformed where no version is in it."""
        what = "the health of the gateway"
        value: dict[str, Any] = await self._http.get_json("/admin/health", what, dict)
        if not isinstance(value.get("version"), str):
            raise GatewayMalformed(
                f"{what}: an answer without a version: check that baseUrl is a STOA gateway's"
            )
        return value

    def forget(self) -> None:
        """Read all collections anew with the next call."""
        self._http.clear_cache()

    async def listed(
        self,
        collection: str,
        mapped: Callable[[list[dict[str, Any]]], Sequence[ListItem]],
    ) -> Sequence[ListItem]:
        """Return what `mapped` makes of all objects of a collection; asked with the ETag of the last answer.

        An unchanged collection gives the very list of the last time. Raises GatewayMalformed when an object lacks a
        field that every STOA gateway sends.
        """
        what = f"the list of {collection}"

        def checked(items: list[dict[str, Any]]) -> Sequence[ListItem]:
            for item in items:
                wrong = _wrong_field(item, _REQUIRED[collection])
                if wrong is not None:
                    raise GatewayMalformed(
                        f"{what}: an object with an unusable `{wrong}`: check that baseUrl is a STOA gateway's"
                    )
            return mapped(items)

        found: Sequence[ListItem] = await self._http.get_json(
            f"/admin/{collection}", what, list, conditional=True, transform=checked
        )
        return found

    async def put(self, collection: str, body: Mapping[str, Value]) -> None:
        """Create or replace an object by its id."""
        what = f"{_SINGULAR[collection]} {body['name']}"
        await self._http.request("POST", f"/admin/{collection}", what, body=body, expect=(200, 201))

    async def delete(self, collection: str, object_id: str) -> bool:
        """Remove an object by id; False where it was gone."""
        what = f"deleting {_SINGULAR[collection]} {object_id}"
        path = f"/admin/{collection}/{quote(object_id, safe='')}"
        answer = await self._http.request("DELETE", path, what, expect=(200, 204, 404))
        return answer.status != 404


_SINGULAR: Mapping[str, str] = {ROUTES: "route", POLICIES: "policy", CONSUMERS: "consumer"}


def _wrong_field(item: object, fields: Mapping[str, type[Any]]) -> str | None:
    if not isinstance(item, dict):
        return "id"
    for name, kind in fields.items():
        value = item.get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            return name
    return None
