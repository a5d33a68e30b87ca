"""Losses that several mappings have in common; the error for what webMethods cannot hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.model.losses import Loss

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
# `${alias}` and `${request.…}` are replaced in parameters of policies (contract A.4, A.8).
_VARIABLE: Final = "${"

FRAMING: Final = frozenset({
    "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that say where a message ends or what becomes of its connection (RFC 9112 §6, §9)."""


class Inexpressible(StoaGitopsError):
    """An object that webMethods cannot hold; `str()` says why, without secrets."""

    reason: ClassVar[str] = "Unsupported"


def text_fault(text: str) -> str:
    """Return why webMethods cannot hold a text as it is; empty where it can."""
    if "\0" in text:
        return "webMethods cannot hold U+0000"
    if _SURROGATE.search(text):
        return "it holds half a surrogate pair, which is no character"
    return ""


def value_fault(value: str) -> str:
    """Return what webMethods would make of a value instead of sending it; empty for nothing."""
    if _VARIABLE in value:
        return "webMethods would replace it as a variable"
    if _CONTROL.search(value):
        return "control characters cannot be sent"
    return text_fault(value)


def counting_losses(by: str, at: tuple[str | int, ...]) -> Iterator[Loss]:
    """Yield what webMethods does not do where callers are counted."""
    if by != "consumer":
        yield Loss(f"counting by {by}: webMethods counts by application alone", at=at)
