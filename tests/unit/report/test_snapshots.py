"""Errors of the embedded gateway as text: all that is known, and nothing steers a terminal."""

from __future__ import annotations

from typing import Any

from stoa_gitops.operations.snapshot_views import BackendCallView, DecidedPolicyView, SnapshotView
from stoa_gitops.report.snapshots import snapshots_text
from stoa_gitops.report.style import Style


def snapshot(**fields: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "request_id": "0193", "timestamp": "2026-05-01T12:00:00+00:00", "tenant_id": "acme",
        "api_id": "orders", "route_id": "orders", "consumer_id": "mobile", "method": "GET",
        "path": "/a", "query": "q=[redacted]", "client_address": "192.0.2.1", "status_code": 504,
        "error_category": "backend_failed", "failure": "timeout", "fallback": None,
        "duration_ms": 30000.25, "request_headers": [], "response_headers": [],
        "policies": [
            DecidedPolicyView(type="jwt", id="p", name="n", verdict="passed", waited_ms=12.0),
            DecidedPolicyView(type="mock", id="q", name="n", verdict="not reached", waited_ms=None),
        ],
        "policies_ms": 12.5,
        "calls": [
            BackendCallView(
                upstream="http://b:80/a", status=None, failure="timeout", began_ms=12.5,
                duration_ms=29987.0,
            ),
        ],
        "trace_id": "4bf9",
        **fields,
    }  # fmt: skip
    return SnapshotView(**values).document()


def test_an_error_is_told_from_the_request_to_the_backend() -> None:
    assert snapshots_text([snapshot()], Style()).splitlines()[1:] == [
        "  no answer from a backend: timeout after 30000.2 ms",
        "  tenant   acme",
        "  api      orders",
        "  caller   mobile",
        "  client   192.0.2.1",
        "  trace    4bf9",
        "  policy   jwt passed, waited 12.0 ms",
        "  policy   mock not reached",
        "  backend  http://b:80/a: timeout after 29987.0 ms",
        "  id       0193",
    ]
    assert "504  GET /a?q=[redacted]" in snapshots_text([snapshot()], Style())


def test_two_stand_apart_and_none_is_said() -> None:
    assert snapshots_text([snapshot(), snapshot()], Style()).count("\n\n") == 1
    assert snapshots_text([], Style()) == "No errors are known.\n"


def test_what_a_client_sent_cannot_steer_a_terminal() -> None:
    text = snapshots_text([snapshot(path="/\x1b[2J\n504", client_address="\x07")], Style())
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "/\n" not in text
