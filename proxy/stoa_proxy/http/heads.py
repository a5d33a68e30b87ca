"""Request and response heads: values, and what never passes through."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from stoa_proxy.errors import RequestRefused

Header = tuple[str, str]
Headers = tuple[Header, ...]

HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_IDENTITY = frozenset({"x-user-id", "x-user-email", "x-user-roles", "x-tenant-id"})
_IDENTITY_PREFIXES = ("x-consumer-", "x-credential-", "x-authenticated-")
# Nobody in front of us is trusted with these: the connection itself is what we know. Programs
# behind CGI take `Proxy` for the one that their own calls are to go through.
_FORWARDED = frozenset({"forwarded", "x-real-ip", "proxy"})
_FORWARDED_PREFIX = "x-forwarded-"
# Never an upstream's to say.
_NOT_ANSWERED = HOP_BY_HOP | {"x-stoa-fallback"}
WEBSOCKET_HEADERS: Headers = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
_NOBODY: frozenset[str] = frozenset()
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{0,5})?")


class RequestHead(NamedTuple):
    """A request without its body.

    `target` is the request target as sent; `client_address` is the address of the connection's other end;
    `scheme` is that of our listener; `may_upgrade` is whether its version of HTTP knows `Upgrade`;
    `keys` are the headers' names in lower case, in their order (`lower_names`).
    """

    method: str
    target: str
    headers: Headers
    keys: tuple[str, ...]
    client_address: str
    scheme: str = "http"
    has_body: bool = False
    may_upgrade: bool = True

    def __repr__(self) -> str:
        """Without query and headers, which may hold credentials."""
        return f"RequestHead({self.method} {self.target.partition('?')[0]})"

    def values(self, name: str) -> list[str]:
        """All values of a header, whose name is given in lower case."""
        if self.keys.count(name) < 2:
            return [self.headers[self.keys.index(name)][1]] if name in self.keys else []
        return [pair[1] for key, pair in zip(self.keys, self.headers, strict=True) if key == name]

    def value(self, name: str) -> str | None:
        """The first value of a header, whose name is given in lower case."""
        return self.headers[self.keys.index(name)][1] if name in self.keys else None

    def tokens(self, name: str) -> list[str]:
        """What a header of comma separated words lists, in lower case."""
        return [one.strip().lower() for value in self.values(name) for one in value.split(",")]


def lower_names(headers: Headers) -> tuple[str, ...]:
    """The headers' names in lower case."""
    return tuple([pair[0].lower() for pair in headers])


def sanitize(head: RequestHead) -> RequestHead:
    """The head without hop-by-hop headers, what `Connection` names, and claims of identity."""
    named = connection_tokens(head.headers) if "connection" in head.keys else _NOBODY
    if not named and all(map(_passes, head.keys)):
        return head
    pairs = zip(head.keys, head.headers, strict=True)
    kept = tuple([pair for key, pair in pairs if key not in named and _passes(key)])
    return head._replace(headers=kept, keys=lower_names(kept))


def is_websocket_upgrade(head: RequestHead) -> bool:
    """Whether an unfiltered head asks to speak WebSocket on this connection (RFC 6455, 4.1; RFC 9110, 7.8)."""
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
    """Lower case names that `Connection` headers list; `host` is not theirs to remove."""
    names = {
        token.strip().lower()
        for key, value in headers
        if key.lower() == "connection"
        for token in value.split(",")
    }
    return frozenset(names - {"host"})


@lru_cache(maxsize=1024)
def _passes(key: str) -> bool:
    # CGI-like upstreams read `X_User_Id` as `X-User-Id`.
    name = key.replace("_", "-")
    return not (
        name in HOP_BY_HOP
        or name in _FORWARDED
        or name.startswith(_FORWARDED_PREFIX)
        or is_identity(name)
    )


def is_identity(key: str) -> bool:
    """Whether a header (lower case) says who is calling, which only we may."""
    name = key.replace("_", "-")
    return name in _IDENTITY or name.startswith(_IDENTITY_PREFIXES)


def filter_response_headers(headers: Iterable[Header]) -> list[Header]:
    """An upstream's response headers without hop-by-hop ones and our own marks."""
    pairs = list(headers)
    kept = [pair for pair in pairs if pair[0].lower() not in _NOT_ANSWERED]
    if len(kept) == len(pairs):
        return kept  # so no `Connection` is among them
    return without(kept, connection_tokens(pairs))


def without(headers: Iterable[Header], names: frozenset[str]) -> list[Header]:
    """The headers whose lower case name is not among `names`."""
    return [pair for pair in headers if pair[0].lower() not in names]


def read_host(head: RequestHead, authority: str | None) -> str:
    """The requested host: lower case, no port, no final dot; empty when none was sent.

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
