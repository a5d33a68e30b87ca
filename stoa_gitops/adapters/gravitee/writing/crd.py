"""Writes APIs by `_import/crd`, which came before the Automation API (4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.http.responses import Response
from stoa_gitops.adapters.gravitee.api.client import GraviteeClient
from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.apis import carry_over
from stoa_gitops.adapters.gravitee.writing.classic import ClassicWay
from stoa_gitops.adapters.gravitee.writing.closed_plans import put_with_open_plans

_CONTEXT: Final = {
    # Up to 4.6 the default means that gateways read a ConfigMap, and nothing is deployed.
    "origin": "KUBERNETES",
    "mode": "FULLY_MANAGED",
    "syncFrom": "MANAGEMENT",
}


def crd_of(definition: Mapping[str, Any], info: GatewayInfo) -> JsonTree:
    """Return a definition in the form of `_import/crd`: plans by name, ids computed by us."""
    hrid, ids = str(definition["hrid"]), info.options.ids
    body = {name: item for name, item in definition.items() if name not in ("hrid", "plans")}
    plans = {}
    for plan in definition["plans"]:
        fields = {name: item for name, item in plan.items() if name != "hrid"}
        plans[plan["hrid"]] = {"id": ids.child(hrid, plan["hrid"]), **fields}
    return {
        **body,
        "id": ids.api(hrid),
        "crossId": ids.cross(hrid),
        "definitionContext": dict(_CONTEXT),
        "plans": plans,
    }


class CrdWay:
    """4.2 to 4.7. Pages and members that people added by hand do not survive a write."""

    def __init__(self, client: GraviteeClient, info: GatewayInfo) -> None:
        self._client, self._info = client, info

    async def put(
        self, definition: JsonTree, held: Mapping[str, Any] | None
    ) -> tuple[str, tuple[str, ...]]:
        """Create or update an API."""
        carried = definition if held is None else carry_over(definition, held, self._info)
        what = f"writing API {definition['hrid']}"

        async def send(body: JsonTree) -> Response:
            path = f"{self._client.v2}/apis/_import/crd"
            return await self._client.call("PUT", path, what, crd_of(body, self._info))

        response = await put_with_open_plans(send, carried, held, self._info)
        errors = response.json(what, dict).get("errors")
        listed = errors.get("warning") if isinstance(errors, Mapping) else None
        return self._info.options.ids.api(str(definition["hrid"])), tuple(
            f"the gateway left out: {text}" for text in listed or ()
        )

    async def delete(self, held: Mapping[str, Any]) -> None:
        """Delete an API."""
        await ClassicWay(self._client, self._info).delete(held)
