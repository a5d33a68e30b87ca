"""Findings as workflow commands that GitHub Actions turns into annotations."""

from __future__ import annotations

from collections.abc import Sequence

from stoa_gitops.model.diagnostics import Diagnostic
from stoa_gitops.report.finding_text import prefixed, sentence
from stoa_gitops.report.style import printable


def diagnostics_github(findings: Sequence[Diagnostic], *, prefix: str = "") -> str:
    """Return one `::error file=…::message` a line, empty where there is nothing to say.

    GitHub shows the first ten errors and the first ten warnings of a step; errors come first here.
    """
    ordered = sorted(findings, key=lambda finding: (finding.severity.value, finding.order))
    return "".join(_command(finding, prefix) + "\n" for finding in ordered)


def _command(finding: Diagnostic, prefix: str) -> str:
    source = finding.source
    properties = {
        "file": prefixed(source.path, prefix),
        "line": str(source.line),
        "col": str(source.column),
        "endColumn": str(source.column + max(finding.width, 1)),
        "title": finding.code,
    }
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    message = "%0A".join(_data(text) for text in (sentence(finding), finding.hint) if text)
    return f"::{finding.severity.value} {listed}::{message}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
