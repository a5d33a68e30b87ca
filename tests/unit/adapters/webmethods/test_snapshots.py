"""What `render` shows of each policy type, an API and an application, as files in review."""

from __future__ import annotations

import json
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.webmethods.policies import MAPPINGS
from stoa_gitops.adapters.webmethods.rendering import render_object
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.secret import Secret
from tests.contract.test_laws import CONFIGS as LAWS

OWNER = "default"
CONFIGS: dict[str, dict[str, Any]] = {
    **LAWS,
    "headers": {
        "request": {"set": {"X-A": "1"}, "add": {"X-B": "two words"}, "remove": ["X-C"]},
        "response": {"set": {}, "add": {}, "remove": ["X-Powered-By"]},
    },
    "jwt": {
        "issuer": "https://login.example/realms/a", "audiences": [], "requiredClaims": {},
        "jwksUri": "https://login.example/keys", "forwardClaims": {}, "clockSkew": "30s",
    },
    "rate_limit": {"requests": 100, "window": "10s", "by": "consumer"},
}  # fmt: skip
BILLING: dict[str, Any] = {
    "displayName": "Billing", "version": "1", "active": True, "description": "Invoices",
    "backend": {
        "url": "https://billing.internal/v2/", "timeout": "30s", "retries": 0,
        "auth": {"in": "header", "name": "X-Api-Key", "value": Secret("env:BILLING_KEY")},
    },
    "routes": [
        {"path": "/apis/acme/billing", "methods": ["GET"], "hosts": [], "stripPath": True},
        {"path": "/v1.0", "methods": ["GET"], "hosts": [], "stripPath": True},
    ],
    "plans": [{"name": "gold", "perSecond": 10, "perMonth": 100000}, {"name": "open"}],
}  # fmt: skip
MOBILE: dict[str, Any] = {
    "displayName": "Mobile", "identifiers": {}, "owner": "team@acme.example",
    "credentials": [
        {"type": "api_key", "key": Secret("env:MOBILE_KEY")},
        {"type": "jwt", "key": Secret("env:JWT_KEY"), "clientId": Secret("env:JWT_CLIENT")},
    ],
    "subscriptions": [{"api": "billing", "plan": "gold", "expiresAt": "2027-01-01T00:00:00Z"}],
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


def spec_of(kind: str, name: str, value: dict[str, Any]) -> ObjectSpec:
    key = Key(kind, "acme", name)
    return ObjectSpec(key, key.identifier(OWNER), OWNER, value)


def policy_spec(policy_type: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"api": "billing", "type": policy_type, "priority": 100, "config": config}


RENDERED = {
    "api": spec_of(API, "billing", BILLING),
    "application": spec_of(APPLICATION, "mobile", MOBILE),
    **{
        f"policy-{name}": spec_of(POLICY, f"billing.{name}", policy_spec(name, CONFIGS[name]))
        for name in sorted(MAPPINGS)
    },
}


@pytest.mark.parametrize("spec", RENDERED.values(), ids=RENDERED)
def test_rendering(spec: ObjectSpec, snapshot: SnapshotAssertion) -> None:
    text = text_of(render_object(spec))
    assert "not-written-yet" not in text
    assert text == snapshot(extension_class=JsonFile)
