"""Which documents of a catalog take which registered gateways, and what each of these gets. Pure.

A document takes a gateway by its name, in any spelling of the mode, or by `registration.match`. A
gateway that two documents take gets nothing from either: nobody knows which one is meant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from stoa_gitops.fleet.identity import spellings
from stoa_gitops.fleet.registration import Registration
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import DesiredState, Resource


@dataclass(frozen=True, slots=True)
class Binding:
    """A registered gateway and the one document that takes it."""

    document: GatewayInstance
    registration: Registration

    @property
    def name(self) -> str:
        """The name of the gateway in plans, metrics and commands: `<document>/<identity>`."""
        return f"{self.document.name}/{self.registration.name}"

    @property
    def is_by_name(self) -> bool:
        """Whether the document is about this gateway alone: it is called like it."""
        return _has_name(self.document, self.registration)


@dataclass(frozen=True, slots=True)
class Unbound:
    """A registered gateway that gets nothing, and why.

    rivals  the documents that take it, where there are several
    """

    registration: Registration
    reason: str
    rivals: tuple[GatewayInstance, ...] = ()


@dataclass(frozen=True, slots=True)
class Bindings:
    """All registered gateways, by id: bound or not, and none of them both.

    idle  documents for registered gateways that no gateway has registered for, sorted
    """

    bound: Mapping[str, Binding] = field(default_factory=dict)
    unbound: Mapping[str, Unbound] = field(default_factory=dict)
    idle: tuple[str, ...] = ()

    @property
    def by_gateway(self) -> dict[str, Binding]:
        """The bound ones by their names in plans."""
        return {binding.name: binding for binding in self.bound.values()}


NO_BINDINGS: Final = Bindings()


def bind(documents: Iterable[GatewayInstance], members: Iterable[Registration]) -> Bindings:
    """Return which of the documents take which gateways; the order of both makes no difference."""
    known = sorted((one for one in documents if one.is_unbound), key=lambda one: one.name)
    by_claim: dict[tuple[str, ...], list[GatewayInstance]] = defaultdict(list)
    # By half a match, for the reason why a gateway is not bound.
    nearly: dict[tuple[str, str], GatewayInstance] = {}
    for document in known:
        match = document.registration.match
        if match is not None:
            by_claim[match.gateway_type, match.environment].append(document)
            nearly.setdefault((match.gateway_type, ""), document)
            nearly.setdefault(("", match.environment), document)
        for name in set(spellings(document.name)):
            by_claim[(name,)].append(document)
    bound: dict[str, Binding] = {}
    unbound: dict[str, Unbound] = {}
    for member in sorted(members, key=lambda one: one.name):
        claims = (member.name,), (member.gateway_type, member.environment)
        found = {one.name: one for claim in claims for one in by_claim.get(claim, ())}
        takers = tuple(found[name] for name in sorted(found))
        near = nearly.get(("", member.environment)) or nearly.get((member.gateway_type, ""))
        reason = _reason_against(member, takers, near)
        if reason:
            unbound[member.id] = Unbound(member, reason, takers if len(takers) > 1 else ())
        else:
            bound[member.id] = Binding(takers[0], member)
    used = {binding.document.name for binding in bound.values()}
    used |= {rival.name for one in unbound.values() for rival in one.rivals}
    idle = tuple(document.name for document in known if document.name not in used)
    return Bindings(bound, unbound, idle)


def _reason_against(
    member: Registration, takers: tuple[GatewayInstance, ...], near: GatewayInstance | None
) -> str:
    """Return why a gateway is not bound; empty where one document takes it.

    `near` is a document that matches its environment or its type, and not both.
    """
    if not takers:
        other = ""
        if near is not None and near.registration.match is not None:
            match = near.registration.match
            other = (
                f" ({near.name}, {near.source}, is for {match.gateway_type} in {match.environment})"
            )
        return (
            f"no document is called {member.name} or matches {member.gateway_type} in"
            f" {member.environment}{other}: write one, gateways/*.yaml of the catalog"
        )
    if len(takers) > 1:
        places = ", ".join(f"{one.name} ({one.source})" for one in takers)
        return f"several documents take it, so none does: {places}"
    (document,) = takers
    if member.tenant_id and document.tenants and member.tenant_id not in document.tenants:
        return (
            f"it registered for the tenant {member.tenant_id}, and {document.name}"
            f" ({document.source}) is for {', '.join(document.tenants)}"
        )
    return ""


def _has_name(document: GatewayInstance, member: Registration) -> bool:
    return member.name in spellings(document.name)


TenantViews = dict[tuple[str, str], tuple[Mapping[Key, Resource], Mapping[Key, Resource]]]
"""By document and tenant: all resources of the document, and those of the tenant among them."""


@dataclass(frozen=True, slots=True)
class _Bound:
    """One bound gateway as an instance of its own, and what that was made from."""

    binding: Binding
    state: DesiredState
    instance: GatewayInstance
    desired: DesiredState

    def is_of(self, binding: Binding, state: DesiredState) -> bool:
        """Whether it would be made of these again; the document is part of the binding."""
        return self.state is state and self.binding == binding


@dataclass
class Expansion:
    """What the last call of `expand` made, for the next one: most gateways stay as they were."""

    views: TenantViews = field(default_factory=dict)
    bound: dict[str, _Bound] = field(default_factory=dict)


def expand(catalog: Catalog, bindings: Bindings, last: Expansion | None = None) -> Catalog:
    """Return a catalog in which each bound gateway is one of its own, and no document is.

    All gateways of a document have the identical mapping of resources, so what was made of it for
    one serves the others. With the `last` call's expansion, which is brought up to date, a gateway
    that did not change is the identical one of then, and so is a tenant's part of a mapping.
    """
    documents = {gateway.name: gateway for gateway in catalog.gateways if gateway.is_unbound}
    if not documents:
        return catalog
    last = Expansion() if last is None else last
    views: TenantViews = {}
    bound: dict[str, _Bound] = {}
    gateways = [gateway for gateway in catalog.gateways if gateway.name not in documents]
    desired = {name: state for name, state in catalog.desired.items() if name not in documents}
    for gateway_id, binding in bindings.bound.items():
        document = documents.get(binding.document.name)
        if document is None:
            continue
        state, known = catalog.desired[document.name], last.bound.get(gateway_id)
        made = _desired(state, binding, last.views, views)
        if known is None or not known.is_of(binding, state):
            known = _Bound(binding, state, _instance(document, binding), made)
        bound[gateway_id] = known
        gateways.append(known.instance)
        desired[binding.name] = known.desired
    last.views, last.bound = views, bound
    ordered = tuple(sorted(gateways, key=lambda gateway: gateway.name))
    return replace(catalog, gateways=ordered, desired=desired)


def _instance(document: GatewayInstance, binding: Binding) -> GatewayInstance:
    member = binding.registration
    return replace(
        document,
        name=binding.name,
        display_name=member.hostname,
        base_url=member.admin_url,
        tenants=(member.tenant_id,) if member.tenant_id else document.tenants,
        registration_id=member.id,
    )


def _desired(
    state: DesiredState, binding: Binding, kept: TenantViews, fresh: TenantViews
) -> DesiredState:
    tenant = binding.registration.tenant_id
    if not tenant:
        return replace(state, gateway=binding.name)
    at = binding.document.name, tenant
    if at not in fresh:
        whole, view = kept.get(at, ({}, {}))
        if whole is not state.resources:
            view = {key: one for key, one in state.resources.items() if key.tenant == tenant}
        fresh[at] = state.resources, view
    return replace(state, gateway=binding.name, resources=fresh[at][1])
