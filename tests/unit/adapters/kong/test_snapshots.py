"""The entities of each policy type, and what `render` shows, as files in review."""

from __future__ import annotations

import json
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.kong.entities.entity import NodeInfo, Options
from stoa_gitops.adapters.kong.mapping.mappers import compile_api, compile_application
from stoa_gitops.adapters.kong.rendering import render_object
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.secret import Secret
from tests.unit.adapters.kong.specs import NEW, OLD, OWNER, PLUGINS, REDIS, application_of, parts_of
from tests.unit.adapters.kong.token_keys import P256

BILLING: dict[str, Any] = {
    "displayName": "Billing", "version": "1", "active": True,
    "backend": {
        "url": "https://billing.internal/v2", "timeout": "30s", "retries": 0,
        "auth": {"in": "header", "name": "X-Api-Key", "value": Secret("env:BILLING_KEY")},
    },
    "routes": [
        {"path": "/apis/acme/billing", "methods": [], "hosts": [], "stripPath": True},
        {"path": "/v1.0", "methods": ["GET"], "hosts": ["api.example"], "stripPath": False},
    ],
    "plans": [{"name": "gold", "perSecond": 10, "perMonth": 100000}, {"name": "open"}],
}  # fmt: skip
MOBILE: dict[str, Any] = {
    "displayName": "Mobile", "identifiers": {},
    "credentials": [
        {"type": "api_key", "key": Secret("env:MOBILE_KEY")},
        {"type": "jwt", "key": Secret("env:JWT_KEY"), "clientId": Secret("env:JWT_ISSUER")},
    ],
    "subscriptions": [{"api": "billing", "plan": "gold", "expiresAt": "2027-01-01T00:00:00Z"}],
}  # fmt: skip
WITH_KEY = {**MOBILE, "credentials": [
    MOBILE["credentials"][0], {**MOBILE["credentials"][1], "key": Secret(P256)},
]}  # fmt: skip
POLICIES: dict[str, dict[str, Any]] = {
    "rate_limit": {"requests": 100, "window": "1m", "by": "header:X-Client"},
    "quota": {"requests": 5000, "period": "day", "by": "consumer"},
    "cors": {"origins": ["https://app.example"], "methods": ["GET"], "headers": ["X-A"],
             "exposeHeaders": ["X-B"], "credentials": True, "maxAge": "10m"},
    "api_key": {"in": "header", "name": "X-API-Key", "hide": True},
    "jwt": {"issuer": "https://id.example", "audiences": [], "requiredClaims": {},
            "forwardClaims": {}, "clockSkew": "30s"},
    "ip_filter": {"allow": ["10.0.0.0/8"], "deny": ["10.1.0.0/16"]},
    "request_size": {"max": "10MB"},
    "headers": {"request": {"set": {"X-A": "1"}, "add": {"X-B": "2"}, "remove": ["X-C"]},
                "response": {"set": {}, "add": {}, "remove": ["Server"]}},
    "caching": {"ttl": "5m", "methods": ["GET"], "statuses": [200, 404], "varyHeaders": ["Accept"],
                "varyQuery": ["page"]},
    "logging": {"sinks": ["https://logs.example/in", "stdout"], "payloads": False, "redact": []},
    "mock": {"status": 200, "headers": {"Content-Type": "application/json"}, "body": "{}"},
    "retry": {"attempts": 3, "on": ["connect", "timeout"], "backoff": "100ms"},
    "circuit_breaker": {"failures": 5, "window": "30s", "reset": "10s"},
}  # fmt: skip


class JsonFile(SingleFileSnapshotExtension):
    file_extension = "json"
    _write_mode = WriteMode.TEXT


def text_of(tree: object) -> str:
    def shown(value: object) -> object:
        if isinstance(value, Secret):
            return {"$secret": value.reveal()}
        raise TypeError(type(value))

    return json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False, default=shown) + "\n"


def entities_of(policy_type: str, node: NodeInfo) -> str:
    parts = parts_of({**BILLING, "plans": []}, {policy_type: POLICIES[policy_type]})
    entities = compile_api(parts, node, OWNER)
    return text_of([{"type": entity.type, **entity.tree} for entity in entities])


@pytest.mark.parametrize("policy_type", sorted(POLICIES))
def test_policies(policy_type: str, snapshot: SnapshotAssertion) -> None:
    text = entities_of(policy_type, NEW)
    assert text == snapshot(extension_class=JsonFile)
    assert text == entities_of(policy_type, OLD)


@pytest.mark.parametrize("version", [(3, 4, 2), (3, 9, 1)], ids=["3.4.2", "3.9.1"])
def test_counters_in_redis(version: tuple[int, int, int], snapshot: SnapshotAssertion) -> None:
    node = NodeInfo(version, PLUGINS, options=Options("redis", REDIS))
    text = entities_of("rate_limit", node)
    assert text == snapshot(extension_class=JsonFile)


def test_an_inactive_api(snapshot: SnapshotAssertion) -> None:
    entities = compile_api(parts_of({**BILLING, "active": False}, {}), NEW, OWNER)
    text = text_of([{"type": entity.type, **entity.tree} for entity in entities])
    assert text == snapshot(extension_class=JsonFile)


def test_an_application_with_limits(snapshot: SnapshotAssertion) -> None:
    parts = parts_of(BILLING, {})
    entities = compile_application(application_of(WITH_KEY), {parts.key: parts}, NEW, OWNER)
    text = text_of([{"type": entity.type, **entity.tree} for entity in entities])
    assert text == snapshot(extension_class=JsonFile)


def spec_of(kind: str, name: str, value: dict[str, Any]) -> ObjectSpec:
    key = Key(kind, "acme", name)
    return ObjectSpec(key, key.identifier(OWNER), OWNER, value)


def policy_of(policy_type: str) -> ObjectSpec:
    value = {"api": "billing", "type": policy_type, "config": POLICIES[policy_type]}
    return spec_of(POLICY, f"billing.{policy_type}", {**value, "priority": 100})


RENDERED = {
    "api": spec_of(API, "billing", BILLING),
    "application": spec_of(APPLICATION, "mobile", MOBILE),
    **{f"policy-{n}": policy_of(n) for n in ("api_key", "circuit_breaker", "cors", "retry")},
}


@pytest.mark.parametrize("spec", RENDERED.values(), ids=RENDERED)
def test_rendering(spec: ObjectSpec, snapshot: SnapshotAssertion) -> None:
    assert text_of(render_object(spec)) == snapshot(extension_class=JsonFile)


def test_a_rendered_policy_shows_no_stand_in_for_its_api() -> None:
    spec = spec_of(
        POLICY, "billing.cors", {"api": "billing", "type": "cors", "config": POLICIES["cors"]}
    )
    assert render_object(spec).keys() == {"plugins"}
