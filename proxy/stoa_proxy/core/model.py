"""Configured values: routes, plans, policies as sent, consumers. Frozen: replaced, never edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from stoa_proxy.core.backend import Upstream
from stoa_proxy.core.backend_auth import AnyBackendAuth, ClientCredentials
from stoa_proxy.core.balancing import Balancing
from stoa_proxy.foundation.clock import Clock

HeaderValues = tuple[tuple[str, tuple[str, ...]], ...]
"""Names of headers, each with the values of which a request has one; sorted by name."""

Prefix = tuple[str | None, ...]
"""Decoded segments of a path; None is a parameter, which any segment but an empty one matches."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The rates of one plan in requests per unit of time; None is no limit."""

    name: str
    per_second: int | None = None
    per_minute: int | None = None
    per_day: int | None = None
    per_month: int | None = None
    burst: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One way into an API: prefix, hosts and methods, and the backend behind them.

    `prefix` are segments (`()` for `/`), `parameters` the names of those among them that are
    parameters; `hosts` are lower case, exact or `*.suffix`;
    `methods` are upper case, empty for all; `headers` are those that a request needs, by name and
    each with its values, all in lower case; `timeout` is in seconds. With several backends
    `balancing` has them, and `backend` is the first. Without plans `is_for_subscribers` refuses
    consumers of the own tenant that do not subscribe.
    """

    id: str
    name: str
    tenant_id: str
    api_id: str
    prefix: Prefix
    backend: Upstream
    methods: frozenset[str] = frozenset()
    hosts: tuple[str, ...] = ()
    activated: bool = True
    strip_path: bool = True
    timeout: float = 30.0
    retries: int = 0
    fallback: Upstream | None = None
    backend_auth: AnyBackendAuth | None = None
    balancing: Balancing | None = None
    plans: tuple[Plan, ...] = ()
    is_for_subscribers: bool = False
    headers: HeaderValues = ()
    parameters: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The prefix for people, parameters by their names: `/orders/{orderId}`."""
        names = iter(self.parameters)
        return "/" + "/".join(f"{{{next(names)}}}" if one is None else one for one in self.prefix)

    @property
    def is_observed(self) -> bool:
        """Whether the end of each attempt to call its backend is to be known."""
        return self.balancing is not None or isinstance(self.backend_auth, ClientCredentials)


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """A policy as configured; `config` is what was sent, already checked."""

    id: str
    name: str
    policy_type: str
    config: Mapping[str, object]
    priority: int
    api_id: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """A consumer's right to use an API, under a plan if the API has plans."""

    api_id: str
    plan: str | None = None
    expires_at: datetime | None = None

    def is_live(self, clock: Clock) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or self.expires_at > clock.now()


@dataclass(frozen=True, slots=True)
class Consumer:
    """An API consumer; `key_hashes` are lower case hex SHA-256 digests of its keys.

    `client_hashes` are those of the client ids by which tokens name it.
    """

    id: str
    name: str
    tenant_id: str
    key_hashes: tuple[str, ...] = field(default=(), repr=False)
    subscriptions: tuple[Subscription, ...] = ()
    client_hashes: tuple[str, ...] = field(default=(), repr=False)
