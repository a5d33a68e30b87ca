"""What only the operator may give a tenant: `spec.tenants` of the Catalog document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class TenantGrants:
    """What one tenant has beyond its own folder.

    env    prefixes of environment variables that its documents may refer to
    files  absolute folders, or files, that its documents may refer to
    paths  paths at which its routes may listen, whoever else could claim them
    hosts  hosts at which its routes may listen
    """

    env: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


NOTHING_GRANTED: Final = TenantGrants()


@dataclass(frozen=True, slots=True)
class Grants:
    """What is granted, by tenant.

    is_known  False where the Catalog document is broken: nothing is granted then, and what a tenant
              does without a grant is no finding, because it may have had one
    """

    tenants: Mapping[str, TenantGrants] = field(default_factory=dict)
    is_known: bool = True

    def of(self, tenant: str) -> TenantGrants:
        """Return what a tenant is granted."""
        return self.tenants.get(tenant, NOTHING_GRANTED)


NO_GRANTS: Final = Grants()
UNKNOWN_GRANTS: Final = Grants(is_known=False)
