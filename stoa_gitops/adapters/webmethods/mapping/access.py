"""Who may call an API: one `evaluatePolicy` action for keys and tokens together. Pure.

With the lookup `strict` only applications that are linked to the API are let in, so that a link is
the right to call, and its removal ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from stoa_gitops.adapters.webmethods.entities.actions import IAM, Action, branch, leaf
from stoa_gitops.adapters.webmethods.entities.parts import ApiParts

TEMPLATE: Final = "evaluatePolicy"
KEY: Final = "api_key"
TOKEN: Final = "jwt"

IDENTIFICATION: Final[Mapping[str, str]] = {KEY: "apiKey", TOKEN: "jwtClaims"}
"""Policy type, and type of credential, -> `identificationType`."""

COUNTED: Final = frozenset({"rate_limit", "quota"})
"""Policies whose counters need a caller that was identified (`dependentActions` of `throttle`)."""


def securities(api: Mapping[str, Any] | None, policies: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of credential that let in: keys by default where there are plans."""
    found = tuple(name for name in IDENTIFICATION if name in set(policies))
    if found:
        return found
    return (KEY,) if api is not None and api.get("plans") else ()


def access_actions(parts: ApiParts) -> list[Action]:
    """Return the action that identifies callers; none where nobody has to be known."""
    api: Any = parts.api
    found = securities(api, parts.policies)
    if found:
        return [_evaluate([IDENTIFICATION[one] for one in found], "strict", is_open=False)]
    if COUNTED.intersection(parts.policies):
        return [_evaluate([IDENTIFICATION[KEY]], "open", is_open=True)]
    return []


def _evaluate(types: list[str], lookup: str, *, is_open: bool) -> Action:
    rules = [
        branch(
            "IdentificationRule",
            leaf("applicationLookup", lookup),
            leaf("identificationType", one),
        )
        for one in types
    ]
    parameters = (leaf("logicalConnector", "OR"), leaf("allowAnonymous", is_open), *rules)
    return Action(IAM, TEMPLATE, parameters, "access")
