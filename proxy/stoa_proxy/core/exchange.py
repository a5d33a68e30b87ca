"""One request on its way through the phases, and what the pipeline decides about it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from stoa_proxy.core.api import Api
from stoa_proxy.core.backend import Backend, Upstream
from stoa_proxy.core.counters import RateCounters
from stoa_proxy.core.limits import LimitResult
from stoa_proxy.core.match import Target
from stoa_proxy.core.model import Consumer, Route
from stoa_proxy.core.policy import AsyncPolicy, Policy, Recorder
from stoa_proxy.core.policy_states import PolicyStates
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.retries import RetryRules
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import Headers, RequestHead
from stoa_proxy.http.targets import RequestPath

_NONE: frozenset[str] = frozenset()


class CallNote(NamedTuple):
    """One attempt to call an upstream: its status, or why there is none (`UpstreamFailed`).

    `began` and `ended` are of the monotonic clock; `span_id` is that of its span, if there is one.
    """

    target: Target
    began: float
    ended: float
    outcome: int | str
    span_id: str


@dataclass(slots=True)
class RequestRecord:
    """What is noted of a request that is traced or does not go well.

    `status` and `answer` are those of its response, where that is 500 or above; `refused_by` is the
    policy that gave it, `failure` why no backend did (`UpstreamFailed`, `Unavailable`); `waits` are
    policies that had to wait, and for how many seconds.
    """

    calls: list[CallNote] = field(default_factory=list)
    status: int = 0
    answer: Headers = ()
    failure: str = ""
    refused_by: Policy | None = None
    waits: list[tuple[Policy, float]] = field(default_factory=list)


@dataclass(slots=True)
class RequestContext:
    """The state of one request; the only value here that changes while phases run.

    Policies see it as `core.policy.PolicyContext`, which describes the fields that they set.
    `depth` is the number of matched segments, `is_websocket` whether the client asks for
    WebSocket, `api` what the route belongs to, `fallback_reason` why the fallback is used.
    `backend` is the one of the route's that is called, `tried` are those of several that were.
    `started` (of the monotonic clock) and `is_ended` are for APIs with policies that log;
    `is_counted` is whether the request's usage is. `policy_seconds` are policies that were asked
    about it, and how long each took: without what it waited for, and more than once where it was
    asked so. `record` is there once something is noted.
    """

    head: RequestHead
    path: RequestPath
    host: str
    route: Route
    depth: int
    table: RoutingTable
    clock: Clock
    counters: RateCounters
    states: PolicyStates
    consumer: Consumer | None = None
    limit_result: LimitResult | None = None
    fallback_reason: str | None = None
    max_body: int | None = None
    is_websocket: bool = False
    hidden_headers: frozenset[str] = _NONE
    hidden_query: frozenset[str] = _NONE
    secret_headers: frozenset[str] = _NONE
    secret_query: frozenset[str] = _NONE
    notes: dict[object, object] = field(default_factory=dict)
    policy_seconds: list[tuple[Policy, float]] = field(default_factory=list)
    recorder: Recorder | None = None
    filters_responses: bool = False
    started: float = 0.0
    is_ended: bool = False
    is_counted: bool = False
    tried: tuple[Backend, ...] = ()
    record: RequestRecord | None = None
    api: Api = field(init=False)
    backend: Upstream = field(init=False)

    def __post_init__(self) -> None:
        self.api = self.table.api(self.route.api_id)
        self.backend = self.route.backend

    @property
    def noted(self) -> RequestRecord:
        """What is noted, for more of it."""
        if self.record is None:
            self.record = RequestRecord()
        return self.record

    def ask(self, policies: Iterable[Policy]) -> tuple[Policy, Respond] | None:
        """Ask request filters that need not be prepared; return the first to respond, and what.

        One reading of the clock for each: a snapshot of an error says how long they took.
        """
        note, monotonic = self.policy_seconds.append, self.clock.monotonic
        began = monotonic()
        for policy in policies:
            refusal = policy.request_filter(self)
            ended = monotonic()
            note((policy, ended - began))
            if refusal is not None:
                return policy, refusal
            began = ended
        return None

    def find_consumer(self, api_key: str) -> Consumer | None:
        """Return the consumer that an API key belongs to, or None."""
        digest = hashlib.sha256(api_key.encode("utf-8", "surrogateescape")).hexdigest()
        owner = self.table.keys.get(digest)
        consumer = None if owner is None else self.table.consumers.get(owner)
        if consumer is None:
            return None
        # The lookup compares digests by hash table; what admits is a comparison in constant time.
        matches = [hmac.compare_digest(digest, key_hash) for key_hash in consumer.key_hashes]
        return consumer if any(matches) else None

    def find_client(self, client_id: str) -> Consumer | None:
        """Return the consumer whose tokens name this client, or None.

        Client ids are no secrets, so other tenants' consumers count only where they subscribe.
        """
        digest = hashlib.sha256(client_id.encode("utf-8", "surrogatepass")).hexdigest()
        route = self.route
        found = [self.table.consumers[owner] for owner in self.table.clients.get(digest, ())]
        for consumer in found:
            if consumer.tenant_id == route.tenant_id:
                return consumer
        for consumer in found:
            if any(one.api_id == route.api_id for one in consumer.subscriptions):
                return consumer
        return None

    @property
    def can_fall_back(self) -> bool:
        """Whether the route has a fallback that was not used yet."""
        return self.route.fallback is not None and self.fallback_reason is None


# Named tuples for what is made with every request: a frozen dataclass sets each field by a call,
# which cost 3 % of a request (benchmarks/README.md).
class Forward(NamedTuple):
    """The decision to call `target` with `headers`.

    `timeout` seconds until the response's head and between two reads; `connect_timeout` seconds to
    connect; `retry` says when it is tried again; `is_repeatable` is whether the request
    is idempotent and has no body; `is_websocket` is whether 101 may be answered.
    """

    context: RequestContext
    target: Target
    headers: Headers
    timeout: float
    connect_timeout: float
    retry: RetryRules
    is_repeatable: bool
    is_websocket: bool = False

    def __repr__(self) -> str:
        """Without the headers, which may hold credentials."""
        return f"Forward({self.context.head.method} {self.target!r})"


@dataclass(frozen=True, slots=True)
class Echo:
    """The decision to respond with what was received; the engine adds the (bounded) body."""

    context: RequestContext
    target: Target
    headers: Headers = field(repr=False)


class Prepare(NamedTuple):
    """The decision to await `policy.prepare` first; then `Pipeline.resume` decides.

    `position` is the policy's place among the API's request filters.
    """

    context: RequestContext
    policy: AsyncPolicy
    position: int


class ReadBody(NamedTuple):
    """The decision to read the request's body first; then `complete` decides.

    `maximum` in bytes; `complete` gets None for a body that is longer.
    """

    maximum: int
    complete: Callable[[bytes | None], Respond | Prepare]


UpstreamDecision = Forward | Echo | Respond
Decision = UpstreamDecision | Prepare
FirstDecision = Decision | ReadBody
