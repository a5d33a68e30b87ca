"""What a route of the admin API says of its backends: several of them, health checks, credentials.

Names are those of STOA gateway 0.9.25 where it has them (`upstreams`, `load_balancer`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from sys import intern
from typing import Final

from stoa_proxy.admin.backend_tls import parse_tls, read_tls_view
from stoa_proxy.admin.checks import fingerprint
from stoa_proxy.admin.json_body import Body
from stoa_proxy.core.backend import Backend, Upstream
from stoa_proxy.core.backend_auth import (
    AnyBackendAuth,
    BackendAuth,
    BasicAuth,
    ClientCredentials,
)
from stoa_proxy.core.balancing import (
    ALGORITHMS,
    ActiveCheck,
    Balancing,
    PassiveCheck,
    WeightedBackend,
)
from stoa_proxy.http.heads import HOP_BY_HOP
from stoa_proxy.policies.parsing import is_token

_VALUE = re.compile(r"[\x20-\x7e]+")
# A credential under one of these would change where the message ends or where it goes.
_FRAMING = HOP_BY_HOP | {"host", "content-length", "expect", "via"}
_PATH: Final = re.compile(r"/[\x21\x22\x24-\x5b\x5d-\x7e]{0,1023}")
# RFC 6749, appendix A.4; without the quote and the backslash.
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")
_MOST_BACKENDS, _MOST_WEIGHT, _MOST_SCOPES = 64, 1000, 64
_BASIC, _CLIENT_CREDENTIALS = "basic", "oauth2_client_credentials"
_SECRETS: Final = {None: "value", _BASIC: "password", _CLIENT_CREDENTIALS: "client_secret"}

ReadUrl = Callable[[str, str], "Upstream | None"]
"""Parses the URL of a field; None where it is refused, which is noted."""


def read_backends_view(body: Body) -> dict[str, object]:
    """Return the fields of the view, with their defaults. Raises BodyRefused."""
    return {
        "upstreams": [
            {
                "url": item.text("url"),
                "weight": item.integer("weight", 1),
                **({} if (tls := read_tls_view(item, "tls")) is None else {"tls": tls}),
            }
            for item in body.bodies("upstreams")
        ],
        "load_balancer": body.variant("load_balancer", ALGORITHMS, ALGORITHMS[0]),
    }


def read_health_view(body: Body) -> dict[str, object] | None:
    """Return the health checks of the view, with their defaults. Raises BodyRefused."""
    if body.values.get("health_check") is None:
        return None
    item = body.body("health_check")
    active = item.body("active") if item.values.get("active") is not None else None
    passive = item.body("passive") if item.values.get("passive") is not None else Body({})
    return {
        "active": active
        and {
            "path": active.text("path"),
            "interval_ms": active.integer("interval_ms", 10_000),
            "timeout_ms": active.integer("timeout_ms", 2_000),
            "healthy": active.integer("healthy", 2),
            "unhealthy": active.integer("unhealthy", 3),
            "statuses": active.items("statuses", [200]),
        },
        "passive": {
            "failures": passive.integer("failures", 5),
            "eject_ms": passive.integer("eject_ms", 30_000),
        },
    }


def parse_balancing(
    body: Body, tenant: str, read_url: ReadUrl, errors: list[str]
) -> Balancing | None:
    """Return how requests are shared out, None with one backend; append what is wrong."""
    health = read_health_view(body)
    active, passive = _parse_health(body, health, errors)
    items = body.bodies("upstreams")
    if not items:
        if health is not None:
            errors.append("health_check needs upstreams: with one backend there is no other")
        return None
    targets: list[WeightedBackend] = []
    for item in items:
        errors += item.check_fields(("url", "weight", "health_check_path", "tls"))
        if item.values.get("health_check_path") is not None:
            errors.append(f"{item.path_of('health_check_path')}: use health_check.active.path")
        weight = item.integer("weight", 1)
        if not 0 <= weight <= _MOST_WEIGHT:
            errors.append(f"{item.path_of('weight')} must be between 0 and {_MOST_WEIGHT}")
        upstream = read_url(item.path_of("url"), item.text("url"))
        if upstream is None:
            continue
        upstream = parse_tls(item, "tls", tenant, upstream, errors)
        if isinstance(upstream, Backend):
            targets.append(WeightedBackend(upstream, weight))
        else:
            errors.append(f"{item.path_of('url')} must be an http or https URL")
    if len(items) > _MOST_BACKENDS:
        errors.append(f"upstreams must not be more than {_MOST_BACKENDS}")
    if len({replace(target.backend, tls=None) for target in targets}) != len(targets):
        errors.append("upstreams must have different URLs")
    if targets and not any(target.weight for target in targets):
        errors.append("upstreams: one weight at least must be above 0")
    algorithm = next(one for one in ALGORITHMS if one == body.text("load_balancer", ALGORITHMS[0]))
    return Balancing(tuple(targets), algorithm, active, passive)


def _parse_health(
    body: Body, view: dict[str, object] | None, errors: list[str]
) -> tuple[ActiveCheck | None, PassiveCheck]:
    if view is None:
        return None, PassiveCheck()
    item = body.body("health_check")
    errors += item.check_fields(("active", "passive"))
    passive = PassiveCheck()
    if item.values.get("passive") is not None:
        given = item.body("passive")
        errors += given.check_fields(("failures", "eject_ms"))
        failures = _bounded(given, "failures", 5, 0, 1_000_000, errors)
        eject = _bounded(given, "eject_ms", 30_000, 1, 86_400_000, errors)
        passive = PassiveCheck(failures, eject / 1000)
    if item.values.get("active") is None:
        return None, passive
    given = item.body("active")
    known = ("path", "interval_ms", "timeout_ms", "healthy", "unhealthy", "statuses")
    errors += given.check_fields(known)
    path = given.text("path")
    if _PATH.fullmatch(path) is None:
        errors.append(f"{given.path_of('path')} must be a path that begins with '/'")
    statuses = given.items("statuses", [200])
    if not statuses or not all(_is_status(one) for one in statuses):
        errors.append(f"{given.path_of('statuses')} must be statuses from 200 to 599")
    active = ActiveCheck(
        intern(path),
        _bounded(given, "interval_ms", 10_000, 100, 86_400_000, errors) / 1000,
        _bounded(given, "timeout_ms", 2_000, 1, 60_000, errors) / 1000,
        _bounded(given, "healthy", 2, 1, 1000, errors),
        _bounded(given, "unhealthy", 3, 1, 1000, errors),
        frozenset(one for one in statuses if isinstance(one, int)),
    )
    return active, passive


def _bounded(body: Body, key: str, default: int, least: int, most: int, errors: list[str]) -> int:
    value = body.integer(key, default)
    if not least <= value <= most:
        errors.append(f"{body.path_of(key)} must be between {least} and {most}")
    return value


def _is_status(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 599


def read_auth_view(auth: Body) -> dict[str, object]:
    """Return a credential as it is read back: what it is, and a fingerprint. Raises BodyRefused."""
    kind = auth.optional_text("type")
    secret = auth.optional_text(_SECRETS.get(kind, "value"))
    view: dict[str, object]
    if kind == _BASIC:
        view = {"type": kind}
        username = auth.optional_text("username")
        if username is None:
            secret = None
        elif secret is not None:
            secret = f"{username}:{secret}"
    elif kind == _CLIENT_CREDENTIALS:
        view = {
            "type": kind,
            "token_url": auth.text("token_url"),
            "client_id": auth.text("client_id"),
            "scopes": auth.texts("scopes", []),
        }
    else:
        view = {"in": auth.text("in"), "name": auth.text("name")}
    view["value_set"] = secret is not None
    if secret is not None:
        # Tells whoever wrote it that another one is there, and shows nothing of it.
        digest = hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
        view["fingerprint"] = fingerprint(digest)
    return view


def parse_auth(body: Body, read_url: ReadUrl, errors: list[str]) -> AnyBackendAuth | None:
    """Return the credential of a route's backend; append what is wrong with it to `errors`."""
    if body.values.get("backend_auth") is None:
        return None
    item = body.body("backend_auth")
    kind = item.optional_text("type")
    if kind == _BASIC:
        return _parse_basic(item, errors)
    if kind == _CLIENT_CREDENTIALS:
        return _parse_client_credentials(item, read_url, errors)
    if kind is not None:
        errors.append(f"{item.path_of('type')} must be '{_BASIC}' or '{_CLIENT_CREDENTIALS}'")
    return _parse_fixed(item, errors)


