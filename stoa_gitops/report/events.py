"""Cycles, events and owned objects as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from stoa_gitops.report.style import Style, display_width, pad

_MAX_MESSAGE: Final = 500
"""Characters of a message that are shown; the JSON has all of it."""

_COLOURS: Final = {
    "failed": "red",
    "blocked": "yellow",
    "quarantined": "red",
    "refused": "red",
    "False": "yellow",
}


def event_line(event: Mapping[str, Any], style: Style) -> str:
    """Return one event on a line: time, gateway, status, what happened and who did it."""
    status = str(event["status"])
    who = f" by {event['actor']}" if event["actor"] else ""
    parts = [
        style.paint(moment(event["at"]), "dim"),
        pad(style.safe(event["gateway"] or "-"), 12),
        style.paint(pad(status, 8), *([_COLOURS[status]] if status in _COLOURS else [])),
        style.safe(f"{event['message']}{who}", _MAX_MESSAGE),
    ]
    return "  ".join(parts)


def history_lines(cycles: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Yield a line for each cycle, and one with its error below."""
    if not cycles:
        yield "No cycles are known."
        return
    rows = []
    for cycle in cycles:
        counts = ", ".join(f"{n} {name}" for name, n in sorted(cycle["outcomes"].items()))
        outcome = "failed" if cycle["error"] else counts or "nothing to change"
        rows.append(
            [
                f"#{cycle['number']}",
                moment(cycle["finished_at"]),
                cycle["gateway"],
                cycle["revision"],
                outcome,
                f"by {cycle['actor']}",
            ]
        )
    for cycle, line in zip(cycles, _aligned(rows, style), strict=True):
        yield style.paint(line, "red") if cycle["error"] else line
        if cycle["error"]:
            yield f"    {style.safe(cycle['error'], _MAX_MESSAGE)}"


def audit_lines(entries: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Yield a line for each entry of the audit trail."""
    if not entries:
        yield "The audit trail has no such entries."
        return
    names = ("actor", "gateway", "action", "key", "status", "message")
    rows = [
        [moment(entry["at"]), *(str(shown[name])[:_MAX_MESSAGE] for name in names)]
        for entry in entries
        for shown in ({**entry, "key": visible_key(entry["key"])},)
    ]
    yield from _aligned(rows, style)


def visible_key(key: str) -> str:
    """Return the object of an entry; empty for a key that only gives registrations their share.

    Its second part begins with a hyphen, as no tenant does.
    """
    return "" if "/-" in key else key


def inventory_lines(items: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Yield a line for each owned object; with its catalog where there are several."""
    if not items:
        yield "Nothing is owned."
        return
    has_owners = len({item["owner"] for item in items}) > 1
    rows = []
    for item in items:
        notes = [name for name in ("adopted", "protected") if item[name]]
        owner = [item["owner"]] if has_owners else []
        rows.append(
            [item["gateway"], *owner, item["key"], item["revision"], item["id"], ", ".join(notes)]
        )
    yield from _aligned(rows, style)


def moment(text: str) -> str:
    """Return a time of JSON to the second, in the zone of the reader's machine."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _aligned(rows: Sequence[Sequence[str]], style: Style) -> Iterator[str]:
    cells = [[style.safe(cell) for cell in row] for row in rows]
    widths = [max(display_width(row[n]) for row in cells) for n in range(len(cells[0]))]
    for row in cells:
        yield "  ".join(pad(c, w) for c, w in zip(row, widths, strict=True)).rstrip()
