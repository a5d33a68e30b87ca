"""Preflights where several APIs share a path: each gives leave for its own methods alone."""

from __future__ import annotations

import pytest

from tests.proxy.conftest import Api, Upstream

ORIGIN = "https://app.test"


async def ask(api: Api, method: str) -> tuple[int, str | None]:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": method}
    answer = await api.send("OPTIONS", "/a", headers)
    return answer.status, answer.headers.get("Access-Control-Allow-Methods")


@pytest.fixture
async def neighbours(api: Api, upstream: Upstream) -> Api:
    """Two APIs on one path; only the one of GET and PUT has CORS."""
    await api.route(upstream.url, id="r2", methods=["GET", "PUT"])
    await api.route(upstream.url, id="r1", methods=["POST", "PUT"])
    await api.policy("cors", {"origins": [ORIGIN]}, api_id="r2")
    return api


async def test_leave_is_not_given_for_the_methods_of_a_neighbour(neighbours: Api) -> None:
    assert await ask(neighbours, "GET") == (204, "GET")
    assert (await ask(neighbours, "POST"))[0] == 405, "its API has no CORS, so it is like any other"
    assert (await ask(neighbours, "PUT"))[0] == 405, "of two that collide the first is called"


async def test_each_api_answers_for_itself(neighbours: Api) -> None:
    await neighbours.policy("cors", {"origins": ["https://other.test"]}, api_id="r1")
    assert await ask(neighbours, "GET") == (204, "GET")
    assert await ask(neighbours, "POST") == (204, None)


async def test_a_preflight_for_an_unknown_method_is_answered_without_naming_it(
    neighbours: Api,
) -> None:
    assert await ask(neighbours, "DELETE") == (204, "GET")
