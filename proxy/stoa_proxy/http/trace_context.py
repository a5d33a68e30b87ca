"""W3C Trace Context (REC-trace-context-1): `traceparent` and `tracestate`, read strictly."""

from __future__ import annotations

import random
import re
from typing import Final, NamedTuple

from stoa_proxy.http.heads import Header, RequestHead, RequestTrace, without

NAMES: Final = frozenset({"traceparent", "tracestate"})
"""The headers of a trace, in lower case."""

SAMPLED: Final = 0x01
# Bits of the flags that have a meaning: sampled, and that the whole id is random (Level 2).
_KNOWN_FLAGS: Final = 0x03

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# Section 3.3.1.3; `@` parts a tenant from its system, which nobody here tells apart.
_MEMBER = re.compile(
    r"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MOST_MEMBERS: Final = 32
_NAME: Final = b"raceparent: "
_PARENT_SIZE: Final = 55


class Parent(NamedTuple):
    """What a caller says of its span; `text` is the `traceparent` that goes on unchanged."""

    text: str
    trace_id: str
    span_id: str
    flags: int
    state: str = ""


def read_parent(head: RequestHead) -> Parent | None:
    """Return the caller's span, None where none is named, or not in the one right form."""
    values = head.values("traceparent")
    # One that is sent twice is none (section 3.2): which of them is right cannot be known.
    parent = parse_parent(values[0]) if len(values) == 1 else None
    if parent is None or "tracestate" not in head.keys:
        return parent
    return parent._replace(state=parse_state(head.values("tracestate")))


def split_parent(head: bytes, start: int) -> tuple[bytes, Parent | None]:
    """Return the bytes of a request's head from `start` on, and its `traceparent` apart.

    Of one that is not written in the usual way nothing is taken away.
    """
    # A third of the time of a pattern that ignores case.
    name = head.find(_NAME, start)
    begin, end = name - 2, name + len(_NAME) + _PARENT_SIZE
    is_line = head[begin:name] in (b"\nt", b"\nT") and head[end : end + 2] == b"\r\n"
    if name < 0 or not is_line:
        return head[start:], None
    text = head[end - _PARENT_SIZE : end].decode("latin-1")
    return head[start : begin + 1] + head[end + 2 :], parse_parent(text)


def parse_parent(text: str) -> Parent | None:
    """Return what a `traceparent` says; None for one to be ignored.

    Of versions to come the parts of version 00 are read (section 4.3), and written as 00.
    """
    match = _PARENT.fullmatch(text)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    # Other bits would claim what nobody here knows.
    known = int(flags, 16) & _KNOWN_FLAGS
    return Parent(make_parent(trace_id, span_id, known), trace_id, span_id, known)


def parse_state(values: list[str]) -> str:
    """Return the values of `tracestate` as one; empty for what breaks its rules."""
    members = [part.strip(" \t") for value in values for part in value.split(",")]
    members = [one for one in members if one]
    if len(members) > _MOST_MEMBERS or not all(map(_MEMBER.fullmatch, members)):
        return ""
    if len({one.partition("=")[0] for one in members}) < len(members):
        return ""
    return ",".join(members)


def make_parent(trace_id: str, span_id: str, flags: int) -> str:
    """Return a `traceparent` of version 00."""
    return f"00-{trace_id}-{span_id}-{flags:02x}"


def draw_span_id() -> str:
    """Return an id for a span; it is no secret, and unlikely to come twice."""
    return f"{random.getrandbits(64) or 1:016x}"


def renew_client_span(trace: RequestTrace) -> None:
    """Give the next call of an upstream a span of its own."""
    trace.client_id = draw_span_id()
    trace.outgoing = make_parent(trace.trace_id, trace.client_id, trace.flags)


def trace_lines(trace: RequestTrace) -> bytes:
    """Return what an upstream is told of a trace as lines of a head."""
    line = f"traceparent: {trace.outgoing}\r\n"
    return (f"{line}tracestate: {trace.state}\r\n" if trace.state else line).encode()


def set_trace(headers: list[Header], trace: RequestTrace) -> list[Header]:
    """Return headers with what an upstream is told of a trace, in place of what they had."""
    kept = without(headers, NAMES)
    kept.append(("traceparent", trace.outgoing))
    if trace.state:
        kept.append(("tracestate", trace.state))
    return kept
