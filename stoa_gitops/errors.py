"""The exceptions of this package, in one tree.

    StoaGitopsError
    ├── UsageError              the caller asked for something that makes no sense
    ├── CatalogError            the catalog could not be read at all
    │   ├── CatalogNotFound     no such folder, repository, revision or path
    │   ├── CatalogUnreachable  a remote repository did not answer
    │   └── CatalogInvalid      it was read, and its documents are wrong
    ├── GatewayError            a gateway could not be read (all that `list_*` of adapters raise)
    │   ├── GatewayUnreachable  no connection, no answer in time, or half an answer
    │   ├── GatewayAddressRefused  it registered itself where its document allows no address
    │   ├── GatewayUnauthorized it refused our credentials
    │   ├── GatewayRefused      it understood and said no
    │   │   └── ObjectConflict  not asked at all: another object is in the way
    │   ├── GatewayBusy         it asked to retry later (429, 503 with Retry-After)
    │   ├── GatewayMalformed    its response is not one of its admin API
    │   └── GatewayUnknown      no gateway of that name is registered
    ├── SecretUnresolved        a reference to a secret does not resolve
    │   ├── SecretRefused       its document may not use it
    │   └── SecretUnsuitable    it leads to a value that cannot be sent where it should go
    ├── DocumentUnreadable      a document that the catalog names beside an API is gone or another
    ├── UnsafePlan              a guard holds the plan; a person may force it
    ├── DigestMismatch          the plan is no longer the one that was reviewed
    └── StoreError              the state could not be read or written
        ├── StoreTooNew         it was written by a later version
        └── LeaseHeld           another process writes to this gateway

Each class carries a `reason` in CamelCase for conditions and machine output, and when to retry.
Events of one package (BackgroundFailed, ListenFailed, StateTaken …) derive from the root there.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Retry(Enum):
    """When it makes sense to try the same again.

    SOON     after a moment
    BACKOFF  after growing pauses
    NEVER    not without a change of the catalog, the gateway or the request
    """

    SOON = "soon"
    BACKOFF = "backoff"
    NEVER = "never"


class StoaGitopsError(Exception):
    """Root of the tree; `str()` is a sentence for a person, without secrets."""

    reason: ClassVar[str] = "InternalError"
    retry: ClassVar[Retry] = Retry.NEVER


def reason_of(error: Exception) -> str:
    """Return the reason of an error; `InternalError` for one that is not of this tree."""
    return error.reason if isinstance(error, StoaGitopsError) else StoaGitopsError.reason


def message_of(error: Exception) -> str:
    """Return the message of an error for a person; of one outside this tree only its class."""
    if isinstance(error, StoaGitopsError):
        return str(error)
    return f"internal error ({type(error).__name__}): the log of the process has more"


class UsageError(StoaGitopsError):
    """The caller asked for something that makes no sense."""

    reason = "Usage"


class CatalogError(StoaGitopsError):
    """The catalog could not be read at all."""

    reason = "CatalogError"


class CatalogNotFound(CatalogError):
    """No such folder, repository, revision or path."""

    reason = "CatalogNotFound"


class CatalogUnreachable(CatalogError):
    """A remote repository did not answer."""

    reason = "CatalogUnreachable"
    retry = Retry.BACKOFF


class CatalogInvalid(CatalogError):
    """The catalog was read, and its documents are wrong."""

    reason = "CatalogInvalid"


class GatewayError(StoaGitopsError):
    """A gateway could not be read; `retry_after` is in seconds where the gateway named a time."""

    reason = "GatewayError"
    retry = Retry.BACKOFF

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class GatewayUnreachable(GatewayError):
    """No connection, no answer in time, or half an answer."""

    reason = "GatewayUnreachable"


class GatewayAddressRefused(GatewayError):
    """A gateway registered itself at an address that its document does not allow."""

    reason = "GatewayAddressRefused"


class GatewayUnauthorized(GatewayError):
    """The gateway refused our credentials."""

    reason = "GatewayUnauthorized"
    retry = Retry.NEVER


class GatewayRefused(GatewayError):
    """The gateway understood the request and said no."""

    reason = "GatewayRefused"
    retry = Retry.NEVER


class ObjectConflict(GatewayRefused):
    """Found before the gateway was asked: another object has what this one needs.

    It is tried again as soon as the gateway or the catalog is another one.
    """

    reason = "ObjectConflict"


class GatewayBusy(GatewayError):
    """The gateway asked to retry later (429, or 503 with Retry-After)."""

    reason = "GatewayBusy"
    retry = Retry.SOON


class GatewayMalformed(GatewayError):
    """The response is not one of the gateway's admin API."""

    reason = "GatewayMalformed"


class GatewayUnknown(GatewayError):
    """No gateway of that name is registered."""

    reason = "GatewayUnknown"
    retry = Retry.NEVER


class SecretUnresolved(StoaGitopsError):
    """A reference to a secret does not resolve."""

    reason = "SecretUnresolved"
    retry = Retry.BACKOFF


class SecretRefused(SecretUnresolved):
    """A document refers to a secret that is not its tenant's."""

    reason = "SecretRefused"
    retry = Retry.NEVER


class SecretUnsuitable(SecretUnresolved):
    """A reference leads to a value that cannot be sent where it should go."""

    reason = "SecretUnsuitable"


class DocumentUnreadable(StoaGitopsError):
    """A document that the catalog names beside an API is gone, or another one than was planned."""

    reason = "DocumentUnreadable"
    retry = Retry.BACKOFF


class UnsafePlan(StoaGitopsError):
    """A guard holds the plan; a person may force it."""

    reason = "UnsafePlan"


class DigestMismatch(StoaGitopsError):
    """The plan is no longer the one that was reviewed."""

    reason = "DigestMismatch"


class StoreError(StoaGitopsError):
    """The state could not be read or written."""

    reason = "StoreError"


class StoreTooNew(StoreError):
    """The store was written by a later version of this program."""

    reason = "StoreTooNew"


class LeaseHeld(StoreError):
    """Another process writes to this gateway."""

    reason = "LeaseHeld"
    retry = Retry.SOON
