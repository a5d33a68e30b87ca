"""Every route, its errors as problems, and the description that openapi.json gives of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from stoa_gitops.control import openapi
from stoa_gitops.control.api import ROUTES
from stoa_gitops.control.app import build
from stoa_gitops.control.auth import Access
from stoa_gitops.control.hosts import HostNames
from stoa_gitops.control.process_port import UsageAsked
from stoa_gitops.errors import StoreError
from stoa_gitops.model.secret import Secret
from tests.unit.control.conftest import TOKEN, Served, make_shares

PLAN = json.loads((Path(__file__).parents[3] / "schemas/output/plan.json").read_text())
CLOSED = [route for route in ROUTES if route.access in (Access.BEARER, Access.TENANT)]
OWN = [route for route in ROUTES if not route.is_lenient]
"""Routes for people and programs; those of STOA's gateways are in test_internal.py."""


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check an error answer and return its document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


def path_of(path: str) -> str:
    return path.replace("{name}", "a")


async def test_openapi_is_valid_and_is_what_is_served(served: Served) -> None:
    document = (await served.get("/openapi.json")).json()
    assert document == json.loads(json.dumps(openapi.document()))
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_parameters_are_described_as_they_are_checked() -> None:
    operation = openapi.document()["paths"]["/v1/audit"]["get"]
    assert [(p["name"], p["schema"]) for p in operation["parameters"]] == [
        ("gateway", {"type": "string", "maxLength": 63}),
        ("limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}),
        ("cursor", {"type": "string", "maxLength": 200}),
    ]


async def test_every_route_is_in_openapi_and_nothing_else_is(served: Served) -> None:
    served_routes = {
        (route.method.lower(), route.resource.canonical)
        for route in build(make_context(), HostNames(), make_shares()).router.routes()
        if route.resource is not None
        and route.method != "HEAD"
        and not route.resource.canonical.startswith("//")
    }
    described = {
        (method, path) for path, item in openapi.document()["paths"].items() for method in item
    }
    assert served_routes == described == {(r.method.lower(), r.path) for r in ROUTES}


@pytest.mark.parametrize("route", OWN, ids=lambda r: f"{r.method} {r.path}")
async def test_success_is_as_openapi_says(served: Served, route: Any) -> None:
    if route.access is Access.SIGNATURE:
        answer = await served.client.post(
            route.path,
            headers={"X-Gitlab-Token": "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q="},
        )
    else:
        answer = await served.client.request(route.method, path_of(route.path))
    assert answer.status_code == route.success, answer.text
    media, schema = openapi.content(route)
    assert answer.headers["content-type"].startswith(media)
    assert answer.headers["server"] == "stoa-gitops", "no versions are told"
    if schema:
        whole = {**schema, "components": openapi.document()["components"]}
        Draft202012Validator(whole).validate(answer.json())


async def test_a_plan_is_the_document_that_the_command_prints(served: Served) -> None:
    answer = await served.get("/v1/gateways/b/plan")
    assert answer.json()["gateways"][0]["gateway"] == "b"
    assert set(PLAN["required"]) <= set(answer.json())


@pytest.mark.parametrize("route", CLOSED, ids=lambda r: f"{r.method} {r.path}")
@pytest.mark.parametrize(
    "header", ["", "Bearer wrong", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x"]
)
async def test_all_but_the_open_paths_want_the_token(
    served: Served, route: Any, header: str
) -> None:
    answer = await served.client.request(
        route.method, path_of(route.path), headers={"Authorization": header}
    )
    is_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert TOKEN not in answer.text
    assert served.operations.asked == []


async def test_a_token_of_odd_bytes_is_a_wrong_token(served: Served) -> None:
    answer = await served.client.get("/v1/status", headers=[(b"Authorization", b"Bearer \xff\xfe")])
    is_problem(answer, 401)


async def test_a_replaced_token_is_asked_for_at_once(served: Served) -> None:
    served.credentials.token = Secret("another-token")
    assert (await served.get("/v1/status")).status_code == 401
    answer = await served.get("/v1/status", Authorization="Bearer another-token")
    assert answer.status_code == 200


async def test_readiness_says_which_task_of_the_process_does_not_run(served: Served) -> None:
    assert (await served.get("/ready")).status_code == 200
    served.operations.down = ("watching the catalog",)
    answer = await served.get("/ready")
    assert "watching the catalog" in is_problem(answer, 503)["detail"]


async def test_health_is_200_whatever_else_is_wrong(served: Served) -> None:
    served.operations.down = ("watching the catalog",)
    served.operations.is_up = False
    served.operations.fails = StoreError("the disk is full")
    assert (await served.get("/health")).status_code == 200
    assert (await served.client.head("/health")).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_probes_need_no_token(served: Served, path: str) -> None:
    async with httpx.AsyncClient(timeout=30) as stranger:
        answer = await stranger.get(f"http://127.0.0.1:{served.port}{path}")
        assert answer.status_code == 200
        assert (await stranger.head(f"http://127.0.0.1:{served.port}{path}")).status_code == 200


async def test_readiness_is_503_until_every_gateway_had_its_first_cycle(served: Served) -> None:
    served.operations.is_up = False
    assert "first cycle" in is_problem(await served.get("/ready"), 503)["detail"]
    assert (await served.get("/health")).status_code == 200


async def test_metrics_are_prometheus_text_with_the_figures_of_the_process(served: Served) -> None:
    answer = await served.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE stoa_gitops_up gauge\nstoa_gitops_up 1.0\n" in answer.text
    assert 'stoa_gitops_webhooks_total{status="refused"} 0.0' in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/gateways/nope"), ("GET", "/v1/gateways/nope/plan"),
        ("POST", "/v1/gateways/nope/reconcile"), ("POST", "/v1/gateways/nope/suspend"),
        ("POST", "/v1/gateways/nope/resume"),
    ],
)  # fmt: skip
async def test_an_unknown_gateway_is_404_and_names_what_exists(
    served: Served, method: str, path: str
) -> None:
    answer = await served.client.request(method, path)
    assert "there is: a, b, c" in is_problem(answer, 404)["detail"]


