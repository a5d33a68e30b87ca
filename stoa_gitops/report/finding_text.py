"""Texts of findings that several formats share: path, field, message and hint."""

from __future__ import annotations

import re
from typing import Final

from stoa_gitops.model.diagnostics import Diagnostic

_ESCAPES: Final = re.compile("~[01]")
"""RFC 6901 §3: `~0` is a tilde, `~1` a slash."""


def repository_path(path: str, prefix: str) -> str:
    """Return a path of the catalog relative to its repository; `prefix` is the catalog's folder."""
    folder = prefix.strip("/").removeprefix("./")
    return path if folder in {"", "."} else f"{folder}/{path}"


def dotted_path(pointer: str) -> str:
    """Return a JSON pointer (RFC 6901) as people write it: `spec.backend.url`."""
    parts = pointer.removeprefix("/").split("/")
    return ".".join(_ESCAPES.sub(lambda match: "~/"[int(match[0][1])], part) for part in parts)


def finding_sentence(finding: Diagnostic) -> str:
    """Return the message with the field it is about in front, unless it begins with it already."""
    field = dotted_path(finding.pointer)
    if not field or finding.message.startswith(field):
        return finding.message
    return f"{field}: {finding.message}"


def finding_with_hint(finding: Diagnostic, separator: str = "; ") -> str:
    """Return the sentence and the hint what to do about it."""
    return separator.join(part for part in (finding_sentence(finding), finding.hint) if part)
