"""Losses that several mappings have in common, and the error for what Kong cannot hold. Pure."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.model.losses import Loss

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_LARGEST: Final = 10**14 - 1
"""Kong 3.4 writes 14 digits of a number and its exponent."""

HEADER_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
"""Header names that Kong's schemas take: fewer characters than RFC 9110 §5.1 allows."""


FRAMING: Final = frozenset({
    "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that say where a message ends or what becomes of its connection (RFC 9112 §6, §9)."""


class Inexpressible(StoaGitopsError):
    """An object that Kong cannot hold; `str()` says why, without secrets."""

    reason: ClassVar[str] = "Unsupported"


def header_loss(name: str, what: str) -> Loss | None:
    """Return the loss of a header name that Kong refuses; `what` says whose name it is."""
    if HEADER_NAME.fullmatch(name):
        return None
    return Loss(f"{what} {name}: Kong takes letters, digits, - and _ in names of headers only")


def text_fault(text: str) -> str:
    """Return why Kong cannot hold a text; empty where it can.

    A node with PostgreSQL answers 500 to U+0000 (contract kong.md R.7), and half a surrogate pair
    is no UTF-8.
    """
    if "\0" in text:
        return "Kong cannot hold U+0000"
    if _SURROGATE.search(text):
        return "it holds half a surrogate pair, which is no character"
    return ""


def number_loss(number: int, what: str, field: str) -> Loss | None:
    """Return the loss of a number that Kong would round."""
    if number <= _LARGEST:
        return None
    return Loss(f"{what} of {number}: Kong counts to {_LARGEST}", at=("config", field))


def value_fault(value: str, *, is_template: bool = False) -> str:
    """Return what Kong would make of a value instead of sending it as it is; empty when nothing."""
    if not value:
        return "Kong has no form for an empty value"
    if value.startswith(":"):
        return "Kong would drop the colon at its beginning"
    if is_template and "$(" in value:
        return "Kong would run $( as a template"
    if _CONTROL.search(value):
        return "control characters cannot be sent"
    return text_fault(value)
