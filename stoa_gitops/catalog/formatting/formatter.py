"""Formats a file of documents, and proves that it means the same as before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stoa_gitops.catalog.documents.file_parser import as_finding
from stoa_gitops.catalog.documents.large_documents import explain_large
from stoa_gitops.catalog.documents.yaml_bounds import Allowance
from stoa_gitops.catalog.documents.yaml_fast import (
    has_fast_parser,
    parse_json_quickly,
    parse_quickly,
)
from stoa_gitops.catalog.documents.yaml_full import decode, read_document, split
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.catalog.formatting.nodes import (
    Document,
    Mapping,
    Scalar,
    Sequence,
    Unsupported,
    Value,
)
from stoa_gitops.catalog.formatting.parsing import parse_document
from stoa_gitops.catalog.formatting.writing import write_document
from stoa_gitops.foundation.yaml.composer import Refused
from stoa_gitops.model.canonical import canonical_bytes

OURS: Final = re.compile(rb"^[\"']?apiVersion[\"']?[ \t]*:[ \t]*[\"']?gostoa\.dev/", re.MULTILINE)
"""What a document of a catalog has, in block style."""

_OURS_IN_FLOW: Final = re.compile(
    rb"^[ \t]*\{[^\n]*[\"']?apiVersion[\"']?[ \t]*:[ \t]*[\"']?gostoa\.dev/", re.MULTILINE
)
_ODD_BREAKS: Final = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
_MARKER: Final = re.compile(r"---(?:[ \t]+#.*)?$|---$")


@dataclass(frozen=True, slots=True)
class Formatted:
    """What became of a file.

    data     its new bytes; the old ones where nothing is to be done, or nothing can be
    finding  why it is no YAML; it is left as it is
    reason   why it is left as it is though it is YAML; empty where it was formatted
    """

    data: bytes
    finding: Finding | None = None
    reason: str = ""


def is_document(data: bytes) -> bool:
    """Whether a file has a document of a catalog, by its text alone: it may be broken."""
    return b"gostoa.dev/" in data and bool(OURS.search(data) or _OURS_IN_FLOW.search(data))


def format_file(data: bytes) -> Formatted:
    """Format the documents of a file; never raises for what stands in it.

    formatted = format_file(b"kind: Tenant\\napiVersion: gostoa.dev/v1alpha1\\n")
    assert formatted.data.startswith(b"apiVersion")
    """
    try:
        before = list(_meaning(data))
    except Refused as refused:
        return Formatted(data, finding=as_finding(refused))
    reason = ""
    # Keys keep their places where moving them would mean something else: an alias above its anchor.
    for with_order in (True, False):
        try:
            made, comments = _format(data, with_order=with_order)
            if made == data:
                return Formatted(data)
            if not _has_comments(made, comments) or list(_meaning(made)) != before:
                raise Unsupported("it would not mean the same")
        except (Unsupported, Refused, RecursionError) as error:
            reason = str(error) if isinstance(error, Unsupported) else "it would not mean the same"
            continue
        return Formatted(made)
    return Formatted(data, reason=reason)


def _meaning(data: bytes) -> Iterator[bytes]:
    """Yield the canonical bytes of each document; raises Refused for what a catalog refuses."""
    allowance = Allowance(has_fast_parser=has_fast_parser())
    for start, part in split(decode(data)):
        raw = (_MARKER_LINE.sub("   ", part, count=1) if part.startswith("---") else part).encode()
        quick = parse_quickly(raw) or parse_json_quickly(raw)
        if quick is not None:
            yield quick.raw
            continue
        if not allowance.take(raw):
            refused = explain_large(raw)
            refused.line += start
            raise refused
        reading = read_document(start, part)
        if reading is None or reading.root is None:
            if reading is not None and reading.refused is not None:
                raise reading.refused
            yield b""
            continue
        yield canonical_bytes(reading.root.tree())


_MARKER_LINE: Final = re.compile(r"---(?=[ \t]*(?:#[^\n]*)?(?:\r?\n|\Z))")
"""A marker alone on its line: blanks in its place leave one document, which is read quickly."""


def _format(data: bytes, *, with_order: bool) -> tuple[bytes, Counter[str]]:
    """Return the formatted bytes, and the comments that were read."""
    lines: list[str] = []
    comments: Counter[str] = Counter()
    for number, document in enumerate(_documents(_text(data))):
        comments.update(_comments(document))
        lines += write_document(document, is_first=not number, with_order=with_order)
    return ("\n".join(lines).rstrip("\n") + "\n").encode("utf-8", "surrogatepass"), comments


def _has_comments(data: bytes, comments: Counter[str]) -> bool:
    """Whether a text has these comments, by its lines where that is enough (a third of the time).

    A line that begins with `#` is a comment, or in a text of several lines, and counts as such in
    both ways; a text that means the same has no other way to be taken for the other.
    """
    lines = [line.strip(" \t") for line in _text(data).split("\n") if "#" in line]
    if all(line.startswith("#") for line in lines) and Counter(lines) == comments:
        return True
    return _read_comments(data) == comments


def _read_comments(data: bytes) -> Counter[str]:
    comments: Counter[str] = Counter()
    for document in _documents(_text(data)):
        comments.update(_comments(document))
    return comments


def _text(data: bytes) -> str:
    text = decode(data).replace("\r\n", "\n")
    if _ODD_BREAKS.search(text):
        raise Unsupported("line ends that only some readers know")
    return text


def _documents(text: str) -> Iterator[Document]:
    marker: str = ""
    held: list[str] = []
    is_begun = False
    for line in text.split("\n"):
        if line.startswith(("%", "...")) and (line[:3] != "..." or not line[3:].strip(" \t")):
            raise Unsupported("a directive or the mark of an end")
        if line.startswith("---") and (len(line) == 3 or line[3] in " \t"):
            if not _MARKER.match(line.rstrip(" \t")):
                raise Unsupported("a value behind `---`")
            if is_begun or any(part.strip(" \t") for part in held):
                yield parse_document(marker, held)
            marker, held, is_begun = line.rstrip(" \t"), [], True
            continue
        held.append(line)
    yield parse_document(marker, held)


def _comments(document: Document) -> Iterator[str]:
    """Yield every comment, and what stands in lines that are taken as they are."""
    if "#" in document.marker:
        yield document.marker[3:].strip(" \t")
    yield from filter(None, document.header)
    if document.root is not None:
        yield from _below(document.root)


def _below(value: Value) -> Iterator[str]:
    if isinstance(value, Scalar):
        if value.is_raw:
            yield from (line.strip(" \t") for line in value.rest if "#" in line)
        return
    yield from filter(None, value.tail)
    if isinstance(value, Mapping | Sequence) and value.is_flow:
        return
    for entry in value.entries:
        yield from filter(None, entry.before)
        if entry.comment:
            yield entry.comment
        yield from _below(entry.value)
