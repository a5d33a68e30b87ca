"""Errors of the embedded gateway as text: all that is known, and nothing steers a terminal."""

from __future__ import annotations

from typing import Any

from stoa_gitops.operations.snapshot_views import BackendCallView, DecidedPolicyView, SnapshotView
from stoa_gitops.report.snapshots import snapshots_text
from stoa_gitops.report.style import Style


def decided(
    kind: str, verdict: Any, duration_us: float | None, waited_ms: float | None
) -> DecidedPolicyView:
    return DecidedPolicyView(
        type=kind, id="p", name="n", verdict=verdict, duration_us=duration_us, waited_ms=waited_ms
    )


def snapshot(**fields: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "request_id": "0193", "timestamp": "2026-05-01T12:00:00+00:00", "tenant_id": "acme",
        "api_id": "orders", "route_id": "orders", "consumer_id": "mobile", "method": "GET",
        "path": "/a", "query": "q=[redacted]", "client_address": "192.0.2.1", "status_code": 504,
        "error_category": "backend_failed", "failure": "timeout", "fallback": None,
        "duration_ms": 30000.25, "request_headers": [], "response_headers": [],
        "policies": [
            decided("jwt", "passed", 12_345.6, 12.0),
            decided("access", "passed", 2.5, None),
            decided("mock", "not reached", None, None),
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
        "  policy   jwt passed in 12.346 ms, waited 12.0 ms",
        "  policy   access passed in 0.003 ms",
        "  policy   mock not reached",
        "  backend  http://b:80/a: timeout after 29987.0 ms",
        "  id       0193",
    ]
    assert "504  GET /a?q=[redacted]" in snapshots_text([snapshot()], Style())
    named = snapshots_text([snapshot(api="Orders", consumer="app")], Style())
    assert "  api      Orders (orders)\n  caller   app (mobile)\n" in named


def test_two_stand_apart_and_none_is_said() -> None:
    assert snapshots_text([snapshot(), snapshot()], Style()).count("\n\n") == 1
    assert snapshots_text([], Style()) == "No errors are known.\n"


def test_what_a_client_sent_cannot_steer_a_terminal() -> None:
    text = snapshots_text([snapshot(path="/\x1b[2J\n504", client_address="\x07")], Style())
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "/\n" not in text


def test_one_that_an_older_gateway_kept_says_nothing_of_how_long_policies_took() -> None:
    kept = {"type": "jwt", "id": "p", "name": "n", "verdict": "passed", "waited_ms": None}
    shown = snapshot(policies=[DecidedPolicyView.model_validate(kept)])
    assert shown["policies"][0]["durationUs"] is None
    assert "  policy   jwt passed\n" in snapshots_text([shown], Style())
