"""Definitions: what one document means in one environment, without any other document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from stoa_gitops.catalog.evaluation.backend_urls import Backend
from stoa_gitops.catalog.evaluation.overlay import PatchOrigin
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import Json, JsonObject, Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Probe, SourceRef
from stoa_gitops.model.routing import HeaderValues
from stoa_gitops.model.secret import SecretRef


@dataclass(frozen=True, slots=True)
class Annotations:
    """What the annotations of `gostoa.dev` ask for."""

    protected: bool = False
    moved_from: Key | None = None
    ignore_fields: tuple[str, ...] = ()
    allow_empty: bool = False


NO_ANNOTATIONS: Final = Annotations()


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in a document, and where it stands."""

    name: str
    pointer: Pointer


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway that an API names; `active` overrides the API's own."""

    name: str
    pointer: Pointer
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Where an API listens; empty methods and hosts are all of them.

    delegates  `*`, `<tenant>` or `<tenant>/<api>` that may take requests of it
    headers    those that a request needs, each with one of some values; all in lower case
    """

    path: str
    methods: tuple[str, ...]
    hosts: tuple[str, ...]
    pointer: Pointer
    delegates: tuple[str, ...] = ()
    headers: HeaderValues = ()

    @property
    def matched(self) -> JsonObject:
        """What requests are compared with, as in the canonical form."""
        form: dict[str, Json] = {"path": self.path, "methods": self.methods, "hosts": self.hosts}
        if self.headers:
            form["headers"] = [{"name": name, "values": values} for name, values in self.headers]
        return form


# NamedTuple: tuples of these are keys of a cache, and hash in C.
class RequiredCapability(NamedTuple):
    """A capability that a document needs, and what in it needs it.

    A named tuple, because what documents need is alike: one tuple of needs is looked up for each of
    them.
    """

    capability: str
    pointer: Pointer


@dataclass(frozen=True, slots=True)
class PolicyDefinition:
    """A policy: canonical config as JSON bytes, so that one config serves many APIs.

    `name` is that of its document, empty for one that is written out where it is used.
    """

    type: str
    config: bytes
    priority: int
    on_unsupported: str
    source: SourceRef
    pointer: Pointer = ()
    annotations: Annotations = NO_ANNOTATIONS
    name: str = ""


@dataclass(frozen=True, slots=True)
class PolicyUse:
    """A policy where it is used: by name, or written out."""

    pointer: Pointer
    name: str = ""
    inline: PolicyDefinition | None = None


@dataclass(frozen=True, slots=True)
class ApiDefinition:
    """An API on its own; `gateways` None means the tenant's.

    plan_tenants  (plan, tenant) for each tenant beside its own that may subscribe, `*` for all
    access        as written, empty where it is not
    """

    key: Key
    spec: Spec
    active: bool
    source: SourceRef
    annotations: Annotations
    routes: tuple[Route, ...]
    backends: tuple[Backend, ...]
    aliases: tuple[Reference, ...]
    required_capabilities: tuple[RequiredCapability, ...]
    policies: tuple[PolicyUse, ...]
    plans: frozenset[str]
    plan_tenants: tuple[tuple[str, str], ...]
    access: str
    gateways: tuple[Target, ...] | None
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription: the API's key, its canonical form, and where it stands."""

    api: Key
    plan: str
    value: Mapping[str, Any]
    pointer: Pointer


@dataclass(frozen=True, slots=True)
class ApplicationDefinition:
    """An application without its subscriptions, which differ by gateway."""

    key: Key
    base: Spec
    source: SourceRef
    annotations: Annotations
    required_capabilities: tuple[RequiredCapability, ...]
    subscriptions: tuple[Subscription, ...]


@dataclass(frozen=True, slots=True)
class TenantDefinition:
    """What a tenant gives to its APIs; `limits` is the most documents by field of `spec.limits`."""

    name: str
    gateways: tuple[Reference, ...]
    policies: tuple[PolicyUse, ...]
    limits: Mapping[str, int]
    annotations: Annotations = NO_ANNOTATIONS


@dataclass(frozen=True, slots=True)
class SecretUse:
    """A reference to a secret, and where it stands."""

    reference: SecretRef
    pointer: Pointer


@dataclass(frozen=True, slots=True)
class EvaluatedDocument:
    """A document in one environment.

    definition  made by the parser of its kind; None when the document is broken there
    origins     what patches set in it
    named       the gateways that it names there, known even when it is broken; None when none
    secrets     its references to secrets
    """

    definition: Any = None
    findings: tuple[Finding, ...] = ()
    origins: tuple[PatchOrigin, ...] = ()
    named: tuple[str, ...] | None = None
    secrets: tuple[SecretUse, ...] = ()
