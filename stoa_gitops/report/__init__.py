"""Plans, reports and findings as text, JSON, Markdown, SARIF, JUnit and annotations.

Functions from values to `str` (or an iterator of lines), without I/O: whoever calls them knows the terminal
and writes what they return as it is; each text ends with its newline.
"""

from __future__ import annotations

from stoa_gitops.report.annotations import diagnostics_github
from stoa_gitops.report.documents import diagnostics_json, plan_json, plan_jsonl, report_json
from stoa_gitops.report.findings import catalog_text, diagnostics_text
from stoa_gitops.report.junit import diagnostics_junit
from stoa_gitops.report.markdown import plan_markdown
from stoa_gitops.report.plan import plan_text
from stoa_gitops.report.recap import report_text
from stoa_gitops.report.sarif import diagnostics_sarif
from stoa_gitops.report.style import Style
from stoa_gitops.report.summary import (
    ReportVerdict,
    Verdict,
    has_errors,
    report_verdict,
    verdict,
)

__all__ = [
    "ReportVerdict",
    "Style",
    "Verdict",
    "catalog_text",
    "diagnostics_github",
    "diagnostics_json",
    "diagnostics_junit",
    "diagnostics_sarif",
    "diagnostics_text",
    "has_errors",
    "plan_json",
    "plan_jsonl",
    "plan_markdown",
    "plan_text",
    "report_json",
    "report_text",
    "report_verdict",
    "verdict",
]
