"""Writes APIs by the Automation API: one idempotent PUT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoa_gitops.adapter_sdk.http.responses import RequestRefused, Response
from stoa_gitops.adapters.gravitee.api.client import DELETED, GraviteeClient
from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.apis import carry_over
from stoa_gitops.adapters.gravitee.writing.classic import ClassicWay, close_subscriptions
from stoa_gitops.adapters.gravitee.writing.closed_plans import put_with_open_plans
from stoa_gitops.errors import GatewayError


class AutomationWay:
    """4.8 and later; the PUT writes plans, publishes, starts and deploys."""

    def __init__(self, client: GraviteeClient, info: GatewayInfo) -> None:
        self._client, self._info = client, info

    async def put(
        self, definition: JsonTree, held: Mapping[str, Any] | None
    ) -> tuple[str, tuple[str, ...]]:
        """Create or update an API; people's pages, members and groups go along."""
        hrid = str(definition["hrid"])
        body = definition if held is None else carry_over(definition, held, self._info)
        what = f"writing API {hrid}"
        response = await put_with_open_plans(self._send, body, held, self._info)
        answer = response.json(what, dict)
        errors = answer.get("errors")
        listed = errors.get("warning") if isinstance(errors, Mapping) else None
        warnings = tuple(f"the gateway left out: {text}" for text in listed or ())
        return self._info.options.ids.api(hrid), warnings

    async def _send(self, body: JsonTree) -> Response:
        path, what = f"{self._client.automation}/apis", f"writing API {body['hrid']}"
        try:
            return await self._client.call("PUT", path, what, body)
        except RequestRefused:
            raise
        except GatewayError as error:
            if error.reason != "GatewayError":
                raise
            # A write of the same API that was cut off may still be going on: half of such second
            # writes get a 500 without a message, and the next one is right (R.1 row 15).
            return await self._client.call("PUT", path, what, body)

    async def delete(self, held: Mapping[str, Any]) -> None:
        """Delete an API; where DELETE leaves keys alive, its subscriptions are closed first."""
        api_id, hrid = str(held["id"]), str(held["hrid"])
        if not self._info.has_keys:
            await close_subscriptions(self._client, api_id)
        path, what = f"{self._client.automation}/apis/{hrid}", f"deleting API {hrid}"
        try:
            await self._client.call("DELETE", path, what, expect=DELETED)
        except RequestRefused:
            # Somebody made it an API of the console (`_detach`), which must be stopped first.
            await ClassicWay(self._client, self._info).delete(held)
