"""Parses `spec.options` of a webMethods gateway; `options_schema.json` is one folder up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stoa_gitops.adapters.webmethods.entities.parts import JsonTree, Options
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.kinds import ALIAS, AUTH_SERVER, CONFIG, GLOBAL_POLICY, SCOPE, STRATEGY

OBJECT_OPTIONS: Final[Mapping[str, str]] = {
    "authServers": AUTH_SERVER, "aliases": ALIAS, "strategies": STRATEGY, "scopes": SCOPE,
    "configurations": CONFIG, "globalPolicies": GLOBAL_POLICY,
}  # fmt: skip
"""Option -> the kind of the objects that stand there by name."""


def options_of(given: JsonObject) -> Options:
    """Parse options that fit the schema, defaults filled in or not."""
    values: JsonTree = dict(given)
    known = Options()
    return Options(
        key_header=values.get("apiKeyHeader", known.key_header),
        protocols=tuple(values.get("protocols", known.protocols)),
        depth=values.get("resourceDepth", known.depth),
        maturity=values.get("maturityState", known.maturity),
        tenant=values.get("adoptTenant", known.tenant),
        deep_every=values.get("deepEvery", known.deep_every),
        objects={kind: values.get(option) or {} for option, kind in OBJECT_OPTIONS.items()},
    )
