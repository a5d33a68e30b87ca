"""How the embedded gateway decided one request, as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.report.style import Style, display_width, pad

_MAX_LINES: Final = 40
_MAX_CHARACTERS: Final = 4000
"""Of a body that is shown; the JSON has what the gateway read of it."""

_COLOURS: Final = {
    "refused": "red",
    "unavailable": "red",
    "answered": "cyan",
    "edited": "cyan",
    "passed": "green",
    "available": "green",
}
_FROM: Final = {
    "backend": "from the backend",
    "fallback": "from the fallback",
    "echo": "from the built-in echo",
    "gateway": "from the gateway",
}


def trace_text(document: Mapping[str, Any], style: Style) -> str:
    """Return a trace (`GatewayAdmin.trace`) line by line."""
    lines = [*_head(document, style), "", *_steps(document, style)]
    lines += [*_upstream(document, style), *_trace(document, style), "", *_answer(document, style)]
    return "\n".join(lines) + "\n"


def _head(document: Mapping[str, Any], style: Style) -> Iterator[str]:
    request, route, consumer = document["request"], document["route"], document["consumer"]
    host = request["host"]
    yield style.paint(
        style.safe(f"{request['method']} {request['path']} at {host or 'no host'}"), "bold"
    )
    if route is None:
        yield "route    none"
        return
    hosts = f" for {', '.join(route['hosts'])}" if route["hosts"] else ""
    asked = [f"{name}: {' or '.join(values)}" for name, values in route.get("headers", {}).items()]
    hosts += f" with {', '.join(asked)}" if asked else ""
    text = f"{route['path']}{hosts} of {route['name']} (tenant {route['tenant']})"
    yield f"route    {style.safe(text)}"
    if consumer is not None:
        yield f"caller   {style.safe(consumer['name'])} (tenant {style.safe(consumer['tenant'])})"


def _steps(document: Mapping[str, Any], style: Style) -> Iterator[str]:
    rows = [
        (
            style.safe(step["hook"]),
            style.safe(step["policy"]["type"]),
            step["verdict"],
            f"{step['milliseconds']:.2f} ms",
            style.safe(step["detail"], 200),
        )
        for step in document["steps"]
    ]
    if not rows:
        yield "  no policy has run"
        return
    widths = [max(display_width(row[n]) for row in rows) for n in range(4)]
    for row in rows:
        cells = [pad(cell, width) for cell, width in zip(row, widths, strict=False)]
        cells[2] = style.paint(cells[2], *([_COLOURS[row[2]]] if row[2] in _COLOURS else []))
        cells[3] = style.paint(cells[3], "dim")
        yield f"  {'  '.join([*cells, row[4]])}".rstrip()


def _upstream(document: Mapping[str, Any], style: Style) -> Iterator[str]:
    upstream, calls = document["upstream"], document["calls"]
    if upstream is None:
        return
    yield ""
    if not document["sent"]:
        yield f"backend  {style.safe(upstream['url'])}, which was not called"
        return
    if not calls:
        yield f"backend  {style.safe(upstream['url'])}"
    for call in calls:
        outcome = call["status"] if call["failure"] is None else call["failure"]
        text = f"{call['upstream']}: {outcome} after {call['milliseconds']:.1f} ms"
        yield f"backend  {style.safe(text)}"
    if document["fallback"]:
        yield f"fallback {style.safe(document['fallback'])}"


def _trace(document: Mapping[str, Any], style: Style) -> Iterator[str]:
    # A gateway of an older version says nothing of it.
    trace = document.get("trace")
    if trace is not None:
        origin = "of the caller" if trace["continued"] else "begun here"
        recorded = "recorded" if trace["recorded"] else "not recorded"
        yield f"trace    {style.safe(trace['trace_id'])}, {origin}, {recorded}"


def _answer(document: Mapping[str, Any], style: Style) -> Iterator[str]:
    answer = document["answer"]
    if answer is None:
        yield "The request would be sent to the backend."
        return
    policy = answer["policy"]
    source = f"from the policy {policy['type']}" if policy else _FROM[answer["source"]]
    verb = "answer  " if document["sent"] else "would be"
    status = style.paint(str(answer["status"]), "red" if answer["status"] >= 400 else "green")
    yield f"{verb} {status} {style.safe(source)} after {document['milliseconds']:.1f} ms"
    for name, value in answer["headers"]:
        yield style.paint(f"         {style.safe(name)}: {style.safe(value, 200)}", "dim")
    yield from _body(answer, style)


def _body(answer: Mapping[str, Any], style: Style) -> Iterator[str]:
    text = answer["body"]
    if not text:
        return
    yield ""
    if answer["body_encoding"] != "utf-8":
        yield "(a body that is no text: --output json has it in Base64)"
        return
    lines = text[:_MAX_CHARACTERS].splitlines()
    yield from map(style.safe, lines[:_MAX_LINES])
    if len(lines) > _MAX_LINES or len(text) > _MAX_CHARACTERS or answer["body_cut"]:
        yield style.paint(f"{style.mark} more of it: --output json", "dim")
