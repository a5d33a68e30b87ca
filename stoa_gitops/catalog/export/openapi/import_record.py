"""What an earlier import wrote: a file beside the API document, committed with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

FILE: Final = ".imported.json"
"""Hidden, so that no reader of the catalog takes it for a document."""

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """One import of one API.

    source    where its document came from: a path relative to the catalog, or a URL
    openapi   SHA-256 in hex of the OpenAPI document that was copied, empty where none was
    file      name of the copy
    document  the API document as the import made it, before anybody edited it
    """

    source: str
    openapi: str
    file: str
    document: Mapping[str, Any]

    def to_text(self) -> str:
        """Return the file."""
        content = {
            "about": "What `stoa-gitops import` wrote here: commit it, and do not edit it.",
            "format": _FORMAT,
            "source": self.source,
            "openapi": self.openapi,
            "file": self.file,
            "document": self.document,
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def parse(cls, text: str) -> ImportRecord:
        """Read the file; ValueError for one that is none, or of a later version."""
        try:
            content = json.loads(text)
        except RecursionError:
            raise ValueError("it nests too deeply") from None
        if not isinstance(content, dict) or not isinstance(content.get("document"), dict):
            raise ValueError("it is no record of an import")
        if content.get("format") != _FORMAT:
            raise ValueError(f"its format is {content.get('format')!r}, and {_FORMAT} is known")
        texts = [content.get(name) for name in ("source", "openapi", "file")]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("it is no record of an import")
        source, openapi, file = texts
        return cls(str(source), str(openapi), str(file), content["document"])
