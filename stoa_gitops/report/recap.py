"""The result of an apply as text: whatever was not simply applied, and a line per gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.model.counts import counted
from stoa_gitops.model.outcomes import Outcome, Report, ReportSet, Status
from stoa_gitops.report.rows import change_row, hold_advice, hold_meanwhile
from stoa_gitops.report.style import Style, display_width, pad
from stoa_gitops.report.summary import is_unreachable

_COLOURS: Final = {
    Status.FAILED: "red",
    Status.BLOCKED: "yellow",
    Status.QUARANTINED: "magenta",
}
_RECAP_COLOURS: Final = {
    "ok": "green", "changed": "yellow", "unreachable": "red", "failed": "red",
    "skipped": "cyan", "quarantined": "magenta", "blocked": "yellow",
}  # fmt: skip
_ROOM: Final = 1_000
_STATUS_COLUMN: Final = len("quarantined") + 2


def recap_counts(report: Report) -> dict[str, int]:
    """Return the numbers of a recap in its order; `ok` counts the objects that matched already."""
    return {
        "ok": report.plan.unchanged + report.count(Status.UNCHANGED),
        "changed": report.count(Status.APPLIED),
        "unreachable": int(is_unreachable(report)),
        "failed": report.count(Status.FAILED),
        "skipped": len(report.plan.skipped),
        "quarantined": report.count(Status.QUARANTINED),
        "blocked": report.count(Status.BLOCKED),
    }


def report_text(reports: ReportSet, style: Style) -> str:
    """Return what a person must know after an apply, ending with a newline."""
    lines = [line for report in reports.reports for line in _gateway_lines(report, style)]
    if not reports.reports:
        lines.append(f"No gateway is selected in {style.safe(reports.revision)}.")
    return "\n".join([*lines, *recap_lines(reports, style)]) + "\n"


def recap_lines(reports: ReportSet, style: Style) -> Iterator[str]:
    """Yield one line for each gateway: `kong-prod : ok=12 changed=3 unreachable=0 …`."""
    counts = [recap_counts(report) for report in reports.reports]
    names = [style.safe(report.plan.gateway) for report in reports.reports]
    # Numbers stand in columns, so that gateways can be compared line by line.
    column = max(map(display_width, names), default=0)
    digits = {
        name: max(len(str(count[name])) for count in counts)
        for name in (counts[0] if counts else ())
    }
    for gateway, count in zip(names, counts, strict=True):
        parts = [
            style.paint(f"{name}={number}", *([_RECAP_COLOURS[name]] if number else []))
            + " " * (digits[name] - len(str(number)))
            for name, number in count.items()
        ]
        yield f"{pad(gateway, column)} : {' '.join(parts)}".rstrip()


def _gateway_lines(report: Report, style: Style) -> Iterator[str]:
    lines = list(_notable_lines(report, style))
    if lines:
        yield style.paint(style.safe(report.plan.gateway), "bold")
        yield from lines
        yield ""


def _notable_lines(report: Report, style: Style) -> Iterator[str]:
    error = report.error or (None if report.plan.complete else report.plan.error or "not observed")
    if error is not None:
        label = "not applied" if report.plan.complete else "unreachable"
        yield style.paint(f"  {label}  {style.safe(error, _ROOM)}", "red")
    for outcome in report.outcomes:
        if outcome.status in _COLOURS:
            yield from _outcome_lines(outcome, style)
        for warning in outcome.warnings:
            what = f"  warning: {outcome.change.key}: {warning}"
            yield style.paint(style.safe(what, _ROOM), "yellow")
    yield from _untried_lines(report, style)
    # An apply shows its plan first, with the warnings of that.
    shown = {*report.plan.warnings, *(w for o in report.outcomes for w in o.warnings)}
    for warning in dict.fromkeys(w for w in report.warnings if w not in shown):
        yield style.paint(f"  warning: {style.safe(warning, _ROOM)}", "yellow")


def _outcome_lines(outcome: Outcome, style: Style) -> Iterator[str]:
    row = change_row(outcome.change)
    status = pad(outcome.status.value, _STATUS_COLUMN)
    source = outcome.change.source
    position = source.full if source else row.remark
    what = style.safe(f"{row.symbol} {row.kind}  {row.name}   {position}", _ROOM)
    yield style.paint(f"  {status}{what}".rstrip(), _COLOURS[outcome.status])
    tries = f"after {counted(outcome.attempts, 'attempt')}" if outcome.attempts > 1 else ""
    why = ", ".join(part for part in (outcome.reason, tries) if part)
    message = outcome.message or "the gateway gave no reason"
    yield " " * (_STATUS_COLUMN + 4) + style.safe(f"{message} ({why})" if why else message, _ROOM)


def _untried_lines(report: Report, style: Style) -> Iterator[str]:
    """Yield what was desired and not tried: held changes without outcome, and failing skips."""
    tried = {outcome.change.key for outcome in report.outcomes}
    for hold in report.plan.holds:
        if hold.keys and tried.issuperset(hold.keys):
            continue  # every change has an outcome: a person forced the hold
        status = pad("held", _STATUS_COLUMN)
        what = f"  {status}{hold.reason}: {hold.message}"
        yield style.paint(style.safe(what, _ROOM), "magenta")
        yield " " * (_STATUS_COLUMN + 4) + style.safe(hold_meanwhile(hold), _ROOM)
        if advice := hold_advice(hold, report.plan):
            yield " " * (_STATUS_COLUMN + 4) + style.safe(advice, _ROOM)
    for skip in report.plan.skipped:
        if skip.is_failure:
            position = f"   {skip.source.full}" if skip.source else ""
            what = f"! {skip.key.kind}  {skip.key.short}{position}"
            status = pad("skipped", _STATUS_COLUMN)
            yield style.paint(f"  {status}{style.safe(what, _ROOM)}", "red")
            message = skip.explanation
            yield " " * (_STATUS_COLUMN + 4) + style.safe(f"{message} ({skip.reason.value})", _ROOM)
