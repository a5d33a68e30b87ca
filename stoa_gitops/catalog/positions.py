"""Turns findings into diagnostics: looks up line and column, and adds the source line.

Files are parsed again for that, so it is done late, and only for the findings that are shown in
full.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from stoa_gitops.catalog.documents.boundary import internal_finding
from stoa_gitops.catalog.documents.document_checks import MAX_FINDINGS
from stoa_gitops.catalog.documents.file_parser import and_more
from stoa_gitops.catalog.documents.isolation import ChildFailed, Isolation, failure
from stoa_gitops.catalog.documents.text_places import SearchBudget, TextPlaces
from stoa_gitops.catalog.documents.yaml_bounds import Allowance
from stoa_gitops.catalog.documents.yaml_fast import has_fast_parser
from stoa_gitops.catalog.documents.yaml_full import decode, read_document, split
from stoa_gitops.catalog.evaluation.overlay import PatchOrigin, find_origin
from stoa_gitops.catalog.findings import SENSITIVE, Finding, mask
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.foundation.yaml.composer import Refused
from stoa_gitops.foundation.yaml.nodes import Node, Pointer, Position, find_position
from stoa_gitops.model.diagnostics import Diagnostic
from stoa_gitops.model.resources import SourceRef

IN_FULL: Final = 1_000
"""Findings that get line, column and excerpt; the others get their file."""

_EXCERPT: Final = 160  # characters of a source line: two lines of a narrow terminal
_LINES_ABOVE: Final = 200  # searched for the key that a line of a block scalar belongs to
_LAST_KEY: Final = re.compile(r"(?<![\w.-])([\w.-]++)[\"']?[ \t]*+:[ \t]*+[{\[|>+-]*+[ \t]*+$")
"""The key to which the next lines belong, in a line that ends with it."""
_LONGEST_LINE: Final = 200_000
"""Longest line (characters) that is quoted: nobody reads a part of a longer one."""

_KEEPS_SECRETS: Final = frozenset(("credentials", "auth", "tls"))


@dataclass(frozen=True, slots=True)
class LocatedFinding:
    """A finding, the file of its document, and what patches set in that document."""

    path: str
    finding: Finding
    origins: tuple[PatchOrigin, ...] = ()


class QuotedFile:
    """One file in which positions are looked up."""

    def __init__(self, data: bytes) -> None:
        self._allowance = Allowance(has_fast_parser=has_fast_parser())
        try:
            self._text = decode(data)
        except Refused:
            self._text = data.decode("utf-8", "replace")
        self._lines = self._text.splitlines()
        self._parts: list[tuple[int, str]] = []
        self._documents: dict[int, Node | TextPlaces | None] = {}
        self._budget = SearchBudget()

    def find(self, document: int, pointer: Pointer, *, at_key: bool = False) -> Position | None:
        """Return the place of a value, or of its key; None where the document does not parse."""
        if document not in self._documents:
            self._documents[document] = self._parse(document)
        found = self._documents[document]
        if isinstance(found, TextPlaces):
            return found.find(pointer, at_key=at_key)
        return None if found is None else find_position(found, pointer, at_key=at_key)

    def _parse(self, document: int) -> Node | TextPlaces | None:
        """Return the tree of a document, or of one that is too large for that its text."""
        if not self._parts:
            self._parts.extend(split(self._text))
        if document >= len(self._parts):
            return None
        start, part = self._parts[document]
        if not self._allowance.take(part.encode()):
            return TextPlaces(start, part, self._budget)
        reading = read_document(start, part, any_key=True)
        return reading.root if reading is not None else None

    def excerpt(self, line: int, hidden: AbstractSet[str]) -> str:
        """Return a source line without secrets; `hidden` are further keys to mask."""
        if not 0 < line <= len(self._lines) or len(self._lines[line - 1]) > _LONGEST_LINE:
            return ""
        text = mask(self._lines[line - 1], self._key_above(line - 1), hidden)
        # Control characters in a file must not reach a terminal.
        return "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in text)[:_EXCERPT]

    def _key_above(self, index: int) -> str:
        """Return the nearest key above a line, for lines of block scalars and lists."""
        indent = _indent(self._lines[index])
        for line in reversed(self._lines[max(0, index - _LINES_ABOVE) : index]):
            if line.strip() and _indent(line) < indent:
                last = _LAST_KEY.search(line)
                first = line.strip().lstrip("- ").partition(":")[0]
                name = last[1] if last else first.strip("\"'")
                return name if SENSITIVE.search(name) else ""
        return ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


@dataclass(frozen=True, slots=True)
class _FileResult:
    """The diagnostics of one file, and the inputs that they depend on.

    blobs  of the file and of the others that its findings name, None for those that are gone
    """

    blobs: Mapping[str, str | None]
    findings: tuple[Finding, ...]
    in_full: int
    commit: str | None
    diagnostics: tuple[Diagnostic, ...]


class DiagnosticBuilder:
    """Builds diagnostics tree after tree; a file with the same findings is parsed once."""

    def __init__(self, isolation: Isolation | None = None) -> None:
        self._isolation = isolation or Isolation()
        self._results: dict[str, _FileResult] = {}

    def build(self, tree: Tree, found: Iterable[LocatedFinding]) -> tuple[Diagnostic, ...]:
        """Return the diagnostics of findings, each once, sorted by file and line."""
        by_path: dict[str, set[Finding]] = {}
        patched: dict[tuple[str, Finding], set[str]] = {}
        for item in found:
            redirected = _redirect_to_patch(item)
            if redirected is None:
                by_path.setdefault(item.path, set()).add(item.finding)
            else:
                patched.setdefault(redirected, set()).add(item.path)
        # One mistake of a patch is one finding, however many documents it patches.
        for (path, finding), files in patched.items():
            text = f"{finding.message} (patched, in {_some(files)})"
            by_path.setdefault(path, set()).add(replace(finding, message=text))
        results: dict[str, _FileResult] = {}
        # Spent in the order of paths, so that the same findings are always shown in full.
        left = IN_FULL
        for path in sorted(by_path):
            findings = _first(by_path[path])
            results[path] = self._file_result(tree, path, findings, min(left, len(findings)))
            left -= results[path].in_full
        self._results = results
        return tuple(diagnostic for page in results.values() for diagnostic in page.diagnostics)

    def _file_result(
        self, tree: Tree, path: str, findings: tuple[Finding, ...], in_full: int
    ) -> _FileResult:
        blobs = {name: tree.files.get(name) for name in _named(path, findings)}
        known = self._results.get(path)
        if known is None or (known.blobs, known.findings, known.in_full) != (
            blobs,
            findings,
            in_full,
        ):
            try:
                made = self._place(tree, path, findings, in_full)
            except StoaGitopsError:
                raise
            except ChildFailed as error:
                made = _FileDiagnostics(tree, path).build((*findings, failure(error)), 0)
            except BaseException as error:  # noqa: BLE001 - the findings of others are shown
                more = internal_finding(error, line=1)
                made = _FileDiagnostics(tree, path).build((*findings, more), 0)
            return _FileResult(blobs, findings, in_full, tree.commit, made)
        if known.commit == tree.commit:
            return known
        # Only the commit differs: the diagnostics are copied, and the file is not parsed again.
        moved = tuple(
            replace(item, source=replace(item.source, commit=tree.commit))
            for item in known.diagnostics
        )
        return replace(known, commit=tree.commit, diagnostics=moved)

    def _place(
        self, tree: Tree, path: str, findings: tuple[Finding, ...], in_full: int
    ) -> tuple[Diagnostic, ...]:
        wanted = _named(path, findings) & tree.files.keys()
        texts = dict(tree.read_many(sorted(wanted))) if in_full else {}
        arguments = (tree.commit, path, texts, findings, in_full)
        size = sum(map(len, texts.values()))
        return self._isolation.call("place", size, lambda: place_findings(*arguments), *arguments)


def _named(path: str, findings: Iterable[Finding]) -> set[str]:
    """Return the files in which the findings of a file have a place: itself, and others."""
    return {path, *(finding.other[0] for finding in findings if finding.other)}


def _first(found: set[Finding]) -> tuple[Finding, ...]:
    """Return the findings of a file in order, with one instead of those that are too many."""
    if len(found) > MAX_FINDINGS + 1:
        # Errors are listed first: they are what holds a document up.
        found = set(
            sorted(found, key=lambda item: (not item.is_error, _order(item)))[:MAX_FINDINGS]
        )
        found.add(and_more())
    return tuple(sorted(found, key=_order))


def place_findings(
    commit: str | None,
    path: str,
    texts: Mapping[str, bytes],
    findings: tuple[Finding, ...],
    in_full: int,
) -> tuple[Diagnostic, ...]:
    """Return the diagnostics of one file; `texts` has it and the others that they name."""
    return _FileDiagnostics(_Texts(commit, texts), path).build(findings, in_full)


class _Texts(Tree):
    """Files whose bytes are at hand."""

    def __init__(self, commit: str | None, texts: Mapping[str, bytes]) -> None:
        self.commit = commit
        self.files = dict.fromkeys(texts, "")
        self._texts = texts

    def read_many(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the bytes of these files."""
        yield from ((path, self._texts[path]) for path in paths)


