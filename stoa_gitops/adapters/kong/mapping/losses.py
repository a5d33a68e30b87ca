"""Losses that several mappings have in common, and the error for what Kong cannot hold. Pure."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.model.losses import Loss

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
HEADER_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
"""Header names that Kong's schemas take: fewer characters than RFC 9110 §5.1 allows."""


class Inexpressible(StoaGitopsError):
    """An object that Kong cannot hold; `str()` says why, without secrets."""

    reason: ClassVar[str] = "Unsupported"


def header_loss(name: str, what: str) -> Loss | None:
    """Return the loss of a header name that Kong refuses; `what` says whose name it is."""
    if HEADER_NAME.fullmatch(name):
        return None
    return Loss(f"{what} {name}: Kong takes letters, digits, - and _ in names of headers only")


def value_fault(value: str, *, is_template: bool) -> str:
    """Return what Kong would make of a value instead of sending it as it is; empty when nothing."""
    if not value:
        return "Kong has no form for an empty value"
    if value.startswith(":"):
        return "Kong would drop the colon at its beginning"
    if is_template and "$(" in value:
        return "Kong would run $( as a template"
    if _CONTROL.search(value):
        return "control characters cannot be sent"
    return ""
