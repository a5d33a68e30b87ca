"""Heads of requests and responses, and the headers that never pass through the gateway."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from stoa_proxy.errors import RequestRefused

Header = tuple[str, str]
Headers = tuple[Header, ...]

# RFC 9110, 7.6.1, and `Keep-Alive`, `Proxy-Connection`, which clients send nevertheless.
HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
# Claims of who is calling: upstreams trust them, so only the gateway may make them.
_IDENTITY = frozenset({"x-user-id", "x-user-email", "x-user-roles", "x-tenant-id"})
_IDENTITY_PREFIXES = ("x-consumer-", "x-credential-", "x-authenticated-")
# What trusted proxies say was read before (`http.forwarded`); nobody else is believed. Programs
# behind CGI take `Proxy` for the proxy of their own calls (CVE-2016-5385, "httpoxy").
_FORWARDED = frozenset({"forwarded", "x-real-ip", "proxy"})
_FORWARDED_PREFIX = "x-forwarded-"
# Not for an upstream to say.
_NOT_FROM_UPSTREAM = HOP_BY_HOP | {"x-stoa-fallback"}
WEBSOCKET_HEADERS: Headers = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
_NO_NAMES: frozenset[str] = frozenset()
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{0,5})?")


class RequestTrace:
    """The trace that a request belongs to (`http.trace_context`), while tracing is on.

    `trace_id` and `span_id` (of the gateway's own span) are hexadecimal; `parent_id` is the
    caller's span, empty for a trace that begins here; `outgoing` is the `traceparent` that the next
    upstream gets, with `flags`, and `state` its `tracestate`. Only where `is_recorded` there will
    be spans: `client_id` is that of the next call, `started` the time of the monotonic clock and
    `started_at` nanoseconds since 1970.
    """

    __slots__ = (
        "client_id", "flags", "is_ended", "is_recorded", "outgoing", "parent_id", "span_id",
        "started", "started_at", "state", "trace_id",
    )  # fmt: skip

    def __init__(
        self,
        trace_id: str,
        parent_id: str = "",
        flags: int = 0,
        state: str = "",
        outgoing: str = "",
    ) -> None:
        self.trace_id = trace_id
        self.parent_id = parent_id
        self.flags = flags
        self.state = state
        self.outgoing = outgoing
        self.span_id = self.client_id = ""
        self.is_recorded = self.is_ended = False
        self.started = 0.0
        self.started_at = 0


class RequestHead(NamedTuple):
    """The head of a request.

    `target` is the request target as sent; `keys` are the names of `headers` in lower case and in
    their order (`lower_names`); `client_address` is the address of the connection's other end, or
    the one that a trusted proxy there names; `scheme` is that of the listener, or of such a proxy's
    own client; `may_upgrade` is whether its version of HTTP has `Upgrade`; `peer` is the address of
    the connection's other end, whoever forwards requests there; `trace` is set while tracing is on.
    """

    method: str
    target: str
    headers: Headers
    keys: tuple[str, ...]
    client_address: str
    scheme: str = "http"
    has_body: bool = False
    may_upgrade: bool = True
    peer: str = ""
    trace: RequestTrace | None = None

    def __repr__(self) -> str:
        """Without query and headers, which may hold credentials."""
        return f"RequestHead({self.method} {self.target.partition('?')[0]})"

    def values(self, name: str) -> list[str]:
        """Return all values of a header, whose name is given in lower case."""
        if self.keys.count(name) < 2:
            return [self.headers[self.keys.index(name)][1]] if name in self.keys else []
        return [pair[1] for key, pair in zip(self.keys, self.headers, strict=True) if key == name]

    def value(self, name: str) -> str | None:
        """Return the first value of a header (name in lower case), or None."""
        return self.headers[self.keys.index(name)][1] if name in self.keys else None

    def tokens(self, name: str) -> list[str]:
        """Return the elements of a comma separated header, in lower case (RFC 9110, 5.6.1)."""
        return [part.strip().lower() for value in self.values(name) for part in value.split(",")]


def lower_names(headers: Headers) -> tuple[str, ...]:
    """Return the names of headers in lower case, in their order."""
    return tuple([pair[0].lower() for pair in headers])


def sanitize(head: RequestHead) -> RequestHead:
    """Return the head without hop-by-hop headers, their like, and claims of identity."""
    named = connection_tokens(head.headers) if "connection" in head.keys else _NO_NAMES
    if not named and all(map(is_forwarded, head.keys)):
        return head
    pairs = zip(head.keys, head.headers, strict=True)
    kept = tuple([pair for key, pair in pairs if key not in named and is_forwarded(key)])
    return head._replace(headers=kept, keys=lower_names(kept))


def is_websocket_upgrade(head: RequestHead) -> bool:
    """Whether a head, not yet sanitised, asks for WebSocket (RFC 6455, 4.1; RFC 9110, 7.8)."""
    return (
        "upgrade" in head.keys
        and head.may_upgrade
        and head.method == "GET"
        and not head.has_body
        and head.tokens("upgrade") == ["websocket"]
        and "upgrade" in head.tokens("connection")
    )


def is_preflight(head: RequestHead) -> bool:
    """Whether a browser asks for permission rather than for the resource (Fetch standard)."""
    return (
        head.method == "OPTIONS"
        and head.value("origin") is not None
        and head.value("access-control-request-method") is not None
    )


def connection_tokens(headers: Iterable[Header]) -> frozenset[str]:
    """Return the names that `Connection` headers list, in lower case.

    Without `host`, which a client could remove from a request by naming it.
    """
    names = {
        token.strip().lower()
        for key, value in headers
        if key.lower() == "connection"
        for token in value.split(",")
    }
    return frozenset(names - {"host"})


# The same few names come with nearly every request.
@lru_cache(maxsize=1024)
def is_forwarded(key: str) -> bool:
    """Whether a client's header (lower case) passes `sanitize`, unless `Connection` names it."""
    # CGI-like upstreams read `X_User_Id` as `X-User-Id`.
    name = key.replace("_", "-")
    return not (
        name in HOP_BY_HOP
        or name in _FORWARDED
        or name.startswith(_FORWARDED_PREFIX)
        or is_identity(name)
    )


def is_identity(key: str) -> bool:
    """Whether a header (lower case) claims who is calling, which only the gateway may."""
    name = key.replace("_", "-")
    return name in _IDENTITY or name.startswith(_IDENTITY_PREFIXES)


def filter_response_headers(headers: Iterable[Header]) -> list[Header]:
    """Return an upstream's response headers without hop-by-hop ones and the gateway's own."""
    pairs = list(headers)
    kept = [pair for pair in pairs if pair[0].lower() not in _NOT_FROM_UPSTREAM]
    if len(kept) == len(pairs):
        return kept  # so no `Connection` is among them
    return without(kept, connection_tokens(pairs))


def without(headers: Iterable[Header], names: frozenset[str]) -> list[Header]:
    """Return the headers whose name is not among `names` (lower case)."""
    return [pair for pair in headers if pair[0].lower() not in names]


def read_host(head: RequestHead, authority: str | None) -> str:
    """Return the requested host: lower case, no port, no final dot; empty when none was sent.

    Raises RequestRefused (400) when it is sent twice or is not a host.
    """
    hosts = head.values("host")
    if len(hosts) > 1:
        raise RequestRefused(400, "Bad request", "The Host header is sent more than once.")
    text = authority if authority is not None else (hosts[0] if hosts else "")
    if not text:
        return ""
    match = _HOST.fullmatch(text.lower())
    if match is None:
        raise RequestRefused(400, "Bad request", "The Host header is not a host.")
    return match[1].removesuffix(".")
