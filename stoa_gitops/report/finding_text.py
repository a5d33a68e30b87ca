"""Where a finding stands, in the words of the reader's tool."""

from __future__ import annotations

import re
from typing import Final

from stoa_gitops.model.diagnostics import Diagnostic

_ESCAPES: Final = re.compile("~[01]")


def prefixed(path: str, prefix: str) -> str:
    """Return a catalog's path as one of the repository: `prefix` is the catalog's folder in it."""
    folder = prefix.strip("/").removeprefix("./")
    return path if folder in {"", "."} else f"{folder}/{path}"


def dotted(pointer: str) -> str:
    """Return a JSON pointer (RFC 6901) as people write it: `spec.backend.url`."""
    parts = pointer.removeprefix("/").split("/")
    return ".".join(_ESCAPES.sub(lambda found: "~/"[int(found[0][1])], part) for part in parts)


def sentence(finding: Diagnostic) -> str:
    """Return the message with the field it is about in front, unless it begins with it already."""
    field = dotted(finding.pointer)
    if not field or finding.message.startswith(field):
        return finding.message
    return f"{field}: {finding.message}"


def described(finding: Diagnostic, separator: str = "; ") -> str:
    """Return the sentence and what to do about it."""
    return separator.join(part for part in (sentence(finding), finding.hint) if part)
