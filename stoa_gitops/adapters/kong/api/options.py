"""Parses `spec.options` of a Kong gateway; the schema is `options_schema.json`, one folder up."""

from __future__ import annotations

from typing import Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, Options
from stoa_gitops.errors import GatewayRefused
from stoa_gitops.model.canonical import JsonObject, size_bytes

_REDIS: Final = {"sslVerify": "ssl_verify", "serverName": "server_name"}


def options_of(given: JsonObject) -> Options:
    """Parse options that fit the schema, defaults filled in or not.

    Raises GatewayRefused where `counters` is redis without a `redis` to count in.
    """
    values: JsonTree = dict(given)
    redis = {_REDIS.get(name, name): item for name, item in values.get("redis", {}).items()}
    if values.get("counters") == "redis" and not redis:
        raise GatewayRefused(
            "options.counters is redis and options.redis is missing: write its host"
        )
    known = Options()
    return Options(
        counters=values.get("counters", known.counters),
        redis=redis,
        paths=values.get("paths", known.paths),
        body_limit=size_bytes(values.get("adminBodyLimit", known.body_limit)),
        jwt_claim=values.get("jwtKeyClaim", known.jwt_claim),
        jwt_not_before=values.get("jwtNotBefore", known.jwt_not_before),
        tenant=values.get("adoptTenant", known.tenant),
    )
