"""Who asks for an operation: identity, tenant and rights, from entry point to audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class PrincipalKind(StrEnum):
    """How a principal proved who it is."""

    LOCAL_USER = "local_user"
    """The account that runs a command or the process; the operating system vouches for it."""

    CONTROL_TOKEN = "control_token"
    """A caller of the control API with the bearer token of the process."""

    TENANT_TOKEN = "tenant_token"
    """A caller of the control API with a token of one tenant, who reads what is that tenant's."""

    GATEWAY_KEY = "gateway_key"
    """A gateway that registered, by its key; it speaks for itself and for nothing else."""

    ANONYMOUS = "anonymous"
    """A caller of an open route of the control API, or a Git server by its signature."""


class Right(StrEnum):
    """What a principal may do."""

    READ = "read"
    """Read status, plans and the audit trail."""

    OPERATE = "operate"
    """Ask for a reconcile, suspend and resume gateways."""

    APPLY = "apply"
    """Change objects on gateways and what is remembered of them."""


ALL_RIGHTS: Final = frozenset(Right)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    subject  name in the audit trail, as `anna@laptop` or `control from 192.0.2.7`
    tenant   the one tenant that the principal is limited to; None for all of them
    rights   what it may do; no operation checks it yet: every principal has ALL_RIGHTS

    >>> Principal("anna@laptop", PrincipalKind.LOCAL_USER).subject
    'anna@laptop'
    """

    subject: str
    kind: PrincipalKind
    tenant: str | None = None
    rights: frozenset[Right] = ALL_RIGHTS
