"""What a scene is made of: APIs, applications and tenants that were followed to where they lead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from stoa_gitops.catalog.kinds.definitions import (
    ApiDefinition,
    ApplicationDefinition,
    EvaluatedDocument,
    PolicyDefinition,
    Subscription,
)
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.model.instances import GatewayInstance

Targets: TypeAlias = tuple[tuple[GatewayInstance, bool], ...]
"""Gateways, each with whether an API is active there."""


@dataclass(frozen=True, slots=True)
class ResolvedApi:
    """An API in one environment: the gateways it goes to with whether it is active there, and its policies."""

    document: Document
    evaluated: EvaluatedDocument
    definition: ApiDefinition
    targets: Targets
    policies: Mapping[str, PolicyDefinition]

    def is_on(self, gateway: GatewayInstance) -> bool:
        """Whether it goes to a gateway."""
        return any(target is gateway for target, _ in self.targets)

    def is_same(self, other: ResolvedApi | None) -> bool:
        """Whether nothing about it is another than before."""
        return (
            other is not None
            and self.evaluated is other.evaluated
            and self.document is other.document
            and self.targets == other.targets
            and self.policies == other.policies
        )


@dataclass(frozen=True, slots=True)
class ResolvedApplication:
    """An application in one environment, with the subscriptions that lead somewhere."""

    document: Document
    evaluated: EvaluatedDocument
    definition: ApplicationDefinition
    subscriptions: tuple[Subscription, ...] = ()


@dataclass(frozen=True, slots=True)
class ResolvedTenant:
    """What a tenant gives to its APIs: default gateways by name, and policies by type."""

    gateways: tuple[str, ...]
    policies: Mapping[str, PolicyDefinition]
