"""What webMethods' answers say, whatever their status."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from stoa_gitops.adapter_sdk.http.responses import RequestRefused, Response
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.errors import GatewayError, GatewayMalformed

FAILED: Final = frozenset({"ERROR", "NOT_FOUND", "BAD_REQUEST", "PARTIAL_SUCCESS"})
UNLISTED: Final = "no list shows it, so that nobody can tell whose it is; it is tried again later"
"""Said of a name that is taken by what the gateway does not list."""

_PARSE_IN_THREAD_FROM: Final = 1 << 20


class HalfWritten(GatewayError):
    """The gateway acknowledged a write and did not say what it wrote."""

    reason: ClassVar[str] = "HalfWritten"


async def parsed(response: Response, what: str, shape: type[Any] | None = dict) -> Any:
    """Return the JSON of a response, large ones parsed in a thread. Raises GatewayMalformed."""
    if len(response.body) < _PARSE_IN_THREAD_FROM:
        return response.json(what, shape)
    return await asyncio.to_thread(_parse_large, response, what, shape)


def _parse_large(response: Response, what: str, shape: type[Any] | None) -> Any:
    """Parse by orjson where it is there: all definitions of a gateway have 17 MB and more."""
    try:
        import orjson

        found = orjson.loads(response.body)
    except (ImportError, ValueError):
        # What is wrong with it, in words; and numbers that orjson does not read.
        return response.json(what, shape)
    return found if shape is None or isinstance(found, shape) else response.json(what, shape)


def trees_in(found: Mapping[str, Any], key: str) -> list[JsonTree]:
    """Return the objects of a list under a key in any case; raises GatewayMalformed."""
    for name, listed in found.items():
        if name.lower() == key:
            if isinstance(listed, dict):
                return [listed]
            if isinstance(listed, list):
                return [one for one in listed if isinstance(one, dict)]
    raise GatewayMalformed(f"no list of {key} in the answer: check that baseUrl is webMethods'")


def created_id(found: Mapping[str, Any], *path: str) -> str:
    """Return the id of what was created; raises HalfWritten where the answer has none."""
    tree: Any = found
    for name in path:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    ident = tree.get("id") if isinstance(tree, Mapping) else None
    if not isinstance(ident, str) or not ident:
        raise HalfWritten("the gateway acknowledged an object that it did not name")
    return ident


def refuse_failed(found: Mapping[str, Any], what: str) -> None:
    """Raise RequestRefused for a refusal inside an answer with a good status (contract A.1)."""
    inner = found.get("apiResponse")
    status = inner.get("responseStatus") if isinstance(inner, dict) else None
    if status in FAILED:
        reason = found["apiResponse"].get("errorReason") or "without a reason"
        raise RequestRefused(f"{what}: the gateway answered {status}: {reason}", 200)


def version_in(tree: object) -> str:
    """Return the first value whose name tells a product's version."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            plain = name.lower().replace(" ", "")
            if plain in ("productversion", "version") and isinstance(value, str) and value:
                return value
        tree = list(tree.values())
    if isinstance(tree, list):
        return next((found for one in tree if (found := version_in(one))), "")
    return ""
