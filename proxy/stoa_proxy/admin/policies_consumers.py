"""Admin objects: from a body to a value and to what is read back, judged as a whole.

Everything is checked before anything is stored; a refusal names all reasons at once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern

from stoa_proxy.admin.json_body import Body
from stoa_proxy.core.model import Consumer, PolicyEntry, Subscription
from stoa_proxy.errors import ObjectRefused
from stoa_proxy.policies import parse_policy

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
View = Mapping[str, object]

# What is likely to occur in views of policies and consumers, the likeliest last.
POLICY_WORDS = (
    b'{"id":"","name":"","allow":["deny":["status":200,"headers":{"body":"","max":"MiB"}{"origins":["https://"],"methods":["'
    b'GET","POST"],"credentials":true,"maxAge":"exposeHeaders":["request":{"set":{"add":{"remove":["response":{'
    b'"ip_filter","request_size","headers","mock","cors","burst":{"by":"consumer","requests":1000,"window":"1m"}'
    b'rate_limit","policy_type":"api_key","config":{"hide":true,"in":"header","name":"X-API-Key"},'
    b'"priority":100,"api_id":"'
)
CONSUMER_WORDS = (
    b'{"id":"","name":"","tenant_id":"tenant","metadata":{"owner":"credentials":[{"type":"api_key","fingerprint":"'
    b'"}],"subscriptions":[{"api_id":"","plan":"gold","expires_at":null}]}'
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What an instance serves: one tenant's objects, or everybody's."""

    tenant_id: str | None = None

    def judge(self, tenant_id: str) -> list[str]:
        """Messages about a tenant that is not served here."""
        if self.tenant_id is None or not tenant_id.strip() or tenant_id == self.tenant_id:
            return []
        return [f"tenant_id '{tenant_id}' is not served here: only '{self.tenant_id}' is"]


def judge_texts(values: Mapping[str, str]) -> list[str]:
    """Messages about identifying strings that are blank or hold control characters."""
    errors = [f"{name} must not be empty" for name, value in values.items() if not value.strip()]
    errors += [
        f"{name} must not hold control characters"
        for name, value in values.items()
        if value.strip() and _CONTROL.search(value)
    ]
    return errors


def read_policy(body: Body) -> tuple[PolicyEntry, View]:
    """A policy and its view. Raises BodyRefused, ObjectRefused."""
    names = ("id", "name", "policy_type", "api_id")
    texts = {name: body.text(name) for name in names}
    config = body.anything("config")
    priority = body.integer("priority")
    errors = judge_texts(texts)
    if not isinstance(config, dict):
        errors.append("config must be an object")
        config = {}
    elif not errors:
        try:
            parse_policy(texts["policy_type"], texts["id"], config)
        except ValueError as error:
            errors.append(str(error))
    if errors:
        raise ObjectRefused(errors)
    view = {
        "id": texts["id"],
        "name": texts["name"],
        "policy_type": texts["policy_type"],
        "config": config,
        "priority": priority,
        "api_id": texts["api_id"],
    }
    return policy_entry(body), view


def policy_entry(body: Body) -> PolicyEntry:
    """A policy of a body, or of a view, that was judged before. Raises BodyRefused."""
    return PolicyEntry(
        id=body.text("id"),
        name=body.text("name"),
        policy_type=body.text("policy_type"),
        config=body.mapping("config"),
        priority=body.integer("priority"),
        api_id=intern(body.text("api_id")),
    )


def read_consumer(body: Body, scope: Scope) -> tuple[Consumer, View]:
    """A consumer and its view. Raises BodyRefused, ObjectRefused."""
    texts = {name: body.text(name) for name in ("id", "name", "tenant_id")}
    metadata = body.mapping("metadata", {})
    errors = judge_texts(texts) + scope.judge(texts["tenant_id"])
    hashes: list[str] = []
    for item in body.bodies("credentials"):
        errors += _read_credential(item, hashes)
    subscriptions: list[Subscription] = []
    for item in body.bodies("subscriptions"):
        errors += _read_subscription(item, subscriptions)
    if errors:
        raise ObjectRefused(errors)
    consumer = Consumer(
        texts["id"], texts["name"], texts["tenant_id"], tuple(hashes), tuple(subscriptions)
    )
    return consumer, _consumer_view(consumer, metadata, body)


def _consumer_view(consumer: Consumer, metadata: View, body: Body) -> View:
    return {
        "id": consumer.id,
        "name": consumer.name,
        "tenant_id": consumer.tenant_id,
        "metadata": metadata,
        "credentials": [
            {"type": "api_key", "fingerprint": fingerprint(one)} for one in consumer.key_hashes
        ],
        "subscriptions": [
            {
                "api_id": item.text("api_id"),
                "plan": item.optional_text("plan"),
                "expires_at": item.optional_text("expires_at"),
            }
            for item in body.bodies("subscriptions")
        ],
    }


def fingerprint(key_sha256: str) -> str:
    """16 hex digits that name a key's hash without being it."""
    return hashlib.sha256(key_sha256.encode()).hexdigest()[:16]


def _read_credential(item: Body, hashes: list[str]) -> list[str]:
    errors = item.unknown(("type", "key_sha256"))
    if item.text("type") != "api_key":
        return [*errors, f"{item.at('type')} must be 'api_key'"]
    digest = item.text("key_sha256").lower()
    if not _SHA256.fullmatch(digest):
        return [*errors, f"{item.at('key_sha256')} must be 64 hex digits"]
    if digest in hashes:
        return [*errors, f"{item.at('key_sha256')} is listed twice"]
    hashes.append(digest)
    return errors


def _read_subscription(item: Body, found: list[Subscription]) -> list[str]:
    errors = item.unknown(("api_id", "plan", "expires_at"))
    api_id, plan, text = (
        item.text("api_id"),
        item.optional_text("plan"),
        item.optional_text("expires_at"),
    )
    if not api_id.strip():
        errors.append(f"{item.at('api_id')} must not be empty")
    try:
        expires = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        expires = None
        errors.append(f"{item.at('expires_at')} must be a date and time (RFC 3339)")
    if expires is not None and expires.tzinfo is None:
        errors.append(f"{item.at('expires_at')} must name its time zone")
    found.append(Subscription(api_id, plan, expires))
    return errors
