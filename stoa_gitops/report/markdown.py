"""A plan as Markdown for the comment of a pull request.

Foreign text stands in code spans and fenced blocks only: a description can neither close a fold,
open a table cell, mention a person nor put a link under our name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.counts import counted
from stoa_gitops.model.plan import Plan, PlanSet
from stoa_gitops.report.comment import COMMENT_LIMIT, MARKER, Line, fit
from stoa_gitops.report.escape import code_span, neutralise
from stoa_gitops.report.plan import DIGEST_DIGITS
from stoa_gitops.report.rows import Row, change_row, hold_advice, hold_meanwhile, plan_rows
from stoa_gitops.report.style import Style, display_width, pad
from stoa_gitops.report.summary import (
    Verdict,
    held_count,
    plan_counts,
    plan_totals,
    plan_verdict,
)
from stoa_gitops.report.values import sensitive_text, value_texts

_STYLE: Final = Style(colour=False, width=0, unicode=True)
# Characters of one value, name and message: a single object must not use up the comment.
_VALUE_ROOM: Final = 400
_NAME_ROOM: Final = 200
_MESSAGE_ROOM: Final = 600
_NAME_COLUMN: Final = 48
_FENCE: Final = "```"
_CLOSE: Final = (_FENCE, "", "</details>")


def plan_markdown(plans: PlanSet, *, limit: int = COMMENT_LIMIT, with_created: bool = False) -> str:
    """Return the comment, at most `limit` characters (1,000 or more), ending with a newline."""
    return fit(list(_lines(plans, with_created)), max(limit, 1_000))


def _lines(plans: PlanSet, with_created: bool) -> Iterator[Line]:
    yield Line(MARKER)
    yield Line(f"## {_verdict_heading(plans)}")
    yield Line("")
    yield Line(_under_heading(plans))
    if not plans.plans:
        return
    yield from _table(plans)
    for section in (_urgent(plans), _deletes(plans)):
        if section:
            yield Line("")
            yield from map(Line, section)
    for plan in plans.plans:
        if plan.changes or plan.skipped:
            yield from _fold(plan, with_created)


def _verdict_heading(plans: PlanSet) -> str:
    gateways = counted(len(plans.plans), "gateway")
    match plan_verdict(plans):
        case Verdict.NO_GATEWAY:
            return "Plan: no gateway is selected"
        case Verdict.INCOMPLETE:
            missing = sum(not plan.complete for plan in plans.plans)
            return f"Plan: incomplete, {missing} of {gateways} could not be observed"
        case Verdict.CLEAN:
            return f"Plan: no changes on {gateways}"
        case Verdict.HELD:
            held = sum(map(held_count, plans.plans))
            what = f"{counted(held, 'change')} held" if held else "held"
            return f"Plan: {what}, a person must decide"
        case _:
            return f"Plan: {plan_totals(plans).removesuffix('.')}"


def _under_heading(plans: PlanSet) -> str:
    revision = code_span(plans.revision, _NAME_ROOM)
    if plans.base is not None:
        return f"{revision} against {code_span(plans.base, _NAME_ROOM)}; no gateway was asked."
    of = f"{counted(plans.tenants, 'tenant')}, {counted(len(plans.plans), 'gateway')}"
    text = f"{revision}: {of}."
    if plan_verdict(plans) in (Verdict.INCOMPLETE, Verdict.HELD):
        text += f" {plan_totals(plans)}".rstrip()
    if any(plan.changes for plan in plans.plans):
        text += f" Digest `{plans.digest[:DIGEST_DIGITS]}`."
    return text


def _table(plans: PlanSet) -> Iterator[Line]:
    yield Line("")
    yield Line("| gateway | create | update | delete | adopt | skipped | unchanged |")
    yield Line("|---|--:|--:|--:|--:|--:|--:|")
    for plan in plans.plans:
        numbers: list[object] = ["?"] * (len(Action) + 2)
        if plan.complete:
            counts = [plan.count(action) for action in Action]
            numbers = [*counts, len(plan.skipped), plan.unchanged]
        name = code_span(plan.gateway, _NAME_ROOM, in_table=True)
        yield Line(f"| {name} | {' | '.join(map(str, numbers))} |")


def _urgent(plans: PlanSet) -> list[str]:
    """Return what a reader must see without unfolding anything."""
    lines = []
    for plan in plans.plans:
        name = code_span(plan.gateway, _NAME_ROOM)
        if not plan.complete:
            why = code_span(plan.error or "no reason is known", _MESSAGE_ROOM)
            lines.append(f"- **Not observed: {name}.** What it needs is unknown: {why}")
        for hold in plan.holds:
            lines.append(
                f"- **Held on {name}:** {code_span(hold.message or hold.reason, _MESSAGE_ROOM)}"
            )
            lines[-1] += f", {code_span(hold_meanwhile(hold), _MESSAGE_ROOM)}"
            if advice := hold_advice(hold, plan):
                lines[-1] += f", {code_span(advice, _MESSAGE_ROOM)}"
        lines += [
            f"- Warning on {name}: {code_span(text, _MESSAGE_ROOM)}" for text in plan.warnings
        ]
    return lines


def _deletes(plans: PlanSet) -> list[str]:
    return [
        _delete_line(plan.gateway, change)
        for plan in plans.plans
        for change in plan.changes
        if change.action is Action.DELETE
    ]


def _delete_line(gateway: str, change: Change) -> str:
    name, key = code_span(gateway, _NAME_ROOM), code_span(str(change.key), _NAME_ROOM)
    return f"- **Delete on {name}: {key}**, {code_span(change_row(change).remark, _MESSAGE_ROOM)}"


def _fold(plan: Plan, with_created: bool) -> Iterator[Line]:
    """Yield one `<details>`; its opening is one line here, so that no cut falls into it."""
    name = neutralise(_STYLE.safe(plan.gateway, _NAME_ROOM), is_html=True)
    summary = f"<code>{name}</code>: {plan_counts(plan)}"
    opening = f"\n<details>\n<summary>{summary}</summary>\n\n{_FENCE}diff"
    yield Line(opening, _CLOSE)
    for text in _diff(list(plan_rows(plan, with_created=with_created))):
        yield Line(neutralise(text), _CLOSE)
    for text in _CLOSE[:-1]:
        yield Line(text, _CLOSE[1:] if text else _CLOSE[2:])
    yield Line(_CLOSE[-1])


def _diff(listed: list[Row]) -> Iterator[str]:
    names = [_STYLE.safe(row.name, _NAME_ROOM) for row in listed]
    name_column = (
        max((display_width(n) for n in names if display_width(n) <= _NAME_COLUMN), default=0) + 2
    )
    kind_column = max((display_width(row.kind) for row in listed), default=0) + 2
    for row, name in zip(listed, names, strict=True):
        kind = pad(_STYLE.safe(row.kind, _NAME_ROOM), kind_column)
        tail = _STYLE.safe(row.remark, _MESSAGE_ROOM)
        yield f"{row.symbol} {kind}{pad(name, name_column)}  {tail}".rstrip()
        for field in row.fields:
            path = _STYLE.safe(field.dotted, _NAME_ROOM)
            if field.sensitive:
                yield f"        {path}: {sensitive_text(field)}"
                continue
            before, after = value_texts(field, _STYLE, _VALUE_ROOM)
            if field.before is not None:
                yield f"-       {path}: {before}"
            if field.after is not None:
                yield f"+       {path}: {after}"
