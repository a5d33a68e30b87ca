"""A difference of two revisions, environments or gateways as text, JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from stoa_gitops.model.counts import counted
from stoa_gitops.model.difference import Difference, DifferenceGroup, ObjectDifference
from stoa_gitops.report.comment import COMMENT_LIMIT, Line, fit
from stoa_gitops.report.escape import code_span, neutralise
from stoa_gitops.report.json_values import Tree, field_tree, key_tree, source_tree
from stoa_gitops.report.style import Style, display_width, pad
from stoa_gitops.report.values import SET, field_text, sensitive_text, value_texts

_SYMBOLS: Final = {"added": "+", "removed": "-", "changed": "~"}
_COLOURS: Final = {"added": "green", "removed": "red", "changed": "yellow"}
_PLAIN: Final = Style(colour=False, width=0, unicode=True)
_NAME_ROOM: Final = 200
_VALUE_ROOM: Final = 400
_FENCE: Final = "```"
_CLOSE: Final = (_FENCE, "", "</details>")
_INDENT: Final = 8


def difference_text(difference: Difference, style: Style) -> str:
    """Return a difference for people, each field on a line; ends with a newline."""
    sides = f"{style.safe(difference.before)} and {style.safe(difference.after)}"
    if difference.is_empty:
        same = counted(sum(group.unchanged for group in difference.groups), "object")
        return f"No differences between {sides} ({same}).\n"
    lines = [f"Differences between {sides}"]
    for group in difference.groups:
        if group.objects:
            lines += ["", *_group_lines(group, style)]
    return "\n".join([*lines, "", f"{_totals(difference)}."]) + "\n"


def _group_lines(group: DifferenceGroup, style: Style) -> Iterator[str]:
    if group.gateways:
        yield style.paint(style.safe(", ".join(group.gateways)), "bold")
    width = max(display_width(_name(item, style)) for item in group.objects)
    for item in group.objects:
        head = f"  {_SYMBOLS[item.change]} {pad(_name(item, style), width)}"
        place = style.safe(str(item.after or item.before or ""))
        yield style.paint(f"{head}  {place}".rstrip(), _COLOURS[item.change])
        if item.change == "changed":
            yield from _field_lines(item, style)


def _name(item: ObjectDifference, style: Style) -> str:
    return style.safe(f"{item.key.kind:<11} {item.key.short}")


def _field_lines(item: ObjectDifference, style: Style) -> Iterator[str]:
    width = max(display_width(style.safe(field.dotted)) for field in item.fields)
    room = max(style.width - width - _INDENT - 2, 1) if style.width else 0
    for field in item.fields:
        path = pad(style.safe(field.dotted), width)
        yield f"{' ' * _INDENT}{path}  {field_text(field, style, room)}"


def _totals(difference: Difference) -> str:
    counts = (f"{difference.count(change)} {change}" for change in _SYMBOLS)
    same = sum(group.unchanged for group in difference.groups)
    return f"{', '.join(counts)}, {same} the same"


def difference_document(difference: Difference) -> Tree:
    """Return a difference as `schemas/output/difference.json` has it."""
    return {
        "format_version": "1.0",
        "before": difference.before,
        "after": difference.after,
        "summary": {change: difference.count(change) for change in _SYMBOLS},
        "groups": [
            {
                "gateways": list(group.gateways),
                "unchanged": group.unchanged,
                "objects": [_object_tree(item) for item in group.objects],
            }
            for group in difference.groups
        ],
    }


def _object_tree(item: ObjectDifference) -> Tree:
    # Everything of an object that is on one side only would be a field of it.
    fields = item.fields if item.change == "changed" else ()
    return {
        **key_tree(item.key),
        "change": item.change,
        "before": source_tree(item.before),
        "after": source_tree(item.after),
        "fields": [field_tree(field) for field in fields],
    }


def difference_json(difference: Difference) -> str:
    """Return one document, keys sorted, ending with a newline."""
    document = difference_document(difference)
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"


def difference_markdown(difference: Difference, *, limit: int = COMMENT_LIMIT) -> str:
    """Return a difference for a comment or a page, of at most `limit` characters."""
    return fit(list(_markdown_lines(difference)), max(limit, 1_000))


def _markdown_lines(difference: Difference) -> Iterator[Line]:
    before, after = (code_span(s, _NAME_ROOM) for s in (difference.before, difference.after))
    if difference.is_empty:
        yield Line(f"## No differences between {before} and {after}")
        return
    yield Line(f"## Differences between {before} and {after}")
    yield Line("")
    yield Line(f"{_totals(difference)}.")
    for group in difference.groups:
        if group.objects:
            yield from _markdown_group(group)


def _markdown_group(group: DifferenceGroup) -> Iterator[Line]:
    names = neutralise(_PLAIN.safe(", ".join(group.gateways), _NAME_ROOM), is_html=True)
    title = f"<code>{names}</code>: " if names else ""
    summary = f"{title}{counted(len(group.objects), 'object')}"
    yield Line(f"\n<details>\n<summary>{summary}</summary>\n\n{_FENCE}diff", _CLOSE)
    for item in group.objects:
        for text in _diff_lines(item):
            yield Line(neutralise(text), _CLOSE)
    for number, text in enumerate(_CLOSE):
        yield Line(text, _CLOSE[number + 1 :])


def _diff_lines(item: ObjectDifference) -> Iterator[str]:
    place = _PLAIN.safe(str(item.after or item.before or ""), _NAME_ROOM)
    # A space in the place of `~`, which no viewer of differences knows.
    symbol = _SYMBOLS[item.change].replace("~", " ")
    yield f"{symbol} {_name(item, _PLAIN)}  {place}".rstrip()
    for field in item.fields if item.change == "changed" else ():
        path = _PLAIN.safe(field.dotted, _NAME_ROOM)
        if field.sensitive:
            yield f"        {path}: {sensitive_text(field)}"
            continue
        before, after = value_texts(field, _PLAIN, _VALUE_ROOM)
        if field.before is not None and field.note != SET:
            yield f"-       {path}: {before}"
        if field.after is not None:
            yield f"+       {path}: {after}"
