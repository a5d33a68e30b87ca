"""Heads of requests as the fast engine reads them, from bytes that `http.framing` has checked.

Whatever is not usual is left to aiohttp, so that both engines have one opinion of it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stoa_proxy.http.heads import Headers, lower_names

# The methods that routes have. Of others aiohttp's parser knows which there are.
_USUAL = re.compile(rb"(DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) (/[^ ]*) HTTP/1\.1\r\n")
_FIELD = re.compile(r"([^:\r\n]+):[ \t]*([^\r\n]*)\r\n")
# Of the gateway itself (`own_paths`).
_OWN = (b"/admin", b"/health", b"/ready", b"/metrics")
# aiohttp's bounds, which it refuses beyond, as the engine sets them (`complete.server`).
_MOST_FIELDS, _LONGEST_FIELD = 128, 32 * 1024
# What aiohttp refuses when it comes twice, and of what it refuses any; after an upgrade its parser
# passes bytes on as they are.
_NOT_TWICE = (
    "content-length", "content-location", "content-range", "content-type", "etag", "host",
    "max-forwards", "server", "transfer-encoding", "user-agent",
)  # fmt: skip
_NEVER = frozenset({"sec-websocket-key1", "upgrade"})


class Fields(NamedTuple):
    """The headers of a request; `keys` are their names in lower case.

    `expects_continue` is whether the client waits for leave to send its body, `is_last` whether it
    ends the connection, `is_chunked` whether its body is coded.
    """

    headers: Headers
    keys: tuple[str, ...]
    expects: bool
    expects_continue: bool
    is_last: bool
    is_chunked: bool


class ParsedHead(NamedTuple):
    """A head that the fast engine serves."""

    method: str
    target: str
    fields: Fields

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


def parse_head(head: bytes) -> ParsedHead | None:
    """Return a whole and checked head, or None for one that aiohttp has to read."""
    usual = _USUAL.match(head)
    if usual is None or usual[2].startswith(_OWN):
        return None
    fields = parse_fields(head[usual.end() :])
    if fields is None:
        return None
    return ParsedHead(usual[1].decode("ascii"), usual[2].decode("ascii"), fields)


def parse_fields(block: bytes) -> Fields | None:
    """Return the headers of a block of them with its empty line, or None where aiohttp must."""
    text = block.decode("utf-8", "surrogateescape")
    headers = tuple(_FIELD.findall(text))
    if " \r" in text or "\t\r" in text:
        headers = tuple([(name, value.rstrip(" \t")) for name, value in headers])
    keys = lower_names(headers)
    if len(keys) > _MOST_FIELDS or not _NEVER.isdisjoint(keys):
        return None
    if len(block) > _LONGEST_FIELD and any(len(n) + len(v) > _LONGEST_FIELD for n, v in headers):
        return None
    if len(set(keys)) < len(keys) and any(keys.count(name) > 1 for name in _NOT_TWICE):
        return None
    expects = "expect" in keys
    return Fields(
        headers,
        keys,
        expects,
        expects and headers[keys.index("expect")][1].lower() == "100-continue",
        "connection" in keys and _closes(headers, keys),
        "transfer-encoding" in keys,
    )


def _closes(headers: Headers, keys: tuple[str, ...]) -> bool:
    values = [pair[1] for key, pair in zip(keys, headers, strict=True) if key == "connection"]
    return any(token.strip().lower() == "close" for token in ",".join(values).split(","))
