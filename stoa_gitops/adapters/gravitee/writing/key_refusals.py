"""Why a Gravitee refuses a key that we choose, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.errors import GatewayError, GatewayRefused, ObjectConflict

_CUSTOM_OFF: Final = "not allowed to provide a custom API Key"
_TAKEN: Final = "API Key already exists"


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
