"""The requests that write an object to our data plane, with references for secrets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.stoa.consumers import IDENTIFYING
from stoa_gitops.adapters.stoa.mappers import consumer_of, policy_of, routes_of
from stoa_gitops.adapters.stoa.rules import EXTENDED
from stoa_gitops.model.keys import API, POLICY
from stoa_gitops.model.secret import Value


def rendered(spec: ObjectSpec) -> Mapping[str, Value]:
    """Return path and bodies of the requests that write one object.

    A key is sent as its hash, and the hash of a reference would mean nothing, so
    `sha256(env:NAME)` is shown.
    """
    if spec.key.kind == API:
        return {"POST /admin/apis": routes_of(spec, spec.key.tenant, EXTENDED)}
    if spec.key.kind == POLICY:
        return {"POST /admin/policies": [policy_of(spec)]}
    return {"POST /admin/consumers": [_consumer(spec)]}


def _consumer(spec: ObjectSpec) -> Mapping[str, Value]:
    value: Any = spec.value
    body: dict[str, Any] = dict(consumer_of(spec))
    fields = [IDENTIFYING[item["type"]] for item in value["credentials"]]
    hashes = [
        f"sha256({item[name].reveal()})"
        for item, (name, _) in zip(value["credentials"], fields, strict=True)
    ]
    body["credentials"] = [
        {"type": item["type"], field: text}
        for item, (_, field), text in zip(value["credentials"], fields, hashes, strict=True)
    ]
    body["metadata"] = {
        **body["metadata"],
        "fingerprints": [f"fingerprint({name})" for name in hashes],
    }
    return body
