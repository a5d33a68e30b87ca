"""`jwt` as Kong's jwt plugin; an acl plugin says whose tokens are let in. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.mapping.plugin_mapping import Config, single_plugin
from stoa_gitops.model.losses import Loss


def _write(_: Config, node: NodeInfo) -> JsonTree:
    # The plugin refuses a token that lacks a claim of the list (401 `must be a number`): seen on
    # 3.4.2 and 3.9.1. RFC 7519 section 4.1.5 leaves nbf optional, and many issuers leave it out.
    ignored = node.options.jwt_not_before == "ignored"
    claims = ["exp"] if ignored else ["exp", "nbf"]
    return {"claims_to_verify": claims, "key_claim_name": node.options.jwt_claim}


def _nothing(_: Config) -> JsonTree:
    """Return no field: the plugin validates against credentials of consumers."""
    return {}


def _losses(config: Config) -> Iterator[Loss]:
    names = ("audiences", "requiredClaims", "forwardClaims", "algorithms")
    asked = [name for name in names if config.get(name)]
    also = f"; of this policy that leaves out {', '.join(asked)}" if asked else ""
    yield Loss(
        "the jwt plugin checks signature, exp and nbf with the key in the application's "
        "credential, and refuses a token that lacks one of them (options.jwtNotBefore of the "
        "gateway: ignored takes tokens without nbf): it fetches no keys (jwksUri, discovery), "
        "compares neither issuer, audiences nor requiredClaims, knows no clockSkew and forwards no "
        "claims" + also,
        is_partial=True,
    )


MAPPING: Final = single_plugin(
    "jwt",
    "jwt",
    write=_write,
    read=_nothing,
    losses=_losses,
    stored=_nothing,
    needs=("acl",),
    identifies=True,
)