def _order(finding: Finding) -> tuple[int, int, str, str, str, str, str]:
    """Sort the findings of a file by position, then by everything that may differ."""
    return (
        finding.line or 0,
        finding.document,
        finding.code,
        repr(finding.pointer),
        finding.message,
        finding.hint,
        repr(finding),
    )


def _shown_order(item: Diagnostic) -> tuple[object, ...]:
    return (*item.order, item.pointer, item.hint, item.severity.value, item.excerpt, item.width)


class _FileDiagnostics:
    """Builds the diagnostics of one file."""

    def __init__(self, tree: Tree, path: str) -> None:
        self._tree = tree
        self._path = path
        self._files: dict[str, QuotedFile | None] = {}

    def build(self, findings: Iterable[Finding], in_full: int) -> tuple[Diagnostic, ...]:
        """Return the diagnostics, the first `in_full` with line, column and excerpt."""
        ordered = [(self._path, finding) for finding in findings]
        built = [
            self._diagnostic(path, finding, in_full=number < in_full)
            for number, (path, finding) in enumerate(ordered)
        ]
        hidden = self._hidden(zip(built, ordered, strict=True))
        shown = {self._with_excerpt(diagnostic, hidden) for diagnostic in built}
        return tuple(sorted(shown, key=_shown_order))

    def _hidden(
        self, built: Iterable[tuple[Diagnostic, tuple[str, Finding]]]
    ) -> dict[tuple[str, int], set[str]]:
        """Return, by (path, line), the keys whose values are hidden: secrets and unknown fields."""
        hidden: dict[tuple[str, int], set[str]] = {}
        for diagnostic, (_, finding) in built:
            if finding.pointer and _may_show_secret(finding):
                line = (diagnostic.source.path, diagnostic.source.line)
                hidden.setdefault(line, set()).add(str(finding.pointer[-1]))
        return hidden

    def _with_excerpt(
        self, diagnostic: Diagnostic, hidden: dict[tuple[str, int], set[str]]
    ) -> Diagnostic:
        source = diagnostic.source
        file = self._files.get(source.path)
        if file is None:
            return diagnostic
        excerpt = file.excerpt(source.line, hidden.get((source.path, source.line), set()))
        if source.column > len(excerpt) + 1:
            return replace(diagnostic, width=1)
        width = max(1, min(diagnostic.width, len(excerpt) - source.column + 1))
        return replace(diagnostic, excerpt=excerpt, width=width)

    def _diagnostic(self, path: str, finding: Finding, *, in_full: bool) -> Diagnostic:
        position = Position(finding.line or 1, finding.column)
        file = self._file(path) if in_full else None
        if file is not None and finding.line is None:
            position = self._position(file, finding)
        return Diagnostic(
            finding.severity,
            finding.code,
            finding.message + self._other(finding, in_full=in_full),
            SourceRef(path, position.line, position.column, self._tree.commit),
            to_json_pointer(finding.pointer),
            finding.hint,
            width=position.width,
        )

    def _other(self, finding: Finding, *, in_full: bool) -> str:
        """Return where the second place of a finding is: ` (a.yaml:3:5)`."""
        if finding.other is None:
            return ""
        path, document, pointer = finding.other
        file = self._file(path) if in_full else None
        position = file.find(document, pointer) if file is not None else None
        if position is None:
            return f" ({path})"
        return f" ({path}:{position.line}:{position.column})"

    def _position(self, file: QuotedFile, finding: Finding) -> Position:
        found = file.find(finding.document, finding.pointer, at_key=finding.at_key)
        return found or Position(1, 1)

    def _file(self, path: str) -> QuotedFile | None:
        if path not in self._files:
            known = path in self._tree.files
            self._files[path] = QuotedFile(self._tree.read(path)) if known else None
        return self._files[path]


def _redirect_to_patch(item: LocatedFinding) -> tuple[str, Finding] | None:
    """Return file and finding of the patch that a finding is about; None for a document's own."""
    finding = item.finding
    origin = find_origin(finding, item.origins) if item.origins else None
    if origin is None:
        return None
    rest = finding.pointer[len(origin.pointer) :]
    moved = Finding(
        finding.code,
        finding.message,
        (*origin.source, *rest),
        finding.hint,
        finding.severity,
        finding.at_key,
        origin.document,
    )
    return origin.path, moved


def _some(files: set[str]) -> str:
    more = len(files) - 1
    return min(files) + (f" and {more} more file{'s' if more > 1 else ''}" if more else "")


def _may_show_secret(finding: Finding) -> bool:
    """Whether the value of a finding may be a secret: by its code, or as an unknown field."""
    if finding.code != "schema.unknown-key":
        return finding.code == "secret.value"
    return not _KEEPS_SECRETS.isdisjoint(finding.pointer) or "Ref" in finding.hint


def to_json_pointer(pointer: Pointer) -> str:
    """Return a pointer in the form of RFC 6901."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in pointer)
