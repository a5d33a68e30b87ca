"""Which references to secrets the documents of a tenant may use.

Pure: whether a file lies in a folder is told by its real path, which `secrets.files` asks for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stoa_gitops.model.grants import NO_GRANTS, Grants, TenantGrants
from stoa_gitops.model.secret import SecretRef

PROGRAM_PREFIX: Final = "STOA_"
"""How the variables of this program begin; among them are its own tokens."""


def variable_prefix(tenant: str) -> str:
    """Return how the variables of a tenant begin: `ACME_MOBILE_` for acme-mobile.

    No variable begins with a digit: those of 3com begin with `_3COM_`.
    """
    prefix = f"{tenant.upper().replace('-', '_')}_"
    return f"_{prefix}" if prefix[0].isdigit() else prefix


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a reference is not for a document, and what its author or the operator writes."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class SecretRights:
    """The rights of the tenants of one catalog.

    grants     what the operator gives to tenants
    inner      tenants whose names begin with that of another one: of `acme` and `acme-mobile` the
               second, to which ACME_MOBILE_KEY belongs
    operators  references in the operator's documents, as text; they are never a tenant's
    """

    grants: Grants = NO_GRANTS
    inner: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()

    def of(self, tenant: str) -> TenantSecrets:
        """Return the rights of a tenant; of the operator for the empty name."""
        return TenantSecrets(tenant, self)


@dataclass(frozen=True, slots=True)
class TenantSecrets:
    """What documents of one tenant may refer to; `tenant` is empty for the operator's."""

    tenant: str
    rights: SecretRights

    @property
    def is_operator(self) -> bool:
        """Whether these are the operator's own documents."""
        return not self.tenant

    @property
    def granted(self) -> TenantGrants:
        """What the operator gives to this tenant."""
        return self.rights.grants.of(self.tenant)

    def may_use_variable(self, name: str) -> bool:
        """Whether documents may refer to a variable, set or not."""
        if self.is_operator:
            return True
        if name.startswith(PROGRAM_PREFIX) or f"env:{name}" in self.rights.operators:
            return False
        if name.startswith(self.granted.env):
            return True
        return self._owner(name) == self.tenant

    def is_operators(self, reference: SecretRef) -> bool:
        """Whether a document of the operator has this very reference."""
        return str(reference) in self.rights.operators

    def _owner(self, variable: str) -> str:
        """Return the tenant with the longest name that a variable begins with."""
        end = variable.rfind("_")
        while end > 0:
            start = variable[:end]
            tenant = start.lower().replace("_", "-").removeprefix("-")
            # Names of variables are case-sensitive: `acme_KEY` belongs to nobody.
            is_exact = variable_prefix(tenant) == f"{start}_"
            if is_exact and (tenant == self.tenant or tenant in self.rights.inner):
                return tenant
            end = variable.rfind("_", 0, end)
        return ""


DEFAULT_RIGHTS: Final = SecretRights()
"""Those of a catalog that grants nothing and has no tenant within another's name."""

OPERATOR: Final = DEFAULT_RIGHTS.of("")


def inner_tenants(tenants: Iterable[str]) -> frozenset[str]:
    """Return the tenants whose names begin with another one's and a hyphen."""
    names = frozenset(tenants)
    return frozenset(
        name
        for name in names
        if any(name[:at] in names for at, letter in enumerate(name) if letter == "-")
    )
