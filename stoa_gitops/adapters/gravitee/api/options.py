"""Parses `spec.options` of a Gravitee gateway; `options_schema.json` is one folder up."""

from __future__ import annotations

from stoa_gitops.adapters.gravitee.entities.parts import Introspection, JsonTree, Options
from stoa_gitops.model.canonical import JsonObject


def options_of(given: JsonObject) -> Options:
    """Parse options that fit the schema, defaults filled in or not."""
    values: JsonTree = dict(given)
    known = Options()
    return Options(
        organization=values.get("organization", known.organization),
        environment=values.get("environment", known.environment),
        way=values.get("way", known.way),
        key_header=values.get("apiKeyHeader", known.key_header),
        key_query=values.get("apiKeyQuery", known.key_query),
        jwt_signature=_SIGNATURES[values.get("jwtAlgorithm", "RS256")],
        introspections=tuple(
            Introspection(one["issuer"], one["endpoint"], one["clientId"], one["clientSecret"])
            for one in values.get("introspections", ())
        ),
        visibility=values.get("visibility", known.visibility).upper(),
        lifecycle=values.get("lifecycle", known.lifecycle).upper(),
        labels=tuple(values.get("labels", known.labels)),
        categories=tuple(values.get("categories", known.categories)),
        tenant=values.get("adoptTenant", known.tenant),
        deep_every=values.get("deepEvery", known.deep_every),
    )


_SIGNATURES = {
    **{f"RS{size}": f"RSA_RS{size}" for size in (256, 384, 512)},
    **{f"HS{size}": f"HMAC_HS{size}" for size in (256, 384, 512)},
}
