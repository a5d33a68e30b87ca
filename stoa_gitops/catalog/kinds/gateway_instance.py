"""GatewayInstance documents: a registered gateway as `model.instances.GatewayInstance`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from stoa_gitops.catalog.documents.schema_errors import explain
from stoa_gitops.catalog.documents.schema_files import merge_names
from stoa_gitops.catalog.documents.schema_tree import Schema
from stoa_gitops.catalog.documents.schemas import OPTIONS
from stoa_gitops.catalog.evaluation.backend_urls import foreign_family
from stoa_gitops.catalog.evaluation.context import DocumentContext
from stoa_gitops.catalog.evaluation.kind import DocumentKind
from stoa_gitops.catalog.evaluation.registration import check_registration, parse_registration
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import SECRET_FIELD, JsonObject, duration_ms
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.gateway_types import GatewayTypeInfo
from stoa_gitops.model.instances import (
    EMBEDDED,
    GatewayAuth,
    GatewayInstance,
    GatewayTls,
    PruneBudget,
    RegistrationRules,
    WritePolicy,
)
from stoa_gitops.model.secret import SecretRef

_ROLES: Final = ("username", "password", "token", "value")


def parse_gateway(value: dict[str, Any], context: DocumentContext) -> GatewayInstance:
    """Return the gateway that a valid document describes; what the schema cannot see is checked."""
    name = str(value["metadata"]["name"])
    spec: Mapping[str, Any] = value["spec"]
    gateway_type = context.schemas.gateway_type(spec["gatewayType"])
    context.findings.extend(_check(spec, gateway_type, context.document))
    wrong = tuple(check_registration(spec, document=context.document))
    context.findings.extend(wrong)
    is_wrong = any(finding.severity is Severity.ERROR for finding in wrong)
    options = _options(spec, gateway_type, context)
    auth = spec["auth"]
    refs = {role: _secret(auth[f"{role}Ref"]) for role in _ROLES if f"{role}Ref" in auth}
    return GatewayInstance(
        name=name,
        gateway_type=spec["gatewayType"],
        environment=spec["environment"],
        base_url=spec["baseUrl"].rstrip("/"),
        source=context.source,
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
        registration=RegistrationRules() if is_wrong else parse_registration(spec),
    )


def _options(
    spec: Mapping[str, Any], gateway_type: GatewayTypeInfo | None, context: DocumentContext
) -> JsonObject:
    """Return the settings of the gateway's type with defaults, after a check by its own schema."""
    options: JsonObject = spec["options"]
    if gateway_type is None or gateway_type.options_schema is None:
        return options
    name = f"{OPTIONS}{gateway_type.name}"
    schemas = context.schemas
    if schemas.validator(name)(options):
        return schemas.normaliser(name)(options)
    wrong = explain(options, name, schemas, ("spec", "options"))
    context.findings.extend(replace(finding, document=context.document) for finding in wrong)
    return options


def _secret(value: Mapping[str, str]) -> SecretRef:
    return SecretRef.parse(value[SECRET_FIELD])


def _tls(spec: Mapping[str, Any]) -> GatewayTls:
    refs = {
        role: _secret(spec[f"{role}Ref"]) for role in ("ca", "cert", "key") if f"{role}Ref" in spec
    }
    return GatewayTls(**refs, server_name=spec.get("serverName", ""))


def _check(
    spec: Mapping[str, Any], gateway_type: GatewayTypeInfo | None, document: int
) -> Iterator[Finding]:
    # Without a description of the type nothing can be said about it.
    can_be_embedded = gateway_type is None or gateway_type.can_be_embedded
    if spec["baseUrl"] == EMBEDDED and not can_be_embedded:
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


def with_gateway_types(schema: Schema, gateway_types: Sequence[str]) -> Schema:
    """Return the schema with exactly these gateway types, in the order of the file, others last."""
    spec = schema["properties"]["spec"]
    field = spec["properties"]["gatewayType"]
    field = {**field, "enum": list(merge_names(field["enum"], gateway_types))}
    spec = {**spec, "properties": {**spec["properties"], "gatewayType": field}}
    return {**schema, "properties": {**schema["properties"], "spec": spec}}


KIND = DocumentKind(
    name="GatewayInstance",
    home="gateways/<name>.yaml",
    order=20,
    complete_schema=with_gateway_types,
    parse=parse_gateway,
)
