"""The parts that Gravitee's APIs and applications are compiled from, and what the gateway is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from stoa_gitops.adapters.gravitee.entities.ids import Ids
from stoa_gitops.model.keys import Key
from stoa_gitops.model.secret import Value

JsonTree: TypeAlias = "dict[str, Any]"
"""A JSON object under construction or as it was read.

A *definition* is an API in the form of the Automation API, with its `plans`; what the management
API v2 reports is brought into it (`definition_of`).
"""

UNMAPPED: Final = "gravitee"
"""Field of a listed object for what Gravitee holds beyond its canonical form; null for nothing."""

AUTOMATION: Final = "automation"
CRD: Final = "crd"
CLASSIC: Final = "classic"


@dataclass(frozen=True, slots=True)
class ApiParts:
    """One API with its policies.

    api       canonical form as Gravitee stores it; None while only policies are written
    policies  config by policy type
    api_id    id on the gateway: computed, or that of an adopted API
    """

    key: Key
    api: Mapping[str, Value] | None
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    api_id: str = ""


@dataclass(frozen=True, slots=True)
class ApplicationParts:
    """One application in the canonical form, as Gravitee stores it."""

    key: Key
    value: Mapping[str, Value]
    application_id: str = ""


@dataclass(frozen=True, slots=True)
class Introspection:
    """How the gateway asks an issuer about a token (RFC 7662); the secret is an expression."""

    issuer: str
    endpoint: str
    client_id: str
    client_secret: str


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of `GatewayInstance.spec.options` for Gravitee.

    organization, environment  ids in paths
    way                        `auto`, or one of the three ways to write
    key_header, key_query      where the gateway takes keys (`policy.api-key` of its gravitee.yml)
    jwt_signature              algorithm of tokens, as Gravitee's jwt plugin names it
    introspections             issuers whose tokens are asked about
    visibility, lifecycle      in the portal; empty: as the portal's people have it
    labels, categories         of every API, besides our mark; categories exist already
    tenant                     tenant of foreign objects, for `adopt`
    deep_every                 each how many observations every API is read in full
    """

    organization: str = "DEFAULT"
    environment: str = "DEFAULT"
    way: str = "auto"
    key_header: str = "X-Gravitee-Api-Key"
    key_query: str = "api-key"
    jwt_signature: str = "RSA_RS256"
    introspections: tuple[Introspection, ...] = ()
    visibility: str = ""
    lifecycle: str = ""
    labels: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    tenant: str = "default"
    deep_every: int = 10

    def find_introspection(self, config: Mapping[str, Any]) -> Introspection | None:
        """Return how tokens of a `jwt` policy are asked about; None where keys tell."""
        if "jwksUri" in config:
            return None
        return next((one for one in self.introspections if one.issuer == config["issuer"]), None)

    @property
    def ids(self) -> Ids:
        """Computes ids in this environment."""
        return Ids(self.organization, self.environment)


@dataclass(frozen=True, slots=True)
class GatewayInfo:
    """A running Gravitee, as far as its APIs tell.

    way                which of the three ways APIs are written
    version            for people: `4.12 or later`
    has_subscriptions  the Automation API writes applications and subscriptions (4.9)
    has_keys           … and keys that the caller chose; DELETE closes subscriptions (4.12)
    policies           ids of installed policies
    resources          ids of installed resource types
    schemas            of the configurations that we write, such as `policies/rate-limit`,
                       `resources/cache` and `endpoints/http-proxy` (what endpoints share)
    """

    way: str = AUTOMATION
    version: str = ""
    has_subscriptions: bool = True
    has_keys: bool = True
    policies: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    schemas: Mapping[str, JsonTree] = field(default_factory=dict, hash=False, repr=False)
    options: Options = field(default_factory=Options)

    @property
    def chooses_key_place(self) -> bool:
        """Whether a plan says where its key is (api-key plugin with `apiKeyHeader`)."""
        return "apiKeyHeader" in self.key_fields

    @property
    def key_fields(self) -> frozenset[str]:
        """Fields of the api-key plugin's configuration."""
        schema = self.schemas.get("policies/api-key") or {}
        return frozenset(schema.get("properties") or ())
