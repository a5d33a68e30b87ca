"""Losses that several mappings have in common; the error for what Gravitee cannot hold. Pure."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.model.canonical import duration_ms
from stoa_gitops.model.losses import Loss

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
# Gravitee runs `{#…}`, `{(…)}` and `${…}` in texts of policies (its Expression Language).
_EXPRESSION: Final = re.compile(r"\{\s*[#(!'\"]|\$\{")
_LARGEST: Final = 2**31 - 1
"""Java's int, which Gravitee's plugins count in."""

FRAMING: Final = frozenset({
    "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that say where a message ends or what becomes of its connection (RFC 9112 §6, §9)."""


class Inexpressible(StoaGitopsError):
    """An object that Gravitee cannot hold; `str()` says why, without secrets."""

    reason: ClassVar[str] = "Unsupported"


def text_fault(text: str) -> str:
    """Return why Gravitee cannot hold a text as it is; empty where it can."""
    # PostgreSQL has no U+0000 in texts, and half a surrogate pair is no UTF-8.
    if "\0" in text:
        return "Gravitee cannot hold U+0000"
    if _SURROGATE.search(text):
        return "it holds half a surrogate pair, which is no character"
    return ""


def value_fault(value: str) -> str:
    """Return what Gravitee would make of a value instead of sending it; empty for nothing."""
    if _EXPRESSION.search(value):
        return "Gravitee would run it as an expression"
    if _CONTROL.search(value):
        return "control characters cannot be sent"
    return text_fault(value)


def number_loss(number: int, what: str, field: str) -> Loss | None:
    """Return the loss of a number that Gravitee's plugins cannot count to."""
    if number <= _LARGEST:
        return None
    return Loss(f"{what} of {number}: Gravitee counts to {_LARGEST}", at=("config", field))


def milliseconds_loss(duration: str, what: str, at: tuple[str | int, ...]) -> Loss | None:
    """Return the loss of a duration outside of 1 ms to what a Java int holds."""
    if 0 < duration_ms(duration) <= _LARGEST:
        return None
    return Loss(f"{what} of {duration}: Gravitee takes 1ms to {_LARGEST}ms", at=at)


def quoted(text: str) -> str:
    """Return a text as a literal of Gravitee's expression language (SpEL: `''` is a quote)."""
    return "'" + text.replace("'", "''") + "'"
