"""The result of reading a catalog: one desired state per gateway, and all diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.model.grants import Grants
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.resources import DesiredState
from stoa_gitops.model.secret_rights import DEFAULT_RIGHTS, SecretRights

CONTESTED: Final = "route.contested"
"""Code of the finding that two tenants claim the same requests."""

SAME_NAME: Final = "name.collision"
"""Code of the finding that two tenants claim one name."""

PLAN_DECIDES: Final = frozenset({CONTESTED, SAME_NAME})
"""Who is on the gateway already keeps what is claimed, which only a plan knows: what one tenant
writes must not keep the changes of another from being applied."""


DEFAULT_OWNER: Final = "default"
"""The owner of a catalog that has no name of its own."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """One reading of one revision.

    revision       for people: `main@3f2a91c`, or `working tree` for a folder
    broken_tenants tenants with a broken document: nothing of theirs is pruned
    is_all_broken  something that concerns every tenant is broken: nothing is pruned
    secret_rights  which secrets tenants may use; among them what the operator grants
    has_document   catalog.yaml is there, broken or not
    """

    owner: str
    revision: str
    commit: str | None
    gateways: tuple[GatewayInstance, ...] = ()
    desired: Mapping[str, DesiredState] = field(default_factory=dict)
    tenants: tuple[str, ...] = ()
    documents: int = 0
    diagnostics: tuple[Diagnostic, ...] = ()
    broken_tenants: frozenset[str] = frozenset()
    is_all_broken: bool = False
    secret_rights: SecretRights = DEFAULT_RIGHTS
    has_document: bool = False

    @property
    def grants(self) -> Grants:
        """What tenants are given beyond their own folders."""
        return self.secret_rights.grants

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """Diagnostics that make the catalog invalid."""
        return tuple(d for d in self.diagnostics if d.severity is Severity.ERROR)

    @property
    def blocking_errors(self) -> tuple[Diagnostic, ...]:
        """Errors without which a plan would be another one: all but those that a plan decides."""
        return tuple(error for error in self.errors if error.code not in PLAN_DECIDES)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """Diagnostics that do not."""
        return tuple(d for d in self.diagnostics if d.severity is Severity.WARNING)

    def gateway(self, name: str) -> GatewayInstance | None:
        """Return the gateway of that name, if the catalog has one."""
        return next((gateway for gateway in self.gateways if gateway.name == name), None)
