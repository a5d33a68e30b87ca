"""Findings as a JUnit test report: one test case per file with findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.report.finding_text import finding_sentence, finding_with_hint, repository_path
from stoa_gitops.report.style import printable
from stoa_gitops.report.summary import findings_line

_SUITE = "stoa-gitops validate"


def diagnostics_junit(
    findings: Sequence[Diagnostic], *, documents: int | None = None, prefix: str = ""
) -> str:
    """Return one XML document in ASCII, ending with a newline.

    Errors of a file share one failure, warnings are output of its case. A catalog without findings
    is one case that passed.
    """
    # Jenkins's jenkins-junit.xsd has no `file` of a case and no `skipped` of the whole.
    # Jenkins and GitLab read one failure of a test case. A suite without cases reads as a job that
    # did not run.
    ordered = sorted(findings, key=lambda finding: finding.order)
    by_path = groupby(ordered, key=lambda finding: finding.source.path)
    cases = [_case(repository_path(path, prefix), list(group)) for path, group in by_path]
    # Test cases that failed, not findings: the count of the format is of cases.
    failures = len({f.source.path for f in ordered if f.severity is Severity.ERROR})
    counts = f'tests="{max(len(cases), 1)}" failures="{failures}" errors="0"'
    summary = _text(findings_line(ordered, documents))
    body = "\n".join(cases) or f'    <testcase classname="catalog" name="{summary}" time="0"/>'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="{_SUITE}" {counts} time="0">\n'
        f'  <testsuite name="{_SUITE}" {counts} time="0">\n'
        f"{body}\n"
        "  </testsuite>\n"
        "</testsuites>\n"
    )


def _case(path: str, findings: list[Diagnostic]) -> str:
    name = _text(path)
    return "\n".join(
        (
            f'    <testcase classname="catalog" name="{name}" time="0">',
            *_failure([f for f in findings if f.severity is Severity.ERROR]),
            *_output([f for f in findings if f.severity is Severity.WARNING]),
            "    </testcase>",
        )
    )


def _failure(errors: list[Diagnostic]) -> Iterator[str]:
    if not errors:
        return
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    message = _text(f"{first.source.line}:{first.source.column} {finding_sentence(first)}{more}")
    yield f'      <failure type="{_text(first.code)}" message="{message}">'
    yield from (_line(finding) for finding in errors)
    yield "      </failure>"


def _output(warnings: list[Diagnostic]) -> Iterator[str]:
    if warnings:
        yield "      <system-out>"
        yield from (_line(finding) for finding in warnings)
        yield "      </system-out>"


def _line(finding: Diagnostic) -> str:
    position = f"{finding.source.line}:{finding.source.column}"
    return _text(
        f"{position}: {finding.severity.value}[{finding.code}] {finding_with_hint(finding)}"
    )


def _text(text: str) -> str:
    """Escape for elements and attributes; what XML 1.0 §2.2 cannot hold is an escape before."""
    from xml.sax.saxutils import escape

    escaped = escape(printable(text), {'"': "&quot;"})
    return escaped.encode("ascii", "xmlcharrefreplace").decode("ascii")
