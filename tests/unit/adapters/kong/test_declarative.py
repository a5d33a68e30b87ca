"""decK and declarative files, read as a node with their content would list it.

Whatever they hold, nothing breaks.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stoa_gitops.adapter_sdk.info import VendorExport
from stoa_gitops.adapters.kong.declarative.export import read_export
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.yaml.foreign_text import MAX_BYTES
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.resources import SourceRef

GATEWAY = GatewayInstance("kong-prod", "kong", "prod", "http://k:8001", SourceRef("g.yaml"))

DECK = """\
_format_version: "3.0"
_info:
  select_tags: [tenant:acme]
  defaults:
    service: {retries: 2}
_konnect: {control_plane_name: default}
_plugin_configs:
  limit: {minute: 5, policy: local, limit_by: ip}
x-note: &paths ["~/shop(?:/|$)"]
services:
- name: shop
  url: https://shop.example/v2
  routes:
  - name: shop
    paths: *paths
    regex_priority: 1
  plugins:
  - name: rate-limiting
    _config: limit
    config: {minute: 7}
consumers:
- username: buyer
  keyauth_credentials:
  - key: ${{ env "DECK_BUYER" }}
  - key: plain-key-1
  acls:
  - group: acme.shop
plugins:
- name: prometheus
- name: cors
  service: shop
  config: {origins: ["https://a.example"]}
