"""Checks documents against a gateway: addresses it may reach, its own paths, its capabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, TypeAlias
from urllib.parse import unquote

from stoa_gitops.catalog.documents.canonical_json import to_tree
from stoa_gitops.catalog.evaluation.backend_urls import denial_reason, foreign_family
from stoa_gitops.catalog.evaluation.definitions import (
    ApiDefinition,
    ApplicationDefinition,
    PolicyDefinition,
)
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.finding_log import located
from stoa_gitops.catalog.resolution.resolved import ResolvedApi, ResolvedDependent
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import API, APPLICATION, POLICY
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.routing import SEGMENTS, Router

Unsupported: TypeAlias = Callable[[GatewayInstance, str], "str | None"]
"""Returns why a gateway lacks a capability (`adapter_sdk.capabilities`); None when it has it."""

Losses: TypeAlias = tuple[Loss, ...]

LossFinder: TypeAlias = Callable[[str, JsonObject], Losses]
"""Returns what of a canonical spec (kind, tree) one gateway cannot express.

As far as that is known without asking the gateway.
"""

CombinedLossFinder: TypeAlias = Callable[[Spec, Mapping[str, Spec]], Losses]
"""Returns what of an API with its policies (by type) one gateway cannot express together."""

CombinedOf: TypeAlias = Callable[[GatewayInstance], "CombinedLossFinder | None"]
"""Returns the function that finds such losses on a gateway; None where there are none."""

LossesOf: TypeAlias = Callable[[GatewayInstance], "LossFinder | None"]
"""Returns the function that finds losses on a gateway; None where capabilities tell all."""


Reserved: TypeAlias = Callable[[GatewayInstance], tuple[str, ...]]
"""Returns the paths that a gateway serves itself; `/*` at the end covers everything below, too."""

RouterOf: TypeAlias = Callable[[GatewayInstance], Router]
"""Returns how a gateway chooses among routes, as far as that is known without asking it."""


@dataclass(frozen=True, slots=True)
class GatewaySupport:
    """Functions that answer what gateways support; the adapters provide them."""

    unsupported: Unsupported
    losses: LossesOf | None = None
    reserved: Reserved | None = None
    router: RouterOf | None = None
    combined: CombinedOf | None = None

    def of(self, gateway: GatewayInstance) -> GatewayCapabilities:
        """Return the support of one gateway."""
        return GatewayCapabilities(gateway, self)


class GatewayCapabilities:
    """What one gateway supports, cached by capability: 10,000 documents ask for the same few.

    find_losses  says what of a spec it cannot express; None where there is nobody to ask
    policy_losses  says it of a policy by type, priority and config: whatever the API
    find_combined  says what of an API with its policies it cannot express; None for nothing
    reserved   paths that it serves itself
    router     how it chooses among routes
    """

    def __init__(self, gateway: GatewayInstance, told: GatewaySupport) -> None:
        self.gateway = gateway
        self.find_losses = None if told.losses is None else told.losses(gateway)
        self.find_combined = told.combined(gateway) if told.combined else None
        self.reserved = told.reserved(gateway) if told.reserved else ()
        self.router = told.router(gateway) if told.router else SEGMENTS
        self._unsupported = told.unsupported
        self._reasons: dict[str, str | None] = {}
        # Many APIs share a policy.
        self.policy_losses = lru_cache(maxsize=1_000)(self._find_policy_losses)
        self.policy_spec = lru_cache(maxsize=1_000)(_policy_spec)

    def reason(self, capability: str) -> str | None:
        """Return why it lacks a capability; None when it has it."""
        try:
            return self._reasons[capability]
        except KeyError:
            found = self._reasons[capability] = self._unsupported(self.gateway, capability)
            return found

    def _find_policy_losses(self, policy_type: str, priority: int, config: bytes) -> Losses:
        if self.find_losses is None:
            return ()
        return self.find_losses(POLICY, _policy_tree(policy_type, priority, config))


def _policy_tree(policy_type: str, priority: int, config: bytes) -> JsonObject:
    """Return the tree that a resource of a policy has."""
    return {
        "api": _ANY_API, "type": policy_type, "priority": priority, "config": to_tree(config),
    }  # fmt: skip


def _policy_spec(policy_type: str, priority: int, config: bytes) -> Spec:
    return Spec.of(_policy_tree(policy_type, priority, config))


_ANY_API: Final = "api"
"""The name of the API in the spec of a policy, where any one does."""

_REST: Final = "what can be written of it is"
_END: Final = {
    "fail": "the API is held back there",
    "warn": "the API goes there without it",
    "skip": "the API goes there without it",
}


def check_backends(
    gateway: GatewayInstance, api: ResolvedApi
) -> tuple[bool, tuple[LocatedFinding, ...]]:
    """Return whether a gateway may reach every backend of an API, and the findings about them."""
    is_reached = True
    found = []
    for backend in api.definition.backends:
        reason = denial_reason(backend, gateway) if backend.addresses else ""
        if reason:
            is_reached = False
            text = f"{gateway.name} may not reach {backend.host}: {reason}"
            hint = f"use another address, or add it to backends.allow of {gateway.name}"
            found.append(
                located(
                    api.document,
                    "backend.address",
                    text,
                    backend.pointer,
                    hint,
                    evaluated=api.evaluated,
                )
            )
        other = foreign_family(backend.host, gateway.environment)
        if other:
            text = f"{backend.host} looks like {other}, and {gateway.name} is {gateway.environment}"
            hint = "write ${NAME} and set it for each environment"
            found.append(
                located(
                    api.document,
                    "environment.mixup",
                    text,
                    backend.pointer,
                    hint,
                    evaluated=api.evaluated,
                    severity=Severity.WARNING,
                )
            )
    return is_reached, tuple(found)


def check_reserved(api: ResolvedApi, support: GatewayCapabilities) -> Iterator[LocatedFinding]:
    """Yield findings about routes of an API that the gateway serves itself."""
    for route in api.definition.routes:
        if is_reserved(route.path, support.reserved):
            text = f"{route.path} on {support.gateway.name} is a path of the gateway itself"
            at = (*route.pointer, "path") if route.pointer else ("metadata", "name")
            hint = "choose another path"
            yield located(api.document, "route.reserved", text, at, hint, evaluated=api.evaluated)


def is_reserved(path: str, reserved: tuple[str, ...]) -> bool:
    """Whether a path of a document is one of the reserved ones.

    Gateways compare decoded segments, so `/adm%69n` is `/admin`.
    """
    segments = path.rstrip("/").split("/")
    if "%" in path:
        segments = [unquote(part) for part in segments]
    exact, below = _split(reserved)
    return tuple(segments) in exact or any(segments[: len(parts)] == parts for parts in below)


@cache
def _split(reserved: tuple[str, ...]) -> tuple[frozenset[tuple[str, ...]], tuple[list[str], ...]]:
    """Return the reserved paths as segments: exact ones, and those that reserve all below them."""
    segments = [path.removesuffix("/*").split("/") for path in reserved]
    pairs = zip(segments, reserved, strict=True)
    below = tuple(parts for parts, path in pairs if path.endswith("/*"))
    return frozenset(map(tuple, segments)), below


def check_capabilities(api: ResolvedApi, support: GatewayCapabilities) -> Iterator[LocatedFinding]:
    """Yield warnings about parts of an API, and its policies, that a gateway cannot express."""
    gateway, find_losses = support.gateway, support.find_losses
    for capability, pointer in api.definition.required_capabilities:
        reason = support.reason(capability)
        if reason is not None:
            yield _unable(gateway, api, capability, reason, pointer)
    for loss in find_losses(API, to_tree(api.definition.spec.raw)) if find_losses else ():
        text = f"{loss.message}; {_REST if loss.is_partial else _END['fail']}"
        place = _place_in_api(api.definition, loss.at)
        yield _unable(gateway, api, "the API as it is written", text, place)
    yield from _check_combined(api, support)
    for use_type, policy in api.policies.items():
        text, at = _policy_reason(api, policy, support)
        if text:
            place = _use_of(api.definition, policy)
            if policy.pointer == place and at:
                place = (*place, *at)
            yield _unable(gateway, api, f"policy:{use_type}", text, place)


def _check_combined(api: ResolvedApi, support: GatewayCapabilities) -> Iterator[LocatedFinding]:
    """Yield warnings about what a gateway could express of each policy, but not of all together."""
    find_combined = support.find_combined
    policies = {
        one_type: support.policy_spec(one.type, one.priority, one.config)
        for one_type, one in (api.policies.items() if find_combined else ())
        if not _is_left_out(one, support)
    }
    if not policies or find_combined is None:
        return
    for loss in find_combined(api.definition.spec, policies):
        text = loss.message if loss.is_partial else f"{loss.message}; {_END['fail']}"
        match loss.at:
            case ("policies", str(policy_type)):
                place = _use_of(api.definition, api.policies[policy_type])
            case _:
                place = _place_in_api(api.definition, loss.at)
        yield _unable(support.gateway, api, "the API with its policies", text, place)


def _is_left_out(policy: PolicyDefinition, support: GatewayCapabilities) -> bool:
    """Whether an API goes to a gateway without one of its policies."""
    if support.reason(f"policy:{policy.type}") is not None:
        return True
    found = support.policy_losses(policy.type, policy.priority, policy.config)
    is_partial = all(loss.is_partial for loss in found)
    return bool(found) and (
        policy.on_unsupported == "skip" or (policy.on_unsupported == "warn" and not is_partial)
    )


def _place_in_api(api: ApiDefinition, at: tuple[str | int, ...]) -> Pointer:
    """Return the place in a document of a field of the canonical form."""
    if not at:
        return ("metadata", "name")
    match at:
        # Routes have another order in the canonical form, and may stand in no document.
        case ("routes", int(index), *rest):
            pointer = api.routes[index].pointer
            return (*pointer, *rest) if pointer else ("metadata", "name")
        # In documents these are beside the backend, and backends have another order.
        case ("backend", "healthCheck", *rest):
            return ("spec", "healthCheck", *rest)
        case ("backend", "loadBalancing"):
            return ("spec", "loadBalancing")
        case ("backend", "targets", *_):
            return ("spec", "backends")
    return ("spec", *at)


def _policy_reason(
    api: ResolvedApi, policy: PolicyDefinition, support: GatewayCapabilities
) -> tuple[str, Pointer]:
    """Return why a policy cannot be expressed, what happens then, and which field is the cause.

    Empty where it can be expressed; no field where there are several.
    """
    reason = support.reason(f"policy:{policy.type}")
    if reason is not None:
        return f"{reason}; {_END[policy.on_unsupported]}", ()
    found = support.policy_losses(policy.type, policy.priority, policy.config)
    if not found:
        return "", ()
    # `warn` writes the rest only where the rest makes sense by itself.
    is_written = policy.on_unsupported == "warn" and all(loss.is_partial for loss in found)
    end = _REST if is_written else _END[policy.on_unsupported]
    # The one that holds the policy back is shown, not one that goes with every policy of its type.
    whole = [loss for loss in found if not loss.is_partial] or found
    return f"{'; '.join(loss.message for loss in found)}; {end}", whole[0].at


def _use_of(api: ApiDefinition, policy: PolicyDefinition) -> Pointer:
    """Return where an API uses a policy; its own name where its tenant does."""
    for use in api.policies:
        if use.inline is policy or (use.name and use.name == policy.name):
            return use.pointer
    return ("metadata", "name")


def check_dependent(
    dependent: ResolvedDependent, support: GatewayCapabilities
) -> Iterator[LocatedFinding]:
    """Yield warnings about capabilities that a dependent document needs and a gateway lacks."""
    definition, find_losses = dependent.definition, support.find_losses
    lacks = False
    for capability, pointer in getattr(definition, "required_capabilities", ()):
        reason = support.reason(capability)
        if reason is not None:
            lacks = True
            yield _unable(support.gateway, dependent, capability, reason, pointer)
    if lacks or find_losses is None or not isinstance(definition, ApplicationDefinition):
        return
    for loss in find_losses(APPLICATION, {**definition.base.value, "subscriptions": []}):
        at = ("spec", *loss.at) if loss.at else ("metadata", "name")
        yield _unable(support.gateway, dependent, "the application", loss.message, at)


def _unable(
    gateway: GatewayInstance,
    what: ResolvedApi | ResolvedDependent,
    capability: str,
    reason: str,
    pointer: Pointer,
) -> LocatedFinding:
    return located(
        what.document,
        "gateway.unsupported",
        f"{gateway.name} ({gateway.gateway_type}) cannot express {capability}: {reason}",
        pointer,
        "leave it out there, or choose another gateway",
        evaluated=what.evaluated,
        severity=Severity.WARNING,
    )
