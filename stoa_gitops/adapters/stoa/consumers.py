"""Maps applications to consumers of our data plane and back. Pure; keys leave it hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ListItem, ObjectSpec, list_item
from stoa_gitops.adapter_sdk.unreadable import read_each
from stoa_gitops.adapters.stoa.rules import (
    VendorObject,
    fingerprint,
    owner_by_id,
    subscription_order,
)
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import Json, JsonObject
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.secret import WITHHELD, Secret, Value, withheld

OTHER_KEY = "api_key (another key)"
"""Reported as `type` of a credential whose key is not the written one: it shows as drift."""

# Type of a credential: its field that identifies the caller, and that of the gateway for the hash.
IDENTIFYING: Final[Mapping[str, tuple[str, str]]] = {
    "api_key": ("key", "key_sha256"), "jwt": ("clientId", "client_id_sha256"),
}  # fmt: skip


def consumer_of(spec: ObjectSpec) -> dict[str, Value]:
    """Return the body of `POST /admin/consumers`; raises SecretUnresolved for a key of no value.

    An adopted consumer keeps its id: a key may never belong to two consumers at a time.
    """
    # Typed as Any: the catalog's schema guarantees the shape of a canonical form.
    value: Any = spec.value
    hashes = [_hash(spec.key, index, c) for index, c in enumerate(value["credentials"])]
    subscriptions = value["subscriptions"]
    ids = {
        s["api"]: Key.parse_name(API, s["api"], spec.key.tenant).identifier(spec.owner)
        for s in subscriptions
    }
    metadata: dict[str, Value] = {
        "displayName": value["displayName"],
        "identifiers": withheld(value["identifiers"]),
        "apis": {api_id: api for api, api_id in ids.items()},
        "fingerprints": [fingerprint(digest) for digest in hashes],
    }
    further = {
        str(index): names
        for index, credential in enumerate(value["credentials"])
        if (names := _further_fields(credential))
    }
    if further:
        # Such as the key of a token, which the issuer publishes and the gateway fetches.
        metadata["further"] = further
    ended = [s["api"] for s in subscriptions if s.get("ended")]
    if ended:
        # The gateway refuses by `expires_at`; this tells a right that ended from one of before.
        metadata["ended"] = ended
    if "owner" in value:
        metadata["owner"] = value["owner"]
    return {
        "id": spec.gateway_id or spec.identifier,
        "name": spec.key.name,
        "tenant_id": spec.key.tenant,
        "metadata": metadata,
        # A hash is a Secret as well: it must not show in messages.
        "credentials": [
            {"type": one["type"], IDENTIFYING[one["type"]][1]: Secret(digest)}
            for one, digest in zip(value["credentials"], hashes, strict=True)
        ],
        "subscriptions": [
            {
                "api_id": ids[subscription["api"]],
                "plan": subscription.get("plan"),
                "expires_at": subscription.get("expiresAt"),
            }
            for subscription in subscriptions
        ],
    }


def consumers_from(consumers: Iterable[VendorObject], owner: str) -> list[ListItem]:
    """Return all consumers, ours and foreign, as items of `list_applications`."""
    return read_each(APPLICATION, consumers, lambda consumer: _item(consumer, owner))


def _item(consumer: VendorObject, owner: str) -> ListItem:
    key = Key(APPLICATION, consumer["tenant_id"], consumer["name"])
    is_ours = consumer["id"] == key.identifier(owner)
    other = "" if is_ours else owner_by_id(key, consumer["id"])
    return list_item(key, _spec(key, consumer), consumer["id"], managed=is_ours, owner=other)


def _spec(key: Key, consumer: VendorObject) -> JsonObject:
    metadata = _mapping(consumer.get("metadata"))
    apis = _mapping(metadata.get("apis"))
    listed = metadata.get("fingerprints")
    fingerprints = listed if isinstance(listed, list) else []
    further = _mapping(metadata.get("further"))
    listed_ended = metadata.get("ended")
    ended = listed_ended if isinstance(listed_ended, list) else []
    subscriptions = [
        _subscription(_mapping(item), apis, ended) for item in consumer["subscriptions"]
    ]
    subscriptions.sort(key=subscription_order)
    spec: dict[str, Json] = {
        "displayName": metadata.get("displayName", key.name),
        "credentials": [
            _credential(
                _mapping(item),
                fingerprints[index] if index < len(fingerprints) else None,
                further.get(str(index)),
            )
            for index, item in enumerate(consumer["credentials"])
        ],
        "subscriptions": subscriptions,
        "identifiers": _mapping(metadata.get("identifiers")),
    }
    if "owner" in metadata:
        spec["owner"] = metadata["owner"]
    return spec


def _credential(item: Mapping[str, Any], fingerprint: object, further: object) -> JsonObject:
    # The gateway never returns a key, only the fingerprint of its hash; so does our metadata.
    if fingerprint is None or item.get("fingerprint") != fingerprint:
        return {"type": OTHER_KEY, "key": WITHHELD}
    field, _ = IDENTIFYING.get(str(item.get("type")), ("key", ""))
    names = [name for name in further if isinstance(name, str)] if isinstance(further, list) else []
    return {"type": item.get("type"), field: WITHHELD, **dict.fromkeys(names, WITHHELD)}


def _further_fields(credential: Mapping[str, Any]) -> list[str]:
    """Return the fields of a credential that the gateway does not hold."""
    field, _ = IDENTIFYING[credential["type"]]
    return sorted(credential.keys() - {"type", field})


def _subscription(
    item: Mapping[str, Any], apis: Mapping[str, Any], ended: list[Any]
) -> dict[str, Any]:
    api_id = str(item.get("api_id"))
    subscription: dict[str, Any] = {"api": str(apis.get(api_id, api_id))}
    if subscription["api"] in ended:
        subscription["ended"] = True
    if item.get("plan") is not None:
        subscription["plan"] = str(item["plan"])
    if item.get("expires_at") is not None:
        subscription["expiresAt"] = str(item["expires_at"])
    return subscription


def _hash(key: Key, index: int, credential: Mapping[str, Any]) -> str:
    field, _ = IDENTIFYING[credential["type"]]
    secret = credential.get(field)
    if not isinstance(secret, Secret):
        what = "the client id" if field == "clientId" else "the key"
        raise SecretUnresolved(f"{key}: {what} of credential {index + 1} leads nowhere")
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
