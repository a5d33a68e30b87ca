"""Headings, summaries and verdicts; exit codes follow from the verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from stoa_gitops.model.changes import Action
from stoa_gitops.model.counts import counted
from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.model.outcomes import Report, ReportSet
from stoa_gitops.model.plan import Plan, PlanSet


class Verdict(Enum):
    """What a plan amounts to, the most urgent first."""

    NO_GATEWAY = "no-gateway"
    INCOMPLETE = "incomplete"
    HELD = "held"
    CHANGES = "changes"
    SKIPS = "skips"
    CLEAN = "clean"


class ReportVerdict(Enum):
    """What an apply amounts to, the most urgent first."""

    UNREACHABLE = "unreachable"
    PARTIAL = "partial"
    CONVERGED = "converged"


def plan_verdict(plans: PlanSet) -> Verdict:
    """Return what a plan amounts to; incomplete precedes whatever it may hide."""
    if not plans.plans:
        return Verdict.NO_GATEWAY
    if not plans.is_complete:
        return Verdict.INCOMPLETE
    if any(plan.holds for plan in plans.plans):
        return Verdict.HELD
    if not plans.is_empty:
        return Verdict.CHANGES
    if any(plan.skipped for plan in plans.plans):
        return Verdict.SKIPS
    return Verdict.CLEAN


def report_verdict(reports: ReportSet) -> ReportVerdict:
    """Return UNREACHABLE when no gateway could be reconciled, PARTIAL when something is left."""
    if all(report.is_converged for report in reports.reports):
        return ReportVerdict.CONVERGED
    if all(is_unreachable(report) for report in reports.reports):
        return ReportVerdict.UNREACHABLE
    return ReportVerdict.PARTIAL


def is_unreachable(report: Report) -> bool:
    """Whether a gateway could not be reconciled at all."""
    return report.error is not None or not report.plan.complete


def has_errors(findings: Iterable[Diagnostic], *, strict: bool = False) -> bool:
    """Whether findings make a catalog invalid; with `strict`, warnings do too."""
    return any(strict or finding.severity is Severity.ERROR for finding in findings)


def join_with_and(parts: Sequence[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


def held_count(plan: Plan) -> int:
    """Return how many changes of a plan wait for force."""
    held = plan.held_keys
    return sum(change.key in held for change in plan.changes)


def plan_counts(plan: Plan) -> str:
    """Return `1 create, 1 update, 12 unchanged`; an incomplete plan has no counts."""
    if not plan.complete:
        return "UNKNOWN: could not be observed"
    parts = [f"{plan.count(action)} {action.value}" for action in Action if plan.count(action)]
    held = held_count(plan)
    parts = parts or ["no changes"]
    if held:
        parts.append(f"{held} of them held")
    return ", ".join([*parts, f"{plan.unchanged} unchanged"])


def plan_heading(plans: PlanSet) -> str:
    """Return the first line of a plan."""
    if plans.base is not None:
        return f"Plan for {plans.revision} against {plans.base} (no gateway was asked)"
    return f"Plan for {plans.revision} (tenants: {plans.tenants}, gateways: {len(plans.plans)})"


def clean_line(plans: PlanSet) -> str:
    """Return the one line of a plan without changes, skips and warnings."""
    gateways = counted(len(plans.plans), "gateway")
    if plans.base is not None:
        changes = f"No changes from {plans.base} to {plans.revision}"
        return f"{changes} for {gateways} (no gateway was asked)."
    match = "matches" if len(plans.plans) == 1 else "match"
    return f"No changes. {gateways} {match} {plans.revision}."


def no_gateway_line(plans: PlanSet) -> str:
    """Return the line where nothing was planned: `No changes` would claim more than was checked."""
    return (
        f"Nothing to plan: no gateway is selected in {plans.revision}. "
        "Gateways are documents under gateways/; --gateway and --env narrow them."
    )


def plan_totals(plans: PlanSet) -> str:
    """Return `1 to create, 1 skipped on 1 of 2 gateways.`"""
    parts = [f"{plans.count(a)} to {a.value}" for a in Action if plans.count(a)]
    skipped = sum(len(plan.skipped) for plan in plans.plans)
    if skipped:
        parts.append(f"{skipped} skipped")
    if held := sum(map(held_count, plans.plans)):
        parts.append(f"{held} held")
    affected = sum(1 for plan in plans.plans if plan.changes or plan.skipped)
    if not parts:
        observed = sum(1 for plan in plans.plans if plan.complete)
        return f"No changes on the {counted(observed, 'gateway')} observed." if observed else ""
    return f"{', '.join(parts)} on {affected} of {counted(len(plans.plans), 'gateway')}."


def incomplete_line(plans: PlanSet) -> str:
    """Return the line about gateways that could not be observed; empty where all were."""
    names = [plan.gateway for plan in plans.plans if not plan.complete]
    if not names:
        return ""
    return (
        f"This plan is incomplete: {len(names)} of {counted(len(plans.plans), 'gateway')} "
        f"could not be observed ({', '.join(names)})."
    )


def findings_line(findings: Sequence[Diagnostic], documents: int | None = None) -> str:
    """Return `2 errors and 1 warning in 1 file (25 documents read)`.

    A file that cannot be read holds documents that nobody can count: they are never set off
    against each other.
    """
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    warnings = len(findings) - errors
    parts = [counted(n, noun) for n, noun in ((errors, "error"), (warnings, "warning")) if n]
    what = join_with_and(parts) or "No findings"
    if documents is not None and not findings:
        return f"{what} in {counted(documents, 'document')}"
    files = counted(len({finding.source.path for finding in findings}), "file")
    read = "" if documents is None else f" ({counted(documents, 'document')} read)"
    return f"{what} in {files}{read}"
