"""Parse, validate and serialise consumers of the admin API (`POST /admin/consumers`).

Everything is checked before anything is stored; a refusal names all reasons at once.
"""

from __future__ import annotations

import re
from datetime import datetime

from stoa_proxy.admin.checks import Scope, View, check_texts, fingerprint
from stoa_proxy.admin.json_body import Body
from stoa_proxy.core.model import Consumer, Subscription
from stoa_proxy.errors import ObjectRefused

_SHA256 = re.compile(r"[0-9a-f]{64}")
# As the catalog's schema has them; the schema's test compares.
MAX_CREDENTIALS = 100
MAX_SUBSCRIPTIONS = 10_000
# Types of credentials, and the field that has the SHA-256: of a key, or of the client id by which
# tokens name a consumer.
CREDENTIALS = {"api_key": "key_sha256", "jwt": "client_id_sha256"}


def parse_consumer(body: Body, scope: Scope) -> tuple[Consumer, View]:
    """Return a consumer and its view. Raises BodyRefused, ObjectRefused."""
    texts = {name: body.text(name) for name in ("id", "name", "tenant_id")}
    metadata = body.mapping("metadata", {})
    errors = check_texts(texts) + scope.check_tenant(texts["tenant_id"])
    for name, most in (("credentials", MAX_CREDENTIALS), ("subscriptions", MAX_SUBSCRIPTIONS)):
        if len(body.items(name, [])) > most:
            # Before they are read: a message for each of 70,000 would be longer than the body.
            raise ObjectRefused([*errors, f"{name} must be {most:,} at most"])
    hashes: dict[str, list[str]] = {name: [] for name in CREDENTIALS}
    for item in body.bodies("credentials"):
        errors += _read_credential(item, hashes)
    subscriptions: list[Subscription] = []
    for item in body.bodies("subscriptions"):
        errors += _read_subscription(item, subscriptions)
    if errors:
        raise ObjectRefused(errors)
    consumer = Consumer(
        texts["id"],
        texts["name"],
        texts["tenant_id"],
        tuple(hashes["api_key"]),
        tuple(subscriptions),
        tuple(hashes["jwt"]),
    )
    return consumer, _consumer_view(consumer, metadata, body)


def _consumer_view(consumer: Consumer, metadata: View, body: Body) -> View:
    return {
        "id": consumer.id,
        "name": consumer.name,
        "tenant_id": consumer.tenant_id,
        "metadata": metadata,
        "credentials": [
            {
                "type": item.text("type"),
                "fingerprint": fingerprint(item.text(CREDENTIALS[item.text("type")]).lower()),
            }
            for item in body.bodies("credentials")
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


def _read_credential(item: Body, hashes: dict[str, list[str]]) -> list[str]:
    kind = item.text("type")
    if kind not in CREDENTIALS:
        known = " or ".join(f"'{name}'" for name in CREDENTIALS)
        return [f"{item.path_of('type')} must be {known}"]
    field = CREDENTIALS[kind]
    errors = item.check_fields(("type", field))
    digest = item.text(field).lower()
    if not _SHA256.fullmatch(digest):
        return [*errors, f"{item.path_of(field)} must be 64 hex digits"]
    if digest in hashes[kind]:
        return [*errors, f"{item.path_of(field)} is listed twice"]
    hashes[kind].append(digest)
    return errors


def _read_subscription(item: Body, subscriptions: list[Subscription]) -> list[str]:
    errors = item.check_fields(("api_id", "plan", "expires_at"))
    api_id, plan, text = (
        item.text("api_id"),
        item.optional_text("plan"),
        item.optional_text("expires_at"),
    )
    if not api_id.strip():
        errors.append(f"{item.path_of('api_id')} must not be empty")
    try:
        expires = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        expires = None
        errors.append(f"{item.path_of('expires_at')} must be a date and time (RFC 3339)")
    if expires is not None and expires.tzinfo is None:
        errors.append(f"{item.path_of('expires_at')} must name its time zone")
    subscriptions.append(Subscription(api_id, plan, expires))
    return errors