""".replace("x-note: &paths", "_comment: &paths")


def read(text: str, name: str = "kong.yaml") -> VendorExport:
    return read_export(text.encode(), name, GATEWAY, "default")


def said(export: VendorExport) -> dict[str, Any]:
    return {f"{i['kind']}/{i['tenant']}/{i['name']}": i["spec"] for i in export.items}


def test_nesting_references_shorthands_and_shared_parts_are_written_out() -> None:
    found = said(read(DECK))
    assert found["api/acme/shop"] == {
        "active": True, "plans": [], "kong": None,
        "backend": {"url": "https://shop.example/v2", "timeout": "1m", "retries": 2},
        "routes": [{"path": "/shop", "methods": [], "hosts": [], "stripPath": True}],
    }  # fmt: skip
    assert found["policy/acme/shop.rate_limit"]["config"] == {
        "requests": 7, "window": "1m", "by": "ip",
    }  # fmt: skip
    assert found["policy/acme/shop.cors"]["config"]["origins"] == ["https://a.example"]
    assert found["application/acme/buyer"]["subscriptions"] == [{"api": "shop"}]


def test_a_placeholder_of_a_credential_is_a_reference_and_a_value_is_withheld() -> None:
    credentials = said(read(DECK))["application/acme/buyer"]["credentials"]
    assert {json.dumps(one["key"]) for one in credentials} == {
        '{"$secret": "env:DECK_BUYER"}', '{"$secret": ""}',
    }  # fmt: skip
    assert "plain-key-1" not in str(read(DECK))


def test_what_is_not_said_is_listed() -> None:
    words = {one.what for one in read(DECK).unmapped}
    assert {"plugin prometheus", "_konnect of the file"} <= words


def test_a_placeholder_anywhere_else_is_named() -> None:
    text = '_format_version: "3.0"\nservices:\n- name: a\n  host: ${{ env "DECK_HOST" }}\n'
    (found,) = [one for one in read(text).unmapped if "decK" in one.effect]
    assert (found.what, found.field) == ("services[0]", "host")


def test_json_and_yaml_say_the_same() -> None:
    document = {
        "_format_version": "3.0", "_transform": False,
        "services": [{"name": "acme.shop", "host": "s.example", "port": 80, "id": "a" * 8}],
        "routes": [{"paths": ["/"], "service": {"id": "a" * 8}}],
    }  # fmt: skip
    import io

    from ruamel.yaml import YAML

    stream = io.StringIO()
    YAML().dump(document, stream)
    as_json = read(json.dumps(document), "k.json")
    assert as_json.items == read(stream.getvalue()).items
    assert "api/acme/shop" in said(as_json)


@pytest.mark.parametrize(
    ("version", "path", "expected"),
    [("1.1", "/a/\\d+", "~/a/\\d+"), ("2.1", "/a", "/a"), ("1.1", "/a", "/a")],
)
def test_paths_of_old_formats_are_expressions_by_their_looks(
    version: str, path: str, expected: str
) -> None:
    services = [{"name": "a", "host": "h", "routes": [{"name": "r", "paths": [path]}]}]
    export = read(json.dumps({"_format_version": version, "services": services}))
    routes = said(export)["api/default/a"]["routes"]
    left = [one.value for one in export.unmapped if one.field == "routes.r.paths"]
    assert (routes[0]["path"] if routes else json.loads(left[0])[0]) == expected


# Eight levels of ten aliases each: a hundred million values in 400 bytes.
BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


V3 = '_format_version: "3.0"\n'
WRONG_PLUGINS = (
    "[{name: rate-limiting, config: {minute: {a: 1}, limit_by: [1]}},"
    " {name: request-transformer, config: {add: {headers: 5}}}]"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "kong.yaml:1: "),
        (
            V3 + 'services:\n- name: a\n  host: h\n  port: "80"\n',
            "kong.yaml:5: services[0].port: expected a number",
        ),
        (
            '{"_format_version": "3.0",\n "services": [{"name": "a", "host": "h", "port": 1e999}]}',
            "kong.yaml:2: services[0].port: expected a number",
        ),
        (V3 + "services:\n- {name: a}\n", "kong.yaml:3: services[0]: host is missing"),
        (
            V3 + "routes:\n- paths: [/]\n  service: gone\n",
            "kong.yaml:4: routes[0].service: there is no such entity in services",
        ),
        (
            V3 + "services:\n- {name: a, host: h}\n- {name: a, host: h}\n",
            "kong.yaml:4: services[1]: this id, or this name, is declared twice",
        ),
        ('_format_version: "9.9"\n', "kong.yaml:1: _format_version: expected one of 1.1, 2.1, 3.0"),
        ("[1]", "expected a mapping with _format_version"),
        (V3 + "services: {a: 1}\n", "kong.yaml:2: services: expected a list of entities"),
        (
            V3 + "x: !!python/object:os.system {}\n",
            "kong.yaml:2: the tag !!python/object:os.system is not read",
        ),
        (
            V3 + V3,
            "kong.yaml:2: _format_version is written twice in one mapping; first in line 1",
        ),
        (
            V3 + f"services:\n- {{name: a, host: h, plugins: {WRONG_PLUGINS}}}\n",
            "kong.yaml:3: services[0]: a field of it, or of what hangs on it, is not of the type",
        ),
        ("a: " + "[" * 80, "nested deeper than 64 levels"),
        ("{" + '"a":{' * 80 + "}" * 81, "nested deeper than 64 levels"),
        ("a: 1\n---\nb: 1\n", "kong.yaml:2: a second document starts here"),
        (BOMB, "more than 2,000,000 values"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(text)
    assert message in str(caught.value)


def test_a_line_is_told_for_json_too() -> None:
    text = json.dumps({"_format_version": "3.0", "services": [{"name": "a", "host": 5}]}, indent=1)
    with pytest.raises(UsageError, match=r"k\.json:6: services\[0\]\.host: expected a text"):
        read(text, "k.json")


def test_more_bytes_than_are_read_are_refused_unread() -> None:
    with pytest.raises(UsageError, match="split it"):
        read_export(b" " * (MAX_BYTES + 1), "k.yaml", GATEWAY, "default")


def test_a_small_file_that_means_a_large_one_is_refused() -> None:
    document = {
        "_format_version": "3.0",
        "_plugin_configs": {"big": {"origins": ["https://a.example"] * 3_000}},
        "plugins": [{"name": "cors", "_config": "big"} for _ in range(1_000)],
    }
    with pytest.raises(UsageError, match="more than 2,000,000 values come out of it"):
        read(json.dumps(document), "k.json")


scalars = st.none() | st.booleans() | st.integers(-5, 70000) | st.text(max_size=8)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=8), v, max_size=3)
)
NAMES = (
    "name", "host", "port", "paths", "hosts", "methods", "config", "plugins", "routes", "service",
    "tags", "key",
    "keyauth_credentials", "jwt_secrets", "acls", "group", "username", "targets", "target",
    "upstream", "url", "id",
    "healthchecks", "headers", "consumer", "protocols", "_config",
)  # fmt: skip
PLUGINS = (
    "rate-limiting",
    "cors",
    "acl",
    "request-transformer",
    "http-log",
    "proxy-cache",
    "key-auth",
    "jwt",
)
entities = st.recursive(
    st.dictionaries(st.sampled_from(NAMES), values, max_size=6),
    lambda below: st.fixed_dictionaries(
        {"name": st.sampled_from(PLUGINS), "host": st.just("h"), "username": st.just("u")},
        optional={
            name: st.lists(below, max_size=2)
            for name in ("plugins", "routes", "acls", "keyauth_credentials", "targets")
        }
        | {"config": values},
    ),
    max_leaves=6,
)
SORTS = (
    "services",
    "routes",
    "plugins",
    "consumers",
    "upstreams",
    "acls",
    "certificates",
    "consumer_groups",
)


@given(
    st.dictionaries(st.sampled_from(SORTS), st.lists(entities, max_size=3), max_size=3),
    st.booleans(),
)
@example({"consumers": [{"username": "u", "keyauth_credentials": [{}]}]}, False)
@example({"consumers": [{"username": "u", "keyauth_credentials": [{"key": ""}]}]}, False)
@example({"consumers": [{"username": "u", "jwt_secrets": [{"key": "issuer"}]}]}, False)
@example({"consumers": [{"username": "u", "jwt_secrets": [{"secret": "s"}]}]}, True)
def test_whatever_a_file_holds_it_is_read_or_refused_in_words(document: Any, is_old: bool) -> None:
    text = json.dumps({"_format_version": "1.1" if is_old else "3.0", **document})
    words, export = "k.json", VendorExport(())
    try:
        export = read(text, "k.json")
    except UsageError as error:
        words = str(error)
    assert words.startswith("k.json")
    assert all(item["managed"] is False for item in export.items)
