"""Who may call what by a file: keys, tokens and groups become subscriptions."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.adapters.kong.declarative.export import read_export
from stoa_gitops.model.keys import API, APPLICATION
from tests.unit.adapters.kong.test_declarative import GATEWAY

FILE = """\
_format_version: "3.0"
services:
  - name: orders
    url: https://orders.example
    routes: [{name: orders, paths: [/orders]}]
    plugins: [PLUGINS]
consumers:
  - username: partner
    keyauth_credentials: [{key: aaaaaaaaaaaa}]
    acls: [{group: partners}, {group: others}]
  - {username: other, keyauth_credentials: [{key: bbbbbbbbbbbb}]}
  - username: token
    jwt_secrets: [{key: c, secret: cccccccccccccccccccccccccccccccc}]
    acls: [{group: partners}]
  - {username: globex.far, keyauth_credentials: [{key: dddddddddddd}]}
"""


def implied(plugins: str) -> tuple[dict[str, Any], dict[str, list[str]], set[tuple[str, str]]]:
    """The spec of the API, subscriptions by application, and (object, field) of what is left."""
    export = read_export(FILE.replace("PLUGINS", plugins).encode(), "k.yaml", GATEWAY, "default")
    assert export.implied is not None
    api: dict[str, Any] = {}
    subscriptions: dict[str, list[str]] = {}
    for item in export.implied.items:
        spec: Any = item["spec"]
        if item["kind"] == API:
            api = spec
        elif item["kind"] == APPLICATION:
            subscriptions[item["name"]] = [one["api"] for one in spec["subscriptions"]]
    left = {(one.key.name, one.field) for one in export.implied.unmapped if one.key is not None}
    return api, {name: apis for name, apis in subscriptions.items() if apis}, left


def test_whoever_a_plugin_knows_may_call() -> None:
    api, subscriptions, _ = implied("{name: key-auth}")
    assert subscriptions == {
        "partner": ["orders"], "other": ["orders"], "far": ["default/orders"],
    }  # fmt: skip
    assert "access" not in api


@pytest.mark.parametrize(
    ("acl", "callers"),
    [
        ("{allow: [partners]}", ["partner"]),
        ("{whitelist: [partners]}", ["partner"]),
        ("{deny: [partners]}", ["far", "other"]),
        ("{blacklist: [partners]}", ["far", "other"]),
        ("{allow: [nobody]}", []),
        ("{}", []),
    ],
)
def test_groups_say_who_of_them(acl: str, callers: list[str]) -> None:
    api, subscriptions, left = implied(f"{{name: key-auth}}, {{name: acl, config: {acl}}}")
    assert sorted(subscriptions) == callers
    assert api["access"] == "subscribed"
    is_listed = any(field.startswith("plugins.acl") for _, field in left)
    assert is_listed is ("far" in callers)  # who needs a consent to subscribe is not said


def test_a_group_that_no_service_names_stays_listed() -> None:
    _, _, left = implied("{name: key-auth}, {name: acl, config: {allow: [partners]}}")
    groups = {field for name, field in left if name == "partner"}
    assert "groups.others" in groups
    assert "groups.partners" not in groups


def test_both_kinds_of_credentials_count() -> None:
    _, subscriptions, _ = implied("{name: key-auth}, {name: jwt}")
    assert sorted(subscriptions) == ["far", "other", "partner", "token"]


@pytest.mark.parametrize(
    "plugins", ["", "{name: cors}", "{name: acl, config: {allow: [partners]}}"]
)
def test_a_service_that_knows_nobody_has_no_subscribers(plugins: str) -> None:
    api, subscriptions, _ = implied(plugins)
    assert (subscriptions, "access" in api) == ({}, False)


def test_a_file_reads_as_a_node_with_its_content_lists() -> None:
    text = FILE.replace("PLUGINS", "{name: key-auth}, {name: acl, config: {allow: [partners]}}")
    export = read_export(text.encode(), "k.yaml", GATEWAY, "default")
    specs: list[Any] = [item["spec"] for item in export.items]
    assert not any(spec.get("subscriptions") or "access" in spec for spec in specs)
