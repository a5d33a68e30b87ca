"""Status and gateways as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from stoa_gitops.model.counts import counted
from stoa_gitops.report.events import moment
from stoa_gitops.report.style import Style, display_width, pad

_MAX_MESSAGE: Final = 500
"""Characters of a gateway's own message that are shown; the JSON has all of it."""

_MAX_HOST: Final = 40
_FLAPS: Final = 4
"""Registrations of a gateway within ten minutes from which on it restarts over and over."""

_NONE: Final[Mapping[str, str]] = MappingProxyType({})

_FIGURES: Final = (("routes", "route"), ("policies", "policy"), ("requests", "request"))

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
        errors, warnings = (counted(catalog[f"{noun}s"], noun) for noun in ("error", "warning"))
        more = "; `stoa-gitops validate` names them" if catalog["errors"] else ""
        yield f"Catalog {revision}: {errors}, {warnings}{more}"
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
    """Yield one aligned line for each gateway, by environment where there are several."""
    if not items:
        yield "No gateways are known."
        return
    # Names and revisions may come from anywhere: what moves a cursor is escaped.
    items = sorted(items, key=lambda item: (item["environment"] or "", item["name"]))
    rows = [[style.safe(cell) for cell in _row(item, memories.get(item["name"]))] for item in items]
    widths = [max(display_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    environments = {item["environment"] for item in items}
    group = None
    for item, row in zip(items, rows, strict=True):
        if len(environments) > 1 and item["environment"] != group:
            group = item["environment"]
            yield style.paint(style.safe(group or "no environment known"), "bold")
        parts = [pad(cell, width) for cell, width in zip(row, widths, strict=True)]
        parts[1] = style.paint(parts[1], _COLOURS.get(item["status"], "cyan"))
        yield "  ".join(parts).rstrip()


def _row(item: Mapping[str, Any], memory: str | None) -> list[str]:
    notes = [memory] if memory else []
    if not item["bound"] and item["type"] is None:
        notes.append("no document known here")
    if item["suspended"]:
        notes.append("suspended")
    if any(one["reason"] == "NoGateway" for one in item.get("conditions", ())):
        notes.append("no gateway has registered for it")
    notes += _registration_notes(item)
    recap = item["recap"] or {}
    counts = " ".join(f"{name}={number}" for name, number in recap.items() if number)
    if counts:  # of a gateway without objects all are zero
        notes.append(counts)
    kind = ", ".join(word for word in (item["type"], item["environment"]) if word)
    return [item["name"], item["status"], kind or "-", item["revision"] or "-", "; ".join(notes)]


def _registration_notes(item: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is to be known at once of a gateway that registered itself."""
    # A process of an earlier version says nothing of registrations.
    registration = item.get("registration")
    if not registration:
        return
    if not item["bound"]:
        yield "not bound"
    host = registration["hostname"]
    if not registration["name"].startswith(f"{host.strip().lower()}-"):
        yield f"host {host[:_MAX_HOST]}"  # which its name does not tell
    heard = registration["lastBeatAt"]
    yield f"last heartbeat {_age(heard)}" if heard else "no heartbeat yet"
    if item["status"] == "DEGRADED" and registration["errorRate"] is not None:
        yield f"{registration['errorRate']:.1%} of its latest requests failed"
    if registration["shared"]:
        yield "several processes have this name"
    times = registration.get("registrations", 0)
    if times >= _FLAPS:
        yield f"registered {times} times within 10 min"
    if any(one["reason"] == "NeverAsks" for one in item["conditions"]):
        yield "gets nothing"


def _age(moment: str) -> str:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    return age_text(seconds)


def age_text(seconds: float) -> str:
    """Return how long ago something was, as `3 h ago`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"


def _registration_lines(item: Mapping[str, Any]) -> Iterator[str]:
    registration = item.get("registration")
    if not registration:
        return
    tenant = f", for the tenant {registration['tenant']}" if registration["tenant"] else ""
    yield (
        f"Registered as {registration['name']} by host {registration['hostname']!r}"
        f" ({registration['mode']}, version {registration['version']}{tenant})"
        f" since {moment(registration['registeredAt'])},"
        f" started {moment(registration['startedAt'])}"
    )
    # A process of an earlier version does not say it.
    if registration.get("adminUrl"):
        yield f"Admin API: {registration['adminUrl']}"
    heard = registration["lastBeatAt"]
    if not heard:
        yield "It did not send a heartbeat yet"
        return
    counts = [
        f"{registration[plural]} {noun if registration[plural] == 1 else plural}"
        for plural, noun in _FIGURES
        if registration[plural] is not None
    ]
    if registration["errorRate"] is not None:
        counts.append(f"{registration['errorRate']:.1%} of the latest requests failed")
    if registration["uptime"] is not None:
        counts.append(f"up for {registration['uptime']} s")
    figures = f": {', '.join(counts)}" if counts else ""
    yield f"Last heartbeat {moment(heard)}{figures}"


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
    return f"Quarantined {entry['key']}{where} since {moment(entry['since'])}: {entry['words']}"


def gateway_text(item: Mapping[str, Any], style: Style) -> str:
    """Return one gateway: its line, conditions, quarantine and last cycle."""
    lines = [*table_lines([item], style), f"Objects of ours: {item['objects']}"]
    lines += [style.safe(line, _MAX_MESSAGE) for line in _registration_lines(item)]
    for condition in item["conditions"]:
        since = moment(condition["lastTransition"])
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
            f"Last change {moment(last['finishedAt'])} by {last['actor']} at"
            f" {last['revision']}: {counts}"
        )
        lines.append(style.safe(message, _MAX_MESSAGE))
    return "\n".join(lines) + "\n"
