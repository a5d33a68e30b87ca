"""What the routes of gateways need from the process, and what they hand to it.

`daemon.fleet_service` implements `FleetOperations`, `daemon.published_tables` `Publications`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stoa_gitops.fleet.health import Figures
from stoa_gitops.fleet.members import Member
from stoa_gitops.fleet.registration import Registration
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.principal import Principal


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Published:
    """A document for one gateway, as it is sent.

    etag  without its quotes; equal as long as the body is
    body  JSON for routes, JSON lines for a table
    """

    etag: str
    body: bytes


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What one gateway is to have, as `GET …/config` answers (contract stoa.md §2.2)."""

    deployments: Sequence[JsonObject] = ()
    policies: Sequence[JsonObject] = ()


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One object that a gateway says it has applied, removed or failed to take.

    id          deployment id of a route, or the id of a policy, API or consumer
    kind        `route`, `policy`, or what the object list of a table names
    status      `applied`, `removed` or `failed`; a step that failed makes an applied one failed
    generation  of the document that it was read from; None where the gateway tells none
    error       why it failed, in the gateway's words
    """

    id: str
    kind: str
    status: str
    generation: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TableAcknowledged:
    """What a gateway of ours did with a table: `applied` or `failed`, and the objects it refused.

    etag and generation  of the document that it read
    """

    etag: str
    generation: int
    status: str
    error: str | None = None
    objects: tuple[Acknowledged, ...] = ()


class Publications(Protocol):
    """What registered gateways get. Every method takes the id of a gateway that is registered.

    They raise NotReady while there is nothing to send that is known to be right (unbound,
    suspended, orphaned, not applied yet): an empty list would empty the gateway. And Conflict for a
    gateway that is written to by its admin API instead.
    """

    async def routes(self, gateway_id: str) -> Published:
        """Return the routes of a gateway as STOA's gateway takes them."""

    async def table(self, gateway_id: str) -> Published:
        """Return the whole table of a gateway that takes one document."""

    async def config(self, gateway_id: str) -> GatewayConfig:
        """Return the deployments and policies of a gateway; empty ones while there are none."""

    async def apis(self, gateway_id: str) -> Sequence[JsonObject]:
        """Return the APIs of a gateway: id, name, description, backend_url, version."""

    async def acknowledge(self, gateway_id: str, acks: Sequence[Acknowledged]) -> int:
        """Take what a gateway says of its objects; return how many of them are its own."""

    async def acknowledge_table(self, gateway_id: str, ack: TableAcknowledged) -> None:
        """Take what a gateway of ours says of a table."""


class FleetOperations(Protocol):
    """Registered gateways of one process; methods with an id raise GatewayUnknown."""

    @property
    def publications(self) -> Publications:
        """What they get."""
        ...

    async def register(self, registration: Registration) -> Member:
        """Take a registration, the first one or one of many; stored when this returns.

        Raises StoreError, and then nothing was registered.
        """

    def refuse(self, peer: str, fingerprint: str, why: str) -> None:
        """Note a registration that is refused; `fingerprint` is of the key that was sent."""

    def beat(self, gateway_id: str, figures: Figures | None) -> None:
        """Take a heartbeat, in memory only; None for figures that make no sense."""

    def leave(self, gateway_id: str, principal: Principal) -> None:
        """Note that a gateway says it stops; it stays registered."""

    def get(self, gateway_id: str) -> Member:
        """Return a gateway."""

    def find(self, name: str) -> Member | None:
        """Return the gateway of a name, in any spelling of it."""
