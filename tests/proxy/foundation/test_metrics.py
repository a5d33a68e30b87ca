"""What a scrape returns: valid text, and few lines whatever clients and upstreams send."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from stoa_proxy.foundation.metrics import MAX_SERIES, Metrics

from tests.proxy.conftest import Api, Upstream


def read(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        assert family.documentation
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@given(st.lists(st.tuples(st.text(max_size=2), st.integers(100, 999), st.floats(0, 100))))
def test_unknown_methods_and_statuses_are_counted_together(
    requests: list[tuple[str, int, float]],
) -> None:
    metrics = Metrics()
    for request in [*requests, ("GET", 200, 0.1)]:
        metrics.count_request(*request)
    found = read(metrics.render())
    assert sum(found["stoa_http_requests_total"].values()) == len(requests) + 1
    assert {method for method, _ in found["stoa_http_requests_total"]} <= {"GET", "other"}
    buckets = list(found["stoa_http_request_duration_seconds_bucket"].values())
    assert buckets == sorted(buckets)
    assert buckets[-1] == found["stoa_http_request_duration_seconds_count"][()] == len(requests) + 1


def test_labels_are_escaped_and_lines_are_bounded() -> None:
    metrics = Metrics()
    metrics.add("gauge", "x", "X.", lambda: (({"tenant": f'"\\\n{n}'}, n) for n in range(9999)))
    found = read(metrics.render())["x"]
    assert len(found) == MAX_SERIES
    assert found[('"\\\n7',)] == 7


async def test_requests_are_counted_by_who_responded(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("rate_limit", {"requests": 2, "window": "60s"})
    for path in ("/a", "/a/x", "/a/y", "/nowhere", "/admin/health", "/health"):
        await api.get(path)
    found = read((await (await api.get("/metrics")).text()).encode())
    assert found["stoa_http_requests_total"] == {
        ("GET", "200"): 2, ("GET", "404"): 1, ("GET", "429"): 1,
    }  # fmt: skip
    assert found["stoa_rate_limit_hits_total"][()] == 1
    assert found["stoa_upstream_latency_seconds_count"][()] == 2
    assert found["stoa_route_reload_routes_loaded"][()] == 1
    assert found["gateway_memory_usage_bytes"][()] > 1e6
