"""GatewayInstance documents turned into `model.instances.GatewayInstance`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from stoa_gitops.catalog.documents.canonical_form import normaliser
from stoa_gitops.catalog.documents.schema_errors import explain
from stoa_gitops.catalog.documents.schemas import OPTION_TYPES, validator
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.catalog.kinds.backend_urls import foreign_family
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import SECRET_FIELD, JsonObject, duration_ms
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.instances import (
    EMBEDDED,
    GatewayAuth,
    GatewayInstance,
    GatewayTls,
    PruneBudget,
    WritePolicy,
)
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret import SecretRef

_ROLES = ("username", "password", "token", "value")


def parse_gateway(
    value: Mapping[str, Any], source: SourceRef, document: int
) -> tuple[GatewayInstance, list[Finding]]:
    """Return the gateway that a valid document describes, and what is wrong with it beyond the schema."""
    name = str(value["metadata"]["name"])
    spec: Mapping[str, Any] = normaliser("GatewayInstance")(value)["spec"]  # type: ignore[assignment]
    found = list(_check(spec, document))
    options, wrong = _options(spec, document)
    found += wrong
    auth = spec["auth"]
    refs = {role: _secret(auth[f"{role}Ref"]) for role in _ROLES if f"{role}Ref" in auth}
    gateway = GatewayInstance(
        name=name,
        gateway_type=spec["gatewayType"],
        environment=spec["environment"],
        base_url=spec["baseUrl"] if spec["baseUrl"] == EMBEDDED else spec["baseUrl"].rstrip("/"),
        source=source,
        display_name=spec.get("displayName", name),
        public_url=spec.get("publicUrl", ""),
        capabilities=tuple(spec["capabilities"]),
        auth=GatewayAuth(auth["type"], refs, auth.get("header", "")),
        tls=_tls(spec["tls"]) if "tls" in spec else None,
        policy=WritePolicy(spec["policy"]),
        prune=PruneBudget(spec["prune"].get("maxCount"), spec["prune"]["maxPercent"]),
        interval=duration_ms(spec["interval"]) / 1000,
        tenants=tuple(spec["tenants"]),
        backends_allow=tuple(spec["backends"]["allow"]),
        backends_deny=tuple(spec["backends"]["deny"]),
        wave=spec["wave"],
        suspended=spec["suspended"],
        options=options,
    )
    return gateway, found


def _options(spec: Mapping[str, Any], document: int) -> tuple[JsonObject, list[Finding]]:
    """Return the settings of the gateway's type with defaults, and what is wrong with them."""
    gateway_type, options = spec["gatewayType"], spec["options"]
    if gateway_type not in OPTION_TYPES:
        return options, []
    name = f"options/{gateway_type}"
    if validator(name)(options):
        return normaliser(name)(options), []
    wrong = explain(options, name, ("spec", "options"))
    return options, [replace(finding, document=document) for finding in wrong]


def _secret(value: Mapping[str, str]) -> SecretRef:
    return SecretRef.parse(value[SECRET_FIELD])


def _tls(spec: Mapping[str, Any]) -> GatewayTls:
    refs = {
        role: _secret(spec[f"{role}Ref"]) for role in ("ca", "cert", "key") if f"{role}Ref" in spec
    }
    return GatewayTls(**refs, server_name=spec.get("serverName", ""))


def _check(spec: Mapping[str, Any], document: int) -> Iterator[Finding]:
    if spec["baseUrl"] == EMBEDDED and not spec["gatewayType"].startswith("stoa"):
        yield Finding(
            "gateway.embedded",
            f"a gateway of type {spec['gatewayType']} is not embedded in this process",
            ("spec", "baseUrl"),
            "write the URL of its admin API, or use a type stoa*",
            document=document,
        )
    if spec["interval"] == "0s":
        text = "an interval is longer than nothing"
        yield Finding("schema.range", text, ("spec", "interval"), document=document)
    for side in ("allow", "deny"):
        for index, text in enumerate(spec["backends"][side]):
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                at: Pointer = ("spec", "backends", side, index)
                yield Finding(
                    "gateway.network", f"{text} is no address or network", at, document=document
                )
    for field in ("baseUrl", "publicUrl"):
        yield from _check_environment(spec, field, document)


def _check_environment(spec: Mapping[str, Any], field: str, document: int) -> Iterator[Finding]:
    url = str(spec.get(field, ""))
    host = url.partition("://")[2].partition("/")[0]
    other = foreign_family(host, str(spec["environment"]))
    if other:
        yield Finding(
            "environment.mixup",
            f"{host} looks like {other}, and the gateway's environment is {spec['environment']}",
            ("spec", field),
            "check the address and the environment",
            Severity.WARNING,
            document=document,
        )
