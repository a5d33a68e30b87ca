"""Capabilities and options."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.kong.api.options import options_of
from stoa_gitops.adapters.kong.entities.entity import NodeInfo, Options
from stoa_gitops.adapters.kong.mapping.rules import (
    DECLARED,
    capabilities_of,
    losses,
    path_notes,
    refuse_unsupported,
)
from stoa_gitops.adapters.memory.rules import CAPABILITIES
from stoa_gitops.errors import GatewayRefused
from stoa_gitops.model.keys import API, POLICY, Key
from tests.contract.rig import api
from tests.unit.adapters.kong.specs import NEW, OWNER, PLUGINS

UNSUPPORTED = {
    "fallback", "builtin_echo", "credential:basic", "credential:oauth2", "auth_server", "strategy",
    "global_policy",
    "scope", "alias", "config", "either_credential", "soap", "health_check:active",
    "health_check:passive", "backend_auth:basic", "backend_auth:oauth2_client_credentials",
    "backend_tls",
}  # fmt: skip


def test_a_kong_with_all_plugins_does_what_is_declared() -> None:
    found = capabilities_of(NEW)
    assert found.keys() == DECLARED.keys() == CAPABILITIES.keys()
    # Only `options.paths: parameters` numbers expressions so that there is room for these.
    unsupported = {name for name, one in found.items() if not one.supported}
    assert unsupported == UNSUPPORTED | {"path_parameters"}
    assert {name for name, one in DECLARED.items() if not one.supported} == UNSUPPORTED
    assert all(one.supported or one.reason for one in found.values())


@pytest.mark.parametrize(
    ("plugin", "missing"),
    [
        ("rate-limiting", {"plans", "policy:rate_limit", "policy:quota"}),
        ("request-transformer", {"backend_auth:header", "backend_auth:query", "policy:headers"}),
        ("request-termination", {"inactive", "policy:mock"}),
        ("cors", {"policy:cors"}),
    ],
)
def test_a_plugin_that_is_not_enabled_takes_its_capabilities_along(
    plugin: str, missing: set[str]
) -> None:
    found = capabilities_of(NodeInfo((3, 9, 1), PLUGINS - {plugin}))
    lost = {name for name, one in found.items() if not one.supported} - UNSUPPORTED
    lost.remove("path_parameters")
    assert lost == missing
    assert all(
        found[name].reason == f"the plugin {plugin} is not enabled on this node" for name in lost
    )
    assert all(DECLARED[name].depends for name in lost)


def test_options_have_defaults_and_their_own_spelling() -> None:
    assert options_of({}) == Options()
    redis = {"host": "r.example", "port": 6380, "sslVerify": True, "password": "{vault://env/pw}"}
    found = options_of({
        "counters": "redis", "redis": redis, "paths": "prefix", "adminBodyLimit": "2MiB",
        "jwtKeyClaim": "kid", "jwtNotBefore": "ignored", "adoptTenant": "shop",
    })  # fmt: skip
    held = {"host": "r.example", "port": 6380, "ssl_verify": True, "password": "{vault://env/pw}"}
    assert found == Options("redis", held, "prefix", 2 * 1024 * 1024, "kid", "shop", "ignored")


def test_counters_in_redis_need_to_be_told_which() -> None:
    with pytest.raises(GatewayRefused, match=r"options\.redis"):
        options_of({"counters": "redis"})


def test_what_kong_holds_in_name_only_is_refused() -> None:
    key = Key(POLICY, "acme", "billing.quota")
    config = {"requests": 1, "period": "week", "by": "consumer"}
    spec = ObjectSpec(key, "id", OWNER, {"api": "billing", "type": "quota", "config": config})
    answer = refuse_unsupported(spec, NEW)
    assert answer is not None
    assert answer.reason == "Unsupported"
    assert "week: Kong counts per second" in str(answer.error)
    held = ObjectSpec(key, "id", OWNER, {**spec.value, "config": {**config, "period": "day"}})
    assert refuse_unsupported(held, NEW) is None


def test_what_kong_does_in_part_is_not_refused_here() -> None:
    key = Key(POLICY, "acme", "billing.rate_limit")
    config = {"requests": 1, "window": "1m", "by": "consumer", "burst": 2}
    value = {"api": "billing", "type": "rate_limit", "config": config}
    assert refuse_unsupported(ObjectSpec(key, "id", OWNER, value), NEW) is None


def test_a_version_after_the_last_one_tried_is_said_so() -> None:
    assert not [note for note in path_notes(NEW) if "newer" in note]
    assert [note for note in path_notes(NodeInfo((3, 10, 0), PLUGINS)) if "newer than 3.9" in note]


def test_the_note_says_how_paths_are_written() -> None:
    by_letters = NodeInfo((3, 9, 1), PLUGINS, options=Options(paths="prefix"))
    assert path_notes(NEW)[0] == "paths as regular expressions"
    assert path_notes(by_letters)[0] == "paths by letters"


@pytest.mark.parametrize(
    "auth",
    [
        {"type": "basic", "username": "u", "password": "p"},
        {"type": "oauth2_client_credentials", "tokenUrl": "https://id.example", "clientId": "c"},
    ],
    ids=lambda auth: str(auth["type"]),
)
def test_a_credential_of_another_type_is_left_to_the_capabilities(auth: dict[str, Any]) -> None:
    spec = api("billing")
    spec["backend"] = {**spec["backend"], "auth": auth}
    assert losses(API, spec, None) == ()
