"""Request targets: decoded segments to match routes on, original bytes to forward."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from stoa_proxy.errors import RequestRefused

# Visible ASCII without `#`: nothing else may stand in a request target (RFC 9112, 3.2).
_TARGET = re.compile(r"[\x21\x22\x24-\x7e]+")
_ABSOLUTE = re.compile(r"https?://([^/?]+)", re.IGNORECASE)
# A path in which every segment is what it looks like: no escapes, no leading dots.
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~$!&'()*+,=:@-][A-Za-z0-9._~$!&'()*+,=:@-]*)*/?")
# What an encoded NUL or line break does depends on who decodes it, so none passes.
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# ASCII in an overlong form: lenient decoders read `%c0%ae` as a dot.
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]")


class RequestPath(NamedTuple):
    """The parts of a request target.

    `raw` is the path as sent; `segments` are its decoded segments, one for every `/` that was
    sent as such; `query` is the raw query without `?`, None when there is none; `authority` is
    set for the absolute form only.
    """

    raw: str
    segments: tuple[str, ...]
    query: str | None
    authority: str | None = None

    def remainder(self, depth: int) -> str:
        """Return the original path after `depth` segments: empty, or beginning with `/`."""
        if depth == 0:
            return self.raw
        rest = self.raw.split("/", depth + 1)[depth + 1 :]
        return "/" + rest[0] if rest else ""


def read_target(target: str) -> RequestPath:
    """Parse a request target. Raises RequestRefused (400) for one that is not safe."""
    if _TARGET.fullmatch(target) is None:
        raise _bad("The request target holds a character that has no place in a URL.")
    authority, target = split_authority(target)
    if not target.startswith("/"):
        raise _bad("The request target must be a path.")
    raw, mark, query = target.partition("?")
    return RequestPath(raw, read_segments(raw), query if mark else None, authority)


def split_authority(target: str) -> tuple[str | None, str]:
    """Return the authority of a target in absolute form (RFC 9112, 3.2.2), and the rest of it.

    None and the target itself for other forms.
    """
    absolute = None if target.startswith("/") else _ABSOLUTE.match(target)
    if absolute is None:
        return None, target
    rest = target[absolute.end() :]
    return absolute[1], rest if rest.startswith("/") else "/" + rest


def read_segments(raw: str) -> tuple[str, ...]:
    """Return the decoded segments of a raw path that begins with `/`.

    `%2F` stays inside its segment. Raises RequestRefused (400) for control characters, overlong
    encodings, and segments that any reader could take for `.` or `..`.
    """
    parts = raw[1:].split("/")
    if _PLAIN.fullmatch(raw) is not None:
        return tuple(parts)
    return tuple(_decode(part) for part in parts)


def _decode(part: str) -> str:
    decoded = unquote_to_bytes(part)
    if _CONTROL.search(decoded):
        raise _bad("The path holds a control character.")
    if _OVERLONG.search(decoded):
        raise _bad("The path holds an overlong encoding.")
    # An upstream may take %2F and backslashes for boundaries, and cut parameters off a segment.
    for piece in decoded.replace(b"\\", b"/").split(b"/"):
        if piece.partition(b";")[0] in (b".", b".."):
            raise _bad("The path holds a dot segment.")
    return decoded.decode("utf-8", "surrogateescape")


def _bad(detail: str) -> RequestRefused:
    return RequestRefused(400, "Bad request", detail)
