"""Plans, reports and findings as JSON; the schemas are in `schemas/output/`.

Everything is written in ASCII: a value with control or bidirectional characters stays harmless on
the terminal of a person who prints the file, and reads back as what it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from stoa_gitops.model.changes import Action
from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.model.outcomes import Report, ReportSet
from stoa_gitops.model.plan import Plan, PlanSet
from stoa_gitops.report.finding_text import repository_path
from stoa_gitops.report.json_values import (
    Tree,
    change_tree,
    hold_tree,
    outcome_tree,
    skip_tree,
    source_tree,
)
from stoa_gitops.report.recap import recap_counts
from stoa_gitops.report.summary import has_errors, held_count, plan_verdict, report_verdict

FORMAT_VERSION: Final = "1.0"
"""The second number grows with additions, the first with changes that break a reader."""


def plan_json(plans: PlanSet, *, with_created: bool = False) -> str:
    """Return one document of `schemas/output/plan.json`, ending with a newline."""
    return _document_text(plan_document(plans, with_created=with_created))


def plan_jsonl(plans: PlanSet, *, with_created: bool = False) -> Iterator[str]:
    """Yield one JSON object a line, each of `schemas/output/plan.json#/$defs/line`.

    First the `plan`, then each `gateway` followed by its `change`, `skip` and `hold` lines.
    """
    yield _line({"type": "plan", **_plan_head(plans), "gateways": len(plans.plans)})
    for plan in plans.plans:
        gateway = _gateway(plan, with_created)
        lists = {
            "change": gateway.pop("changes", ()),
            "skip": gateway.pop("skipped", ()),
            "hold": gateway.pop("holds", ()),
        }
        yield _line({**gateway, "type": "gateway"})
        for name, items in lists.items():
            assert isinstance(items, Sequence)
            for item in items:
                yield _line({**item, "type": name, "gateway": plan.gateway})


def report_json(reports: ReportSet) -> str:
    """Return one document of `schemas/output/report.json`: the plan, `outcomes` and `recap`."""
    plans = PlanSet(reports.revision, tuple(report.plan for report in reports.reports))
    document = plan_document(plans)
    del document["tenants"]  # an apply does not count them
    document["digest"] = reports.digest
    document["result"] = report_verdict(reports).value
    document["outcomes"] = [
        outcome_tree(report.plan.gateway, outcome)
        for report in reports.reports
        for outcome in report.outcomes
    ]
    document["recap"] = [_recap(report) for report in reports.reports]
    return _document_text(document)


def diagnostics_json(
    findings: Sequence[Diagnostic], *, documents: int | None = None, prefix: str = ""
) -> str:
    """Return one document of `schemas/output/diagnostics.json`, findings sorted by position."""
    # Ordered, so that two runs over one catalog give the same bytes.
    ordered = sorted(findings, key=lambda finding: finding.order)
    return _document_text(
        {
            "format_version": FORMAT_VERSION,
            "valid": not has_errors(ordered),
            "documents": documents,
            "errors": sum(finding.severity is Severity.ERROR for finding in ordered),
            "warnings": sum(finding.severity is Severity.WARNING for finding in ordered),
            "diagnostics": [diagnostic_document(finding, prefix) for finding in ordered],
        }
    )


def plan_document(plans: PlanSet, *, with_created: bool = False) -> Tree:
    """Return the tree of `plan_json`; `with_created` lists fields of what is created, too."""
    gateways = [_gateway(plan, with_created) for plan in plans.plans]
    return {**_plan_head(plans), "gateways": gateways}


def _plan_head(plans: PlanSet) -> Tree:
    return {
        "format_version": FORMAT_VERSION,
        "revision": plans.revision,
        "base": plans.base,
        "tenants": plans.tenants,
        "digest": plans.digest,
        "complete": plans.is_complete,
        "verdict": plan_verdict(plans).value,
        "summary": {
            **{action.value: plans.count(action) for action in Action},
            "skipped": sum(len(plan.skipped) for plan in plans.plans),
            "held": sum(held_count(plan) for plan in plans.plans),
            "unchanged": sum(plan.unchanged for plan in plans.plans if plan.complete),
            "not_observed": sum(not plan.complete for plan in plans.plans),
        },
    }


def _gateway(plan: Plan, with_created: bool) -> Tree:
    document: Tree = {
        "gateway": plan.gateway,
        "gateway_type": plan.gateway_type,
        "title": plan.title,
        "complete": plan.complete,
        "warnings": list(plan.warnings),
    }
    skipped = [skip_tree(skip) for skip in plan.skipped]
    holds = [hold_tree(hold) for hold in plan.holds]
    if not plan.complete:
        # An empty list would read as "no changes": what is unknown is left out.
        document["error"] = plan.error or "no reason is known"
        sections = {"skipped": skipped, "holds": holds}
        return document | {name: items for name, items in sections.items() if items}
    held = plan.held_keys
    changes = [
        change_tree(change, is_held=change.key in held, with_created=with_created)
        for change in plan.changes
    ]
    return document | {
        "changes": changes,
        "skipped": skipped,
        "holds": holds,
        "unchanged": plan.unchanged,
    }


def _recap(report: Report) -> Tree:
    return {
        "gateway": report.plan.gateway,
        "converged": report.is_converged,
        "error": report.error or report.plan.error,
        "warnings": list(report.warnings),
        **recap_counts(report),
    }


def diagnostic_document(finding: Diagnostic, prefix: str = "") -> Tree:
    """Return one finding as its schema has it; `prefix` goes before its path."""
    source = source_tree(finding.source)
    assert source is not None
    return {
        "severity": finding.severity.value,
        "code": finding.code,
        "message": finding.message,
        "hint": finding.hint,
        "pointer": finding.pointer,
        "width": finding.width,
        "source": source | {"path": repository_path(finding.source.path, prefix)},
    }


def _document_text(document: Mapping[str, object]) -> str:
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _line(document: Mapping[str, object]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text + "\n"
