"""An answer of Kong without what Kong fills in."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.adapters.kong.entities.defaults import strip_defaults
from stoa_gitops.adapters.kong.entities.entity import Entity
from tests.unit.adapters.kong.readback import ENTITIES, PLUGINS, read_back
from tests.unit.adapters.kong.specs import NEW, OLD


@pytest.mark.parametrize(
    ("sort", "required"),
    [
        ("services", {"host": "h", "port": 80}), ("routes", {"paths": ["/"]}), ("consumers",
        {"username": "u"}),
        ("upstreams", {"name": "u"}), ("targets", {"target": "h:1"}), ("acls", {"group": "g"}),
        ("keyauth_credentials", {"key": "k"}),
    ],
)  # fmt: skip
def test_nothing_stays_of_what_nobody_sent(sort: str, required: dict[str, Any]) -> None:
    assert strip_defaults(sort, {**ENTITIES[sort], "id": "i", **required}, NEW) == {
        "id": "i",
        **required,
    }


@pytest.mark.parametrize("node", [NEW, OLD], ids=["3.9.1", "3.4.2"])
@pytest.mark.parametrize("name", sorted(PLUGINS["3.9.1"]))
def test_of_a_recorded_plugin_stays_what_was_sent(name: str, node: Any) -> None:
    recorded = PLUGINS[node.text][name]
    tree = {
        **ENTITIES["plugins"],
        "id": "i",
        "name": name,
        **{f: recorded[f] for f in ("config", "protocols")},
    }
    assert strip_defaults("plugins", tree, node).get("config", {}) == recorded["sent"]


def test_a_null_where_kong_has_another_default_means_something() -> None:
    service = strip_defaults(
        "services", {"id": "i", "retries": None, "path": None, "tags": []}, NEW
    )
    assert service == {"id": "i", "retries": None}
    tree = {"id": "i", "name": "cors", "config": {"methods": None, "origins": None}}
    assert strip_defaults("plugins", tree, NEW)["config"] == {"methods": None}


def test_the_config_of_an_unknown_plugin_stays_as_it_is() -> None:
    config = {"a": None, "b": {"c": None}, "redis_host": "h"}
    tree = {"id": "i", "name": "theirs", "enabled": True, "config": config}
    assert strip_defaults("plugins", tree, NEW) == {"id": "i", "name": "theirs", "config": config}


def test_flat_fields_of_redis_are_echoes_since_they_moved() -> None:
    config = {"minute": 1, "redis_host": "h", "redis_port": 6379}
    tree = {"id": "i", "name": "rate-limiting", "config": config}
    assert strip_defaults("plugins", tree, NEW)["config"] == {"minute": 1}
    assert strip_defaults("plugins", tree, OLD)["config"] == {"minute": 1, "redis_host": "h"}


def test_parents_are_named_by_id_in_one_form() -> None:
    tree = {"id": "i", "name": "cors", "service": "s", "route": {"id": "r"}}
    found = strip_defaults("plugins", tree, NEW)
    assert (found["service"], found["route"]) == ({"id": "s"}, {"id": "r"})


def test_the_secret_that_kong_draws_beside_a_public_key_is_not_looked_at() -> None:
    tree = {"id": "i", "key": "k", "rsa_public_key": "pem", "algorithm": "RS256", "secret": "drawn"}
    assert "secret" not in strip_defaults("jwt_secrets", tree, NEW)
    assert (
        strip_defaults("jwt_secrets", {"id": "i", "key": "k", "secret": "s"}, NEW)["secret"] == "s"
    )


def test_protocols_have_no_order() -> None:
    tree = {"id": "i", "paths": ["/"], "protocols": ["https", "http"]}
    assert "protocols" not in strip_defaults("routes", tree, NEW)
    tree = {"id": "i", "name": "cors", "protocols": ["https", "http"]}
    assert strip_defaults("plugins", tree, NEW)["protocols"] == ["http", "https"]


def test_a_read_back_is_more_than_what_was_sent() -> None:
    entity = Entity.of("plugins", {"id": "i", "name": "cors", "config": {"origins": ["*"]}})
    assert len(read_back(entity, NEW)["config"]) > 5
