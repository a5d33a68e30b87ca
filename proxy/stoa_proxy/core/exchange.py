"""One request on its way through the phases, and what the core decides about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from stoa_proxy.core.counters import LimitResult, RateCounters
from stoa_proxy.core.match import Target
from stoa_proxy.core.model import Api, Consumer, Route
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import Header, Headers, RequestHead
from stoa_proxy.http.targets import RequestPath

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Respond:
    """An answer of our own.

    A long one has a `rest` behind its `body`: pieces that are made while it is sent, and only once.
    """

    status: int
    headers: Headers = ()
    body: bytes = b""
    rest: Iterator[bytes] | None = field(default=None, repr=False, compare=False)


@dataclass(slots=True)
class RequestContext:
    """What is known of a request; the only thing here that changes while phases run.

    `max_body` bounds a body of unannounced length; `is_websocket` is whether the caller asks for
    WebSocket; `api` is what the route belongs to. `hidden_headers` (lower case) and `hidden_query` are credentials that must not go upstream;
    `secret_headers` and `secret_query` must not be shown by the echo.
    """

    head: RequestHead
    path: RequestPath
    host: str
    route: Route
    depth: int
    table: RoutingTable
    clock: Clock
    counters: RateCounters
    consumer: Consumer | None = None
    verdict: LimitResult | None = None
    fallback_reason: str | None = None
    max_body: int | None = None
    is_websocket: bool = False
    hidden_headers: frozenset[str] = _NONE
    hidden_query: frozenset[str] = _NONE
    secret_headers: frozenset[str] = _NONE
    secret_query: frozenset[str] = _NONE
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        self.api = self.table.api(self.route.api_id)

    @property
    def may_fall_back(self) -> bool:
        """Whether the route has a fallback that was not used yet."""
        return self.route.fallback is not None and self.fallback_reason is None


class Forward(NamedTuple):
    """Call `target` with `headers`.

    `timeout` seconds until the answer's head and between two reads; `connect_timeout` seconds to
    connect; `retries` further tries if no answer was found; `is_repeatable` is whether the request
    is idempotent and has no body; `is_websocket` is whether 101 may be answered.
    """

    context: RequestContext
    target: Target
    headers: Headers
    timeout: float
    connect_timeout: float
    retries: int
    is_repeatable: bool
    is_websocket: bool = False

    def __repr__(self) -> str:
        """Without the headers, which may hold credentials."""
        return f"Forward({self.context.head.method} {self.target!r})"


@dataclass(frozen=True, slots=True)
class Echo:
    """Answer with what was received; the engine adds the (bounded) body."""

    context: RequestContext
    target: Target
    headers: Headers = field(repr=False)


Decision = Forward | Echo | Respond


class Policy:
    """A policy of one API; each overrides the phases that it has a part in.

    Frozen: what changes is in the context and its counters.
    """

    __slots__ = ()

    def request_filter(self, context: RequestContext) -> Respond | None:
        """Answer the request, or let it pass."""
        return None

    def upstream_request_filter(self, context: RequestContext, headers: list[Header]) -> None:
        """Edit the headers that an upstream gets."""

    def response_filter(self, context: RequestContext, headers: list[Header]) -> None:
        """Edit the headers of an answer, ours or the upstream's."""


__all__ = ["Decision", "Echo", "Forward", "Policy", "RequestContext", "Respond"]
