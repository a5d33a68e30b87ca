"""What somebody changed on an object of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity
from stoa_gitops.adapters.kong.mapping.mappers import (
    UnmappedFields,
    api_items,
    application_item,
    compile_api,
    compile_application,
    decompile_api,
    decompile_application,
)
from stoa_gitops.model.secret import Secret
from tests.unit.adapters.kong.specs import BILLING, MOBILE, NEW, OWNER, application_of, parts_of
from tests.unit.adapters.kong.token_keys import P256, P384

Change = Callable[[dict[str, Any]], Any]

API: dict[str, Any] = {
    "active": True,
    "backend": {
        "url": "https://billing.internal", "timeout": "30s", "retries": 2,
        "auth": {"in": "header", "name": "X-Key", "value": Secret("k-1")},
    },
    "routes": [
        {"path": path, "methods": [], "hosts": [], "stripPath": True} for path in ("/a", "/b")
    ],
    "plans": [{"name": "gold", "perMinute": 100}],
}  # fmt: skip
POLICIES: dict[str, Any] = {
    "rate_limit": {"requests": 200, "window": "1m", "by": "consumer"},
    "quota": {"requests": 1000, "period": "day", "by": "consumer"},
    "cors": {"origins": ["*"], "credentials": False},
    "circuit_breaker": {"failures": 5, "window": "30s", "reset": "10s"},
    "api_key": {"in": "header", "name": "X-API-Key", "hide": True},
}
PARTS = parts_of(API, POLICIES)
ENTITIES = compile_api(PARTS, NEW, OWNER)


def changed(sort: str, name: str, change: Change) -> list[Entity]:
    """Return the entities after a change of those of a type whose name has an ending."""
    out = []
    for entity in ENTITIES:
        tree = entity.tree
        if entity.type == sort and str(tree.get("name") or tree.get("target")).endswith(name):
            change(tree)
        out.append(Entity.of(entity.type, tree))
    assert out != list(ENTITIES)
    return out


def read(entities: list[Entity]) -> tuple[ApiParts, UnmappedFields]:
    return decompile_api(entities, NEW, OWNER, BILLING)


def put(*path: str, to: Any) -> Change:
    def change(tree: dict[str, Any]) -> None:
        for name in path[:-1]:
            tree = tree.setdefault(name, {})
        tree[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("sort", "name", "change", "left"),
    [
        ("services", "billing", put("enabled", to=False), {"api": {"service.enabled": False}}),
        ("services", "billing", put("write_timeout", to=7), {"api": {"service.write_timeout": 7}}),
        ("services", "billing", put("tls_verify", to=True), {"api": {"service.tls_verify": True}}),
        ("routes", ".1", put("preserve_host", to=True), {"api": {"routes.1.preserve_host": True}}),
        ("routes", ".0", put("regex_priority", to=9), {"api": {"routes.0.regex_priority": 9}}),
        ("routes", ".0", put("paths", to=["/a"]), {"api": {"paths": "prefix"}}),
        ("upstreams", "upstream", put("slots", to=99), {"api": {"upstream.slots": 99}}),
        ("upstreams", "upstream", put("healthchecks", "active", "unhealthy", "interval", to=0),
         {"api": {"upstream.healthchecks.active.unhealthy.interval": 0}}),
        ("targets", "443", put("weight", to=0), {"api": {"target.weight": 0}}),
        ("plugins", "cors", put("enabled", to=False), {"cors": {"enabled": False}}),
        ("plugins", "cors", put("config", "private_network", to=True),
         {"cors": {"config.private_network": True}}),
        ("plugins", "rate-limiting", put("config", "policy", to="redis"),
         {"rate_limit": {"config.policy": "redis"}}),
        ("plugins", "acl", put("config", "allow", to=["everybody"]),
         {"api": {"plugins.acl.config.allow": ["everybody"]}}),
        ("plugins", "request-transformer", put("config", "add", to={"headers": ["X-Key:k-2"]}),
         {"api": {"plugins.request-transformer.config.add": "another value"}}),
        ("plugins", "key-auth", put("config", "anonymous", to="somebody"),
         {"api_key": {"config.anonymous": "somebody"}}),
    ],
)  # fmt: skip
def test_a_field_that_the_catalog_has_not_is_left(
    sort: str, name: str, change: Change, left: UnmappedFields
) -> None:
    assert read(changed(sort, name, change)) == (PARTS, left)


def test_what_is_left_is_shown_beside_the_spec_of_its_object() -> None:
    parts, left = read(changed("plugins", "cors", put("enabled", to=False)))
    items = {item["name"]: item["spec"] for item in api_items(parts, left, managed=True)}
    assert items["billing.cors"]["kong"] == {"enabled": False}
    assert items["billing"]["kong"] is None
    assert items["billing.quota"]["kong"] is None


def test_the_ids_by_which_objects_are_deleted() -> None:
    items = {item["name"]: item["gateway_id"] for item in api_items(PARTS, {}, managed=True)}
    assert items["billing"] == PARTS.service_id
    assert items["billing.quota"] == f"{PARTS.service_id}/quota"


@pytest.mark.parametrize(
    ("unit", "number", "seen"),
    [
        ("minute", 50, {"rate_limit": 50, "quota": 1000}),
        ("day", 900, {"rate_limit": 200, "quota": 900}),
    ],
)
def test_a_number_that_moved_is_the_policys(unit: str, number: int, seen: dict[str, int]) -> None:
    parts, left = read(changed("plugins", "rate-limiting", put("config", unit, to=number)))
    found = {name: parts.policies[name]["requests"] for name in seen}
    assert (found, left) == (seen, {})


def test_a_window_that_is_gone_is_a_policy_that_is_gone() -> None:
    entities = changed("plugins", "rate-limiting", lambda tree: tree["config"].pop("day"))
    parts, left = read(entities)
    assert "quota" not in parts.policies
    assert parts.policies["rate_limit"] == POLICIES["rate_limit"]
    assert left == {}


def test_another_backend_is_another_url() -> None:
    parts, left = read(changed("targets", "443", put("target", to="evil.example:443")))
    api: Any = parts.api
    assert api["backend"]["url"] == "https://evil.example"
    # The probes of its circuit breaker still name the backend that was written.
    assert left == {"api": {"upstream.healthchecks.active.https_sni": "billing.internal"}}


def test_another_credential_of_the_backend_is_seen_and_not_shown() -> None:
    other = {"headers": ["X-Key:s3cr3t"]}

    def change(tree: dict[str, Any]) -> None:
        tree["config"] = {"add": other, "replace": other}

    parts, left = read(changed("plugins", "request-transformer", change))
    assert left == {"api": {"backend.auth": "another value"}}
    assert "s3cr3t" not in str(api_items(parts, left, managed=True))


def test_a_credential_that_is_gone_is_missing() -> None:
    entities = changed("plugins", "request-transformer", put("config", to={}))
    api: Any = read(entities)[0].api
    assert "auth" not in api["backend"]


def without(sort: str, name: str = "") -> list[Entity]:
    return [e for e in ENTITIES if e.type != sort or name not in str(e.tree.get("name"))]


def test_groups_that_are_let_in_no_more_are_missing() -> None:
    assert read(without("plugins", "acl")) == (PARTS, {"api": {"plugins.acl": "missing"}})


def test_a_target_that_is_gone_is_a_backend_that_is_gone() -> None:
    parts, left = read(without("targets"))
    api: Any = parts.api
    assert api["backend"]["url"] == "https://not-written-yet.invalid"
    sni = {"upstream.healthchecks.active.https_sni": "billing.internal"}
    assert left == {"api": {"target": "missing", **sni}}


def test_an_upstream_that_is_gone_is_a_policy_that_is_gone() -> None:
    parts, left = read(without("upstreams"))
    api: Any = parts.api
    assert api["backend"]["url"] == "https://acme.billing.upstream"
    assert "circuit_breaker" not in parts.policies
    assert left == {"api": {"targets.billing.internal:443": "present"}}


def test_a_route_that_is_gone_leaves_the_others_as_they_are() -> None:
    parts, left = read([e for e in ENTITIES if e.tree.get("name") != "acme.billing.0"])
    api: Any = parts.api
    assert [route["path"] for route in api["routes"]] == ["/b"]
    assert left == {}


def test_a_route_that_is_open_again_is_seen_on_an_inactive_api() -> None:
    entities = compile_api(parts_of({**API, "active": False}, {}), NEW, OWNER)
    closing = [e for e in entities if e.tree.get("route")]
    parts, left = read([e for e in entities if e is not closing[1]])
    api: Any = parts.api
    assert api["active"] is True
    assert left == {"api": {"routes.0.plugins.request-termination": "present"}}


def test_what_others_hang_on_a_service_of_ours_is_theirs() -> None:
    service = {"id": PARTS.service_id}
    others = [
        Entity.of("routes", {"id": "r", "service": service, "paths": ["/theirs"]}),
        Entity.of("plugins", {"id": "p", "name": "mock", "service": service}),
    ]
    assert read([*ENTITIES, *others]) == (PARTS, {})


def test_a_plugin_with_our_mark_that_nobody_asked_for_is_left() -> None:
    tree = {"id": "p", "name": "jwt-signer", "service": {"id": PARTS.service_id}}
    tree["tags"] = ["stoa-managed-by:default"]
    assert read([*ENTITIES, Entity.of("plugins", tree)])[1] == {
        "api": {"plugins.jwt-signer": "present"}
    }


def test_a_second_plugin_of_a_name_is_left() -> None:
    cors = next(entity.tree for entity in ENTITIES if entity.tree.get("name") == "cors")
    assert read([*ENTITIES, Entity.of("plugins", {**cors, "id": "p"})]) == (
        PARTS,
        {"api": {"plugins.cors.p": "present"}},
    )


def test_a_plugin_of_a_consumer_is_the_applications() -> None:
    tree = {"id": "p", "name": "cors", "consumer": {"id": "c"}}
    tree["tags"] = ["stoa-managed-by:default"]
    assert read([*ENTITIES, Entity.of("plugins", tree)]) == (PARTS, {})


def test_edits_that_we_would_refuse_are_told_and_not_raised() -> None:
    edits = put("config", "remove", to={"headers": ["x-key"]})
    _, left = read(changed("plugins", "request-transformer", edits))
    assert "carries the backend's credential" in str(left["api"]["unreadable"])


def test_fields_of_a_newer_kong_are_no_drift() -> None:
    entities = changed("services", "billing", put("brand_new", to=1))
    assert read(entities) == (PARTS, {})


def test_tags_of_others_are_no_drift() -> None:
    entities = changed("plugins", "cors", lambda tree: tree["tags"].append("team:web"))
    assert read(entities) == (PARTS, {})


APPLICATION = application_of({
    "displayName": "M", "identifiers": {},
    "credentials": [
        {"type": "api_key", "key": Secret("k-1")},
        {"type": "jwt", "key": Secret(P256), "clientId": Secret("iss")},
    ],
    "subscriptions": [{"api": "billing", "plan": "gold", "expiresAt": "2027-01-01T00:00:00Z"}],
})  # fmt: skip
MEMBERS = compile_application(APPLICATION, {BILLING: PARTS}, NEW, OWNER)


def read_members(sort: str, change: Change) -> dict[str, Any]:
    out = []
    for entity in MEMBERS:
        tree = entity.tree
        if entity.type == sort:
            change(tree)
        out.append(Entity.of(entity.type, tree))
    parts, left = decompile_application(out, NEW, OWNER, MOBILE)
    return application_item(parts, left, managed=True)["spec"]


def test_another_key_is_a_credential_of_another_sort() -> None:
    spec = read_members("keyauth_credentials", put("key", to="s3cr3t"))
    assert [one["type"] for one in spec["credentials"]] == ["api_key (another key)", "jwt"]
    assert spec["kong"] is None
    assert "s3cr3t" not in str(spec)


def test_another_key_of_tokens_is_a_credential_of_another_sort() -> None:
    spec = read_members("jwt_secrets", put("rsa_public_key", to=P384))
    assert [one["type"] for one in spec["credentials"]] == ["api_key", "jwt (another key)"]


@pytest.mark.parametrize(
    ("sort", "change", "left"),
    [
        ("consumers", put("custom_id", to="c"), {"consumer.custom_id": "c"}),
        ("keyauth_credentials", put("ttl", to=9), {"credentials.0.ttl": 9}),
        ("jwt_secrets", put("algorithm", to="HS512"), {"credentials.1.algorithm": "HS512"}),
        ("plugins", put("config", "minute", to=7), {"limits.acme.billing.config.minute": 7}),
        ("plugins", put("enabled", to=False), {"limits.acme.billing.enabled": False}),
    ],
)
def test_a_field_of_an_application_that_the_catalog_has_not_is_left(
    sort: str, change: Change, left: dict[str, Any]
) -> None:
    assert (read_members(sort, change)["kong"] or {}) == left


def test_a_plugin_of_the_consumer_that_nobody_asked_for_is_left() -> None:
    tree = {"id": "p", "name": "cors", "consumer": {"id": APPLICATION.consumer_id}}
    tree["tags"] = ["stoa-managed-by:default"]
    _, left = decompile_application([*MEMBERS, Entity.of("plugins", tree)], NEW, OWNER, MOBILE)
    assert left == {"application": {"plugins.cors": "present"}}


def test_a_key_that_we_would_refuse_is_told_and_not_raised() -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----"
    spec = read_members("jwt_secrets", put("rsa_public_key", to=pem))
    assert "begins as a public key" in spec["kong"]["credentials.1.key"]


def test_a_limit_that_is_gone_is_missing() -> None:
    rest = [entity for entity in MEMBERS if entity.type != "plugins"]
    _, left = decompile_application(rest, NEW, OWNER, MOBILE)
    assert left == {"application": {"limits.acme.billing": "missing"}}
