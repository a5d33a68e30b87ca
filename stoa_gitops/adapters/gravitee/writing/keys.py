"""Brings the keys of a subscription to those that are wanted; why a Gravitee refuses some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.adapters.gravitee.api.client import GraviteeClient
from stoa_gitops.adapters.gravitee.node.group_reader import is_usable
from stoa_gitops.errors import GatewayError, GatewayRefused, ObjectConflict
from stoa_gitops.model.secret import Secret

_CUSTOM_OFF: Final = "not allowed to provide a custom API Key"
_TAKEN: Final = "API Key already exists"


class KeyWriter:
    """Writes keys one by one, where the Automation API does not (E of the contract)."""

    def __init__(self, client: GraviteeClient) -> None:
        self._client = client

    async def reconcile(
        self, api_id: str, subscription: str, wanted: Sequence[str], *, is_new: bool
    ) -> None:
        """Leave a subscription with the keys that are wanted, and with no other that works.

        A new one whose key is refused has no key that works: Gravitee made some of its own.
        """
        path = f"{self._client.v2}/apis/{api_id}/subscriptions/{subscription}/api-keys"
        what = f"writing the keys of {subscription}"
        held = {str(one["key"]): one for one in await self._client.list_keys(api_id, subscription)}
        refusal: GatewayError | None = None
        for key in wanted:
            one = held.get(key)
            if one is not None and is_usable(one):
                continue
            if one is not None and one.get("revoked"):
                await self._client.call("POST", f"{path}/{one['id']}/_reactivate", what)
                continue
            try:
                body = {"customApiKey": Secret(key)}
                await self._client.call("POST", f"{path}/_renew", what, body, repeatable=False)
            except RequestRefused as error:
                refusal = explain_refusal(error, [key])
                if not is_new:
                    raise refusal from None
        for one in await self._client.list_keys(api_id, subscription):
            if str(one["key"]) not in wanted and is_usable(one):
                await self._client.call("POST", f"{path}/{one['id']}/_revoke", what)
        if refusal is not None:
            raise refusal


def explain_refusal(error: RequestRefused, keys: Iterable[str]) -> GatewayError:
    """Return the error of keys that were refused; without them, which the message may quote."""
    text = str(error)
    for key in keys:
        text = text.replace(key, "***")
    if _CUSTOM_OFF in text:
        return GatewayRefused(
            f"{text}: switch on custom API keys in the settings of the environment "
            "(plan.security.customApiKey), or use keys of 32 to 256 characters from 4.12 on"
        )
    if _TAKEN in text:
        return ObjectConflict(
            f"{text}: another application of this environment has the key, or had it before it "
            "was archived, or this one had it for a subscription to the same API that is closed: "
            "use another key"
        )
    return RequestRefused(text, error.status)
