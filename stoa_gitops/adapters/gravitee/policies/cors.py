"""`cors` as a field of the listener: Gravitee answers preflights before any policy. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.losses import milliseconds_loss
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.canonical import canonical_milliseconds, duration_ms
from stoa_gitops.model.losses import Loss

_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""Written where a document names none: without any, Gravitee refuses every preflight
(CorsPreflightRequestProcessor), and browsers do not read `*` beside credentials."""

# Gravitee takes an origin with any other character as a regular expression.
_PLAIN_ORIGIN: Final = re.compile(r"\*|[A-Za-z0-9.:/_-]+")
_ORIGINS: Final = ("config", "origins")


def _write(definition: JsonTree, config: Config, _: Place) -> None:
    cors: JsonTree = {
        "enabled": True,
        "allowOrigin": config["origins"],
        "allowMethods": config.get("methods", list(_METHODS)),
        # Compared letter by letter with what browsers send in lower case.
        "allowHeaders": sorted(name.lower() for name in config.get("headers", ("*",))),
        "exposeHeaders": config.get("exposeHeaders", []),
        "allowCredentials": config["credentials"],
        "maxAge": duration_ms(config["maxAge"]) // 1000 if "maxAge" in config else -1,
        "runPolicies": False,
    }
    definition["listeners"][0]["cors"] = cors


def _stored(config: Config) -> JsonTree:
    found = dict(config)
    if "headers" in found:
        found["headers"] = sorted(name.lower() for name in found["headers"])
    if not found.get("exposeHeaders", True):
        del found["exposeHeaders"]
    if set(found.get("methods", ())) == set(_METHODS):
        del found["methods"]
    return found


def _read(definition: Mapping[str, Any], _: Place) -> JsonTree | None:
    listeners: Sequence[Mapping[str, Any]] = definition.get("listeners") or [{}]
    cors: Mapping[str, Any] = listeners[0].get("cors") or {}
    if not cors.get("enabled"):
        return None
    found: JsonTree = {
        "origins": sorted(cors.get("allowOrigin") or ()),
        "credentials": bool(cors.get("allowCredentials")),
    }
    methods = sorted(cors.get("allowMethods") or ())
    if methods not in (list(_METHODS), ["*"]):
        found["methods"] = methods
    headers = sorted(cors.get("allowHeaders") or ())
    if headers != ["*"]:
        found["headers"] = headers
    if cors.get("exposeHeaders"):
        found["exposeHeaders"] = sorted(cors["exposeHeaders"])
    age = cors.get("maxAge")
    if isinstance(age, int) and age >= 0:
        found["maxAge"] = canonical_milliseconds(age * 1000)
    return found


def _losses(config: Config) -> Iterator[Loss]:
    origins = config["origins"]
    if "*" in origins and config["credentials"]:
        yield Loss(
            "credentials for the origin *: Gravitee would let every site act as the user",
            at=_ORIGINS,
        )
    for origin in origins:
        if _PLAIN_ORIGIN.fullmatch(origin) is None:
            message = f"the origin {origin}: Gravitee would read it as a regular expression"
            yield Loss(message, at=_ORIGINS)
    if config.get("methods") == []:
        yield Loss("no method: Gravitee refuses every preflight then", at=("config", "methods"))
    if config.get("headers") == []:
        yield Loss("no allowed header: Gravitee allows every header then", is_partial=True)
    if "maxAge" in config:
        if duration_ms(config["maxAge"]) % 1000:
            message = f"a maxAge of {config['maxAge']}: Gravitee counts whole seconds there"
            yield Loss(message, at=("config", "maxAge"))
        elif config["maxAge"] != "0s":
            loss = milliseconds_loss(config["maxAge"], "a maxAge", ("config", "maxAge"))
            if loss is not None:
                yield loss


MAPPING: Final = PolicyMapping(
    policy_type="cors",
    write=_write,
    read=_read,
    stored=_stored,
    losses=_losses,
    fields=("listeners.0.cors",),
)
