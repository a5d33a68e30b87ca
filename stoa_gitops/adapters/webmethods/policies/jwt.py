"""`jwt`: callers are identified by claims of a token whose issuer the gateway trusts. Pure.

The action that identifies them is made by `mapping.access`; the issuer with its keys is an alias
for an authorization server, made by `mapping.aliases`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.webmethods.entities.actions import Action
from stoa_gitops.adapters.webmethods.mapping.access import TOKEN
from stoa_gitops.adapters.webmethods.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.canonical import duration_ms
from stoa_gitops.model.losses import Loss


def _write(_config: Config, _place: Place) -> list[Action]:
    return []


def _losses(config: Config) -> Iterator[Loss]:
    if not config.get("jwksUri"):
        yield Loss(
            "no jwksUri: webMethods does not ask an issuer where its keys are",
            at=("config", "jwksUri"),
        )
    if config["audiences"]:
        yield Loss(
            f"the audiences {', '.join(config['audiences'])}: webMethods let in tokens for others "
            "when it was tried, so that nothing is written instead of a check that does not check",
            at=("config", "audiences"),
        )
    if config.get("algorithms"):
        yield Loss(
            "algorithms: webMethods takes every signature that a key of the issuer makes",
            at=("config", "algorithms"),
        )
    if config["requiredClaims"]:
        yield Loss(
            "requiredClaims: webMethods compares claims with those of applications alone",
            at=("config", "requiredClaims"),
        )
    if config["forwardClaims"]:
        yield Loss(
            "forwardClaims: webMethods passes the token on, and no claims as headers",
            is_partial=True,
            at=("config", "forwardClaims"),
        )
    if duration_ms(config["clockSkew"]) % 1000:
        yield Loss(
            f"a clockSkew of {config['clockSkew']}: webMethods counts whole seconds",
            is_partial=True,
            at=("config", "clockSkew"),
        )


MAPPING: Final = PolicyMapping(policy_type=TOKEN, write=_write, losses=_losses)
