"""Capabilities, projection and losses of Kong, and what a node refuses before any call. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from stoa_gitops.adapter_sdk import refusals
from stoa_gitops.adapter_sdk.capabilities import Capabilities, Capability, Rules
from stoa_gitops.adapter_sdk.contract import AdapterResult, ObjectSpec
from stoa_gitops.adapter_sdk.refusals import refuse_unread
from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.tags import UNMAPPED
from stoa_gitops.adapters.kong.entities.versions import NEWEST_MINOR
from stoa_gitops.adapters.kong.mapping.addresses import normal_url
from stoa_gitops.adapters.kong.mapping.backend_auth import auth_losses
from stoa_gitops.adapters.kong.mapping.balancing import stored_targets
from stoa_gitops.adapters.kong.mapping.combinations import EITHER_CREDENTIAL, combined_losses
from stoa_gitops.adapters.kong.mapping.credentials import key_losses
from stoa_gitops.adapters.kong.mapping.hosts import host_fault
from stoa_gitops.adapters.kong.mapping.route_numbers import order_problem
from stoa_gitops.adapters.kong.mapping.route_order import router_of
from stoa_gitops.adapters.kong.mapping.routes import normal_path, path_loss, route_order
from stoa_gitops.adapters.kong.mapping.services import backend_losses, plan_losses
from stoa_gitops.adapters.kong.policies import MAPPINGS
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.keys import API, APPLICATION, POLICY
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.secret import withheld

_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "plans": ("key-auth", "acl", "rate-limiting"),
    "backend_auth:header": ("request-transformer",),
    "backend_auth:query": ("request-transformer",),
    "inactive": ("request-termination",),
    "access:subscribed": ("acl",),
    "credential:api_key": ("key-auth", "acl"),
    "credential:jwt": ("jwt", "acl"),
    "application": ("acl",),
    **{
        f"policy:{name}": (*mapping.plugins, *mapping.needs)
        for name, mapping in MAPPINGS.items()
        if mapping.plugins
    },
}
"""Capability -> the plugins that it is written with."""

_ALWAYS: Final = (
    "api", "backends", "hosts", "route_headers", "strip_path:false", "timeout", "retries",
    "multiple_routes", "archive",
    *(f"policy:{name}" for name, mapping in MAPPINGS.items() if not mapping.plugins),
)  # fmt: skip
CREDENTIAL_REASONS: Final[Mapping[str, str]] = {
    "basic": "no policy of the catalog asks for a user name and password",
    "oauth2": "Kong's OAuth tokens need a database, and no policy of the catalog asks for them",
}
_WITHOUT_PARAMETERS: Final = (
    "without options.paths: parameters, which numbers the expressions of all routes anew"
)
_MISSING: Final[Mapping[str, str]] = {
    "health_check:active": "checks of an upstream, which are written for circuit_breaker alone",
    "health_check:passive": "Kong's passive checks take no backend back without active ones",
    "backend_auth:basic": "write it as a header Authorization, with the whole value in a secret",
    "backend_auth:oauth2_client_credentials": "Kong's open source gets no tokens for itself",
    "backend_tls": "Kong keeps certificates as objects of their own, which are not written yet",
    "fallback": "Kong has no other backend for the time when one fails",
    "builtin_echo": "Kong has no echo of its own",
    "soap": "Kong's open source reads no WSDL",
    "either_credential": EITHER_CREDENTIAL,
    **{f"credential:{name}": reason for name, reason in CREDENTIAL_REASONS.items()},
    "global_policy": "policies of a tenant are written to each of its APIs",
    "auth_server": "OIDC providers need a plugin that Kong's open source does not have",
    "strategy": "authentication is configured with the policies of each API",
    "scope": "OAuth scopes need a plugin that Kong's open source does not have",
    "alias": "Kong has no aliases: write the URL",
    "config": "Kong's own settings are not part of its Admin API",
}


def capabilities_of(node: NodeInfo) -> Capabilities:
    """Return what a running Kong can do.

    Without a plugin that it needs, a capability is unsupported.
    """
    found = {name: Capability(supported=True) for name in _ALWAYS}
    for name, plugins in _NEEDS.items():
        absent = [plugin for plugin in plugins if plugin not in node.plugins]
        reason = f"the plugin {', '.join(absent)} is not enabled on this node" if absent else ""
        found[name] = Capability(supported=not absent, reason=reason)
    for name, reason in _MISSING.items():
        found[name] = Capability(supported=False, reason=reason)
    has_parameters = node.options.paths == "parameters"
    reason = "" if has_parameters else _WITHOUT_PARAMETERS
    found["path_parameters"] = Capability(supported=has_parameters, reason=reason)
    return found


DECLARED: Final[Capabilities] = {
    **{name: Capability(supported=True) for name in _ALWAYS},
    **{
        name: Capability(
            supported=True, reason=f"without the plugin {', '.join(plugins)}", depends=True
        )
        for name, plugins in _NEEDS.items()
    },
    **{name: Capability(supported=False, reason=reason) for name, reason in _MISSING.items()},
    "path_parameters": Capability(supported=True, reason=_WITHOUT_PARAMETERS, depends=True),
}
"""Capabilities without asking: a node may have been started without some plugins."""


def stored_spec(kind: str, spec: Mapping[str, Any]) -> JsonTree:
    """Return what Kong stores of a canonical spec, secrets as they are; for the compilers."""
    if kind == API:
        return _stored_api(spec)
    if kind == POLICY:
        policy_type = spec["type"]
        config = stored_config(policy_type, spec["config"])
        return {"api": spec["api"], "type": policy_type, "config": config}
    if kind == APPLICATION:
        credentials = [_stored_credential(one) for one in spec["credentials"]]
        return {"credentials": credentials, "subscriptions": list(spec["subscriptions"])}
    return dict(spec)


def _stored_api(spec: Mapping[str, Any]) -> JsonTree:
    backend = dict(spec["backend"])
    backend["url"] = normal_url(backend["url"])
    stored_targets(backend)
    routes = spec["routes"]
    # Only escapes have more than one spelling; sorting anew costs for each API otherwise.
    if any("%" in route["path"] for route in routes):
        routes = [{**route, "path": normal_path(route["path"])} for route in routes]
        routes.sort(key=route_order)
    access = {"access": spec["access"]} if "access" in spec else {}
    return {
        "active": spec["active"],
        "backend": backend,
        "routes": routes,
        "plans": spec["plans"],
        **access,
    }


def stored_config(policy_type: str, config: Mapping[str, Any]) -> JsonTree:
    """Return what Kong stores of a policy's config."""
    mapping = MAPPINGS.get(policy_type)
    return dict(config) if mapping is None else mapping.stored(config)


