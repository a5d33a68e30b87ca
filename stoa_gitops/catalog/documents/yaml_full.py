"""The full parser: YAML 1.2 by ruamel.yaml, with positions and a reason for each refusal.

It works on events, so nothing here recurses into a document: nesting is bounded while it is read,
aliases are counted before anything is expanded, and tags are refused where they occur.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from stoa_gitops.catalog.documents.yaml_fast import AS_WRITTEN
from stoa_gitops.foundation.yaml.composer import Refused
from stoa_gitops.foundation.yaml.node_composer import NodeComposer
from stoa_gitops.foundation.yaml.nodes import Node

_MARKER: Final = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_VALUE_QUOTE: Final = re.compile(r"[^'\"#\n]*[:\-,\[{][ \t]*(?P<quote>['\"])")
"""The first quote of a line, where a value begins."""
_SINGLE: Final = re.compile(r"'(?:[^']|'')*'(?!')")
_DOUBLE: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BEHIND_QUOTE: Final = re.compile(r"[ \t]*(?:[,:\]}]|[ \t]#|\n|\Z)")
_QUOTE_LINES: Final = 50
_QUOTE_CHARACTERS: Final = 10_000
"""What is searched above an error: longer texts in quotes are rare, and the time is bounded."""
_BREAK: Final = re.compile(r"\r\n|\r|\n|\x85|\u2028|\u2029")


@dataclass(frozen=True, slots=True)
class Reading:
    """One document of a file: its tree, or the refusal; `line` is its first line, from 0."""

    line: int
    root: Node | None
    refused: Refused | None = None


def decode(data: bytes) -> str:
    """Return the text of a file without its byte order mark; raises Refused."""
    try:
        # A byte order mark is allowed at the start (YAML 1.2.2 §5.2); editors on Windows write one.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n")
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace"))
        raise Refused(
            "yaml.encoding",
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            line,
            column,
            "save the file as UTF-8",
        ) from None


def read_documents(data: bytes, *, any_key: bool = False) -> list[Reading]:
    """Parse every document of a file; one that is refused does not hide those after it.

    With `any_key`, keys that are no texts are taken as they are spelled (the status codes of
    OpenAPI).
    """
    try:
        text = decode(data)
    except Refused as refused:
        return [Reading(refused.line, None, refused)]
    found = (read_document(start, part, any_key=any_key) for start, part in split(text))
    return [reading for reading in found if reading is not None]


def split(text: str) -> Iterator[tuple[int, str]]:
    """Yield (first line, text) of each document; `---` at the left edge ends one, whatever it was
    in.

    Directives stay with the document they belong to. A file without any document yields its text.
    """
    # Split before parsing, so that a syntax error in one document does not hide the others.
    begin = line = 0
    for found in _MARKER.finditer(text):
        cut = found.start()
        if begin == 0 and not _has_content(text[:cut]):
            continue
        yield line, text[begin:cut]
        line += _lines(text, begin, cut)
        begin = cut
    yield line, text[begin:]


def _has_content(head: str) -> bool:
    return any(line and not line.startswith(("#", "%")) for line in head.splitlines())


def _lines(text: str, begin: int, end: int) -> int:
    return sum(1 for _ in _BREAK.finditer(text, begin, end))


def read_document(start: int, chunk: str, *, any_key: bool = False) -> Reading | None:
    """Parse one document that begins in line `start` (from 0); None where there is none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    # pure: the C parser is YAML 1.1, in which `no` is false and 1:30 a number.
    yaml = YAML(typ="safe", pure=True)
    composer = NodeComposer(yaml.resolver, any_key=any_key, as_written=AS_WRITTEN)
    try:
        for event in yaml.parse(chunk):
            composer.take(event)
    except Refused as refused:
        refused.line += start
        return Reading(start, None, refused)
    except ReaderError as error:
        return Reading(start, None, _unreadable(chunk, error, start))
    except MarkedYAMLError as error:
        return Reading(start, None, _syntax(chunk, error, start))
    except (YAMLError, ValueError, IndexError, AssertionError, AttributeError) as error:
        # ruamel.yaml lets a few of its own slips through on broken input; the input is at fault.
        message = f"this is not YAML ({type(error).__name__})"
        return Reading(start, None, Refused("yaml.syntax", message, start, 0))
    if composer.root is None:
        return None
    _spell_variables(composer.root)
    if start:
        _shift(composer.root, start)
    return Reading(composer.root.line, composer.root)


