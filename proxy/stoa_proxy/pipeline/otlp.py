"""Spans as OTLP has them in JSON (opentelemetry-proto 1.x, `ExportTraceServiceRequest`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii

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
    """Return one span; ids are hexadecimal, 64-bit numbers are texts (OTLP, "JSON Protobuf").

    Written part by part: `json.dumps` of the same takes three times as long.
    """
    attributes = ",".join([_encode_attribute(name, value) for name, value in span.attributes])
    parent = f'"parentSpanId":"{span.parent_id}",' if span.parent_id else ""
    state = f'"traceState":{_quoted(span.state)},' if span.state else ""
    status = f'{{"code":{_ERROR}}}' if span.is_error else "{}"
    return (
        f'{{"traceId":"{span.trace_id}","spanId":"{span.span_id}",{parent}{state}'
        f'"name":{_quoted(span.name)},"kind":{span.kind},'
        f'"startTimeUnixNano":"{span.began}","endTimeUnixNano":"{span.ended}",'
        f'"attributes":[{attributes}],"status":{status}}}'
    ).encode()


def _encode_attribute(name: str, value: str | int) -> str:
    shown = f'"intValue":"{value}"' if isinstance(value, int) else f'"stringValue":{_quoted(value)}'
    return f'{{"key":"{name}","value":{{{shown}}}}}'


def rejected_spans(body: bytes) -> tuple[int, str]:
    """Return how many spans a collector says that it refused, and why."""
    try:
        document = json.loads(body) if body else {}
        partial = document.get("partialSuccess") or {}
        return max(0, int(partial.get("rejectedSpans", 0))), str(partial.get("errorMessage", ""))
    except (ValueError, AttributeError, TypeError):
        return 0, ""  # the status says that it took them


def _quoted(text: str) -> str:
    # In ASCII, so that bytes of a path that are no UTF-8 (lone surrogates) can be sent, too.
    return encode_basestring_ascii(text)


def _attribute(name: str, value: str) -> dict[str, object]:
    return {"key": name, "value": {"stringValue": value}}
