"""Capabilities, projection and losses of Gravitee, and what is refused before any call. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, Final

from stoa_gitops.adapter_sdk import refusals
from stoa_gitops.adapter_sdk.capabilities import Capabilities, Capability, Rules
from stoa_gitops.adapter_sdk.contract import AdapterResult, ObjectSpec
from stoa_gitops.adapter_sdk.refusals import key_losses, refuse_unread
from stoa_gitops.adapters.gravitee.entities.defaults import SECURITIES
from stoa_gitops.adapters.gravitee.entities.parts import UNMAPPED, GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.backends import backend_losses
from stoa_gitops.adapters.gravitee.mapping.limits import QUOTA, RATE_LIMIT, plan_losses
from stoa_gitops.adapters.gravitee.mapping.plans import stored_plans
from stoa_gitops.adapters.gravitee.mapping.routes import MOCK, route_losses, stored_routes
from stoa_gitops.adapters.gravitee.mapping.texts import stored_text, text_losses
from stoa_gitops.adapters.gravitee.policies import MAPPINGS
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.keys import API, APPLICATION, POLICY
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.secret import withheld

_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "plans": ("api-key", RATE_LIMIT, QUOTA),
    "credential:api_key": ("api-key",),
    "credential:jwt": ("jwt",),
    **{f"policy:{name}": mapping.plugins for name, mapping in MAPPINGS.items() if mapping.plugins},
}
"""Capability -> the policies of Gravitee that it is written with."""

PLUGINS: Final = frozenset(
    {*SECURITIES.values(), *(plugin for plugins in _NEEDS.values() for plugin in plugins)}
)
"""Policies of Gravitee whose configurations we write."""

RESOURCES: Final = frozenset({"cache", "oauth2"})
"""Types of resources that we write."""

_ALWAYS: Final = (
    "api", "application", "hosts", "strip_path:false", "timeout", "retries", "multiple_routes",
    "inactive", "backends", "backend_auth:header", "access:subscribed", "either_credential",
    *(f"policy:{name}" for name, mapping in MAPPINGS.items() if not mapping.plugins),
)  # fmt: skip
CREDENTIAL_REASONS: Final[Mapping[str, str]] = {
    "basic": "no policy of the catalog asks for a user name and password",
    "oauth2": "no policy of the catalog asks for tokens that an authority must be asked about",
}
_MISSING: Final[Mapping[str, str]] = {
    "path_parameters": "paths of Gravitee's listeners are texts",
    "route_headers": "listeners of Gravitee know paths and hosts alone",
    "backend_auth:query": "Gravitee's endpoints add headers, not query parameters",
    "health_check:active": "services of an endpoint group, which are not written yet",
    "health_check:passive": "Gravitee ejects no endpoint by its answers",
    "backend_auth:basic": "write it as a header Authorization, with the whole value in a secret",
    "backend_auth:oauth2_client_credentials": "endpoints of Gravitee get no tokens for themselves",
    "backend_tls": "key stores of Gravitee's endpoints, which are not written yet",
    "fallback": "Gravitee has no other backend for answers that a document calls failed",
    "builtin_echo": "Gravitee has no echo of its own",
    "soap": "V4 APIs are made of flows and endpoints, not of a WSDL",
    "archive": "Gravitee exports one API at a time",
    **{f"credential:{name}": reason for name, reason in CREDENTIAL_REASONS.items()},
    "global_policy": "policies of a tenant are written to each of its APIs",
    "auth_server": "OIDC providers are resources of each API",
    "strategy": "authentication is configured with the plans of each API",
    "scope": "OAuth scopes are part of each API's plans",
    "alias": "Gravitee has no aliases: write the URL",
    "config": "the gateway's own settings are in its gravitee.yml",
}


@lru_cache(maxsize=8)
def capabilities_of(info: GatewayInfo) -> Capabilities:
    """Return what a running Gravitee can do; without a plugin that it needs, it cannot.

    Asked for every object that is written, of the few gateways of one process.
    """
    found = {name: Capability(supported=True) for name in _ALWAYS}
    for name, plugins in _NEEDS.items():
        absent = [plugin for plugin in plugins if plugin not in info.policies]
        mapping = MAPPINGS.get(name.removeprefix("policy:"))
        resources = mapping.resources if mapping is not None else ()
        absent += [f"{one} (resource)" for one in resources if one not in info.resources]
        reason = f"{', '.join(absent)} is not installed on this gateway" if absent else ""
        found[name] = Capability(supported=not absent, reason=reason)
    for name, reason in _MISSING.items():
        found[name] = Capability(supported=False, reason=reason)
    return found


DECLARED: Final[Capabilities] = {
    **{name: Capability(supported=True) for name in _ALWAYS},
    **{
        name: Capability(supported=True, reason=f"without {', '.join(plugins)}", depends=True)
        for name, plugins in _NEEDS.items()
    },
    **{name: Capability(supported=False, reason=reason) for name, reason in _MISSING.items()},
}
"""Capabilities without asking: a gateway may lack some plugins."""


def stored_spec(kind: str, spec: Mapping[str, Any]) -> JsonTree:
    """Return what Gravitee stores of a canonical spec, secrets as they are; for the compilers."""
    if kind == API:
        return _stored_api(spec)
    if kind == POLICY:
        policy_type = spec["type"]
        config = stored_config(policy_type, spec["config"])
        return {"api": spec["api"], "type": policy_type, "config": config}
    if kind == APPLICATION:
        return {
            "displayName": stored_text(spec["displayName"]),
            "credentials": [_stored_credential(one) for one in spec["credentials"]],
            "subscriptions": [dict(one) for one in spec["subscriptions"]],
        }
    return dict(spec)


def _stored_api(spec: Mapping[str, Any]) -> JsonTree:
    description = stored_text(spec.get("description", ""))
    further = {"description": description} if description else {}
    if "access" in spec:
        further["access"] = spec["access"]
    return {
        "displayName": stored_text(spec["displayName"]),
        "version": spec["version"],
        "active": spec["active"],
        "backend": dict(spec["backend"]),
        "routes": stored_routes(spec["routes"]),
        "plans": stored_plans(spec["plans"]),
        **further,
    }


def stored_config(policy_type: str, config: Mapping[str, Any]) -> JsonTree:
    """Return what Gravitee stores of a policy's config."""
    mapping = MAPPINGS.get(policy_type)
    return dict(config) if mapping is None else mapping.stored(config)


