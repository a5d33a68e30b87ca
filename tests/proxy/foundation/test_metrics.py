"""What a scrape returns: valid text, and few lines whatever clients and upstreams send."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from stoa_proxy.foundation.metric_readings import Reading
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


def counted(requests: list[int]) -> Metrics:
    """Return metrics of one of several processes that had these requests, by seconds."""
    metrics = Metrics()
    for seconds in requests:
        metrics.count_request("GET", 200, seconds)
        metrics.upstream_seconds.observe(seconds)
        metrics.rate_limited += 1
    count = len(requests)
    metrics.add("counter", "c_total", "C.", lambda: [({"of": "a"}, count), ({"of": "b"}, 1)])
    metrics.add("gauge", "g", "G.", lambda: count)
    metrics.add("gauge", "most", "M.", lambda: count, "max", is_private=True)
    metrics.add("gauge", "known", "K.", lambda: 1000, "here")
    return metrics


PROCESSES = st.lists(st.lists(st.integers(0, 20), max_size=8), min_size=1, max_size=4)


@given(PROCESSES)
def test_metrics_of_several_processes_are_those_of_one_that_did_it_all(
    processes: list[list[int]],
) -> None:
    whole = counted([])
    # As they go over the channel.
    readings = [
        Reading.from_json(json.loads(json.dumps(counted(one).read().as_json())))
        for one in processes
    ]
    whole.read_others = lambda: readings
    alone = read(counted([one for requests in processes for one in requests]).render())
    found = read(whole.render(with_private=True))
    for name in alone.keys() - {"c_total"}:
        assert found[name] == alone[name], name
    assert found["c_total"][("b",)] == len(processes) + 1
    assert found["most"][()] == max(len(one) for one in processes)
    assert whole.totals() == (sum(map(len, processes)), 0)


@given(PROCESSES)
def test_counters_of_processes_that_have_ended_do_not_go_back(processes: list[list[int]]) -> None:
    ended = Reading()
    for requests in processes:
        before = ended.families["c_total"].values[(("of", "a"),)] if ended.families else 0
        ended.add(counted(requests).read(), with_gauges=False)
        assert ended.families["c_total"].values[(("of", "a"),)] == before + len(requests)
    assert ended.families.keys() == {"c_total"}
    assert sum(ended.requests.values()) == sum(map(len, processes))
