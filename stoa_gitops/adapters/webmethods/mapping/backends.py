"""The backend of an API as an endpoint alias, its credential as a header, and back. Pure.

The alias keeps what differs from one environment to the next, in a place that a promotion leaves
alone, and can be changed while its API is up: its value is read for each request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.webmethods.entities.actions import (
    ROUTING,
    Action,
    branch,
    leaf,
    value_at,
)
from stoa_gitops.adapters.webmethods.entities.marks import fingerprint
from stoa_gitops.adapters.webmethods.entities.names import backend_alias
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.adapters.webmethods.mapping.losses import FRAMING, value_fault
from stoa_gitops.adapters.webmethods.mapping.soap import is_soap
from stoa_gitops.model.canonical import canonical_milliseconds, duration_ms
from stoa_gitops.model.keys import Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.secret import Secret

ROUTE: Final = "straightThroughRouting"
HEADER: Final = "customHttpHeaders"
STUB: Final = "http://not-written-yet.invalid"
"""Backend of an API that is not written yet; it is never activated."""

RESOURCE_PATH: Final = "/${sys:resource_path}"
_ALIAS: Final = re.compile(r"\$\{([^}:]+)\}(.*)")
_PLAIN_URL: Final = re.compile(r"https?://[^\s{}]+")
_LARGEST: Final = 2**31 - 1


def endpoint_alias(key: Key, api: Mapping[str, Any], mark: str) -> JsonTree:
    """Return the endpoint alias of an API's backend."""
    seconds = seconds_of(api["backend"]["timeout"])
    return {
        "type": "endpoint",
        "name": backend_alias(key),
        "description": mark,
        "endPointURI": str(api["backend"]["url"]).rstrip("/"),
        "connectionTimeout": seconds,
        "readTimeout": seconds,
        "optimizationTechnique": "None",
        "passSecurityHeaders": False,
    }


def seconds_of(timeout: str) -> int:
    """Return a timeout in whole seconds, at least one."""
    return max(-(-duration_ms(timeout) // 1000), 1)


def routing_actions(key: Key, api: Mapping[str, Any] | None) -> list[Action]:
    """Return how requests reach the backend; None for an API of which only policies are written."""
    target = STUB if api is None else f"${{{backend_alias(key)}}}{_kept_path(api)}"
    # A SOAP service has one address, and no resources below it.
    target += "" if is_soap(api) else RESOURCE_PATH
    route = (leaf("endpointUri", target), leaf("method", "CUSTOM"))
    found = [Action(ROUTING, ROUTE, route, "api")]
    auth = api["backend"].get("auth") if api is not None else None
    if auth is not None:
        header = branch(
            "header", leaf("headerKey", auth["name"]), leaf("headerValue", auth["value"])
        )
        found.append(Action(ROUTING, HEADER, (header,), "api"))
    return found


def _kept_path(api: Mapping[str, Any]) -> str:
    route = api["routes"][0] if api["routes"] else None
    return "" if route is None or route["stripPath"] else str(route["path"])


def credential_print(api: Mapping[str, Any]) -> str:
    """Return the fingerprint of a backend's credential; empty for none."""
    auth = api["backend"].get("auth")
    if auth is None:
        return ""
    value = auth["value"]
    return fingerprint(value.reveal() if isinstance(value, Secret) else str(value))


def held_credential(action: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Return name and value of the header that an action adds; None for no such action."""
    if action is None:
        return None
    parameters = action.get("parameters")
    name = value_at(parameters, "header", "headerKey")
    return (name, value_at(parameters, "header", "headerValue")) if name else None


def read_target(
    action: Mapping[str, Any] | None, aliases: Mapping[str, Mapping[str, Any]]
) -> JsonTree:
    """Return `{url, timeout}` of a foreign API; raises ValueError where it has no plain backend."""
    target = value_at(action.get("parameters"), "endpointUri") if action is not None else ""
    plain = target.removesuffix(RESOURCE_PATH).removesuffix("${sys:resource_path}")
    seconds = 30
    found = _ALIAS.fullmatch(plain)
    if found is not None:
        alias = aliases.get(found[1], {})
        plain = f"{alias.get('endPointURI') or alias.get('value') or ''}{found[2]}"
        seconds = int(alias.get("readTimeout") or 0) or seconds
    if _PLAIN_URL.fullmatch(plain) is None:
        raise ValueError("its routing leads to no URL")
    return {"url": plain, "timeout": canonical_milliseconds(seconds * 1000)}


def backend_losses(backend: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what webMethods cannot say of a backend."""
    if _PLAIN_URL.fullmatch(backend["url"]) is None:
        yield Loss(
            "the backend's URL: an endpoint alias takes http and https, without braces",
            at=("backend", "url"),
        )
    if "fallback" in backend:
        message = "webMethods has no other backend for answers that a document calls failed"
        yield Loss(message, at=("backend", "fallback"))
    at = ("backend", "timeout")
    milliseconds = duration_ms(backend["timeout"])
    if milliseconds % 1000 or not milliseconds:
        yield Loss(
            f"a timeout of {backend['timeout']}: webMethods counts whole seconds, from 1 on, and "
            f"takes {seconds_of(backend['timeout'])}",
            is_partial=True,
            at=at,
        )
    if seconds_of(backend["timeout"]) > _LARGEST:
        yield Loss(f"a timeout of {backend['timeout']}: webMethods counts to {_LARGEST}s", at=at)
    auth = backend.get("auth")
    if auth is None:
        return
    at = ("backend", "auth")
    if auth["in"] != "header":
        yield Loss("a credential in the query: webMethods adds headers", at=at)
    elif auth["name"].lower() in FRAMING:
        yield Loss(f"the header {auth['name']}: it would break the connection", at=at)
    value = auth.get("value")
    if isinstance(value, Secret) and value_fault(value.reveal()):
        yield Loss(f"the credential for the backend: {value_fault(value.reveal())}", at=at)
