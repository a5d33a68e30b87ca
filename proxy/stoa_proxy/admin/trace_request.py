"""The body of `POST /admin/trace`: one request that is carried out, or only explained."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from ipaddress import ip_address

from stoa_proxy.admin.json_body import Body, read_json
from stoa_proxy.errors import ObjectRefused
from stoa_proxy.http.heads import Headers, RequestHead, lower_names
from stoa_proxy.policies.parsing import is_token

MAX_BODY = 1024 * 1024
"""Most bytes of the body of a request that is traced."""

_MAX_HEADERS = 100
_FIELDS = (
    "method", "target", "host", "headers", "body", "client_address", "scheme", "api_key", "send",
)  # fmt: skip
# A line break would begin another header; NUL ends one for some readers (RFC 9110, 5.5).
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*")
# The gateway frames the request itself, and nothing can be upgraded here.
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "host", "trailer", "transfer-encoding", "upgrade"}
)


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """What is asked for: a head with its body; with `send` it is carried out.

    `api_key` is put where the API's policy reads keys.
    """

    head: RequestHead
    body: bytes = field(repr=False)
    send: bool
    api_key: str | None = field(default=None, repr=False)


def parse_trace(content_type: str, raw: bytes) -> TraceRequest:
    """Return the request of a body. Raises BodyRefused (400, 415, 422), ObjectRefused (400)."""
    body = read_json(content_type, raw)
    errors = body.check_fields(_FIELDS)
    method, target = body.text("method"), body.text("target")
    if not is_token(method):
        errors.append("method is not a token of HTTP")
    if not _TARGET.fullmatch(target):
        errors.append("target must begin with / and hold visible ASCII alone, without #")
    headers = _read_headers(body, errors)
    content = _read_content(body, errors)
    client = body.text("client_address", "127.0.0.1")
    try:
        client = str(ip_address(client))
    except ValueError:
        errors.append("client_address is not an address")
    key = body.optional_text("api_key")
    if key is not None and not (key and _VALUE.fullmatch(key)):
        errors.append("api_key is not a value of a header")
    scheme = body.variant("scheme", ("http", "https"), "http")
    send = body.flag("send", True)
    if errors:
        raise ObjectRefused(errors)
    if content:
        headers = (*headers, ("Content-Length", str(len(content))))
    head = RequestHead(
        method.upper() if method.lower() in ("get", "post", "put", "delete", "patch") else method,
        target,
        headers,
        lower_names(headers),
        client,
        scheme,
        has_body=bool(content),
        may_upgrade=False,
    )
    return TraceRequest(head, content, send, key)


def _read_headers(body: Body, errors: list[str]) -> Headers:
    host = body.text("host", "localhost")
    headers = [("Host", host)]
    items = body.items("headers", [])
    if len(items) > _MAX_HEADERS:
        errors.append(f"headers must not be more than {_MAX_HEADERS}")
    for index, item in enumerate(items[:_MAX_HEADERS]):
        where = f"headers[{index}]"
        match item:
            case [str() as name, str() as value]:
                if not is_token(name):
                    errors.append(f"{where}: the name is not a token of HTTP")
                elif name.lower() in _FRAMING:
                    errors.append(f"{where}: {name} is the gateway's own here")
                elif not _VALUE.fullmatch(value):
                    errors.append(f"{where}: the value of {name} holds a control character")
                headers.append((name, value))
            case _:
                errors.append(f"{where} must be a pair of name and value")
    if not _VALUE.fullmatch(host):
        errors.append("host holds a control character")
    return tuple(headers)


def _read_content(body: Body, errors: list[str]) -> bytes:
    text = body.text("body", "")
    try:
        content = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        errors.append("body is not Base64")
        return b""
    if len(content) > MAX_BODY:
        errors.append(f"body must not be larger than {MAX_BODY} bytes")
    return content
