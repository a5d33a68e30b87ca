"""Findings of an invalid catalog as the comment of a pull request, in place of its plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stoa_gitops.model.counts import counted
from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.report.comment import COMMENT_LIMIT, MARKER, Line, fit
from stoa_gitops.report.escape import code_span
from stoa_gitops.report.finding_text import repository_path

_ROOM = 600
"""Characters of one message or hint: one finding must not use up the comment."""


def findings_markdown(
    findings: Sequence[Diagnostic], *, prefix: str = "", limit: int = COMMENT_LIMIT
) -> str:
    """Return the comment, at most `limit` characters (1,000 or more), ending with a newline.

    `prefix` is the catalog's folder in its repository.
    """
    return fit(list(_lines(findings, prefix)), max(limit, 1_000))


def _lines(findings: Sequence[Diagnostic], prefix: str) -> Iterator[Line]:
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    yield Line(MARKER)
    yield Line(f"## Plan: none, the catalog has {counted(len(errors), 'error')}")
    yield Line("")
    yield Line("Nothing can be planned until they are fixed.")
    yield Line("")
    for finding in sorted(errors, key=lambda finding: finding.order):
        source = finding.source
        path = repository_path(source.path, prefix)
        yield Line(f"- {code_span(f'{path}:{source.line}:{source.column}', _ROOM)}")
        yield Line(f"  {code_span(f'{finding.code}: {finding.message}', _ROOM)}")
        if finding.hint:
            yield Line(f"  {code_span(finding.hint, _ROOM)}")
