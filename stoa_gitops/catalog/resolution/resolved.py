"""APIs, tenants and dependents of one environment after their references were resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from stoa_gitops.catalog.evaluation.definitions import (
    ApiDefinition,
    EvaluatedDocument,
    PolicyDefinition,
)
from stoa_gitops.catalog.evaluation.kind import DocumentKind
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key

Targets: TypeAlias = tuple[tuple[GatewayInstance, bool], ...]
"""Gateways, each with whether an API is active there."""

_CREDENTIALS: Final = frozenset({"api_key", "jwt"})
"""Policies that ask for a credential of an application."""


@dataclass(frozen=True, slots=True)
class ResolvedApi:
    """An API in one environment: its target gateways and its policies by type."""

    document: Document
    evaluated: EvaluatedDocument
    definition: ApiDefinition
    targets: Targets
    policies: Mapping[str, PolicyDefinition]

    @property
    def is_open_to_tenant(self) -> bool:
        """Whether every application of its tenant may call it, without naming it."""
        is_guarded = not _CREDENTIALS.isdisjoint(self.policies)
        return is_guarded and not self.definition.plans and self.definition.access != "subscribed"

    def is_on(self, gateway: GatewayInstance) -> bool:
        """Whether a gateway is among its targets."""
        return any(target is gateway for target, _ in self.targets)

    def is_same(self, other: ResolvedApi | None) -> bool:
        """Whether nothing differs from an earlier resolution.

        Identity is enough for documents: what did not change is the same object from tree to tree.
        """
        return (
            other is not None
            and self.evaluated is other.evaluated
            and self.document is other.document
            and self.targets == other.targets
            and self.policies == other.policies
        )


class ApiResolution(NamedTuple):
    """What came of resolving an API.

    api        None where it is broken, or does not concern this environment
    policies   names of the policies that it uses
    is_broken  a mistake in the catalog, its own or another's, hides what the API is to be
    """

    api: ResolvedApi | None = None
    policies: tuple[str, ...] = ()
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class ResolvedDependent:
    """A document of a kind that depends on APIs, such as an application.

    apis    keys of the APIs that it depends on and that are valid in this environment; None where
            its kind does not depend on APIs
    broken  keys of those that are broken: on which gateways they are to be is not known
    """

    kind: DocumentKind
    document: Document
    evaluated: EvaluatedDocument
    definition: Any
    apis: tuple[Key, ...] | None
    broken: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class ResolvedTenant:
    """What a tenant gives to its APIs: default gateways by name, and policies by type."""

    gateways: tuple[str, ...]
    policies: Mapping[str, PolicyDefinition]
    may_be_empty: bool = False
