"""`spec.registration` of a GatewayInstance: gateways that register themselves."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from stoa_gitops.catalog.findings import Finding, suggest
from stoa_gitops.fleet.identity import Mode, canonical_environment
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import SECRET_FIELD, duration_ms
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.instances import (
    REGISTERED,
    DegradedRule,
    RegistrationMatch,
    RegistrationRules,
)
from stoa_gitops.model.secret import SecretRef

CODE: Final = "gateway.registration"

_AT: Final = ("spec", "registration")
_TOKEN: Final = "reloadTokenRef"
_TYPES: Final = tuple(sorted(mode.gateway_type for mode in Mode))
"""Types of gateways that register themselves: STOA's."""


def parse_registration(spec: Mapping[str, Any]) -> RegistrationRules:
    """Return what a checked document says about registered gateways."""
    value = spec["registration"]
    degraded = value["degraded"]
    match = None
    if "match" in value:
        given = value["match"]
        match = RegistrationMatch(
            given.get("type", spec["gatewayType"]),
            canonical_environment(given.get("environment", spec["environment"])),
        )
    return RegistrationRules(
        match,
        tuple(value["networks"]),
        duration_ms(value["forgetAfter"]) / 1000,
        DegradedRule(float(degraded["errorRate"]), degraded["window"], degraded["recovery"]),
        SecretRef.parse(value[_TOKEN][SECRET_FIELD]) if _TOKEN in value else None,
    )


def check_registration(spec: Mapping[str, Any], document: int) -> Iterator[Finding]:
    """Yield what is wrong about the registration of gateways; the schema has been checked."""
    for finding in _check(spec):
        yield replace(finding, document=document)


def _check(spec: Mapping[str, Any]) -> Iterator[Finding]:
    value, base_url = spec["registration"], spec["baseUrl"]
    if base_url != REGISTERED:
        if value.get("match") is not None or value["networks"] or _TOKEN in value:
            text = f"nothing registers as this gateway: its address is {base_url}"
            hint = "remove registration, or write `baseUrl: registered`"
            yield Finding(CODE, text, _AT, hint)
        return
    gateway_type = spec["gatewayType"]
    if gateway_type not in _TYPES:
        text = f"a gateway of type {gateway_type} does not register itself"
        hint = "write baseUrl, the URL of its admin API"
        yield Finding(CODE, text, ("spec", "baseUrl"), hint)
        return
    if value["forgetAfter"] == "0s":
        text = "a gateway is forgotten after a time that is longer than nothing"
        yield Finding("schema.range", text, (*_AT, "forgetAfter"))
    yield from _check_match(value.get("match", {}), spec["environment"])
    yield from _check_networks(value, spec["auth"]["type"])


def _check_match(match: Mapping[str, Any], own: str) -> Iterator[Finding]:
    gateway_type = match.get("type")
    if gateway_type is not None and gateway_type not in _TYPES:
        text = f"no gateway registers itself as {gateway_type}"
        yield Finding(CODE, text, (*_AT, "match", "type"), suggest(gateway_type, _TYPES))
    given = match.get("environment")
    if given is None:
        return
    at = (*_AT, "match", "environment")
    try:
        environment = canonical_environment(given)
    except ValueError as error:
        yield Finding(CODE, str(error), at, suggest(given, _ENVIRONMENTS))
        return
    if environment != canonical_environment(own):
        known = {*_ENVIRONMENTS, own}
        hint = "write the same environment in both"
        if environment not in known:
            hint = suggest(environment, known) or hint
        text = f"gateways of {environment} would get what the catalog has for {own}"
        yield Finding("environment.mixup", text, at, hint, Severity.WARNING)


_ENVIRONMENTS: Final = ("dev", "staging", "prod")
"""The environments that a STOA gateway 0.9.25 starts in."""


def _check_networks(value: Mapping[str, Any], auth: str) -> Iterator[Finding]:
    networks: list[str] = value["networks"]
    for index, text in enumerate(networks):
        at: Pointer = (*_AT, "networks", index)
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            yield Finding("gateway.network", f"{text} is no address or network", at)
            continue
        if getattr(network.network_address, "ipv4_mapped", None) is not None:
            message = f"{text} is a network of IPv4 addresses inside IPv6"
            yield Finding("gateway.network", message, at, "write it as one of IPv4")
    if auth != "none" and not networks:
        text = "with auth these gateways are called where they registered, and no network is named"
        hint = "write registration.networks: where their admin APIs may be, such as 10.0.0.0/8"
        yield Finding(CODE, text, ("spec", "auth"), hint)
    if _TOKEN in value and auth != "none":
        text = "with auth these gateways are written to, and there is nothing to fetch"
        yield Finding(CODE, text, (*_AT, _TOKEN), "remove it, or auth")
    elif _TOKEN in value and not networks:
        text = "these gateways are called where they registered, and no network is named"
        hint = "write registration.networks: where their admin APIs may be, such as 10.0.0.0/8"
        yield Finding(CODE, text, (*_AT, _TOKEN), hint)
    elif auth == "none" and networks and _TOKEN not in value:
        text = "without auth these gateways fetch what is for them, and nobody calls them"
        hint = "write auth or reloadTokenRef, or remove the networks"
        yield Finding(CODE, text, (*_AT, "networks"), hint, Severity.WARNING)
