"""`validate --fix`: repairs findings where only one repair can be meant.

Quotes where text is wanted, and none where a number is; the right case of names and values; one
entry as a list; a missing `apiVersion`; a line that stands twice. Everything else is a person's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from stoa_gitops.catalog.formatting.formatter import format_file
from stoa_gitops.errors import StoreError
from stoa_gitops.foundation.files import replace_file

if TYPE_CHECKING:
    from stoa_gitops.model.diagnostics import Diagnostic

MAX_ROUNDS: Final = 10
"""Readings of a catalog for one `--fix`: a repaired line may show the next finding."""

_PLAIN_WORD: Final = re.compile(r"[A-Za-z0-9_./*+-]+")
_SCALAR: Final = re.compile(r"[^\s,\[\]{}#\"'&*!|>%@`:]+(?=[ \t]*(?:[,}\]]|#|$))")
"""A plain text of one word that ends where its value does."""

_QUOTED_NUMBER: Final = re.compile(r"([\"'])(-?\d+|true|false)\1(?=[ \t]*(?:[,}\]]|#|$))")


@dataclass(frozen=True, slots=True)
class Edit:
    """One repair: characters of a line, from 0, and what takes their place; None for the line."""

    line: int
    start: int
    end: int
    text: str | None


Fixer: TypeAlias = "Callable[[Diagnostic, list[str]], Edit | None]"
"""Returns the repair of a finding in the lines of its file; None where none is certain."""


def apply_fixes(root: Path, findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Repair what can be in the files below a folder; return the findings that were repaired.

    Each file is written in one step. Raises StoreError where one cannot be.
    """
    by_path: dict[str, list[Diagnostic]] = {}
    for finding in findings:
        by_path.setdefault(finding.source.path, []).append(finding)
    fixed: list[Diagnostic] = []
    for path, found in sorted(by_path.items()):
        # A link is written where it leads to, as `fmt` does.
        file = (root / path).resolve()
        try:
            before = file.read_bytes()
            after, repaired = fix_text(before, found)
            if repaired:
                replace_file(file, after)
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror or error}") from None
        fixed += repaired
    return tuple(fixed)


def fix_text(data: bytes, findings: Iterable[Diagnostic]) -> tuple[bytes, list[Diagnostic]]:
    """Return the bytes of a file with its findings repaired, and which of them were.

    A file that is no YAML afterwards, and was before, is returned as it is.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data, []
    if re.search("\r(?!\n)|[\x85\u2028\u2029]", text):
        return data, []  # lines are counted in another way there
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.replace("\r\n", "\n").split("\n")
    edits: dict[Diagnostic, Edit] = {}
    for finding in findings:
        edit = _edit(finding, lines)
        # One for each line: two might overlap, and the next reading finds the other.
        if edit is not None and edit.line not in {one.line for one in edits.values()}:
            edits[finding] = edit
    for edit in sorted(edits.values(), key=lambda one: -one.line):
        line = lines[edit.line]
        if edit.text is None:
            del lines[edit.line]
        else:
            lines[edit.line] = line[: edit.start] + edit.text + line[edit.end :]
    made = newline.join("\n".join(lines).split("\n")).encode()
    is_worse = format_file(data).finding is None and format_file(made).finding is not None
    return (data, []) if not edits or is_worse else (made, list(edits))


def _edit(finding: Diagnostic, lines: list[str]) -> Edit | None:
    fixer = _FIXERS.get(finding.code)
    is_there = 1 <= finding.source.line <= len(lines)
    return fixer(finding, lines) if fixer is not None and is_there else None


def _at(finding: Diagnostic, lines: list[str]) -> tuple[int, int, str]:
    """Return the line and column from 0, and the rest of the line."""
    line, column = finding.source.line - 1, finding.source.column - 1
    return line, column, lines[line][column:]


def _fix_type(finding: Diagnostic, lines: list[str]) -> Edit | None:
    line, column, rest = _at(finding, lines)
    if finding.message.endswith(" is not text"):
        found = _SCALAR.match(rest)
        return found and Edit(line, column, column + found.end(), f'"{found[0]}"')
    if finding.message.endswith((" is not a whole number", " is not true or false")):
        found = _QUOTED_NUMBER.match(rest)
        return found and Edit(line, column, column + found.end(), found[2])
    if finding.message.endswith(" is not a list"):
        found = _SCALAR.match(rest) or re.match(r"\"[^\"\\]*\"|'[^']*'", rest)
        return found and Edit(line, column, column + found.end(), f"[{found[0]}]")
    return None


def _fix_word(finding: Diagnostic, lines: list[str]) -> Edit | None:
    """Write the name or value that is meant where only case, `-` and `_` differ."""
    near = re.fullmatch(r"did you mean ([^\s?]+)\?", finding.hint)
    line, column, rest = _at(finding, lines)
    found = re.match(r"([\"']?)([^\"'\s,\[\]{}:]+)\1", rest)
    if near is None or found is None or _folded(found[2]) != _folded(near[1]):
        return None
    return Edit(line, column, column + found.end(), near[1])


def _folded(word: str) -> str:
    return re.sub(r"[-_]", "", word).lower()


def _fix_version(finding: Diagnostic, lines: list[str]) -> Edit | None:
    """Add the `apiVersion` that a document in block style has not."""
    line, column, rest = _at(finding, lines)
    if finding.message != "the document has no apiVersion" or column != 0:
        return None
    if not re.match(r"[A-Za-z]+[ \t]*:(?:[ \t]|$)", rest):
        return None
    return Edit(line, 0, 0, "apiVersion: gostoa.dev/v1alpha1\n")


def _fix_twice(finding: Diagnostic, lines: list[str]) -> Edit | None:
    """Remove the second of two lines that say the same."""
    line, column, _ = _at(finding, lines)
    first = re.search(r"first in line (\d+)", finding.message)
    if first is None or not 1 <= int(first[1]) <= len(lines):
        return None
    below = next((text for text in lines[line + 1 :] if text.strip()), "")
    is_alone = len(below) - len(below.lstrip()) <= column and not below.lstrip().startswith("- ")
    is_same = lines[int(first[1]) - 1].rstrip() == lines[line].rstrip()
    has_value = not lines[line].rstrip().endswith((":", "|", ">"))
    is_key_first = not lines[line][:column].strip()
    return Edit(line, 0, 0, None) if is_alone and is_same and has_value and is_key_first else None


_FIXERS: Final[Mapping[str, Fixer]] = {
    "schema.type": _fix_type,
    "schema.enum": _fix_word,
    "schema.unknown-key": _fix_word,
    "document.version": _fix_version,
    "yaml.duplicate-key": _fix_twice,
}


def fixable_codes() -> Iterator[str]:
    """Yield the codes of which some findings can be repaired."""
    yield from sorted(_FIXERS)
