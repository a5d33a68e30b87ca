"""What a gateway says of itself when it registers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final

from stoa_gitops.fleet.identity import Mode, canonical_environment, gateway_id, identity_name


@dataclass(frozen=True, slots=True)
class Registration:
    """One registration; `named` makes it from what was sent.

    hostname      as given, for display; `name` is made from it
    environment   in its one spelling
    capabilities  words of STOA's documentation, as sent
    extensions    what our own data plane names beside them; a real STOA gateway names none
    tenant_id     the only tenant whose objects it takes; empty for all
    further       further documented fields that were sent and their values, sorted: `public_url` …
    key           fingerprint of the key that was used
    peer          the address that the registration came from
    """

    id: str
    name: str
    hostname: str
    mode: Mode
    environment: str
    version: str
    admin_url: str
    capabilities: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    tenant_id: str = ""
    further: tuple[tuple[str, str], ...] = ()
    key: str = ""
    peer: str = ""

    @classmethod
    def named(
        cls,
        hostname: str,
        mode: Mode,
        environment: str,
        *,
        version: str,
        admin_url: str,
        capabilities: tuple[str, ...] = (),
        extensions: tuple[str, ...] = (),
        tenant_id: str = "",
        further: tuple[tuple[str, str], ...] = (),
        key: str = "",
        peer: str = "",
    ) -> Registration:
        """Return the registration of a gateway with its name and id; ValueError as identity's."""
        name = identity_name(hostname, mode, environment)
        return cls(
            gateway_id(name),
            name,
            hostname,
            mode,
            canonical_environment(environment),
            version,
            admin_url,
            capabilities,
            extensions,
            tenant_id,
            further,
            key,
            peer,
        )

    @property
    def gateway_type(self) -> str:
        """The gateway type of documents that may bind it."""
        return self.mode.gateway_type

    @property
    def has_table(self) -> bool:
        """Whether it takes the whole table as one document, as our own data plane does."""
        return TABLE in self.extensions


TABLE: Final = "table"
"""The extension of a gateway that pulls its whole table as one document."""

AUDITED: Final = ("mode", "admin_url", "version", "tenant_id", "extensions", "key")
"""Fields a change of which is written to the audit trail."""


def changed_fields(before: Registration, after: Registration) -> tuple[str, ...]:
    """Return the names of the fields in which two registrations of one gateway differ."""
    return tuple(
        one.name
        for one in fields(Registration)
        if getattr(before, one.name) != getattr(after, one.name)
    )


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """A registered gateway as it is stored.

    status         value of GatewayStatus
    since          of the status
    registered_at  when it was first seen; last_registered_at: when it started last
    last_beat_at   None where it never sent a heartbeat; kept to the minute
    requests       total that it reported last, and errors among them: the base of the next rate
    """

    registration: Registration
    status: str
    since: datetime
    registered_at: datetime
    last_registered_at: datetime
    last_beat_at: datetime | None = None
    requests: int = 0
    errors: float = 0.0
    is_degraded: bool = False
