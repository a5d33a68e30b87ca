"""Status and gateways as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from stoa_gitops.report.style import Style, display_width, pad

_MAX_MESSAGE: Final = 500
"""Characters of a gateway's own message that are shown; the JSON has all of it."""

_NONE: Final[Mapping[str, str]] = MappingProxyType({})

_COLOURS: Final = {"ONLINE": "green", "DEGRADED": "yellow", "OFFLINE": "red"}


def json_text(document: Mapping[str, Any] | Sequence[Any]) -> str:
    """Return a document in ASCII with sorted keys, ending with a newline."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def status_text(
    document: Mapping[str, Any], style: Style, *, where: str, memories: Mapping[str, str] = _NONE
) -> str:
    """Return a status; `where` is the address of the process, or the state folder that was read.

    `memories` says of each gateway what the store knows.
    """
    lines = [*_head(document, style, where), *table_lines(document["items"], style, memories)]
    for item in document["items"]:
        lines += _problem_lines(item, style)
    return "\n".join(lines) + "\n"


def _head(document: Mapping[str, Any], style: Style, where: str) -> Iterator[str]:
    if document["source"] == "store":
        yield f"No process runs here; this is what {style.safe(where)} remembers."
    else:
        state = "ready" if document["ready"] else "starting"
        yield f"stoa-gitops {style.safe(document['version'])} at {style.safe(where)}: {state}"
        catalog = document["catalog"]
        revision = style.safe(catalog["revision"] or "not read yet")
        errors, warnings = catalog["errors"], catalog["warnings"]
        yield f"Catalog {revision}: {errors} errors, {warnings} warnings"
        if catalog["unreadable"]:
            message = style.safe(
                f"The catalog cannot be read: {catalog['unreadable']}", _MAX_MESSAGE
            )
            yield style.paint(message, "red")
        # A process of an earlier version says nothing of troubles.
        for trouble in document.get("troubles", ()):
            yield style.paint(style.safe(trouble, _MAX_MESSAGE), "red")
    yield ""


def table_lines(
    items: Sequence[Mapping[str, Any]], style: Style, memories: Mapping[str, str] = _NONE
) -> Iterator[str]:
    """Yield one aligned line for each gateway."""
    if not items:
        yield "No gateways are known."
        return
    # Names and revisions may come from anywhere: what moves a cursor is escaped.
    rows = [[style.safe(cell) for cell in _row(item, memories.get(item["name"]))] for item in items]
    widths = [max(display_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    for item, row in zip(items, rows, strict=True):
        parts = [pad(cell, width) for cell, width in zip(row, widths, strict=True)]
        parts[1] = style.paint(parts[1], _COLOURS.get(item["status"], "cyan"))
        yield "  ".join(parts).rstrip()


def _row(item: Mapping[str, Any], memory: str | None) -> list[str]:
    notes = [memory] if memory else []
    if not item["bound"] and item["type"] is None:
        notes.append("no document known here")
    if item["suspended"]:
        notes.append("suspended")
    recap = item["recap"]
    if recap:
        notes.append(" ".join(f"{name}={number}" for name, number in recap.items() if number))
    kind = ", ".join(word for word in (item["type"], item["environment"]) if word)
    return [item["name"], item["status"], kind or "-", item["revision"] or "-", "; ".join(notes)]


def _problem_lines(item: Mapping[str, Any], style: Style) -> Iterator[str]:
    for condition in item["conditions"]:
        # Suspended is the one condition that is bad when True.
        is_problem = condition["status"] != "True" and condition["type"] != "Suspended"
        is_suspended = condition["status"] == "True" and condition["type"] == "Suspended"
        if is_problem or is_suspended:
            message = f"{item['name']}: {condition['type']} is {condition['status']}"
            yield style.safe(
                f"{message} ({condition['reason']}): {condition['message']}", _MAX_MESSAGE
            )


def _quarantine_line(entry: Mapping[str, Any]) -> str:
    source = entry.get("source")
    where = f" ({source['path']}:{source['line']}:{source['column']})" if source else ""
    return f"Quarantined {entry['key']}{where} since {entry['since']}: {entry['words']}"


def gateway_text(item: Mapping[str, Any], style: Style) -> str:
    """Return one gateway: its line, conditions, quarantine and last cycle."""
    lines = [*table_lines([item], style), f"Objects of ours: {item['objects']}"]
    for condition in item["conditions"]:
        since = condition["lastTransition"]
        message = (
            f"{condition['type']} is {condition['status']} since {since} ({condition['reason']})"
        )
        lines.append(
            style.safe(
                message + (f": {condition['message']}" if condition["message"] else ""),
                _MAX_MESSAGE,
            )
        )
    lines += [style.safe(_quarantine_line(entry), _MAX_MESSAGE) for entry in item["quarantined"]]
    last = item["lastCycle"]
    if last:
        counts = ", ".join(f"{number} {name}" for name, number in sorted(last["outcomes"].items()))
        message = (
            f"Last change {last['finishedAt']} by {last['actor']} at {last['revision']}: {counts}"
        )
        lines.append(style.safe(message, _MAX_MESSAGE))
    return "\n".join(lines) + "\n"
