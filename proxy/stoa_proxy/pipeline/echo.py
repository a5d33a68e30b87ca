"""`builtin:echo`: a response that shows what was received, without any credential in it."""

from __future__ import annotations

import json

from stoa_proxy.core.exchange import Echo
from stoa_proxy.core.match import edit_query, parameter_name
from stoa_proxy.core.problems import Respond
from stoa_proxy.http.credential_names import names_credential

# Held in memory while it is shown.
BODY_LIMIT = 64 * 1024


def make_echo(echo: Echo, body: bytes, *, truncated: bool = False) -> Respond:
    """Return 200 and JSON; `body` are at most BODY_LIMIT bytes, `truncated` if there were more."""
    context = echo.context
    content: dict[str, object] = {
        "echo": True,
        "method": context.head.method,
        "path": echo.target.path,
        "query": _show_query(echo),
        "headers": _show_headers(echo),
        "body": body.decode("utf-8", "replace"),
        "body_truncated": truncated,
        "route": context.route.id,
        "tenant": context.route.tenant_id,
        "fallback": context.fallback_reason is not None,
        "reason": context.fallback_reason,
    }
    text = json.dumps(content, ensure_ascii=True, indent=2) + "\n"
    return Respond(200, (("Content-Type", "application/json"),), text.encode())


def _show_headers(echo: Echo) -> dict[str, str]:
    secret = echo.context.secret_headers
    shown: dict[str, str] = {}
    for name, value in echo.headers:
        key = name.lower()
        if key in secret or names_credential(key):
            continue
        shown[key] = f"{shown[key]}, {value}" if key in shown else value
    return shown


def _show_query(echo: Echo) -> str:
    names = {parameter_name(part) for part in echo.target.query.split("&")}
    hidden = {name for name in names if name in echo.context.secret_query or names_credential(name)}
    return edit_query(echo.target.query, hidden, None)