def _spell_variables(root: Node) -> None:
    """Make texts of numbers that came into the variables by an alias or a merge."""
    node = root
    for name in AS_WRITTEN:
        pair = node.pairs.get(name)
        if pair is None:
            return
        node = pair[1]
    for name, (key, value) in node.pairs.items():
        if value.kind == "scalar" and value.is_plain and value.value is not None:
            # A copy: the node may stand elsewhere, too, as a number.
            node.pairs[name] = key, replace(value, value=value.text)


def _shift(root: Node, lines: int) -> None:
    """Move a tree down; shared nodes only once."""
    # Aliases share nodes: a node must be moved once only.
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        node.line += lines
        todo.extend(node.items)
        for pair in node.pairs.values():
            todo.extend(pair)


def _unreadable(chunk: str, error: Any, start: int) -> Refused:
    before = chunk[: error.position]
    breaks = [found.end() for found in _BREAK.finditer(before)]
    name = "NUL" if error.character in (0, "\0") else f"U+{_ordinal(error.character):04X}"
    return Refused(
        "yaml.character",
        f"the character {name} must not stand in YAML",
        start + len(breaks),
        len(before) - (breaks[-1] if breaks else 0),
        'remove it, or write it as an escape in "double quotes"',
    )


def _ordinal(character: Any) -> int:
    return character if isinstance(character, int) else ord(character)


def _open_quote(chunk: str, error: Any) -> tuple[int, int] | None:
    """Return line and column, from 0, of the quote without an end that an error comes from.

    A parser goes on to the next quote, lines below, or to the end, and complains there.
    """
    context = error.context_mark
    if context is not None and "quoted scalar" in str(error.context):
        is_unclosed = "unexpected" in str(error.problem)  # the end of the file, or `---`
        return (context.line, context.column) if is_unclosed else None
    if error.problem_mark is None:
        return None
    lines = _BREAK.split(chunk)
    last = min(error.problem_mark.line, len(lines) - 1)
    text = ""
    for line in range(last, max(last - _QUOTE_LINES, -1), -1):
        text = lines[line] + ("\n" + text if line < last else "")
        if len(text) > _QUOTE_CHARACTERS:
            return None
        found = _VALUE_QUOTE.match(text)
        if found is None:
            continue
        begin = found.end() - 1
        closed = (_SINGLE if found["quote"] == "'" else _DOUBLE).match(text, begin)
        end = closed.end() if closed else len(text)
        height = text.count("\n", 0, end)
        if line == last:
            # `'it's'`: something follows that no quoted value can have behind it.
            if closed is None or _BEHIND_QUOTE.match(text, end) is None:
                return line, begin
        elif line + height == last:
            return line, begin
        elif height:
            return None  # a text of several lines that is closed above the error
    return None


def _syntax(chunk: str, error: Any, start: int) -> Refused:
    opened = _open_quote(chunk, error)
    if opened is not None:
        return Refused(
            "yaml.syntax",
            "the quote that begins here is not closed where its text ends",
            start + opened[0],
            opened[1],
            "close it; a quote within is doubled ('') or escaped (\\\")",
        )
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    problem = " ".join(str(error.problem or error.context or "this is not YAML").split())
    problem = problem.replace("'<stream end>'", "the end of the document")
    lines = _BREAK.split(chunk)
    text = lines[line] if line < len(lines) else ""
    if "\\t" in problem or text[column : column + 1] == "\t" or text[:column].strip(" ") == "\t":
        return tab(start + line, column)
    is_variable = text[: column + 1].endswith("${")
    hint = "put text with ${…} in quotes within {} and []" if is_variable else hint_for(problem)
    return Refused("yaml.syntax", problem, start + line, column, hint)


def tab(line: int, column: int) -> Refused:
    """Return the refusal of a tab; line and column from 0."""
    hint = "YAML is indented and separated with spaces"
    return Refused("yaml.tab", "a tab cannot stand here", line, column, hint)


def hint_for(problem: str) -> str:
    """Return what to do about a problem, in the words that parsers after libyaml share."""
    if "mapping values are not allowed" in problem:
        return "put text that holds `: ` in quotes, and check the indentation"
    if "expected ':'" in problem or "expect ':'" in problem:
        return "a key is followed by a colon and a space"
    if "expected ','" in problem:
        return "separate what stands in {} or [] by commas, and close the bracket"
    if any(word in problem for word in ("block end", "block collection", "indentation")):
        return "check the indentation: keys of one mapping start in one column"
    return ""