def _parse_fixed(item: Body, errors: list[str]) -> BackendAuth:
    errors += item.check_fields(("type", "in", "name", "value"))
    location, name, value = item.text("in"), item.text("name"), item.optional_text("value")
    _require_value(item, "value", errors)
    if location not in ("header", "query"):
        errors.append(f"{item.path_of('in')} must be 'header' or 'query'")
    is_header = location == "header"
    if not name.strip() or (is_header and (not is_token(name) or name.lower() in _FRAMING)):
        errors.append(f"{item.path_of('name')} cannot carry a credential")
    if value is not None and is_header and not _VALUE.fullmatch(value):
        errors.append(f"{item.path_of('value')} must be printable ASCII to go into a header")
    return BackendAuth(intern(location), intern(name), None if value is None else intern(value))


def _parse_basic(item: Body, errors: list[str]) -> BasicAuth:
    errors += item.check_fields(("type", "username", "password"))
    username, password = item.optional_text("username"), item.optional_text("password")
    _require_value(item, "username", errors)
    _require_value(item, "password", errors)
    # RFC 7617, 2: the first colon ends the name, and controls have no place in either.
    if username is not None and (":" in username or _has_controls(username)):
        errors.append(f"{item.path_of('username')} must not hold a colon or control characters")
    if password is not None and _has_controls(password):
        errors.append(f"{item.path_of('password')} must not hold control characters")
    return BasicAuth(username, password)


def _parse_client_credentials(
    item: Body, read_url: ReadUrl, errors: list[str]
) -> ClientCredentials:
    errors += item.check_fields(("type", "token_url", "client_id", "client_secret", "scopes"))
    url, client_id = item.text("token_url"), item.text("client_id")
    _require_value(item, "client_secret", errors)
    if not url.strip():
        errors.append(f"{item.path_of('token_url')} must not be empty")
    elif not isinstance(read_url(item.path_of("token_url"), url), Backend | None):
        errors.append(f"{item.path_of('token_url')} must be an http or https URL")
    if not client_id.strip() or _has_controls(client_id):
        errors.append(f"{item.path_of('client_id')} must not be empty or hold control characters")
    scopes = item.texts("scopes", [])
    if len(scopes) > _MOST_SCOPES or not all(_SCOPE.fullmatch(scope) for scope in scopes):
        errors.append(f"{item.path_of('scopes')} must be {_MOST_SCOPES} scopes at most")
    return ClientCredentials(
        intern(url), intern(client_id), item.optional_text("client_secret"), tuple(scopes)
    )


def _require_value(item: Body, key: str, errors: list[str]) -> None:
    if key not in item.values:
        errors.append(f"{item.path_of(key)} is missing: null says that it could not be resolved")


def _has_controls(text: str) -> bool:
    return any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in text)
