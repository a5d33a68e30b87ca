"""Maps several backends, their health checks and their credential to fields of a route, and back.

Pure. Fields are those of docs/data-plane-admin.md; a gateway without the extensions gets none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.errors import GatewayMalformed
from stoa_gitops.model.canonical import Json, JsonObject, canonical_duration, duration_ms
from stoa_gitops.model.secret import WITHHELD, Secret, Value

_ALGORITHMS: Final = {
    "weighted": "weighted", "round_robin": "round_robin", "least_connections": "least_conn",
    "random": "random",
}  # fmt: skip
_NAMES: Final = {theirs: ours for ours, theirs in _ALGORITHMS.items()}
_BASIC: Final = "basic"


def balancing_body(backend: Mapping[str, Any]) -> Mapping[str, Value]:
    """Return the fields of a route with several backends; none for one backend."""
    if "targets" not in backend:
        return {}
    body: dict[str, Value] = {
        "upstreams": [
            {"url": target["url"], "weight": target["weight"]} for target in backend["targets"]
        ],
        "load_balancer": _ALGORITHMS[backend["loadBalancing"]],
    }
    check = backend.get("healthCheck")
    if check is not None:
        body["health_check"] = _check_body(check)
    return body


def _check_body(check: Mapping[str, Any]) -> Mapping[str, Value]:
    passive, active = check["passive"], check.get("active")
    body: dict[str, Value] = {
        "passive": {
            "failures": passive["failures"], "eject_ms": duration_ms(passive["ejectFor"]),
        },
    }  # fmt: skip
    if active is not None:
        body["active"] = {
            "path": active["path"],
            "interval_ms": duration_ms(active["interval"]),
            "timeout_ms": duration_ms(active["timeout"]),
            "healthy": active["healthyThreshold"],
            "unhealthy": active["unhealthyThreshold"],
            "statuses": active["statuses"],
        }
    return body


def read_balancing(route: Mapping[str, Any]) -> JsonObject:
    """Return what a route says of several backends, in canonical form; nothing for one.

    Raises GatewayMalformed.
    """
    upstreams = route.get("upstreams")
    if not upstreams:
        return {}
    try:
        targets = [
            {"url": str(one["url"]), "weight": int(one.get("weight", 1))} for one in upstreams
        ]
        targets.sort(key=lambda target: str(target["url"]))
        found: dict[str, Json] = {
            "targets": targets,  # type: ignore[dict-item]  # a list of mappings is Json
            "loadBalancing": _NAMES[route.get("load_balancer", "round_robin")],
        }
        check = route.get("health_check")
        if check is not None:
            found["healthCheck"] = _read_check(check)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise GatewayMalformed(
            "the list of apis: a route with unusable `upstreams`: check that baseUrl is a STOA"
            " gateway's"
        ) from None
    return found


def _read_check(check: Mapping[str, Any]) -> JsonObject:
    passive, active = check["passive"], check.get("active")
    found: dict[str, Json] = {
        "passive": {
            "failures": int(passive["failures"]), "ejectFor": _duration(passive["eject_ms"]),
        },
    }  # fmt: skip
    if active is not None:
        found["active"] = {
            "path": str(active["path"]),
            "interval": _duration(active["interval_ms"]),
            "timeout": _duration(active["timeout_ms"]),
            "healthyThreshold": int(active["healthy"]),
            "unhealthyThreshold": int(active["unhealthy"]),
            "statuses": sorted(int(status) for status in active["statuses"]),
        }
    return found


def _duration(milliseconds: object) -> str:
    if not isinstance(milliseconds, int):
        raise TypeError
    return canonical_duration(f"{milliseconds}ms")


def _secrets(auth: Mapping[str, Any]) -> tuple[Any, ...]:
    kind = auth.get("type")
    if kind == _BASIC:
        return auth["username"], auth["password"]
    return (auth["value"] if kind is None else auth["clientSecret"],)


def is_unresolved_auth(auth: Mapping[str, Any]) -> bool:
    """Whether a secret of a backend's credential leads nowhere."""
    return any(secret is None for secret in _secrets(auth))


def secret_of(auth: Mapping[str, Any]) -> str:
    """Return the text that the gateway shows a fingerprint of (docs/data-plane-admin.md)."""
    texts = (one.reveal() if isinstance(one, Secret) else str(one) for one in _secrets(auth))
    return ":".join(texts)


def shown_auth(auth: Mapping[str, Any]) -> str:
    """Return what a credential is, for messages."""
    return str(auth["type"]) if "type" in auth else f"{auth['in']} {auth['name']}"


def auth_body(auth: Mapping[str, Any]) -> Mapping[str, Value]:
    """Return the field `backend_auth` of a route."""
    kind = auth.get("type")
    if kind is None:
        return {name: auth[name] for name in ("in", "name", "value")}
    if kind == _BASIC:
        return {name: auth[name] for name in ("type", "username", "password")}
    return {
        "type": kind,
        "token_url": auth["tokenUrl"],
        "client_id": auth["clientId"],
        "client_secret": auth["clientSecret"],
        "scopes": auth["scopes"],
    }


def read_auth(auth: Mapping[str, Any]) -> JsonObject:
    """Return a credential that a gateway shows, in canonical form, its secrets withheld."""
    kind = auth.get("type")
    if kind is None:
        return {"in": auth.get("in"), "name": auth.get("name"), "value": WITHHELD}
    if kind == _BASIC:
        return {"type": kind, "username": WITHHELD, "password": WITHHELD}
    scopes = auth.get("scopes")
    return {
        "type": str(kind),
        "tokenUrl": auth.get("token_url"),
        "clientId": auth.get("client_id"),
        "clientSecret": WITHHELD,
        "scopes": sorted(map(str, scopes)) if isinstance(scopes, list) else [],
    }
