"""What an upstream is told: the client's headers, edited, and what we know of the caller."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.http.heads import Header

VIA = "1.1 stoa-gateway"
CONNECT_SECONDS = 5.0
CONNECT_SECONDS_WITH_FALLBACK = 1.0
_NEVER_SENT = frozenset({"host", "expect"})
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def hide_backend_auth(context: RequestContext) -> None:
    """What a client sends under the name of the backend's credential is replaced by it."""
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
    """How long connecting may take: less where there is somewhere else to go."""
    with_fallback = context.route.fallback is not None and context.fallback_reason is None
    return CONNECT_SECONDS_WITH_FALLBACK if with_fallback else CONNECT_SECONDS


def request_headers(context: RequestContext) -> list[Header]:
    """The client's headers without hidden ones, and what the upstream is told by us."""
    head = context.head
    hidden = context.hidden_headers
    headers = [
        pair
        for key, pair in zip(head.keys, head.headers, strict=True)
        if key not in _NEVER_SENT and key not in hidden
    ]
    headers += [
        ("Via", VIA),
        ("X-Forwarded-For", head.client_address),
        ("X-Forwarded-Proto", head.scheme),
    ]
    # In the absolute form the Host header is nobody's word (RFC 9112, 3.2.2).
    host = context.path.authority or head.value("host")
    if host:
        headers.append(("X-Forwarded-Host", host))
    if context.consumer is not None:
        headers += [
            ("X-Consumer-Id", _header_text(context.consumer.id)),
            ("X-Consumer-Name", _header_text(context.consumer.name)),
            ("X-Tenant-Id", _header_text(context.consumer.tenant_id)),
        ]
    return headers


@lru_cache(maxsize=4096)
def _header_text(text: str) -> str:
    """Printable ASCII as it is, the rest percent-encoded."""
    return quote(text, safe=_PRINTABLE, errors="replace")
