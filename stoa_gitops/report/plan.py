"""A plan as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.model.changes import FieldChange
from stoa_gitops.model.plan import Plan, PlanSet
from stoa_gitops.report.rows import Row, hold_advice, rows
from stoa_gitops.report.style import Style, cells, padded
from stoa_gitops.report.summary import (
    Verdict,
    clean_line,
    heading,
    incomplete_line,
    no_gateway_line,
    plan_counts,
    totals,
    verdict,
)
from stoa_gitops.report.values import field_text

_COUNTS_COLUMN: Final = 68
_NAME_COLUMN: Final = 48
"""Names up to here share a column; a longer one pushes what follows it."""
_PATH_COLUMN: Final = 40
_VALUE_ROOM: Final = 52
"""Columns that a field's values get however narrow the terminal and however long the path."""
_NAME_ROOM: Final = 200
_MESSAGE_ROOM: Final = 1_000
_UNKNOWN: Final = "Not knowing is not the same as no changes: look again when the gateway answers."

DIGITS: Final = 8
"""Digits of a digest that are shown and that are enough to name it."""


def plan_text(plans: PlanSet, style: Style) -> str:
    """Return the plan as text that ends with a newline; write it as it is."""
    return "\n".join(plan_lines(plans, style)) + "\n"


def plan_lines(plans: PlanSet, style: Style) -> Iterator[str]:
    """Yield the lines of a plan; one line only where there is nothing to say."""
    outcome = verdict(plans)
    if outcome is Verdict.NO_GATEWAY:
        yield style.safe(no_gateway_line(plans))
        return
    if outcome is Verdict.CLEAN and not any(plan.warnings for plan in plans.plans):
        yield style.paint(style.safe(clean_line(plans)), "green")
        return
    yield style.paint(style.safe(heading(plans)), "bold")
    for plan in plans.plans:
        yield ""
        yield from gateway_lines(plan, style, counts_column(plans, style))
    yield ""
    yield from _last_lines(plans, style)


def _last_lines(plans: PlanSet, style: Style) -> Iterator[str]:
    if line := totals(plans):
        yield line
    if line := incomplete_line(plans):
        yield style.paint(style.safe(line, _MESSAGE_ROOM), "red")
    if plans.base is None and any(plan.changes for plan in plans.plans):
        digest = plans.digest[:DIGITS]
        yield f"Digest {digest}. Apply exactly this plan: stoa-gitops apply --digest {digest}"


def _title(plan: Plan, style: Style) -> str:
    return f"{style.safe(plan.gateway)}   {style.safe(plan.title or plan.gateway_type, 60)}"


def counts_column(plans: PlanSet, style: Style) -> int:
    """Return the column at which every gateway's counts begin: the 68th, or nearer on a narrow terminal."""
    widest = max(cells(_title(plan, style)) for plan in plans.plans)
    counts = max(len(plan_counts(plan)) for plan in plans.plans)
    wanted = min(_COUNTS_COLUMN, style.width - counts) if style.width > 0 else _COUNTS_COLUMN
    return max(widest + 3, wanted)


def gateway_lines(plan: Plan, style: Style, column: int) -> Iterator[str]:
    """Yield the heading of a gateway, its rows, what holds it and what it warns of."""
    title, counts = _title(plan, style), plan_counts(plan)
    gap = " " * max(3, column - cells(title))
    yield (
        style.paint(title, "bold") + gap + (counts if plan.complete else style.paint(counts, "red"))
    )
    if not plan.complete:
        yield style.paint(f"  ! {_words(plan.error or 'no reason is known', style)}", "red")
        yield f"    {_UNKNOWN}"
    yield from _row_lines(list(rows(plan)), style)
    for hold in plan.holds:
        reason = f"  ! held    {style.safe(hold.reason)}: {_words(hold.message, style)}"
        yield style.paint(reason, "magenta")
        if advice := hold_advice(hold, plan):
            yield f"            {_words(advice, style)}"
    for warning in plan.warnings:
        yield style.paint(f"  warning: {_words(warning, style)}", "yellow")


def _words(text: str, style: Style) -> str:
    return style.safe(text, _MESSAGE_ROOM)


def _row_lines(listed: list[Row], style: Style) -> Iterator[str]:
    names = [style.safe(row.name, _NAME_ROOM) for row in listed]
    kinds = [style.safe(row.kind) for row in listed]
    kind_column = max(map(cells, kinds), default=0) + 2
    name_column = max((cells(name) for name in names if cells(name) <= _NAME_COLUMN), default=0) + 3
    for row, kind, name in zip(listed, kinds, names, strict=True):
        what = f"{row.symbol} {padded(kind, kind_column)}{padded(name, name_column)}"
        if cells(name) > _NAME_COLUMN:
            what += "   "
        tail = _words(row.tail, style)
        yield "  " + style.paint(what if tail else what.rstrip(), row.colour) + tail
        yield from _field_lines(row.fields, style)


def _field_lines(fields: tuple[FieldChange, ...], style: Style) -> Iterator[str]:
    paths = [style.safe(field.dotted, _NAME_ROOM) for field in fields]
    column = max((cells(path) for path in paths if cells(path) <= _PATH_COLUMN), default=0) + 2
    for field, path in zip(fields, paths, strict=True):
        lead = f"        {padded(path, column)}" + ("  " if cells(path) > _PATH_COLUMN else "")
        room = max(style.width - cells(lead), _VALUE_ROOM) if style.width > 0 else 0
        yield lead + field_text(field, style, room)
