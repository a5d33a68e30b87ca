"""What a client sent: the body forms that POST /config and the single writes take."""

from __future__ import annotations

import email.parser
import email.policy
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web


class BadJson(Exception):
    """The body says it is JSON and is not."""


class Unsupported(Exception):
    """The content type is not understood here."""


@dataclass(frozen=True)
class AdminRequest:
    method: str
    path: str
    query: dict[str, str]
    body: bytes
    content_type: str

    @property
    def kind(self) -> str:
        return self.content_type.split(";")[0].strip().lower()

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    def json(self) -> dict[str, Any]:
        """The body of a single write. Raises `BadJson`."""
        if not self.body:
            return {}
        if self.kind == "application/x-www-form-urlencoded":
            return dict(self.form())
        try:
            value = json.loads(self.body)
        except ValueError:
            raise BadJson from None
        if not isinstance(value, dict):
            raise BadJson
        return value

    def form(self) -> dict[str, str]:
        text = self.body.decode(errors="replace")
        return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}

    def multipart(self) -> dict[str, str]:
        head = f"Content-Type: {self.content_type}\r\n\r\n".encode()
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        found = {}
        for part in parser.parsebytes(head + self.body).iter_parts():
            name = part.get_param("name", header="content-disposition")
            payload = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(payload, bytes):
                found[name] = payload.decode()
        return found


async def read_request(request: web.Request) -> AdminRequest:
    body = await request.read()
    if "Content-Encoding" in request.headers:
        # gzip bodies are not understood: they are no JSON to Kong.
        body = b"\x1f\x8b"  # Kong does not unpack what it gets
    return AdminRequest(
        method=request.method,
        path=request.path.rstrip("/") or "/",
        query=dict(request.query),
        body=body,
        content_type=request.headers.get("Content-Type", ""),
    )


def config_parameters(sent: AdminRequest, yaml_types: tuple[str, ...]) -> dict[str, Any]:
    """The body of POST /config merged with the query: `{"config": ...}` or a bare document.

    Raises `BadJson` and `Unsupported`.
    """
    if sent.kind == "application/json":
        if not sent.body:
            raise BadJson
        return {**sent.query, **sent.json()}
    if sent.kind == "application/x-www-form-urlencoded":
        return {**sent.query, "config": "", **sent.form()}
    if sent.kind == "multipart/form-data":
        return {**sent.query, "config": "", **sent.multipart()}
    if sent.kind in yaml_types:
        return {**sent.query, "_body": sent.body.decode(errors="replace")}
    raise Unsupported
