"""Changes and skips: what a plan consists of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from stoa_gitops.model.canonical import Json, Path
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Observed, Resource, SourceRef


class Action(Enum):
    """What is done to one object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ADOPT = "adopt"


class Direction(Enum):
    """Which side changed: Git, the gateway, both, or a secret that Git only refers to.

    UNKNOWN where there is no record of the last apply.
    """

    GIT = "git-changed"
    GATEWAY = "gateway-drifted"
    BOTH = "both"
    SECRET = "secret-changed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One changed field of an object; secret values are None, and `sensitive` is True.

    `note` is `changed` or `not compared` for a sensitive field, empty otherwise.
    """

    path: Path
    before: Json
    after: Json
    sensitive: bool = False
    note: str = ""

    @property
    def dotted(self) -> str:
        """`routes.0.path`."""
        return ".".join(str(part) for part in self.path)


@dataclass(frozen=True, slots=True)
class Change:
    """One action on one key. `resource` is the desired side, `observed` the actual one.

    `secret_hmacs` are (dotted path, HMAC) of the desired secrets: a rotated one changes the digest.
    """

    action: Action
    key: Key
    resource: Resource | None = None
    observed: Observed | None = None
    fields: tuple[FieldChange, ...] = ()
    reason: str = ""
    direction: Direction = Direction.UNKNOWN
    depends_on: tuple[Key, ...] = ()
    secret_hmacs: tuple[tuple[str, str], ...] = ()

    @property
    def source(self) -> SourceRef | None:
        """Position of the desired side in the catalog; None for a deletion."""
        return self.resource.source if self.resource else None


class SkipReason(Enum):
    """Why a key is skipped; the values are part of outputs and of conditions."""

    UNSUPPORTED = "Unsupported"
    UNMANAGED = "Unmanaged"
    PROTECTED = "Protected"
    POLICY = "Policy"
    CATALOG_BROKEN = "CatalogBroken"
    QUARANTINED = "Quarantined"
    CREDENTIAL = "CredentialInUse"
    SECRET = "SecretUnsuitable"
    HELD = "RouteHeld"
    TENANT = "OtherTenant"


@dataclass(frozen=True, slots=True)
class Skip:
    """A key that is skipped; `is_failure` if something desired is missing because of it.

    `meanwhile` says what of it is live until the reason is gone; empty where the message says so.
    """

    key: Key
    reason: SkipReason
    message: str
    source: SourceRef | None = None
    is_failure: bool = False
    meanwhile: str = ""

    @property
    def explanation(self) -> str:
        """Why it is skipped, and what is live meanwhile."""
        return "; ".join(
            part for part in (self.message or self.reason.value, self.meanwhile) if part
        )
