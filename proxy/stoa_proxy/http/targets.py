"""Request targets: decoded segments to match routes on, original bytes to forward."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from stoa_proxy.errors import RequestRefused

# Visible ASCII without `#`: nothing else may stand in a request target (RFC 9112, 3.2).
_TARGET = re.compile(r"[\x21\x22\x24-\x7e]+")
_ABSOLUTE = re.compile(r"https?://([^/?]+)", re.IGNORECASE)
# A path in which every segment is what it looks like: no escapes, no leading dots.
PLAIN_PATH = r"(?:/[A-Za-z0-9_~$!&'()*+,=:@-][A-Za-z0-9._~$!&'()*+,=:@-]*)*/?"
_PLAIN = re.compile(PLAIN_PATH)
# What nearly all requests ask for: such a path and maybe a query.
_USUAL = re.compile(rf"(?=/)({PLAIN_PATH})(?:\?([\x21\x22\x24-\x7e]*))?")
# What an encoded NUL or line break does depends on who decodes it, so none passes.
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# More bytes than a character needs (RFC 3629, 3): lenient decoders read `%c0%ae`, and the forms of
# up to six bytes, as a dot.
_OVERLONG = re.compile(
    rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}"
    rb"|\xf8[\x80-\x87][\x80-\xbf]{3}|\xfc[\x80-\x83][\x80-\xbf]{4}"
)
# A segment of dots, with parameters or not, between slashes of either kind.
_DOTS = re.compile(rb"(?:^|[/\\])\.\.?(?![^/\\;])")
# What some readers split, cut, join or decode once more. Without one of them all read alike.
_DOUBTFUL = re.compile(r"//|[;\\]|%(?:2[5Ff]|3[Bb]|5[Cc]|[Uu])")
# `%u002f`, which is no percent-encoding, and which servers of Microsoft's decoded.
_UNICODE_ESCAPE = re.compile(rb"%[Uu]([0-9A-Fa-f]{4})")
# An escaped escape is decoded so often at most; nobody is known to decode more than twice.
_MAX_ROUNDS = 4
_PARAMETERS = re.compile(rb";[^/]*")


class RequestPath(NamedTuple):
    """The parts of a request target.

    `raw` is the path as sent; `segments` are its decoded segments, one for every `/` that was
    sent as such; `query` is the raw query without `?`, None when there is none; `authority` is
    set for the absolute form only; `is_plain` is whether no reader can see other segments.
    """

    raw: str
    segments: tuple[str, ...]
    query: str | None
    authority: str | None = None
    is_plain: bool = False

    def remainder(self, depth: int) -> str:
        """Return the original path after `depth` segments: empty, or beginning with `/`."""
        if depth == 0:
            return self.raw
        rest = self.raw.split("/", depth + 1)[depth + 1 :]
        return "/" + rest[0] if rest else ""

    def lenient_segments(self, depth: int) -> Iterator[tuple[str, ...]]:
        """Yield the segments as lenient readers see them, the first `depth` as they are, once each.

        Such readers decode more than once, split at `%2F` and backslashes, cut parameters (`;x`)
        off, and join `//`. Nothing where all readers agree.
        """
        if self.is_plain or _DOUBTFUL.search(self.raw) is None:
            return
        kept, rest = self.segments[:depth], "/".join(self.raw[1:].split("/")[depth:])
        seen: set[bytes] = set()
        for decoded in _decode_rounds(rest.encode()):
            for text in (decoded, decoded.replace(b"\\", b"/")):
                for cut in (text, _PARAMETERS.sub(b"", text)):
                    if cut in seen:
                        continue
                    seen.add(cut)
                    pieces = cut.decode("utf-8", "surrogateescape").split("/")
                    yield kept + tuple(piece for piece in pieces if piece)


def read_target(target: str) -> RequestPath:
    """Parse a request target. Raises RequestRefused (400) for one that is not safe."""
    usual = _USUAL.fullmatch(target)
    if usual is not None:
        raw, query = usual.groups()
        return RequestPath(raw, tuple(raw[1:].split("/")), query, is_plain=True)
    if _TARGET.fullmatch(target) is None:
        raise _bad("The request target holds a character that has no place in a URL.")
    authority, target = split_authority(target)
    if not target.startswith("/"):
        raise _bad("The request target must be a path.")
    raw, mark, rest = target.partition("?")
    is_plain = _PLAIN.fullmatch(raw) is not None
    segments = tuple(raw[1:].split("/")) if is_plain else _decode_segments(raw)
    return RequestPath(raw, segments, rest if mark else None, authority, is_plain)


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
    if _PLAIN.fullmatch(raw) is not None:
        return tuple(raw[1:].split("/"))
    return _decode_segments(raw)


def _decode_segments(raw: str) -> tuple[str, ...]:
    # All at once: a path of 60 KiB can have 20,000 segments. None reaches over a slash.
    sent = raw.encode()
    if _CONTROL.search(unquote_to_bytes(sent)):
        raise _bad("The path holds a control character.")
    for text in _decode_rounds(sent):
        if _OVERLONG.search(text):
            raise _bad("The path holds an overlong encoding.")
        # An upstream may take %2F and backslashes for boundaries, and cut parameters off a segment.
        if _DOTS.search(text):
            raise _bad("The path holds a dot segment.")
    # NUL is in none of them.
    return tuple(unquote(raw[1:].replace("/", "\0"), errors="surrogateescape").split("\0"))


def _decode_rounds(raw: bytes) -> Iterator[bytes]:
    """Yield a raw text decoded once, and again as long as that changes something."""
    for round_ in range(_MAX_ROUNDS):
        text = unquote_to_bytes(_UNICODE_ESCAPE.sub(_read_unicode_escape, raw))
        if text == raw and round_:
            return
        yield text
        raw = text


def _read_unicode_escape(match: re.Match[bytes]) -> bytes:
    return chr(int(match[1], 16)).encode("utf-8", "surrogatepass")


def _bad(detail: str) -> RequestRefused:
    return RequestRefused(400, "Bad request", detail)
