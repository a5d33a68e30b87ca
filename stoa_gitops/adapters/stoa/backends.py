"""Maps several backends, their health checks, credential and TLS to fields of a route, and back.

Pure. Fields are those of docs/data-plane-admin.md; a gateway without the extensions gets none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.stoa.rules import fingerprint
from stoa_gitops.errors import GatewayMalformed
from stoa_gitops.model.canonical import Json, JsonObject, canonical_duration, duration_ms
from stoa_gitops.model.secret import WITHHELD, Secret, Value

_ALGORITHMS: Final = {
    "weighted": "weighted", "round_robin": "round_robin", "least_connections": "least_conn",
    "random": "random",
}  # fmt: skip
_NAMES: Final = {theirs: ours for ours, theirs in _ALGORITHMS.items()}
_BASIC: Final = "basic"
_MATERIAL: Final = ("certificate", "key", "ca")


def balancing_body(backend: Mapping[str, Any]) -> Mapping[str, Value]:
    """Return the fields of a route with several backends; none for one backend."""
    if "targets" not in backend:
        return {}
    body: dict[str, Value] = {
        "upstreams": [
            {
                "url": target["url"],
                "weight": target["weight"],
                **({"tls": tls_body(target["tls"])} if "tls" in target else {}),
            }
            for target in backend["targets"]
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


def read_balancing(route: Mapping[str, Any], metadata: Mapping[str, Any]) -> JsonObject:
    """Return what a route says of several backends, in canonical form; nothing for one.

    Raises GatewayMalformed.
    """
    upstreams = route.get("upstreams")
    if not upstreams:
        return {}
    try:
        targets = [
            {
                "url": str(one["url"]),
                "weight": int(one.get("weight", 1)),
                **read_tls(one.get("tls"), str(one["url"]), metadata),
            }
            for one in upstreams
        ]
        targets.sort(key=lambda target: str(target["url"]))
        found: dict[str, Json] = {
            "targets": targets,
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


def find_unresolved(backend: Mapping[str, Any]) -> str:
    """Return what of a backend's secrets leads nowhere, for messages; empty where all are here."""
    auth = backend.get("auth")
    if auth is not None and None in _secrets(auth):
        return f"the credential for the backend ({_shown_auth(auth)})"
    for url, tls in _identities(backend):
        missing = [name for name in _MATERIAL if name in tls and tls[name] is None]
        if missing:
            return f"the {missing[0]} of the TLS to {url}"
    return ""


CREDENTIAL: Final = "credential"
"""In `metadata`: the fingerprint of the credential for the backend that was written."""

TLS: Final = "tls"
"""In `metadata`: the fingerprints of the certificates, keys and issuers, by the backend's URL."""


def written_secrets(backend: Mapping[str, Any]) -> dict[str, Value]:
    """Return the fields of `metadata` that tell other secrets apart from those that are written."""
    found: dict[str, Value] = {}
    auth = backend.get("auth")
    if auth is not None and None not in _secrets(auth):
        found[CREDENTIAL] = _fingerprint_of(_secrets(auth), ":")
    tls = {
        url: _fingerprint_of([tls[name] for name in _MATERIAL if name in tls], "\n")
        for url, tls in _identities(backend)
        if not any(name in tls and tls[name] is None for name in _MATERIAL)
    }
    return {**found, TLS: tls} if tls else found


def _identities(backend: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the URLs that are called with TLS settings of their own, and these."""
    for one in backend.get("targets", (backend,)):
        if "tls" in one:
            yield one["url"], one["tls"]


def tls_body(tls: Mapping[str, Any]) -> Mapping[str, Value]:
    """Return the TLS to a backend as routes have it."""
    names = {"serverName": "server_name"}
    return {names.get(name, name): value for name, value in tls.items()}


def read_tls(shown: Mapping[str, Any] | None, url: str, metadata: Mapping[str, Any]) -> JsonObject:
    """Return the field `tls` of a backend in canonical form, its secrets withheld.

    Nothing where the gateway lost them (a restart), or holds others than those that were written.
    """
    if not shown:
        return {}
    written = metadata.get(TLS)
    known = written.get(url) if isinstance(written, Mapping) else None
    is_held = shown.get("value_set") is True or metadata.get(UNRESOLVED) is True
    if not is_held or is_other(shown, known):
        return {}
    wanted = [
        *(("certificate", "key") if shown.get("has_certificate") is True else ()),
        *(("ca",) if shown.get("has_ca") is True else ()),
    ]
    found: dict[str, Json] = dict.fromkeys(wanted, WITHHELD)
    if shown.get("server_name") is not None:
        found["serverName"] = str(shown["server_name"])
    return {"tls": found}


UNRESOLVED: Final = "unresolved"
"""In `metadata`: that a secret led nowhere when the route was written."""


def is_other(shown: Mapping[str, Any], written: object) -> bool:
    """Whether a gateway holds another secret than the one whose fingerprint was written."""
    # Gateways of before show none, and adapters of before wrote none.
    fingerprints = shown.get("fingerprint"), written
    return None not in fingerprints and fingerprints[0] != fingerprints[1]


def _fingerprint_of(secrets: Iterable[Any], separator: str) -> str:
    """Return what the gateway shows of secrets (docs/data-plane-admin.md)."""
    texts = (one.reveal() if isinstance(one, Secret) else str(one) for one in secrets)
    return fingerprint(hashlib.sha256(separator.join(texts).encode()).hexdigest())


def _shown_auth(auth: Mapping[str, Any]) -> str:
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
