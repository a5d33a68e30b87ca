"""The headers of a request to an upstream: the client's, and what the gateway adds."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.model import Consumer
from stoa_proxy.http.heads import Header
from stoa_proxy.http.trace_context import set_trace

# Connecting takes milliseconds; with a fallback a client should not wait long for a dead backend.
CONNECT_SECONDS = 5.0
CONNECT_SECONDS_WITH_FALLBACK = 1.0
# Host is written anew for the target, and Expect was answered by us (RFC 9110, 10.1.1).
NEVER_SENT = frozenset({"host", "expect"})
# All of printable ASCII but `%`, so that decoding gives the text back.
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def hide_backend_auth(context: RequestContext) -> None:
    """Hide what a client sends under the name of the backend's credential."""
    auth = context.route.backend_auth
    if auth is None:
        return
    if auth.location == "header":
        # CGI-like upstreams read `X_Key` as `X-Key`.
        name = auth.name.lower().replace("_", "-")
        context.hidden_headers |= {k for k in context.head.keys if k.replace("_", "-") == name}
        context.secret_headers |= {auth.name.lower()}
    else:
        context.hidden_query |= {auth.name}
        context.secret_query |= {auth.name}


def connect_seconds(context: RequestContext) -> float:
    """Return how many seconds connecting may take: fewer where there is a fallback."""
    with_fallback = context.route.fallback is not None and context.fallback_reason is None
    return CONNECT_SECONDS_WITH_FALLBACK if with_fallback else CONNECT_SECONDS


def request_headers(context: RequestContext, via: str) -> list[Header]:
    """Return the client's headers without hidden ones, and those that the gateway adds.

    `via` is the gateway's own entry of `Via`.
    """
    head = context.head
    hidden = context.hidden_headers
    headers = [
        pair
        for key, pair in zip(head.keys, head.headers, strict=True)
        if key not in NEVER_SENT and key not in hidden
    ]
    headers += [
        ("Via", via),
        ("X-Forwarded-For", head.client_address),
        ("X-Forwarded-Proto", head.scheme),
    ]
    # With a target in absolute form the Host header is to be ignored (RFC 9112, 3.2.2).
    host = context.path.authority or head.value("host")
    if host:
        headers.append(("X-Forwarded-Host", host))
    if context.consumer is not None:
        headers += consumer_headers(context.consumer)
    # Without a trace of ours that of the caller goes on as it is.
    return headers if head.trace is None else set_trace(headers, head.trace)


def consumer_headers(consumer: Consumer) -> list[Header]:
    """Return the headers that tell a backend who is calling."""
    return [
        ("X-Consumer-Id", header_text(consumer.id)),
        ("X-Consumer-Name", header_text(consumer.name)),
        ("X-Tenant-Id", header_text(consumer.tenant_id)),
    ]


@lru_cache(maxsize=4096)
def header_text(text: str) -> str:
    """Return printable ASCII as it is, the rest percent-encoded."""
    return quote(text, safe=_PRINTABLE, errors="replace")
