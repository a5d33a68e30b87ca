"""Selects the gateways and the tenant that a command is limited to."""

from __future__ import annotations

from dataclasses import dataclass

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance


@dataclass(frozen=True, slots=True)
class Selection:
    """Empty means all. With `tenant` the objects of other tenants are ignored."""

    gateways: frozenset[str] = frozenset()
    environment: str | None = None
    tenant: str | None = None

    def of(self, catalog: Catalog) -> tuple[GatewayInstance, ...]:
        """Return the selected gateways, by wave and name: the order in which they are applied."""
        chosen = (
            gateway
            for gateway in catalog.gateways
            if (not self.gateways or gateway.name in self.gateways)
            and (self.environment is None or gateway.environment == self.environment)
        )
        return tuple(sorted(chosen, key=lambda gateway: (gateway.wave, gateway.name)))


EVERYTHING = Selection()