async def test_an_unknown_path_is_404_and_names_the_paths(served: Served) -> None:
    assert "/v1/gateways/{name}/plan" in is_problem(await served.get("/v2"), 404)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/status", "GET, HEAD"), ("GET", "/v1/gateways/a/reconcile", "POST"),
        ("PUT", "/v1/webhooks/git", "POST"), ("POST", "/metrics", "GET, HEAD"),
    ],
)  # fmt: skip
async def test_another_method_is_405_with_allow(
    served: Served, method: str, path: str, allow: str
) -> None:
    answer = await served.client.request(method, path)
    is_problem(answer, 405)
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize("route", OWN, ids=lambda r: f"{r.method} {r.path}")
async def test_unknown_query_parameters_are_refused_everywhere(served: Served, route: Any) -> None:
    answer = await served.client.request(route.method, path_of(route.path) + "?forse=true")
    assert "'forse'" in is_problem(answer, 400)["detail"]
    assert served.operations.asked == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "limit=-1", "limit=1&limit=2", "limit=٣"]
)
async def test_a_limit_is_a_number_in_bounds(served: Served, query: str) -> None:
    is_problem(await served.get(f"/v1/gateways?{query}"), 400)
    is_problem(await served.get(f"/v1/audit?{query}"), 400)


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 30])
async def test_an_odd_cursor_is_refused(served: Served, cursor: str) -> None:
    is_problem(await served.get(f"/v1/audit?cursor={cursor}"), 400)


@pytest.mark.parametrize(
    ("path", "field", "expected"),
    [
        ("/v1/gateways", "name", ["a", "b", "c"]),
        ("/v1/audit", "id", [7, 6, 5, 4, 3, 2, 1]),
        ("/v1/snapshots", "requestId", ["7", "6", "5", "4", "3", "2", "1"]),
    ],
)
async def test_pages_follow_each_other_without_gap_or_repetition(
    served: Served, path: str, field: str, expected: list[object]
) -> None:
    found: list[object] = []
    cursor: str | None = ""
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = (await served.get(f"{path}?limit=2{more}")).json()
        assert 1 <= len(page["items"]) <= 2
        found += [entry[field] for entry in page["items"]]
        cursor = page["next"]
    assert found == expected


async def test_errors_are_those_of_whom_is_asked_for(served: Served) -> None:
    (one,) = (await served.get("/v1/snapshots?tenant=beta&api=r9&limit=1")).json()["items"]
    assert (one["tenantId"], one["apiId"], one["statusCode"]) == ("beta", "r9", 502)
    is_problem(await served.get("/v1/snapshots?tenant=nowhere"), 409)
    is_problem(await served.get("/v1/snapshots?tenants=beta"), 400)


