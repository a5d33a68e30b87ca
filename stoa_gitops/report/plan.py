"""A plan as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.model.changes import FieldChange
from stoa_gitops.model.plan import Plan, PlanSet
from stoa_gitops.report.rows import Row, hold_advice, hold_meanwhile, plan_rows
from stoa_gitops.report.style import Style, display_width, pad
from stoa_gitops.report.summary import (
    Verdict,
    clean_line,
    incomplete_line,
    no_gateway_line,
    plan_counts,
    plan_heading,
    plan_totals,
    plan_verdict,
)
from stoa_gitops.report.values import field_text

_COUNTS_COLUMN: Final = 68
"""With counts of 32 characters a line fills 100 columns, the width without a terminal."""
_NAME_COLUMN: Final = 48
"""Names up to here share a column; a longer one pushes what follows it."""
_PATH_COLUMN: Final = 40
_VALUE_ROOM: Final = 52
"""Columns that a field's values get at least, on any terminal and after any path."""
_NAME_ROOM: Final = 200
_MESSAGE_ROOM: Final = 1_000
_NOT_OBSERVED: Final = (
    "Not knowing is not the same as no changes: look again when the gateway answers."
)

DIGEST_DIGITS: Final = 8
"""Digits of a digest that are shown, and that `apply --digest` accepts as its name."""


def plan_text(
    plans: PlanSet,
    style: Style,
    *,
    with_created: bool = False,
    with_digest: bool = True,
    saved_as: str = "",
) -> str:
    """Return the plan as text that ends with a newline; it must be written unchanged.

    `with_created` lists the fields of objects that are created, too; `with_digest` says how to
    apply exactly this plan: by the file `saved_as`, or by its digest where there is none.
    """
    lines = plan_lines(
        plans, style, with_created=with_created, with_digest=with_digest, saved_as=saved_as
    )
    return "\n".join(lines) + "\n"


def plan_lines(
    plans: PlanSet,
    style: Style,
    *,
    with_created: bool = False,
    with_digest: bool = True,
    saved_as: str = "",
) -> Iterator[str]:
    """Yield the lines of a plan; one line only for a plan without changes, skips and warnings."""
    outcome = plan_verdict(plans)
    if outcome is Verdict.NO_GATEWAY:
        yield style.safe(no_gateway_line(plans))
        return
    if outcome is Verdict.CLEAN and not any(plan.warnings for plan in plans.plans):
        yield style.paint(style.safe(clean_line(plans)), "green")
        return
    yield style.paint(style.safe(plan_heading(plans)), "bold")
    for plan in plans.plans:
        yield ""
        column = counts_column(plans, style)
        yield from gateway_lines(plan, style, column, with_created=with_created)
    yield ""
    yield from _last_lines(plans, style)
    if with_digest and plans.base is None and any(plan.changes for plan in plans.plans):
        digest = plans.digest[:DIGEST_DIGITS]
        how = style.safe(saved_as, _MESSAGE_ROOM) if saved_as else f"--digest {digest}"
        yield f"Digest {digest}. Apply exactly this plan: stoa-gitops apply {how}"


def _last_lines(plans: PlanSet, style: Style) -> Iterator[str]:
    if line := plan_totals(plans):
        yield line
    if line := incomplete_line(plans):
        yield style.paint(style.safe(line, _MESSAGE_ROOM), "red")


def _title(plan: Plan, style: Style) -> str:
    return f"{style.safe(plan.gateway)}   {style.safe(plan.title or plan.gateway_type, 60)}"


def counts_column(plans: PlanSet, style: Style) -> int:
    """Return the column of every gateway's counts: 68, or less on a narrow terminal."""
    widest = max(display_width(_title(plan, style)) for plan in plans.plans)
    counts = max(len(plan_counts(plan)) for plan in plans.plans)
    wanted = min(_COUNTS_COLUMN, style.width - counts) if style.width > 0 else _COUNTS_COLUMN
    return max(widest + 3, wanted)


def gateway_lines(
    plan: Plan, style: Style, column: int, *, with_created: bool = False
) -> Iterator[str]:
    """Yield the heading of a gateway, its rows, holds and warnings."""
    title, counts = _title(plan, style), plan_counts(plan)
    gap = " " * max(3, column - display_width(title))
    yield (
        style.paint(title, "bold") + gap + (counts if plan.complete else style.paint(counts, "red"))
    )
    if not plan.complete:
        yield style.paint(f"  ! {_message(plan.error or 'no reason is known', style)}", "red")
        yield f"    {_NOT_OBSERVED}"
    yield from _row_lines(list(plan_rows(plan, with_created=with_created)), style)
    for hold in plan.holds:
        reason = f"  ! held    {style.safe(hold.reason)}: {_message(hold.message, style)}"
        yield style.paint(reason, "magenta")
        yield f"            {_message(hold_meanwhile(hold), style)}"
        if advice := hold_advice(hold, plan):
            yield f"            {_message(advice, style)}"
    for warning in plan.warnings:
        yield style.paint(f"  warning: {_message(warning, style)}", "yellow")


def _message(text: str, style: Style) -> str:
    return style.safe(text, _MESSAGE_ROOM)


def _row_lines(listed: list[Row], style: Style) -> Iterator[str]:
    names = [style.safe(row.name, _NAME_ROOM) for row in listed]
    kinds = [style.safe(row.kind) for row in listed]
    kind_column = max(map(display_width, kinds), default=0) + 2
    name_column = (
        max(
            (display_width(name) for name in names if display_width(name) <= _NAME_COLUMN),
            default=0,
        )
        + 3
    )
    for row, kind, name in zip(listed, kinds, names, strict=True):
        what = f"{row.symbol} {pad(kind, kind_column)}{pad(name, name_column)}"
        if display_width(name) > _NAME_COLUMN:
            what += "   "
        tail = _message(row.remark, style)
        yield "  " + style.paint(what if tail else what.rstrip(), row.colour) + tail
        yield from _field_lines(row.fields, style)


def _field_lines(fields: tuple[FieldChange, ...], style: Style) -> Iterator[str]:
    paths = [style.safe(field.dotted, _NAME_ROOM) for field in fields]
    column = (
        max(
            (display_width(path) for path in paths if display_width(path) <= _PATH_COLUMN),
            default=0,
        )
        + 2
    )
    for field, path in zip(fields, paths, strict=True):
        lead = f"        {pad(path, column)}" + ("  " if display_width(path) > _PATH_COLUMN else "")
        # Width 0: output goes to a file or pipe, and no value is cut.
        room = max(style.width - display_width(lead), _VALUE_ROOM) if style.width > 0 else 0
        yield lead + field_text(field, style, room)
