"""Several backends as endpoints of one group."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.adapters.gravitee.mapping.backends import (
    backend_losses,
    compile_groups,
    read_backend,
)

ROUTE = {"path": "/a", "methods": [], "hosts": [], "stripPath": True}
BACKEND = {
    "url": "https://a.internal", "timeout": "30s", "retries": 0, "loadBalancing": "weighted",
    "targets": [
        {"url": "https://a.internal", "weight": 95}, {"url": "https://b.internal", "weight": 5},
    ],
}  # fmt: skip


def compiled(**fields: Any) -> dict[str, Any]:
    api = {"backend": {**BACKEND, **fields}, "routes": [ROUTE]}
    return {"endpointGroups": compile_groups(api)}


def test_each_backend_is_an_endpoint_with_its_weight() -> None:
    (group,) = compiled()["endpointGroups"]
    assert group["loadBalancer"] == {"type": "WEIGHTED_ROUND_ROBIN"}
    assert [
        (one["name"], one["weight"], one["configuration"]["target"]) for one in group["endpoints"]
    ] == [("default", 95, "https://a.internal"), ("default-2", 5, "https://b.internal")]
    assert len({one["name"] for one in group["endpoints"]} | {group["name"]}) == 3


def test_a_weight_an_algorithm_and_an_endpoint_that_somebody_changed_show() -> None:
    definition = compiled()
    (group,) = definition["endpointGroups"]
    group["endpoints"][1]["weight"] = 50
    group["loadBalancer"]["type"] = "RANDOM"
    group["endpoints"].append({**group["endpoints"][0], "name": "x", "weight": 9})
    group["endpoints"][2]["configuration"] = {"target": "https://evil.example"}
    backend, _ = read_backend(definition, {}, is_ours=True)
    assert backend["loadBalancing"] == "random"
    assert [(one["url"], one["weight"]) for one in backend["targets"]] == [
        ("https://a.internal", 95), ("https://b.internal", 50), ("https://evil.example", 9),
    ]  # fmt: skip


def test_one_endpoint_is_one_backend_whatever_its_group_says() -> None:
    definition = compiled()
    del definition["endpointGroups"][0]["endpoints"][1:]
    backend, _ = read_backend(definition, {}, is_ours=True)
    assert (backend["url"], "targets" in backend) == ("https://a.internal", False)


@pytest.mark.parametrize(
    ("fields", "route", "word", "at"),
    [
        ({"loadBalancing": "least_connections"}, ROUTE, "in turn", "loadBalancing"),
        (
            {"targets": [*BACKEND["targets"], {"url": "https://c", "weight": 0}]},  # type: ignore[misc]
            ROUTE,
            "a weight of 0",
            "targets",
        ),
        ({"targets": BACKEND["targets"][:1]}, ROUTE, "of one backend", "targets"),  # type: ignore[index]
        (
            {"targets": [*BACKEND["targets"], {"url": "https://{c}", "weight": 1}]},  # type: ignore[misc]
            ROUTE,
            "without braces",
            "targets",
        ),
        ({}, {**ROUTE, "stripPath": False}, "path is kept", "targets"),
    ],
)
def test_what_gravitee_cannot_do_with_several_is_said(
    fields: dict[str, Any], route: dict[str, Any], word: str, at: str
) -> None:
    (loss,) = backend_losses({**BACKEND, **fields}, [route])
    assert word in loss.message
    assert loss.at == ("backend", at)
    assert not loss.is_partial
    assert not list(backend_losses(BACKEND, [ROUTE]))