async def test_usage_is_that_of_the_hours_and_of_whom_is_asked_for(served: Served) -> None:
    asked = (
        "from=2026-06-01&to=2026-06-02T01:30:00%2B01:30&tenant=beta&api=r9&application=m&by=hour"
        "&gateway=edge"
    )
    answer = await served.get(f"/v1/usage?{asked}")
    (one,) = answer.json()["items"]
    assert (one["tenantId"], one["apiId"], one["applicationId"]) == ("beta", "r9", "m")
    await served.get("/v1/usage")
    first, end = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC)
    assert served.operations.usages == [
        UsageAsked(first, end, "beta", "r9", "m", "edge", is_total=False),
        UsageAsked(None, None, None, None, None, None, is_total=True),
    ]
    is_problem(await served.get("/v1/usage?tenant=nowhere"), 409)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=yesterday", "from and to are times such as"),
        ("from=2026-06-02&to=2026-06-01", "from must be before to"),
        ("to=0001-01-01T00:00:00%2B23:00", "from and to are times of the years"),
        ("by=week", "by: Input should be"),
        ("start=2026-06-01", "start"),
        ("from=2026-06-01&from=2026-06-02", "from"),
    ],
)
async def test_hours_that_make_no_sense_are_400(served: Served, query: str, said: str) -> None:
    answer = await served.get(f"/v1/usage?{query}")
    is_problem(answer, 400)
    assert said in answer.json()["detail"]
    assert served.operations.usages == []


async def test_what_is_asked_reaches_the_process(served: Served) -> None:
    await served.client.post("/v1/gateways/a/reconcile")
    await served.client.post("/v1/gateways/b/suspend", json={"reason": "maintenance"})
    await served.client.post("/v1/gateways/b/resume")
    assert served.operations.asked == [
        ("reconcile", "a", "control from 127.0.0.1"),
        ("suspend", "b", "maintenance"),
        ("resume", "b"),
    ]


async def test_a_contradiction_is_409(served: Served) -> None:
    is_problem(await served.client.post("/v1/gateways/c/resume"), 409)


@pytest.mark.parametrize(
    "body", [b"{", b'{"reson": "x"}', b'{"reason": 1}', b'{"reason": "' + b"x" * 501 + b'"}', b"[]"]
)
async def test_a_body_that_is_not_as_described_is_400_and_does_nothing(
    served: Served, body: bytes
) -> None:
    is_problem(await served.client.post("/v1/gateways/a/suspend", content=body), 400)
    assert served.operations.asked == []


async def test_a_plan_is_forced_by_its_digest(served: Served) -> None:
    path = "/v1/gateways/a/reconcile"
    is_problem(await served.client.post(path, json={"force": "everything"}), 400)
    is_problem(await served.client.post(path, json={"force": True}), 400)
    assert (await served.client.post(path, json={"force": "0123abcd"})).status_code == 202
    assert served.operations.forced == ["0123abcd"]


async def test_a_body_where_none_is_taken_is_400(served: Served) -> None:
    is_problem(await served.client.post("/v1/gateways/a/resume", content=b"{}"), 400)
    assert served.operations.asked == []


async def test_a_large_body_is_413_whether_its_length_is_told_or_not(served: Served) -> None:
    large = b" " * 20_000

    async def untold() -> Any:
        yield large

    path = "/v1/gateways/a/suspend"
    is_problem(await served.client.post(path, content=large), 413)
    is_problem(await served.client.post(path, content=untold()), 413)
    assert served.operations.asked == []


async def test_a_store_that_fails_is_503_with_its_words(served: Served) -> None:
    served.operations.fails = StoreError("the disk is full")
    answer = await served.get("/v1/status")
    assert is_problem(answer, 503)["detail"] == "the disk is full"
    assert int(answer.headers["retry-after"]) > 0


async def test_an_internal_error_is_500_and_shows_nothing_of_itself(served: Served) -> None:
    served.operations.fails = RuntimeError("password=hunter2")
    answer = await served.get("/v1/status")
    is_problem(answer, 500)
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text


def make_context() -> Any:
    from stoa_gitops.control.auth import Credentials
    from stoa_gitops.control.context import ApiContext
    from stoa_gitops.control.metrics import Metrics
    from stoa_gitops.model.secret import Secret
    from tests.unit.control.conftest import NOW, Steered, make_fleet

    credentials = Credentials(Secret(TOKEN))
    return ApiContext(Steered(), Metrics(list), lambda: NOW, credentials, make_fleet()[0])
