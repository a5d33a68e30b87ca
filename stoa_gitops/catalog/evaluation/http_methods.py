"""Warns of HTTP methods that nobody registered: a slip makes a route that no request meets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from stoa_gitops.catalog.findings import Finding, suggest
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.diagnostics import Severity

_COMMON: Final = frozenset(
    # RFC 9110 §9.3 and RFC 5789.
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
)
_REGISTERED: Final = _COMMON | {
    # The others of IANA's registry of HTTP methods (RFC 9110 §16.1), mostly those of WebDAV.
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
}


def find_unregistered(methods: Iterable[str], pointer: Pointer, document: int) -> Iterator[Finding]:
    """Yield a warning for each method, in capitals, that is not registered."""
    if _REGISTERED.issuperset(methods):
        return
    for method in methods:
        if method not in _REGISTERED:
            # Slips are slips of the common ones. Where there is none, a list of them would say less
            # than nothing: own methods (PURGE) are known to those who write them.
            hint = suggest(method, _COMMON)
            yield Finding(
                "route.method",
                f"{method} is no registered HTTP method",
                pointer,
                hint if hint.startswith("did you mean") else "",
                Severity.WARNING,
                document=document,
            )