_CREDENTIAL_FIELDS: Final = {"api_key": ("type", "key"), "jwt": ("type", "clientId")}


def _stored_credential(credential: Mapping[str, Any]) -> JsonTree:
    fields = _CREDENTIAL_FIELDS.get(credential["type"])
    return {n: item for n, item in credential.items() if fields is None or n in fields}


def project(kind: str, spec: JsonObject) -> JsonObject:
    """Return what `list_*` reports of a spec that was written."""
    return {
        **{name: withheld(item) for name, item in stored_spec(kind, spec).items()},
        UNMAPPED: None,
    }


def losses(kind: str, spec: JsonObject, info: GatewayInfo | None) -> tuple[Loss, ...]:
    """Return what of a canonical spec gets lost; `info` is None before anybody asked."""
    values: Any = spec
    if kind == API:
        return tuple(api_losses(values))
    if kind == POLICY:
        return tuple(policy_losses(values["type"], values["config"], info))
    if kind == APPLICATION:
        return tuple(application_losses(values))
    return ()


def api_losses(spec: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Gravitee cannot hold or do of an API."""
    yield from backend_losses(spec["backend"], spec["routes"])
    yield from route_losses(spec["routes"])
    yield from plan_losses(spec["plans"])
    if spec["backend"]["retries"]:
        yield Loss(
            "retries: Gravitee's failover also tries requests again that must not come twice",
            is_partial=True,
            at=("backend", "retries"),
        )
    yield from text_losses(spec)


def policy_losses(
    policy_type: str, config: Mapping[str, Any], info: GatewayInfo | None
) -> Iterator[Loss]:
    """Yield what Gravitee cannot hold or do of a policy; `info` is None before anybody asked."""
    mapping = MAPPINGS.get(policy_type)
    if mapping is None:
        yield Loss(f"Gravitee is not told policies of type {policy_type}")
        return
    yield from mapping.losses(config)
    if info is not None and mapping.node_losses is not None:
        yield from mapping.node_losses(config, info)


def application_losses(spec: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Gravitee cannot hold of an application."""
    yield from text_losses(spec)
    tokens = 0
    for index, credential in enumerate(spec["credentials"]):
        sort, at = credential["type"], ("credentials", index)
        reason = CREDENTIAL_REASONS.get(sort)
        if reason is not None:
            yield Loss(f"credential {index + 1} ({sort}): {reason}", at=at)
        elif sort == "jwt":
            tokens += 1
            if "clientId" not in credential:
                yield Loss(
                    f"credential {index + 1} (jwt): without `clientIdRef` Gravitee does not know "
                    "whose token it is",
                    at=at,
                )
        elif sort == "api_key":
            yield from key_losses(credential.get("key"), index)
        else:
            yield Loss(f"credential {index + 1}: Gravitee is not told credentials of type {sort}")
    if tokens > 1:
        yield Loss("more than one jwt credential: an application of Gravitee has one client id")


def _losses(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
    return losses(kind, spec, None)


def _refuse_adoption(_: str, spec: JsonObject) -> str:
    """Return why a foreign object cannot be adopted: what nobody can read nobody can keep."""
    return refuse_unread(spec, UNMAPPED)


RULES: Final = Rules(project, _losses, _refuse_adoption)
"""Rules before a gateway was asked what it is."""


def rules_of(info: GatewayInfo) -> Rules:
    """Return the rules of a running Gravitee, which know its plugins and settings."""

    def node_losses(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
        return losses(kind, spec, info)

    return Rules(project, node_losses, _refuse_adoption)


def refuse_unsupported(spec: ObjectSpec, info: GatewayInfo) -> AdapterResult | None:
    """Return why an object is not written, None where it is."""
    value: Any = spec.value
    found = partial(losses, spec.key.kind, value, info)
    return refusals.refuse_unsupported(_needed(spec), capabilities_of(info), found)


def _needed(spec: ObjectSpec) -> Iterator[str]:
    value: Any = spec.value
    if spec.key.kind == POLICY:
        yield f"policy:{value['type']}"
    elif spec.key.kind == API and value["plans"]:
        yield "plans"


METHOD_PLUGIN: Final = MOCK
"""The policy that refuses methods which no route names."""
