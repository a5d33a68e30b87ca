"""The gateway's own paths without an engine: what each head gets, and what is left to routes."""

from __future__ import annotations

import pytest
from stoa_proxy.admin.api import AdminApi
from stoa_proxy.admin.store import Store
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.problems import Respond
from stoa_proxy.foundation.metrics import Metrics
from stoa_proxy.http.heads import Headers, RequestHead, lower_names
from stoa_proxy.own_paths import AdminCall, OwnPaths

from tests.proxy.conftest import TOKEN, FakeClock

AUTHORIZED = (("Authorization", f"Bearer {TOKEN}"),)


@pytest.fixture
def own_paths() -> OwnPaths:
    admin = AdminApi(ProxyConfig(admin_api_token=TOKEN), Store(), FakeClock())
    metrics = Metrics()
    metrics.count_request("GET", 200, 0.02)
    return OwnPaths(admin, metrics, max_admin_body=10)


def head(target: str, method: str = "GET", headers: Headers = ()) -> RequestHead:
    return RequestHead(method, target, headers, lower_names(headers), "192.0.2.1")


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/a",
        "/administration",
        "/healthy",
        "/ready/x",
        "/health/x",
        "/x/admin",
        "/a?/health",
        "/metrics/x",
        "/metricsx",
    ],
)
def test_other_paths_are_left_to_routes(own_paths: OwnPaths, target: str) -> None:
    assert own_paths.respond(head(target)) is None


@pytest.mark.parametrize("target", ["/health", "/health/live", "/health?x=1", "http://h/health"])
def test_health_is_200_whatever_the_state(own_paths: OwnPaths, target: str) -> None:
    own_paths.is_draining = True
    own_paths.is_ready = lambda: False
    response = own_paths.respond(head(target))
    assert isinstance(response, Respond)
    assert (response.status, response.body) == (200, b"OK")


@pytest.mark.parametrize(
    ("is_ready", "is_draining", "status", "body"),
    [
        (True, False, 200, b"READY"),
        (False, False, 503, b"NOT READY: not configured yet"),
        (True, True, 503, b"NOT READY: draining"),
        (False, True, 503, b"NOT READY: draining"),
    ],
)
def test_ready_tells_the_state(
    own_paths: OwnPaths, is_ready: bool, is_draining: bool, status: int, body: bytes
) -> None:
    own_paths.is_ready = lambda: is_ready
    own_paths.is_draining = is_draining
    for target in ("/ready", "/health/ready"):
        response = own_paths.respond(head(target))
        assert isinstance(response, Respond)
        assert (response.status, response.body) == (status, body)


def test_health_takes_get_and_head_only(own_paths: OwnPaths) -> None:
    response = own_paths.respond(head("/ready", "POST"))
    assert isinstance(response, Respond)
    assert (response.status, dict(response.headers)["Allow"]) == (405, "GET,HEAD")


@pytest.mark.parametrize("target", ["/admin", "/admin/apis", "/admin/nothing"])
def test_an_admin_request_is_refused_before_its_body_is_read(
    own_paths: OwnPaths, target: str
) -> None:
    response = own_paths.respond(head(target, "POST"))
    assert isinstance(response, Respond)
    assert response.status == 401


def test_an_authorized_admin_request_is_completed_with_its_body(own_paths: OwnPaths) -> None:
    call = own_paths.respond(head("http://any.test/admin/apis?x=1", "GET", AUTHORIZED))
    assert isinstance(call, AdminCall)
    assert call.head.target == "/admin/apis?x=1"
    assert own_paths.complete(call, b"").body == b"[]"


@pytest.mark.parametrize(("body", "is_cut"), [(b"x" * 11, False), (b"x" * 10, True)])
def test_an_admin_body_that_is_too_large_is_413(
    own_paths: OwnPaths, body: bytes, is_cut: bool
) -> None:
    call = own_paths.respond(head("/admin/apis", "POST", AUTHORIZED))
    assert isinstance(call, AdminCall)
    assert own_paths.complete(call, body, is_cut=is_cut).status == 413


def test_an_admin_request_with_its_body_needs_the_token_too(own_paths: OwnPaths) -> None:
    assert own_paths.administer(head("/admin/health"), b"").status == 401
    assert own_paths.administer(head("/admin/health", "GET", AUTHORIZED), b"").status == 200


def test_metrics_are_read_without_a_token(own_paths: OwnPaths) -> None:
    found = own_paths.respond(head("/metrics?x"))
    assert isinstance(found, Respond)
    assert found.status == 200
    assert b'stoa_http_requests_total{method="GET",status="200"} 1\n' in found.body
    refused = own_paths.respond(head("/metrics", "POST"))
    assert isinstance(refused, Respond)
    assert refused.status == 405