_CREDENTIAL_FIELDS: Final = {"api_key": ("type", "key"), "jwt": ("type", "key", "clientId")}


def _stored_credential(credential: Mapping[str, Any]) -> JsonTree:
    fields = _CREDENTIAL_FIELDS.get(credential["type"])
    return {n: item for n, item in credential.items() if fields is None or n in fields}


def project(kind: str, spec: JsonObject) -> JsonObject:
    """Return what `list_*` reports of a spec that was written.

    The same for all options and versions.
    """
    return {
        **{name: withheld(item) for name, item in stored_spec(kind, spec).items()},
        UNMAPPED: None,
    }


def losses(kind: str, spec: JsonObject, node: NodeInfo | None) -> tuple[Loss, ...]:
    """Return what of a canonical spec gets lost; `node` is None before anybody asked."""
    values: Any = spec
    if kind == API:
        return tuple(api_losses(values, node))
    if kind == POLICY:
        return tuple(policy_losses(values["type"], values["config"], node))
    if kind == APPLICATION:
        return (*application_losses(values), *key_losses(values["credentials"], node))
    return ()


def api_losses(spec: Mapping[str, Any], node: NodeInfo | None) -> Iterator[Loss]:
    """Yield what Kong cannot hold or do of an API; `node` is None before anybody asked."""
    backend = spec["backend"]
    yield from backend_losses(backend)
    if "auth" in backend:
        yield from auth_losses(backend["auth"])
    for index, route in enumerate(spec["routes"]):
        yield from _route_losses(index, route, node)
    if spec["plans"]:
        yield from plan_losses(spec["plans"])


