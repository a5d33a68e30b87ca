"""Between the policies that are one plugin of Kong each and these plugins. Pure.

`write` turns a canonical config into a plugin's, `read` the other way, `held` says what of a canonical config comes
back, and `losses` what Kong does not do of it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import NodeInfo
from stoa_gitops.adapters.kong.mapping.losses import Loss, header_loss
from stoa_gitops.model.canonical import canonical_duration, canonical_size, duration_ms, size_bytes

Config = Mapping[str, Any]

_PLAIN_ORIGIN: Final = re.compile(r"\*|[A-Za-z0-9.:/-]+")
_CACHED_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT"})
_KINDS: Final = (
    "application/json", "application/javascript", "application/xml", "text/css", "text/html",
    "text/javascript", "text/plain", "text/xml",
)  # fmt: skip
CONTENT_TYPES: Final = [kind + rest for kind in _KINDS for rest in ("", "; charset=utf-8")]
"""Answers that `caching` keeps: Kong wants each content type to the letter, and has no word for all."""

PLAIN_TEXT: Final = "text/plain; charset=utf-8"
_SIZES: Final = {"bytes": 1, "kilobytes": 1 << 10, "megabytes": 1 << 20}


@dataclass(frozen=True, slots=True)
class PluginMapping:
    """How one policy type and one plugin of Kong say the same."""

    plugin: str
    write: Callable[[Config, NodeInfo], dict[str, Any]]
    read: Callable[[Config], dict[str, Any]]
    losses: Callable[[Config], Iterator[Loss]]
    held: Callable[[Config], dict[str, Any]] = dict


def seconds_of(duration: str, what: str) -> Iterator[Loss]:
    """Yield the loss of a duration that is no whole number of seconds."""
    if duration_ms(duration) % 1000:
        yield Loss(f"{what} of {duration}: Kong counts whole seconds there")


def _read_seconds(value: float) -> str:
    return canonical_duration(f"{round(value * 1000)}ms")


def _write_cors(config: Config, _: NodeInfo) -> dict[str, Any]:
    out: dict[str, Any] = {"origins": config["origins"], "credentials": config["credentials"]}
    names = {"methods": "methods", "headers": "headers", "exposeHeaders": "exposed_headers"}
    out |= {theirs: config[name] for name, theirs in names.items() if name in config}
    if "maxAge" in config:
        out["max_age"] = duration_ms(config["maxAge"]) // 1000
    return out


def _read_cors(config: Config) -> dict[str, Any]:
    out: dict[str, Any] = {
        "origins": sorted(config.get("origins") or ("*",)),
        "credentials": config.get("credentials", False),
    }
    for name, theirs in (
        ("methods", "methods"), ("headers", "headers"), ("exposeHeaders", "exposed_headers"),
    ):  # fmt: skip
        if config.get(theirs) is not None:
            out[name] = sorted(config[theirs])
    if config.get("max_age") is not None:
        out["maxAge"] = _read_seconds(config["max_age"])
    return out


def _lose_cors(config: Config) -> Iterator[Loss]:
    for origin in config["origins"]:
        if _PLAIN_ORIGIN.fullmatch(origin) is None:
            yield Loss(f"the origin {origin}: Kong would read it as a regular expression")
    if config.get("headers") == []:
        yield Loss("no allowed header: Kong allows every header then", is_partial=True)
    if "maxAge" in config:
        yield from seconds_of(config["maxAge"], "a maxAge")


def _write_api_key(config: Config, _: NodeInfo) -> dict[str, Any]:
    other = "key_in_query" if config["in"] == "header" else "key_in_header"
    return {"key_names": [config["name"]], "hide_credentials": config["hide"], other: False}


def _read_api_key(config: Config) -> dict[str, Any]:
    return {
        "in": "query" if config.get("key_in_header") is False else "header",
        "name": str((config.get("key_names") or ("apikey",))[0]),
        "hide": config.get("hide_credentials", False),
    }


def _lose_api_key(config: Config) -> Iterator[Loss]:
    loss = header_loss(config["name"], f"the {config['in']}")
    if loss is not None:
        yield loss


def _write_jwt(_: Config, node: NodeInfo) -> dict[str, Any]:
    return {"claims_to_verify": ["exp", "nbf"], "key_claim_name": node.options.jwt_claim}


def _lose_jwt(config: Config) -> Iterator[Loss]:
    asked = [name for name in ("audiences", "requiredClaims", "forwardClaims") if config.get(name)]
    also = f"; of this policy that leaves out {', '.join(asked)}" if asked else ""
    yield Loss(
        "the jwt plugin checks signature, exp and nbf with the key in the application's credential: it fetches no "
        "keys (jwksUri, discovery), compares neither issuer, audiences nor requiredClaims, knows no clockSkew and "
        f"forwards no claims{also}",
        is_partial=True,
    )


def _write_ip(config: Config, _: NodeInfo) -> dict[str, Any]:
    return {name: config[name] for name in ("allow", "deny") if config[name]}


def _read_ip(config: Config) -> dict[str, Any]:
    return {name: sorted(config.get(name) or ()) for name in ("allow", "deny")}


def _lose_ip(config: Config) -> Iterator[Loss]:
    addresses = [*config["allow"], *config["deny"]]
    if not addresses:
        yield Loss("it names no address, and Kong has no form for that")
    for address in addresses:
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError:
            yield Loss(f"{address} is no address and no network")


def _write_size(config: Config, _: NodeInfo) -> dict[str, Any]:
    return {"allowed_payload_size": size_bytes(config["max"]), "size_unit": "bytes"}


def _read_size(config: Config) -> dict[str, Any]:
    unit = _SIZES.get(config.get("size_unit", "megabytes"), 1)
    return {"max": canonical_size(config.get("allowed_payload_size", 128) * unit)}


def _write_caching(config: Config, _: NodeInfo) -> dict[str, Any]:
    out: dict[str, Any] = {
        "strategy": "memory",
        "cache_ttl": duration_ms(config["ttl"]) // 1000,
        "content_type": CONTENT_TYPES,
        "request_method": config["methods"],
        "response_code": config["statuses"],
    }
    names = {"varyHeaders": "vary_headers", "varyQuery": "vary_query_params"}
    return out | {theirs: config[name] for name, theirs in names.items() if config[name]}


def _read_caching(config: Config) -> dict[str, Any]:
    return {
        "ttl": _read_seconds(config.get("cache_ttl", 300)),
        "methods": sorted(config.get("request_method") or ("GET", "HEAD")),
        "statuses": sorted(config.get("response_code") or (200, 301, 404)),
        "varyHeaders": sorted(config.get("vary_headers") or ()),
        "varyQuery": sorted(config.get("vary_query_params") or ()),
    }


def _lose_caching(config: Config) -> Iterator[Loss]:
    yield from seconds_of(config["ttl"], "a ttl")
    if config["ttl"] == "0s":
        yield Loss("a ttl of 0s: Kong keeps an answer for some time or not at all")
    odd = [method for method in config["methods"] if method not in _CACHED_METHODS]
    if odd or not config["methods"]:
        yield Loss(
            f"methods {', '.join(odd) or 'none'}: Kong keeps answers to GET, HEAD, POST, PATCH and PUT"
        )
    if not config["statuses"]:
        yield Loss("no status: Kong wants at least one")


def _media_type(config: Config) -> str:
    found = [v for name, v in config["headers"].items() if name.lower() == "content-type"]
    return found[0] if found and found[0] else PLAIN_TEXT


def _write_mock(config: Config, _: NodeInfo) -> dict[str, Any]:
    out = {"status_code": config["status"]}
    if not config["body"]:
        return out
    return out | {"body": config["body"], "content_type": _media_type(config)}


def _read_mock(config: Config) -> dict[str, Any]:
    kind = config.get("content_type")
    return {
        "status": config.get("status_code", 503),
        "headers": {} if kind in (None, PLAIN_TEXT) else {"Content-Type": kind},
        "body": config.get("body") or "",
    }


def _held_mock(config: Config) -> dict[str, Any]:
    kind = _media_type(config) if config["body"] else PLAIN_TEXT
    headers = {} if kind == PLAIN_TEXT else {"Content-Type": kind}
    return {"status": config["status"], "headers": headers, "body": config["body"]}


def _lose_mock(config: Config) -> Iterator[Loss]:
    names = sorted(name for name in config["headers"] if name.lower() != "content-type")
    if names:
        yield Loss(f"the headers {', '.join(names)}: Kong sends Content-Type only", is_partial=True)
    if not config["body"]:
        yield Loss("an empty body: Kong answers with a message in JSON then", is_partial=True)


FORMS: Final[Mapping[str, PluginMapping]] = {
    "cors": PluginMapping("cors", _write_cors, _read_cors, _lose_cors),
    "api_key": PluginMapping("key-auth", _write_api_key, _read_api_key, _lose_api_key),
    "jwt": PluginMapping("jwt", _write_jwt, lambda _: {}, _lose_jwt, lambda _: {}),
    "ip_filter": PluginMapping("ip-restriction", _write_ip, _read_ip, _lose_ip),
    "request_size": PluginMapping(
        "request-size-limiting", _write_size, _read_size, lambda _: iter(())
    ),
    "caching": PluginMapping("proxy-cache", _write_caching, _read_caching, _lose_caching),
    "mock": PluginMapping("request-termination", _write_mock, _read_mock, _lose_mock, _held_mock),
}
"""Policy type -> its form; the types that share plugins or live on the service have modules of their own."""
