"""Names of APIs from titles of OpenAPI documents."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from stoa_gitops.catalog.evaluation.layout import NAME

_LONGEST: Final = 63
"""Characters of a DNS label (RFC 1123 §2.1)."""


def name_from(*texts: str) -> str:
    """Return the name that the first usable text makes, `api` where none is."""
    for text in texts:
        plain = unicodedata.normalize("NFKD", text)
        letters = "".join(char for char in plain if not unicodedata.combining(char)).lower()
        name = re.sub(r"[^a-z0-9]+", "-", letters)[:_LONGEST].strip("-")
        if NAME.fullmatch(name):
            return name
    return "api"


def with_version(name: str, version: str) -> str:
    """Return the name of one version of an API: two versions are two documents."""
    suffix = name_from(f"v{version.lower().removeprefix('v')}")[:20].strip("-")
    return f"{name[: _LONGEST - len(suffix) - 1].rstrip('-')}-{suffix}"
