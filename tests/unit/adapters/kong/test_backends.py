"""Several backends as targets of an upstream."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.adapters.kong.entities.entity import ApiParts
from stoa_gitops.adapters.kong.mapping.balancing import balancing_losses, read_targets
from stoa_gitops.adapters.kong.mapping.combinations import combined_losses
from stoa_gitops.adapters.kong.mapping.services import backend_losses, compile_backend
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, Key

KEY = Key(API, "acme", "search")
ONE = {"url": "https://a.internal/v1", "weight": 95}
TWO = [ONE, {"url": "https://b.internal/v1", "weight": 5}]
BACKEND: dict[str, Any] = {
    "url": ONE["url"], "timeout": "1m", "retries": 5, "targets": TWO,
    "loadBalancing": "weighted",
}  # fmt: skip


def beside(url: str) -> dict[str, Any]:
    return {"targets": [ONE, {"url": url, "weight": 1}]}


def compiled(**fields: Any) -> dict[str, list[dict[str, Any]]]:
    api = {"backend": {**BACKEND, **fields}, "plans": []}
    found: dict[str, list[dict[str, Any]]] = {}
    for entity in compile_backend(ApiParts(KEY, "s", api), "default"):
        found.setdefault(entity.type, []).append(entity.tree)
    return found


def test_each_backend_is_a_target_with_its_weight_behind_the_service() -> None:
    found = compiled()
    (service,), (upstream,) = found["services"], found["upstreams"]
    assert service["host"] == upstream["name"] == "acme.search.backends"
    assert (service["protocol"], service["path"]) == ("https", "/v1")
    assert "algorithm" not in upstream, "round robin by weights is what Kong does unasked"
    assert [(one["target"], one["weight"]) for one in found["targets"]] == [
        ("a.internal:443", 95), ("b.internal:443", 5),
    ]  # fmt: skip


def test_the_fewest_connections_are_what_kong_counts_too() -> None:
    (upstream,) = compiled(loadBalancing="least_connections")["upstreams"]
    assert upstream["algorithm"] == "least-connections"


def test_a_target_keeps_its_id_whatever_stands_beside_it() -> None:
    more = [{"url": "https://0.internal/v1", "weight": 1}, *TWO]
    before = {one["target"]: one["id"] for one in compiled()["targets"]}
    after = {one["target"]: one["id"] for one in compiled(targets=more)["targets"]}
    assert before.items() <= after.items()


def test_what_somebody_changed_is_read() -> None:
    found = compiled()
    (upstream,), targets = found["upstreams"], found["targets"]
    targets[1]["weight"] = 50
    targets.append({"target": "evil.example:443"})
    read = read_targets(upstream, targets, "https", 443, "/v1")
    assert [(one["url"], one["weight"]) for one in read["targets"]] == [
        ("https://a.internal/v1", 95), ("https://b.internal/v1", 50),
        ("https://evil.example/v1", 100),
    ]  # fmt: skip
    assert read_targets({**upstream, "tags": []}, targets, "https", 443, "") == {}


@pytest.mark.parametrize(
    ("fields", "word", "at"),
    [
        ({"loadBalancing": "random"}, "in turn or by load", "loadBalancing"),
        (beside("http://b.internal/v1"), "schemes", "targets"),
        (beside("https://b.internal/v2"), "paths", "targets"),
        (beside("https://a.internal:443/v1"), "one host", "targets"),
        (beside("https://b.internal/v1?x"), "query", "targets"),
    ],
)
def test_what_kong_cannot_say_of_several_is_said(
    fields: dict[str, Any], word: str, at: str
) -> None:
    (loss,) = backend_losses({**BACKEND, **fields})
    assert word in loss.message
    assert loss.at == ("backend", at)
    assert not loss.is_partial
    assert not list(balancing_losses(BACKEND))


def test_probes_of_several_https_hosts_by_one_name_are_refused() -> None:
    config = {"failures": 1, "window": "1m", "reset": "1m"}
    breaker = {"circuit_breaker": Spec.of({"type": "circuit_breaker", "config": config})}

    def found(backend: dict[str, Any]) -> list[tuple[Any, ...]]:
        api = {"backend": backend, "routes": [], "plans": []}
        return [loss.at for loss in combined_losses(Spec.of(api), breaker)]

    assert found(BACKEND) == [("policies", "circuit_breaker")]
    plain = [{**one, "url": str(one["url"]).replace("https", "http")} for one in TWO]
    assert found({**BACKEND, "url": plain[0]["url"], "targets": plain}) == []
    assert found({"url": "https://a", "timeout": "1m", "retries": 0}) == []
