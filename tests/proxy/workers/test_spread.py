"""Responses of several workers that become one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stoa_proxy.core.problems import Respond
from stoa_proxy.workers.spread import is_for_one, is_spread, merge_responses

BREAKER = {
    "name": "api http://b:80", "state": "closed", "success_count": 2, "failure_count": 1,
    "failures_in_window": 1, "open_count": 0, "rejected_count": 0,
}  # fmt: skip
BACKEND = {
    "route_id": "r", "api_id": "a", "tenant_id": "t", "url": "http://b", "weight": 3,
    "healthy": True, "trouble": "", "consecutive_failures": 0, "ejected_seconds": 0.0,
    "selections": 5, "in_flight": 1,
}  # fmt: skip


def merged(target: str, *values: Any, status: int = 200) -> Any:
    responses = [Respond(status, (), json.dumps(value).encode()) for value in values]
    return json.loads(merge_responses(target, responses).body)


def test_breakers_of_one_name_are_one_whose_state_refuses_most() -> None:
    other = {**BREAKER, "state": "open", "failure_count": 4, "open_count": 1}
    third = {**BREAKER, "name": "b http://b:80"}
    assert merged("/admin/circuit-breakers", [BREAKER], [other, third]) == [
        {**BREAKER, "state": "open", "success_count": 4, "failure_count": 5,
         "failures_in_window": 2, "open_count": 1},
        third,
    ]  # fmt: skip


def test_a_backend_is_well_where_all_workers_find_it_well() -> None:
    other = {
        **BACKEND, "healthy": False, "trouble": "timeout", "consecutive_failures": 4,
        "ejected_seconds": 2.5, "selections": 7, "in_flight": 0,
    }  # fmt: skip
    expected = {**other, "selections": 12, "in_flight": 1}
    assert merged("/admin/backends?x", [BACKEND], [other]) == [expected]
    assert merged("/admin/backends", [other], [BACKEND]) == [expected]
    assert merged("/admin/backends", [BACKEND], [BACKEND]) == [
        {**BACKEND, "selections": 10, "in_flight": 2}
    ]


def test_figures_of_the_cache_are_added_up() -> None:
    requests = {"hit": 1, "miss": 2, "collapsed": 0, "revalidated": 1, "stale": 0, "bypass": 5}
    stats = {
        "responses": 1, "bytes": 10, "requests": requests,
        "entry_count": 1, "hits": 2, "misses": 2, "hit_rate": 0.5,
    }  # fmt: skip
    assert merged("/admin/cache/stats", stats, stats) == {
        "responses": 2, "bytes": 20, "requests": {name: 2 * n for name, n in requests.items()},
        "entry_count": 2, "hits": 4, "misses": 4, "hit_rate": 0.5,
    }  # fmt: skip
    cleared = {"status": "ok", "message": "3 responses removed"}
    assert merged("/admin/cache/clear", cleared, cleared)["message"] == "6 responses removed"


def test_what_one_worker_has_is_found() -> None:
    found, missing = Respond(200, (), b"{}"), Respond(404, (), b"no")
    target = "/admin/circuit-breakers/x/reset"
    assert merge_responses(target, [missing, found, found]) == found
    assert merge_responses(target, [missing, missing]) == missing
    assert merge_responses(target, []).status == 503


@pytest.mark.parametrize(
    ("target", "is_asked_of_all", "is_asked_of_one"),
    [
        ("/admin/backends?x=1", True, False),
        ("/admin/cache/stats", True, False),
        ("/admin/trace", True, True),
        ("/admin/apis", False, False),
        ("/admin/backends-of-mine", False, False),
    ],
)
def test_what_workers_keep_for_themselves_is_asked_of_them(
    target: str, is_asked_of_all: bool, is_asked_of_one: bool
) -> None:
    assert is_spread(target) is is_asked_of_all
    assert is_for_one(target) is is_asked_of_one
