"""Snapshots of errors of the embedded gateway, as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.report.events import moment
from stoa_gitops.report.style import Style, display_width, pad

_MAX_TEXT: Final = 500
"""Characters of one value that are shown; the JSON has all of it."""

_WHOSE: Final = {
    "backend": "answered by the backend",
    "backend_failed": "no answer from a backend",
    "policy": "answered by a policy",
    "gateway": "answered by the gateway",
    "no_route": "no route was found",
}


def snapshots_text(items: Sequence[Mapping[str, Any]], style: Style) -> str:
    """Return items of `/v1/snapshots`, an empty line between two."""
    if not items:
        return "No errors are known.\n"
    return "\n".join("\n".join(_lines(one, style)) + "\n" for one in items)


def _lines(item: Mapping[str, Any], style: Style) -> Iterator[str]:
    status = style.paint(str(item["statusCode"]), "red")
    query = f"?{item['query']}" if item["query"] else ""
    request = style.safe(f"{item['method']} {item['path']}{query}", _MAX_TEXT)
    yield f"{style.paint(moment(item['timestamp']), 'dim')}  {status}  {request}"
    whose = _WHOSE[item["errorCategory"]]
    why = f": {item['failure']}" if item["failure"] else ""
    yield f"  {style.safe(whose + why)} after {item['durationMs']:.1f} ms"
    rows = [
        ("tenant", item["tenantId"]),
        ("api", _named(item["api"], item["apiId"])),
        ("caller", _named(item["consumer"], item["consumerId"] or "")),
    ]
    rows += [("client", item["clientAddress"]), ("trace", item["traceId"] or "")]
    rows += [("policy", _policy(one)) for one in item["policies"]]
    rows += [("backend", _call(one)) for one in item["calls"]]
    rows += [("fallback", item["fallback"] or ""), ("id", item["requestId"])]
    shown = [(name, style.safe(text, _MAX_TEXT)) for name, text in rows if text]
    width = max(display_width(name) for name, _ in shown)
    for name, text in shown:
        yield f"  {pad(name, width)}  {text}"


def _named(name: str, identifier: str) -> str:
    return f"{name} ({identifier})" if name else identifier


def _policy(policy: Mapping[str, Any]) -> str:
    took, waited = policy["durationUs"], policy["waitedMs"]
    shown = "" if took is None else f" in {took / 1000:.3f} ms"
    shown += "" if waited is None else f", waited {waited:.1f} ms"
    return f"{policy['type']} {policy['verdict']}{shown}"


def _call(call: Mapping[str, Any]) -> str:
    outcome = call["status"] if call["failure"] is None else call["failure"]
    return f"{call['upstream']}: {outcome} after {call['durationMs']:.1f} ms"
