"""Rejects route paths that two gateways could read as two different paths."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from stoa_gitops.model.path_parameters import parameters_problem

_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"  # RFC 3986, 2.3
)
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_DOTS: Final = (b".", b"..")


class PathProblem(NamedTuple):
    """What is wrong with a path, and how to fix it."""

    message: str
    hint: str


def find_path_problem(path: str) -> PathProblem | None:
    """Return what is wrong with a path that the schema admits; None if all gateways read it alike.

    Gateways match decoded segments, and some decode `%2F` and backslashes to separators or cut path
    parameters (`;x`) off, so dot segments (RFC 3986 §5.2.4) are looked for behind all of that.
    """
    if "{" in path or "}" in path:
        wrong = parameters_problem(path)
        if wrong is not None:
            return PathProblem(*wrong)
    # Nearly every path: without escapes only dot segments can be wrong.
    if "%" not in path:
        return _dots(path) if "." in path else None
    escapes = _ESCAPE.findall(path)
    if not all(escapes):
        return PathProblem(
            "a path has two hex digits after each %", "write %25 for the character itself"
        )
    decoded = unquote_to_bytes(path)
    if _CONTROL.search(decoded):
        return PathProblem("a path has no control characters", "write what it means")
    try:
        decoded.decode()
    except UnicodeDecodeError:
        return PathProblem("a path is UTF-8 behind its escapes", "write what it means")
    return _dots(path) or _spelled_otherwise(path)


def _dots(path: str) -> PathProblem | None:
    pieces = unquote_to_bytes(path).replace(b"\\", b"/").split(b"/")
    if any(piece.partition(b";")[0] in _DOTS for piece in pieces):
        return PathProblem("a path has no dot segments", "write what it means")
    return None


def _spelled_otherwise(path: str) -> PathProblem | None:
    """Reject escapes of unreserved characters (RFC 3986 §6.2.2.2): one path has one spelling."""
    plain = _ESCAPE.sub(_plainly, path)
    if plain == path:
        return None
    return PathProblem("a path escapes only what has to be, in capitals", f"write {plain}")


def _plainly(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()
