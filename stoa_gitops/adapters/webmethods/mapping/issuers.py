"""The issuer of an API's tokens as an alias for an authorization server. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoa_gitops.adapters.webmethods.entities.names import issuer_alias
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.model.canonical import duration_ms
from stoa_gitops.model.keys import Key


def auth_server_alias(key: Key, config: Mapping[str, Any], mark: str) -> JsonTree:
    """Return the alias of the issuer that a `jwt` policy names.

    `description` of its config is the clock skew in seconds (contract webmethods.md A.8).
    """
    return {
        "type": "authServerAlias",
        "name": issuer_alias(key),
        "description": mark,
        "authServerType": "EXTERNAL",
        "localIntrospectionConfig": {
            "issuer": config["issuer"],
            "jwksuri": config.get("jwksUri", ""),
            "description": str(duration_ms(config["clockSkew"]) // 1000),
        },
    }
