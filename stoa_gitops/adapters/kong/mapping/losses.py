"""What Kong cannot say of a canonical object, in words for a person. Pure."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.model.losses import Loss

__all__ = ["HEADER_NAME", "Inexpressible", "Loss", "header_loss"]

HEADER_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
"""Header names that Kong's schemas take: fewer characters than HTTP allows."""


class Inexpressible(StoaGitopsError):
    """An object that Kong cannot hold; `str()` says why, without secrets."""

    reason: ClassVar[str] = "Unsupported"


def header_loss(name: str, what: str) -> Loss | None:
    """Return the loss of a header name that Kong refuses; `what` says whose name it is."""
    if HEADER_NAME.fullmatch(name):
        return None
    return Loss(f"{what} {name}: Kong takes letters, digits, - and _ in names of headers only")
