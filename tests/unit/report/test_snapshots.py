"""Every form of every case, as files that are read in review."""

from __future__ import annotations

from collections.abc import Callable

from stoa_gitops.model.diagnostics import Diagnostic
from stoa_gitops.model.outcomes import ReportSet
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.report.findings import diagnostics_text
from stoa_gitops.report.github import diagnostics_github
from stoa_gitops.report.json_output import diagnostics_json, plan_json, plan_jsonl, report_json
from stoa_gitops.report.junit import diagnostics_junit
from stoa_gitops.report.markdown import plan_markdown
from stoa_gitops.report.plan import plan_text
from stoa_gitops.report.recap import report_text
from stoa_gitops.report.sarif import diagnostics_sarif
from stoa_gitops.report.style import Style

Golden = Callable[[str, str], None]
PAGE = Style(colour=False, width=110, unicode=True)


def test_plan(plan_case: str, plans: dict[str, PlanSet], golden: Golden) -> None:
    golden(plan_markdown(plans[plan_case]), "md")
    if plan_case != "huge":
        golden(plan_text(plans[plan_case], PAGE), "txt")
        golden(plan_json(plans[plan_case]), "json")


def test_plan_streams_as_lines(plans: dict[str, PlanSet], golden: Golden) -> None:
    golden("".join(plan_jsonl(plans["incomplete"])), "jsonl")


def test_plan_in_colour(plans: dict[str, PlanSet], golden: Golden) -> None:
    golden(plan_text(plans["every-action"], Style(True, 110, True)), "ansi")


def test_plan_on_a_narrow_terminal_without_unicode(
    plans: dict[str, PlanSet], golden: Golden
) -> None:
    golden(plan_text(plans["long"], Style(False, 60, False)), "txt")


def test_report(report_case: str, reports: dict[str, ReportSet], golden: Golden) -> None:
    golden(report_text(reports[report_case], PAGE), "txt")
    golden(report_json(reports[report_case]), "json")


def test_findings(
    finding_case: str, findings: dict[str, tuple[Diagnostic, ...]], golden: Golden
) -> None:
    found, prefix = findings[finding_case], "deploy/catalog"
    golden(diagnostics_text(found, PAGE, documents=25), "txt")
    golden(diagnostics_json(found, documents=25), "json")
    golden(diagnostics_sarif(found, version="0.1.0", prefix=prefix), "sarif")
    golden(diagnostics_junit(found, documents=25, prefix=prefix), "xml")
    golden(diagnostics_github(found, prefix=prefix), "github")


def test_findings_on_a_terminal(
    finding_case: str, findings: dict[str, tuple[Diagnostic, ...]], golden: Golden
) -> None:
    terminal = Style(colour=False, width=80, unicode=True, excerpts=True)
    golden(diagnostics_text(findings[finding_case], terminal, documents=25), "txt")


def test_findings_on_a_terminal_in_colour(
    findings: dict[str, tuple[Diagnostic, ...]], golden: Golden
) -> None:
    terminal = Style(colour=True, width=80, unicode=True, excerpts=True)
    golden(diagnostics_text(findings["mixed"], terminal, documents=25), "ansi")
