"""Plugins of a Gravitee: schemas of what the adapter writes, as far as they matter, and the checks.

Messages are those of the library that Gravitee validates with (recorded in errors.jsonl). Fields,
defaults and required ones: contract gravitee.md D and R.9.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any, Final

Tree = dict[str, Any]

_STRING, _BOOLEAN, _INTEGER = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}
_HEADERS = {
    "type": "array",
    "items": {"type": "object", "properties": {"name": _STRING, "value": _STRING}},
}
_TEXTS = {"type": "array", "items": _STRING}


def _defaulted(schema: Tree, value: Any) -> Tree:
    return {**schema, "default": value}


def _object(properties: Tree, required: tuple[str, ...] = (), **more: Any) -> Tree:
    found = {"type": "object", "properties": properties, **more}
    return {**found, "required": list(required)} if required else found


def _counting(name: str, units: list[str], unit: str, *, headers: bool) -> Tree:
    count = _object({
        "key": _defaulted(_STRING, ""),
        "useKeyOnly": _defaulted(_BOOLEAN, False),
        "limit": _INTEGER,
        "dynamicLimit": _STRING,
        "periodTime": _defaulted(_INTEGER, 1),
        "periodTimeUnit": {"type": "string", "enum": units, "default": unit},
        "dynamicPeriodTime": _STRING,
    })  # fmt: skip
    strategy = {
        "type": "string",
        "enum": ["BLOCK_ON_INTERNAL_ERROR", "FALLBACK_PASS_TROUGH"],
        "default": "FALLBACK_PASS_TROUGH",
    }
    return _object(
        {
            "async": _defaulted(_BOOLEAN, False),
            "addHeaders": _defaulted(_BOOLEAN, headers),
            name: count,
            "errorStrategy": strategy,
        },
        # Required, with a default that is put in before it is asked for.
        (name, "errorStrategy"),
    )


_SIGNATURES = [f"{kind}{size}" for kind in ("RSA_RS", "HMAC_HS") for size in (256, 384, 512)]

_STATUSES = [
    str(status)
    for status in (
        *range(100, 103), *range(200, 208), *range(300, 306), 307, *range(400, 418), 422, 423, 424,
        429, *range(500, 506), 507,
    )
]  # fmt: skip
"""Of the schema of mock 1.15.0."""


POLICIES: Final[dict[str, Tree]] = {
    "key-less": {},
    "api-key": _object({"propagateApiKey": _BOOLEAN}, additionalProperties=False),
    "jwt": _object(
        {
            "signature": {"type": "string", "enum": _SIGNATURES, "default": "RSA_RS256"},
            "publicKeyResolver": {
                "type": "string",
                "enum": ["GIVEN_KEY", "GATEWAY_KEYS", "JWKS_URL"],
                "default": "GIVEN_KEY",
            },
            "resolverParameter": _STRING,
            "useSystemProxy": _BOOLEAN,
            "extractClaims": _BOOLEAN,
            "propagateAuthHeader": _BOOLEAN,
            "userClaim": _STRING,
            "clientIdClaim": _STRING,
        },
        ("signature", "publicKeyResolver"),
        additionalProperties=False,
    ),
    "oauth2": _object(
        {
            "oauthResource": _STRING,
            "oauthCacheResource": _STRING,
            "extractPayload": _BOOLEAN,
            "checkRequiredScopes": _BOOLEAN,
            "addWwwAuthenticateHeader": _BOOLEAN,
            "requiredScopes": _TEXTS,
            "modeStrict": _BOOLEAN,
            "propagateAuthHeader": _BOOLEAN,
        },
        ("oauthResource",),
        additionalProperties=False,
    ),
    "rate-limit": _counting("rate", ["SECONDS", "MINUTES"], "SECONDS", headers=False),
    "quota": _counting("quota", ["HOURS", "DAYS", "WEEKS", "MONTHS"], "MONTHS", headers=True),
    "spike-arrest": _counting("spike", ["SECONDS", "MINUTES"], "SECONDS", headers=False),
    "ip-filtering": _object(
        {
            "matchAllFromXForwardedFor": _BOOLEAN,
            "whitelistIps": _TEXTS,
            "blacklistIps": _TEXTS,
            "lookupIpVersion": {
                "type": "string",
                "enum": ["IPV4", "IPV6", "ALL"],
                "default": "ALL",
            },
        },
        additionalProperties=False,
    ),
    "transform-headers": _object(
        {
            "scope": {"type": "string", "enum": ["REQUEST", "RESPONSE"], "default": "REQUEST"},
            "addHeaders": _HEADERS,
            "appendHeaders": _HEADERS,
            "removeHeaders": _TEXTS,
            "whitelistHeaders": _TEXTS,
        },
        additionalProperties=False,
    ),
    "request-content-limit": _object({"limit": _INTEGER}, ("limit",)),
    "mock": _object(
        {"status": {"type": "string", "enum": _STATUSES}, "headers": _HEADERS, "content": _STRING},
        ("status",),
    ),
    "cache": _object(
        {
            "cacheName": _STRING,
            "key": _STRING,
            "timeToLiveSeconds": _defaulted(_INTEGER, 600),
            "methods": _defaulted(_TEXTS, ["GET", "OPTIONS", "HEAD"]),
            "scope": {"type": "string", "enum": ["API", "APPLICATION"], "default": "APPLICATION"},
            "useResponseCacheHeaders": _BOOLEAN,
            "responseCondition": _STRING,
        },
        ("cacheName",),
        # Recorded: what it does not know is gone when it is read.
        prunes=True,
    ),
    "policy-http-callout": _object(
        {
            "method": _STRING,
            "url": _STRING,
            "headers": _HEADERS,
            "body": _STRING,
            "scope": {"type": "string", "enum": ["REQUEST", "RESPONSE"], "default": "REQUEST"},
            "fireAndForget": _defaulted(_BOOLEAN, False),
            "variables": {"type": "array"},
            "exitOnError": _BOOLEAN,
            "errorCondition": _defaulted(
                _STRING,
                "{#calloutResponse.status >= 400 and #calloutResponse.status <= 599}",
            ),
            "errorStatusCode": _defaulted(_STRING, "500"),
            "errorContent": _STRING,
        },
        ("url", "method", "exitOnError"),
    ),
}
RESOURCES: Final[dict[str, Tree]] = {
    "cache": _object({
        "timeToIdleSeconds": _INTEGER, "timeToLiveSeconds": _INTEGER,
        "maxEntriesLocalHeap": _INTEGER,
    }),
    "oauth2": _object(
        {
            "authorizationServerUrl": _defaulted(_STRING, "https://authorization_server"),
            "introspectionEndpoint": _defaulted(_STRING, "/oauth/check_token"),
            "authorizationServerMetadataEndpoint": _defaulted(
                _STRING, "/.well-known/oauth-authorization-server"
            ),
            "introspectionEndpointMethod": _defaulted(
                {"type": "string", "enum": ["GET", "POST"]}, "GET"
            ),
            "clientId": _STRING, "clientSecret": _STRING,
            "useClientAuthorizationHeader": _defaulted(_BOOLEAN, True),
            "tokenIsSuppliedByQueryParam": _defaulted(_BOOLEAN, True),
            "tokenIsSuppliedByFormUrlEncoded": _defaulted(_BOOLEAN, False),
            "ssl": _object({"hostnameVerifier": _BOOLEAN, "trustAll": _BOOLEAN}),
        },
        (
            "authorizationServerUrl", "introspectionEndpoint",
            "authorizationServerMetadataEndpoint", "introspectionEndpointMethod", "clientId",
            "clientSecret",
        ),
    ),
}  # fmt: skip
_HTTP: Final = {
    name: {"$ref": f"#/gioExternalDefinitions/{name}"}
    for name in (
        "keepAlive", "useCompression", "followRedirects", "connectTimeout", "readTimeout",
        "idleTimeout", "maxConcurrentConnections",
    )
}  # fmt: skip
SHARED: Final[Tree] = {
    "type": "object",
    "properties": {
        name: {"$ref": f"#/definitions/{name}"} for name in ("http", "headers", "proxy", "ssl")
    },
    "definitions": {
        "http": {"$ref": "#/gioExternalDefinitions/httpClientOptions"},
        "headers": _HEADERS,
        "proxy": _object({"enabled": _defaulted(_BOOLEAN, False), "host": _STRING}),
        "ssl": {"$ref": "#/gioExternalDefinitions/sslOptions"},
    },
    "gioExternalDefinitions": {
        "httpClientOptions": {
            "type": "object",
            "oneOf": [
                {"properties": {"version": {"const": version}, **_HTTP}}
                for version in ("HTTP_1_1", "HTTP_2")
            ],
        },
        "sslOptions": _object({
            "hostnameVerifier": _defaulted(_BOOLEAN, True),
            "trustAll": _defaulted(_BOOLEAN, False),
        }),
        "keepAlive": _defaulted(_BOOLEAN, True),
        "useCompression": _defaulted(_BOOLEAN, True),
        "followRedirects": _defaulted(_BOOLEAN, False),
        "connectTimeout": _defaulted(_INTEGER, 3000),
        "readTimeout": _defaulted(_INTEGER, 10000),
        "idleTimeout": _defaulted(_INTEGER, 60000),
        "maxConcurrentConnections": _defaulted(_INTEGER, 20),
    },
}  # fmt: skip
"""What the endpoints of a group share, in the form of 4.10.8: references to references."""

ENDPOINT: Final = _object({"target": {"type": "string", "pattern": "^\\S+$"}}, ("target",))
_HTTP_DEFAULTS: Final = {
    "readTimeout": 10000,
    "connectTimeout": 3000,
    "maxConcurrentConnections": 20,
    "version": "HTTP_1_1",
}


def with_defaults(schema: Tree, value: Any) -> Any:
    """Return a configuration as it is stored: optional defaults put in, unknown fields kept."""
    if not isinstance(value, dict):
        return value
    known = schema.get("properties") or {}
    found = {n: deepcopy(v) for n, v in value.items() if n in known or not schema.get("prunes")}
    for name, part in known.items():
        if name not in found and "default" in part:
            found[name] = deepcopy(part["default"])
        elif isinstance(found.get(name), dict):
            found[name] = with_defaults(part, found[name])
    return found


def shared_with_defaults(shared: Tree, idle: int) -> Tree:
    http = {**_HTTP_DEFAULTS, "idleTimeout": idle, **(shared.get("http") or {})}
    return {**shared, "http": http}


def fault_of(schema: Tree, value: Any, path: str = "#") -> str:
    """Return what is wrong with a configuration; empty for nothing."""
    if not isinstance(value, dict):
        return f"{path}: expected type: JSONObject, found: {type(value).__name__}"
    for name in schema.get("required") or ():
        # One that has a default is filled in before.
        if name not in value and "default" not in schema["properties"].get(name, {}):
            return f"{path}: required key [{name}] not found"
    for name, item in value.items():
        part = (schema.get("properties") or {}).get(name)
        if part is not None:
            fault = _fault_of_field(part, item, f"{path}/{name}")
            if fault:
                return fault
    return ""


def _fault_of_field(part: Tree, item: Any, path: str) -> str:
    kind = part.get("type")
    if kind == "integer" and (isinstance(item, bool) or not isinstance(item, int)):
        names = {str: "String", bool: "Boolean"}
        return f"{path}: expected type: Integer, found: {names.get(type(item), 'Double')}"
    if kind == "string" and isinstance(item, str):
        if "enum" in part and item not in part["enum"]:
            return f"{path}: {item} is not a valid enum value"
        if "pattern" in part and re.search(part["pattern"], item) is None:
            return f"{path}: string [{item}] does not match pattern {part['pattern']}"
    if kind == "object":
        return fault_of(part, item, path)
    return ""
