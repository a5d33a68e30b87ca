"""Spans as OTLP has them in JSON (opentelemetry-proto 1.x, `ExportTraceServiceRequest`)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from stoa_proxy.pipeline.tracing import Span

_ERROR = 2


def encode_resource(attributes: Iterable[tuple[str, str]], version: str) -> bytes:
    """Return the beginning of a request: what is the same for all spans of a gateway."""
    resource = json.dumps({"attributes": [_attribute(*pair) for pair in attributes]})
    scope = json.dumps({"name": "stoa_proxy", "version": version})
    scopes = f'[{{"scope":{scope},"spans":['
    return f'{{"resourceSpans":[{{"resource":{resource},"scopeSpans":{scopes}'.encode()


END = b"]}]}]}"
"""The end of a request, behind spans that are joined by commas."""


def encode_span(span: Span) -> bytes:
    """Return one span; ids are hexadecimal, 64-bit numbers are texts (OTLP, "JSON Protobuf")."""
    fields: dict[str, object] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.began),
        "endTimeUnixNano": str(span.ended),
        "attributes": [_attribute(*pair) for pair in span.attributes],
        "status": {"code": _ERROR} if span.is_error else {},
    }
    if span.parent_id:
        fields["parentSpanId"] = span.parent_id
    if span.state:
        fields["traceState"] = span.state
    return json.dumps(fields, separators=(",", ":")).encode()


def rejected_spans(body: bytes) -> tuple[int, str]:
    """Return how many spans a collector says that it refused, and why."""
    try:
        document = json.loads(body) if body else {}
        partial = document.get("partialSuccess") or {}
        return max(0, int(partial.get("rejectedSpans", 0))), str(partial.get("errorMessage", ""))
    except (ValueError, AttributeError, TypeError):
        return 0, ""  # the status says that it took them


def _attribute(name: str, value: str | int) -> dict[str, object]:
    shown = {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}
    return {"key": name, "value": shown}
