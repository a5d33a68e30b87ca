"""What the catalog lets through and the data plane of this project refuses. Pure.

Each limit is one of `stoa_proxy`, whose admin API would answer 400 or 422: `policies.parsing`,
`admin.routes` and `core.backend`. The tests generate values and hold both sides against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit

from stoa_gitops.adapters.stoa.usual_urls import is_usual_url
from stoa_gitops.model.canonical import JsonObject, duration_ms
from stoa_gitops.model.keys import API, APPLICATION, POLICY
from stoa_gitops.model.losses import Loss

Path: TypeAlias = tuple[str | int, ...]

_LARGEST: Final = 2**31 - 1
_LONGEST_MS: Final = 3_600_000
_MOST_RETRIES: Final = 10
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URL: Final = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_HOST: Final = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,250}[a-z0-9_])?")
_FRAMING: Final = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length", "expect", "via",
})  # fmt: skip
_IDENTITY: Final = frozenset({"x-user-id", "x-user-email", "x-user-roles", "x-tenant-id"})
_NO_POLICYS: Final = _FRAMING | _IDENTITY | {"x-stoa-fallback"}
_NO_POLICYS_PREFIXES: Final = (
    "sec-websocket-", "x-consumer-", "x-credential-", "x-authenticated-",
)  # fmt: skip
# Claims of identity that the data plane itself does not write: a checked token may.
_OF_TOKENS: Final = ("x-credential-", "x-authenticated-")
_MOST_CLAIMS: Final = 64
_MOST_SINKS: Final = 8
_MOST_VARYING: Final = 32
_CHECK_BOUNDS: Final = (
    ("active", "interval", 100, 86_400_000),
    ("active", "timeout", 1, 60_000),
    ("passive", "ejectFor", 1, 86_400_000),
)
_LONGEST_BACKOFF_MS: Final = 10_000
_MOST_FAILURES: Final = 10**12
# Controls, `%u002f`, and UTF-8 in more bytes than a character needs.
_UNREADABLE: Final = re.compile(
    rb"[\x00-\x1f\x7f\xc0\xc1\xf8-\xff]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]|%[Uu]"
)
_ROUNDS: Final = 8
_LONGEST_NAME: Final = 253  # RFC 1035 §2.3.4


def data_plane_losses(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
    """Return what of an API or a policy the data plane of this project refuses."""
    value: Any = spec
    if kind == API:
        return tuple(_api_losses(value))
    if kind == APPLICATION:
        return tuple(_application_losses(value))
    check = _POLICIES.get(value.get("type")) if kind == POLICY else None
    return tuple(check(value["config"])) if check else ()


def _application_losses(spec: Mapping[str, Any]) -> Iterator[Loss]:
    for index, credential in enumerate(spec["credentials"]):
        if credential["type"] == "jwt" and "clientId" not in credential:
            what = f"credential {index + 1} (jwt)"
            message = f"{what}: without `clientIdRef` nobody knows whose token it is"
            yield Loss(message, at=("credentials", index))


def _api_losses(spec: Mapping[str, Any]) -> Iterator[Loss]:
    backend = spec["backend"]
    if not _can_wait(backend["timeout"]):
        message = f"a timeout of {backend['timeout']}: it waits 1ms to 1h"
        yield Loss(message, at=("backend", "timeout"))
    if backend["retries"] > _MOST_RETRIES:
        yield Loss(f"{backend['retries']} retries: it tries 10 times", at=("backend", "retries"))
    yield from _auth_losses(backend.get("auth") or {})
    yield from _balancing_losses(backend)
    if "fallback" in backend:
        yield from _url_losses(backend["fallback"], ("backend", "fallback"))
    for number, route in enumerate(spec["routes"]):
        for host in route["hosts"]:
            if not _can_match(host):
                message = f"the host {host}: it takes names and *.name"
                yield Loss(message, at=("routes", number, "hosts"))
    for number, plan in enumerate(spec["plans"]):
        for name, count in plan.items():
            if isinstance(count, int) and count > _LARGEST:
                message = f"{name} of {count:,}: it counts to {_LARGEST:,}"
                yield Loss(message, at=("plans", number))
        if "burst" in plan and sum(isinstance(count, int) for count in plan.values()) == 1:
            yield Loss("a burst without a rate: it needs one", at=("plans", number))


def _auth_losses(auth: Mapping[str, Any]) -> Iterator[Loss]:
    at: Path = ("backend", "auth")
    if "in" in auth and not _can_carry(auth["in"], auth["name"]):
        message = f"the {auth['in']} {auth['name']!r} cannot carry a credential"
        yield Loss(message, at=(*at, "name"))
    if "tokenUrl" in auth:
        yield from _url_losses(auth["tokenUrl"], (*at, "tokenUrl"))
        if not auth["clientId"].strip():
            yield Loss("a client id of blanks: it takes visible ones", at=(*at, "clientId"))


def _balancing_losses(backend: Mapping[str, Any]) -> Iterator[Loss]:
    if "targets" not in backend:
        yield from _url_losses(backend["url"], ("backend", "url"))
    for number, target in enumerate(backend.get("targets", ())):
        yield from _url_losses(target["url"], ("backend", "targets", number, "url"))
    check, at = backend.get("healthCheck", {}), ("backend", "healthCheck")
    for kind, name, least, most in _CHECK_BOUNDS:
        duration = check.get(kind, {}).get(name)
        if duration is not None and not least <= duration_ms(duration) <= most:
            message = f"{name} of {duration}: it takes {least} ms to {most:,} ms"
            yield Loss(message, at=(*at, kind, name))


# Remembered, for documents share timeouts, hosts and headers.
@lru_cache(maxsize=100)
def _can_wait(timeout: str) -> bool:
    return 0 < duration_ms(timeout) <= _LONGEST_MS


@lru_cache(maxsize=1_000)
def _can_match(host: str) -> bool:
    return _HOST.fullmatch(host.lower().removesuffix(".")) is not None


@lru_cache(maxsize=100)
def _can_carry(place: str, name: str) -> bool:
    if place == "query":
        return bool(name.strip())
    return _TOKEN.fullmatch(name) is not None and name.lower() not in _FRAMING


def _url_losses(url: str, at: Path) -> Iterator[Loss]:
    if is_usual_url(url) or url == "builtin:echo":
        return
    if _URL.fullmatch(url) is None:
        yield Loss("the backend's URL holds a backslash or what is not ASCII: encode it", at=at)
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_port = parts.port != 0
    except ValueError:
        host, is_port = "", False
    if not is_port or not _is_host(host):
        message = "write international names in punycode, numbers as 10.0.0.1"
        yield Loss(f"the backend's host {host}: {message}", at=at)
    elif any(_is_unsafe(part) for part in parts.path.split("/")):
        message = "holds a dot segment or a control character"
        yield Loss(f"the path of the backend's URL {message}", at=at)


def _is_host(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    try:
        if ":" in host:
            IPv6Address(host)
        elif _NUMBER.fullmatch(labels[-1]):
            IPv4Address(host)
        else:
            return len(host) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, labels))
    except ValueError:
        return False
    return True


def _is_unsafe(part: str) -> bool:
    """Return whether some reader takes a segment for a dot segment, or cannot read it."""
    text = part.encode()
    for _ in range(_ROUNDS):
        if _UNREADABLE.search(text):
            return True
        pieces = text.replace(b"\\", b"/").split(b"/")
        if any(piece.partition(b";")[0] in (b".", b"..") for piece in pieces):
            return True
        decoded = unquote_to_bytes(text)
        if decoded == text:
            return False
        text = decoded
    return True


def _headers(config: Mapping[str, Any]) -> Iterator[Loss]:
    for side in ("request", "response"):
        for step, names in config.get(side, {}).items():
            yield from _name_losses(names, f"the {side} header", ("config", side, step))


def _mock(config: Mapping[str, Any]) -> Iterator[Loss]:
    yield from _name_losses(config["headers"], "the header", ("config", "headers"))


def _name_losses(names: Iterable[str], what: str, at: Path) -> Iterator[Loss]:
    for name in names:
        key = name.lower().replace("_", "-")
        if key in _NO_POLICYS or key.startswith(_NO_POLICYS_PREFIXES):
            yield Loss(f"{what} {name}: the gateway alone writes it", at=at)


def _jwt(config: Mapping[str, Any]) -> Iterator[Loss]:
    if "jwksUri" not in config and not _is_plain_url(config["issuer"]):
        message = "no jwksUri: the keys of an issuer that is no http(s) URL cannot be found"
        yield Loss(message, at=("config", "jwksUri"))
    if not _is_plain_url(config.get("jwksUri", "https://x")):
        message = "the jwksUri: keys are fetched from http and https URLs without user info"
        yield Loss(message, at=("config", "jwksUri"))
    if duration_ms(config["clockSkew"]) > _LONGEST_MS:
        message = f"a clockSkew of {config['clockSkew']}: an hour is the most"
        yield Loss(message, at=("config", "clockSkew"))
    for name in ("requiredClaims", "forwardClaims"):
        if len(config[name]) > _MOST_CLAIMS:
            yield Loss(f"more than {_MOST_CLAIMS} {name}", at=("config", name))
    seen: set[str] = set()
    for header in config["forwardClaims"].values():
        key = header.lower().replace("_", "-")
        at: Path = ("config", "forwardClaims")
        if key in seen or key == "authorization":
            yield Loss(f"the header {header}: it has another meaning already", at=at)
        elif key not in _IDENTITY - {"x-tenant-id"} and not key.startswith(_OF_TOKENS):
            yield from _name_losses((header,), "the header", at)
        seen.add(key)


def _caching(config: Mapping[str, Any]) -> Iterator[Loss]:
    odd = [method for method in config["methods"] if method not in ("GET", "HEAD")]
    if odd or not config["methods"]:
        message = f"methods {', '.join(odd) or 'none'}: it keeps responses to GET and HEAD"
        yield Loss(message, at=("config", "methods"))
    unkept = [status for status in config["statuses"] if status < 200 or status in (206, 304)]
    if unkept or not config["statuses"]:
        message = f"statuses {', '.join(map(str, unkept)) or 'none'}: they say nothing of a whole"
        yield Loss(message, at=("config", "statuses"))
    for name in ("varyHeaders", "varyQuery"):
        if len(config[name]) > _MOST_VARYING or not all(config[name]):
            message = f"{name}: it takes {_MOST_VARYING} names that are not empty"
            yield Loss(message, at=("config", name))


def _retry(config: Mapping[str, Any]) -> Iterator[Loss]:
    odd = [text for text in map(str, config["on"]) if text[:1] in "123"]
    if odd:
        message = f"retry on {', '.join(odd)}: only connect, timeout and 400 to 599 are failures"
        yield Loss(message, at=("config", "on"))
    if duration_ms(config["backoff"]) > _LONGEST_BACKOFF_MS:
        message = f"a backoff of {config['backoff']}: it waits 10s at most between two attempts"
        yield Loss(message, at=("config", "backoff"))


def _circuit_breaker(config: Mapping[str, Any]) -> Iterator[Loss]:
    for name in ("window", "reset"):
        if duration_ms(config[name]) == 0:
            yield Loss(f"a {name} of {config[name]}: it takes some time", at=("config", name))
    if config["failures"] > _MOST_FAILURES:
        message = f"{config['failures']:,} failures: it counts to {_MOST_FAILURES:,}"
        yield Loss(message, at=("config", "failures"))


def _logging(config: Mapping[str, Any]) -> Iterator[Loss]:
    for sink in config["sinks"]:
        if sink not in ("stdout", "stderr") and not _is_plain_url(sink):
            message = "a sink: it takes stdout, stderr and http(s) URLs without user info, no files"
            yield Loss(message, at=("config", "sinks"))
    if len(config["sinks"]) > _MOST_SINKS:
        yield Loss(f"more than {_MOST_SINKS} sinks", at=("config", "sinks"))
    if not all(config["redact"]):
        yield Loss("redact: a field without a name", at=("config", "redact"))
    if config["payloads"]:
        message = "payloads: it logs no bodies"
        yield Loss(message, is_partial=True, at=("config", "payloads"))


def _is_plain_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_whole = bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:
        return False
    return is_whole and parts.scheme in ("http", "https") and "@" not in parts.netloc


_POLICIES: Final[Mapping[str, Callable[[Mapping[str, Any]], Iterable[Loss]]]] = {
    "caching": _caching,
    "circuit_breaker": _circuit_breaker,
    "headers": _headers,
    "jwt": _jwt,
    "logging": _logging,
    "mock": _mock,
    "retry": _retry,
}
