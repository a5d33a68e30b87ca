"""Has a real STOA gateway fetch its routes now, and not a whole interval later."""

from __future__ import annotations

from typing import Final

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.stoa.client import classify
from stoa_gitops.errors import GatewayError, GatewayRefused, GatewayUnauthorized

_PATH: Final = "/admin/routes/reload"
_LIMITS: Final = Limits(tries=2)


async def reload_routes(connection: Connection, *, limits: Limits = _LIMITS) -> None:
    """Call the gateway, which calls back for its routes before it responds; raises GatewayError.

    STOA gateway 0.9.25 keeps its table where that fails: 409 where it does not fetch, and 502 where
    its control plane had nothing for it.
    """
    client = AdminClient(connection, limits=limits, classify=_classify)
    try:
        await client.request("POST", _PATH, "having it fetch its routes")
    finally:
        await client.aclose()


def _classify(status: int, text: str) -> GatewayError | None:
    if status == 409:
        return GatewayRefused(
            "it fetches no routes: set STOA_ROUTE_RELOAD_ENABLED=true on the gateway"
        )
    if status in (401, 403):
        return GatewayUnauthorized(
            f"it refused the token of spec.registration.reloadTokenRef ({status}), which has to be"
            " its STOA_ADMIN_API_TOKEN"
        )
    return classify(status, text)
