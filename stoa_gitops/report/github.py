"""Findings as workflow commands of GitHub Actions, which shows them as annotations."""

from __future__ import annotations

from collections.abc import Sequence

from stoa_gitops.model.diagnostics import Diagnostic
from stoa_gitops.report.finding_text import finding_sentence, repository_path
from stoa_gitops.report.style import printable


def diagnostics_github(findings: Sequence[Diagnostic], *, prefix: str = "") -> str:
    """Return one `::error file=…::message` a line, empty where there is nothing to say.

    Errors come first: GitHub shows ten annotations of each severity per step.
    """
    # Severity values sort as "error" < "warning".
    ordered = sorted(findings, key=lambda finding: (finding.severity.value, finding.order))
    return "".join(_command(finding, prefix) + "\n" for finding in ordered)


def _command(finding: Diagnostic, prefix: str) -> str:
    source = finding.source
    properties = {
        "file": repository_path(source.path, prefix),
        "line": str(source.line),
        "col": str(source.column),
        "endColumn": str(source.column + max(finding.width, 1)),
        "title": finding.code,
    }
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    message = "%0A".join(_data(text) for text in (finding_sentence(finding), finding.hint) if text)
    return f"::{finding.severity.value} {listed}::{message}"


# actions/toolkit, core/src/command.ts: data escapes "%" and line ends, a property ":" and "," too.
# Line ends are escapes already when `printable` is through.


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
