"""Parse and serialise the headers that a route asks for (`headers` of `POST /admin/apis`)."""

from __future__ import annotations

import re
from typing import Final

from stoa_proxy.admin.checks import View
from stoa_proxy.admin.json_body import Body
from stoa_proxy.core.header_routes import MAX_COMBINATIONS, MAX_HEADERS, count_combinations
from stoa_proxy.core.model import HeaderValues
from stoa_proxy.foundation.interning import interned
from stoa_proxy.http.heads import is_forwarded

# Without underscores: `X_A` is read as `X-A`.
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,98}[A-Za-z0-9])?")
# Visible ASCII with blanks inside, and nothing that Kong takes for an expression.
_VALUE: Final = re.compile(r"(?!~\*)[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?")
# They frame the message, or the gateway writes them itself; a host has a field of its own.
UNUSABLE: Final = frozenset(
    {"content-length", "expect", "host", "traceparent", "tracestate", "via"}
)


def read_headers_view(body: Body) -> View:
    """Return the field as a listing shows it; nothing for a route that asks for no header."""
    headers = body.body("headers") if body.values.get("headers") else None
    return {} if headers is None else {"headers": {n: headers.texts(n) for n in headers.values}}


def parse_headers(body: Body, errors: list[str]) -> HeaderValues:
    """Return the headers that a request needs; append what is wrong with them to `errors`."""
    if not body.values.get("headers"):
        return ()
    asked = body.body("headers")
    found: dict[str, tuple[str, ...]] = {}
    for name in asked.values:
        values = asked.texts(name)
        where = asked.path_of(name)
        if not _NAME.fullmatch(name):
            errors.append(f"headers holds '{name}', which is not a name of a header")
        elif name.lower() in UNUSABLE or not is_forwarded(name.lower()):
            errors.append(f"{where} is not for routes: the gateway reads or writes it itself")
        elif name.lower() in found:
            errors.append(f"{where} stands there twice, with other letters")
        if not values or not all(map(_VALUE.fullmatch, values)):
            errors.append(f"{where} must hold values of visible ASCII, blanks only inside")
        found[name.lower()] = tuple(sorted({value.lower() for value in values}))
    headers = tuple(sorted(found.items()))
    if len(headers) > MAX_HEADERS or count_combinations(headers) > MAX_COMBINATIONS:
        errors.append(
            f"headers must hold at most {MAX_HEADERS} names and {MAX_COMBINATIONS} combinations"
            " of values"
        )
        return ()
    return interned(headers)
