"""Reads the explanation of a finding's code: what it means, an example that makes it, its fix.

The explanations are Markdown below `catalog/explanations`, one file for each family of codes
(`yaml.md`) and one section for each code:

    ## yaml.tab

    What it means, in a paragraph or more.

    ```yaml gateways/local.yaml       an example: a file of a catalog that is otherwise valid
    ```

    Fix: what to do.

    ```yaml gateways/local.yaml       the file as it should be
    ```

A block `console` holds commands of a shell instead, run in the folder of the catalog. A code that
no file makes has no example, and says why. A test makes each example and expects its finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import stoa_gitops.catalog as catalog_package

FOLDER: Final = Path(catalog_package.__file__).parent / "explanations"

_BLOCK: Final = re.compile(r"```(\w+)(?: ([^\n]+))?\n(.*?)```\n?", re.DOTALL)
_FIX: Final = "\nFix: "


@dataclass(frozen=True, slots=True)
class ExampleBlock:
    """A file with its text, or commands of a shell where `path` is empty."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class FindingExplanation:
    """What one code means.

    meaning  paragraphs of text
    example  files, or commands, that make the finding; empty where none does
    fix      what to do about it, and the files as they should be
    """

    code: str
    meaning: str
    example: tuple[ExampleBlock, ...]
    fix: str
    fixed: tuple[ExampleBlock, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON (`schemas/output/explanation.json`)."""
        return {
            "format_version": "1.0",
            "code": self.code,
            "meaning": self.meaning,
            "example": [_block_document(block) for block in self.example],
            "fix": self.fix,
            "fixed": [_block_document(block) for block in self.fixed],
        }


def _block_document(block: ExampleBlock) -> dict[str, str | None]:
    return {"path": block.path or None, "text": block.text}


@cache
def codes() -> tuple[str, ...]:
    """Return every code that has an explanation, sorted."""
    texts = (path.read_text("utf-8") for path in sorted(FOLDER.glob("*.md")))
    return tuple(sorted(code for text in texts for code, _ in _sections(text)))


def explain_code(code: str) -> FindingExplanation:
    """Return the explanation of a code; raises KeyError for one that has none."""
    path = FOLDER / f"{code.partition('.')[0]}.md"
    section = dict(_sections(path.read_text("utf-8")))[code] if path.is_file() else None
    if section is None:
        raise KeyError(code)
    before, _, after = f"\n{section}".partition(_FIX)
    return FindingExplanation(
        code, _text(before), tuple(_blocks(before)), _text(after), tuple(_blocks(after))
    )


def _sections(text: str) -> Iterator[tuple[str, str]]:
    for section in text.split("\n## ")[1:]:
        head, _, body = section.partition("\n")
        yield head.strip(), body


def _text(part: str) -> str:
    """Return the paragraphs of a part without its blocks."""
    return re.sub(r"\n{3,}", "\n\n", _BLOCK.sub("", part)).strip()


def _blocks(part: str) -> Iterator[ExampleBlock]:
    for language, path, text in _BLOCK.findall(part):
        yield ExampleBlock("" if language == "console" else path.strip(), text)
