"""The order in which our data plane runs the policies of an API. Pure.

`stoa_proxy.core.policy.Phase` is where it is decided; a test compares. Within a phase the lower
priority goes first, then the lower id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.model.secret import Value

_SUBSCRIPTIONS: Final = "plans and subscriptions"

PHASES: Final[Mapping[str, tuple[str, ...]]] = {
    "cross origin": ("cors",),
    "client address": ("ip_filter",),
    "authentication": ("api_key", "jwt"),
    "authorization": (_SUBSCRIPTIONS,),
    "rate limiting": ("quota", "rate_limit"),
    "body size": ("request_size",),
    "transformation": ("headers",),
    "caching": ("caching",),
    "response": ("mock",),
    "upstream": ("circuit_breaker", "retry"),
    "logging": ("logging",),
}
"""Phase: the types that run in it."""


def policy_order(api: ObjectSpec, policies: Sequence[ObjectSpec]) -> Mapping[str, Value]:
    """Return the policies of an API in the order in which requests meet them."""
    return {"policies": list(_ordered(api, policies))}


def _ordered(api: ObjectSpec, policies: Sequence[ObjectSpec]) -> Iterator[Mapping[str, Value]]:
    # Typed as Any: the catalog's schema guarantees the shape of canonical forms.
    values: list[tuple[Any, str]] = [(spec.value, spec.identifier) for spec in policies]
    values.sort(key=lambda pair: (pair[0]["priority"], pair[1]))
    is_identified = any(value["type"] in PHASES["authentication"] for value, _ in values)
    for phase, types in PHASES.items():
        if _SUBSCRIPTIONS in types and (is_identified or api.value["plans"]):
            yield {"phase": phase, "policy": _SUBSCRIPTIONS}
        for value, _ in values:
            if value["type"] in types:
                yield {"phase": phase, "policy": value["type"], "priority": value["priority"]}