def _route_losses(index: int, route: Mapping[str, Any], node: NodeInfo | None) -> Iterator[Loss]:
    at = ("routes", index)
    if node is not None:
        problem = order_problem(route["path"], node, len(route.get("headers") or ()))
        if problem is not None:
            yield Loss(problem, at=(*at, "path"))
    if "%" in route["path"]:
        loss = path_loss(route["path"])
        if loss is not None:
            yield replace(loss, at=(*at, "path"))
    for host in route["hosts"]:
        # Kong looks at the rest of `*.example.com` as if the star were a name.
        fault = host_fault(f"x{host[1:]}" if host.startswith("*.") else host)
        if fault:
            yield Loss(f"Kong refuses the host {host} of a route: {fault}", at=(*at, "hosts"))


def policy_losses(
    policy_type: str, config: Mapping[str, Any], node: NodeInfo | None
) -> Iterator[Loss]:
    """Yield what Kong cannot hold or do of a policy; `node` is None before anybody asked."""
    mapping = MAPPINGS.get(policy_type)
    if mapping is None:
        yield Loss(f"Kong is not told policies of type {policy_type}")
        return
    yield from mapping.losses(config)
    if node is not None and mapping.node_losses is not None:
        yield from mapping.node_losses(config, node)


def application_losses(spec: Mapping[str, Any]) -> Iterator[Loss]:
    """Yield what Kong cannot hold of an application."""
    for index, credential in enumerate(spec["credentials"], 1):
        sort = credential["type"]
        reason = CREDENTIAL_REASONS.get(sort)
        if reason is not None:
            yield Loss(f"credential {index} ({sort}): {reason}", at=("credentials", index - 1))
        elif sort == "jwt":
            for name, message in (("key", "the key of its tokens"), ("clientId", "their issuer")):
                if name not in credential:
                    yield Loss(
                        f"credential {index} (jwt): without `{name}Ref` Kong does not know "
                        f"{message}",
                        at=("credentials", index - 1),
                    )
        elif sort != "api_key":
            yield Loss(f"credential {index}: Kong is not told credentials of type {sort}")


def _losses(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
    return losses(kind, spec, None)


def _refuse_adoption(_: str, spec: JsonObject) -> str:
    """Return why a foreign object cannot be adopted: what nobody can read nobody can keep."""
    return refuse_unread(spec, UNMAPPED)


RULES: Final = Rules(
    project, _losses, _refuse_adoption, router=router_of(None), combined=combined_losses
)
"""Rules before a node was asked for its version."""


def rules_of(node: NodeInfo) -> Rules:
    """Return the rules of a running Kong, which know its version."""

    def node_losses(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
        return losses(kind, spec, node)

    return Rules(
        project, node_losses, _refuse_adoption, router=router_of(node), combined=combined_losses
    )


def refuse_unsupported(spec: ObjectSpec, node: NodeInfo) -> AdapterResult | None:
    """Return why an object is not written, None where it is."""
    value: Any = spec.value
    kind = spec.key.kind
    needed = [f"policy:{value['type']}" if kind == POLICY else kind] if kind != API else []
    found = partial(losses, kind, value, node)
    return refusals.refuse_unsupported(needed, capabilities_of(node), found)


def path_notes(node: NodeInfo) -> tuple[str, ...]:
    """Return the notes beside the gateway's name: how paths are matched, an untested version."""
    paths = "paths by letters" if node.options.paths == "prefix" else "paths as regular expressions"
    newer = (f"newer than {NEWEST_MINOR[0]}.{NEWEST_MINOR[1]}, the last one tried",)
    return (paths, *(newer if node.version[:2] > NEWEST_MINOR else ()))
