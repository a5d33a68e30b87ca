"""What a policy is: the phases, the hooks it may override, and what one that needs I/O is given.

A policy type is one module in `stoa_proxy/policies` that exports `POLICY = PolicyType(...)`. Its
policies are frozen values: what changes during a request is in the context and its counters.

::

    @dataclass(frozen=True, slots=True)
    class Maintenance(Policy):
        def request_filter(self, context: PolicyContext) -> Respond | None:
            return problem(503, "Service unavailable", "The API is being maintained.")

    def parse(policy_id: str, config: Mapping[str, object]) -> Maintenance:
        check_keys(config, ())
        return Maintenance()

    POLICY = PolicyType("maintenance", Phase.RESPONSE, parse, "`{}`", statuses=(503,))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, auto
from typing import NamedTuple, Protocol

from stoa_proxy.core.backend import Backend
from stoa_proxy.core.counters import RateCounters
from stoa_proxy.core.limits import LimitResult
from stoa_proxy.core.model import Consumer, Route
from stoa_proxy.core.policy_states import PolicyState, PolicyStates
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.retries import RetryRules
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.upstream_tls import UpstreamTls
from stoa_proxy.http.heads import Header, Headers, RequestHead
from stoa_proxy.http.targets import RequestPath


class Phase(IntEnum):
    """The order in which the policies of an API run; within a phase by `priority`, then by id."""

    CROSS_ORIGIN = auto()
    CLIENT_ADDRESS = auto()
    AUTHENTICATION = auto()
    AUTHORIZATION = auto()
    RATE_LIMITING = auto()
    BODY_SIZE = auto()
    TRANSFORMATION = auto()
    CACHING = auto()
    RESPONSE = auto()
    UPSTREAM = auto()
    LOGGING = auto()

    @property
    def title(self) -> str:
        """The phase as documentation names it: `client address`."""
        return self.name.lower().replace("_", " ")


class Recorder(Protocol):
    """Sees the body of an upstream's response while it is passed on."""

    def write(self, content: bytes) -> None:
        """Take the next part."""
        ...

    def close(self) -> None:
        """Note that the body is whole; not called for one that breaks off."""
        ...


class PolicyContext(Protocol):
    """One request as policies see it; `core.exchange.RequestContext` is the implementation.

    Policies set `consumer` (who is calling), `limit_result` (shown as `RateLimit-*`), `max_body`
    (bytes; bounds a body of unannounced length), `hidden_headers` (lower case) and `hidden_query`
    (credentials that must not go upstream), `secret_headers` and `secret_query` (must not be shown
    by `builtin:echo`), and under their class in `notes` what a later hook of the request needs.
    Everything else is read only. `states` outlive the request. `filters_responses` is whether the
    engine asks `upstream_response_filter` and feeds `recorder`.
    """

    head: RequestHead
    path: RequestPath
    route: Route
    clock: Clock
    counters: RateCounters
    states: PolicyStates
    consumer: Consumer | None
    limit_result: LimitResult | None
    max_body: int | None
    hidden_headers: frozenset[str]
    hidden_query: frozenset[str]
    secret_headers: frozenset[str]
    secret_query: frozenset[str]
    notes: dict[object, object]
    recorder: Recorder | None
    fallback_reason: str | None
    filters_responses: bool
    is_websocket: bool

    def find_consumer(self, api_key: str) -> Consumer | None:
        """Return the consumer that an API key belongs to, or None."""
        ...

    def find_client(self, client_id: str) -> Consumer | None:
        """Return the consumer whose tokens name this client, or None.

        One of the API's tenant, else one of another tenant that subscribes to the API.
        """
        ...


class Unavailable(NamedTuple):
    """Why a backend is not called now, a reason as `X-Stoa-Fallback` has it.

    `retry_after` is in how many seconds it may be.
    """

    reason: str
    retry_after: float


class RequestEnd(NamedTuple):
    """How a request ended: the status that the client got, or None where it got no whole response.

    `seconds` since the head of the request; `fallback` is why the fallback was used.
    """

    status: int | None
    seconds: float
    fallback: str | None


@dataclass(frozen=True, slots=True)
class Repeat:
    """What a request has to pass that is like one which passed all of it.

    `count` counts it, where that is needed; one that is refused is not counted. Nothing holds any
    more from `until` on.
    """

    count: Callable[[], LimitResult] | None = None
    until: datetime | None = None


LogEnd = Callable[[int, float], None]
"""Logs the end of a request: its status, and the seconds since its head."""

RepeatLog = Callable[[str, str], LogEnd]
"""Returns what logs the ends of requests with this method and target."""


class Policy:
    """A policy of one API; each overrides the hooks that it takes part in.

    The pipeline calls only hooks that are overridden, so the others cost nothing per request.
    """

    __slots__ = ()

    def overrides(self, hook: str) -> bool:
        """Whether it takes part in a hook, which is named."""
        return getattr(type(self), hook) is not getattr(Policy, hook)

    def repeat(self, context: PolicyContext) -> Repeat | None:
        """Return what is left of `request_filter` for requests like one that passed it.

        Those have the same client (where it `reads_client`), route, table and `header_names` with
        the same values; all else
        may differ. What it set in the context holds for them, too. None: it is asked each time.
        """
        return None

    @property
    def header_names(self) -> frozenset[str] | None:
        """The headers (lower case) that `repeat` and `repeat_log` depend on; None: any."""
        return None

    def reads_client(self, context: PolicyContext) -> bool:
        """Whether `repeat` depends on the client's address, for requests like this one."""
        return True

    def repeat_log(self, context: PolicyContext) -> RepeatLog | None:
        """Return what does the work of `log` for requests like this one (`repeat`)."""
        return None

    @property
    def key_place(self) -> tuple[str, str] | None:
        """Where it reads an API key, (`header` or `query`, name); None where it reads none."""
        return None

    @property
    def quota(self) -> tuple[str, str, int] | None:
        """Its id, its period and the requests that it allows in one; None for what is no quota."""
        return None

    def preflight_filter(self, head: RequestHead, states: PolicyStates) -> Respond | None:
        """Refuse a CORS preflight, or let it pass (None). Runs before `preflight`."""
        return None

    def preflight(
        self, head: RequestHead, methods: Sequence[str], states: PolicyStates
    ) -> Respond | None:
        """Respond to a CORS preflight for routes that accept `methods`."""
        return None

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Respond to the request, or let it pass (None)."""
        return None

    def is_presented(self, context: PolicyContext) -> bool:
        """Whether a request carries the credential that this policy identifies callers by.

        Asked of an API that has several such policies: those that are presented decide.
        """
        return True

    def upstream_peer(self, context: PolicyContext, backend: Backend) -> Unavailable | None:
        """Keep a request from its backend, or let it pass (None). Not asked for a fallback.

        Asked before the first attempt and before each further one.
        """
        return None

    def upstream_outcome(
        self, context: PolicyContext, backend: Backend, outcome: UpstreamFailed | int | None
    ) -> None:
        """Note how an attempt to call the backend ended: a status, a failure, or by the client."""

    def retry_rules(self) -> RetryRules | None:
        """Return when requests of the API are tried again, in place of the routes' own rules."""
        return None

    def upstream_request_filter(self, context: PolicyContext, headers: list[Header]) -> None:
        """Edit the headers that an upstream gets."""

    def upstream_response_filter(
        self, context: PolicyContext, status: int, headers: Sequence[Header]
    ) -> Respond | None:
        """Respond in place of what an upstream has sent the head of, or let it pass (None).

        It may set `recorder`, which then sees the body. The headers are those of the upstream.
        """
        return None

    def failure_filter(self, context: PolicyContext, reason: str) -> Respond | None:
        """Respond in place of 502, 503 or 504, for a backend that did not (`UpstreamFailed`)."""
        return None

    def response_filter(self, context: PolicyContext, headers: list[Header]) -> None:
        """Edit the headers of a response, the gateway's own or the upstream's."""

    def log(self, context: PolicyContext, end: RequestEnd) -> None:
        """Note the end of a request, whatever became of it; called once for each."""


class AsyncPolicy(Policy):
    """A policy that needs I/O before it can decide, such as a token's introspection.

    Requests of APIs without such a policy never wait: the table knows which APIs have one.
    """

    __slots__ = ()

    def is_prepared(self, context: PolicyContext) -> bool:
        """Whether `request_filter` can decide at once, without `prepare`."""
        return False

    async def prepare(self, context: PolicyContext, services: Services) -> Respond | None:
        """Fetch what `request_filter` needs, which runs next; a response refuses the request.

        The engine bounds the time that this takes (503 beyond it) and cancels it when the client
        leaves. Whatever it raises refuses the request: ServiceFailed with 503, all else with 500.
        """
        return None


@dataclass(frozen=True, slots=True)
class FetchedResponse:
    """What `Services.fetch` returns: any status, redirects included."""

    status: int
    headers: Headers
    body: bytes


class Cache(Protocol):
    """Values that several requests share for some time; bounded in number."""

    def get(self, key: str) -> object | None:
        """Return the value of a key; None when there is none or its time is over."""
        ...

    def put(self, key: str, value: object, seconds: float) -> None:
        """Keep a value for `seconds`."""
        ...


class Services(Protocol):
    """What an engine gives to policies that need I/O; each engine implements it once."""

    @property
    def clock(self) -> Clock:
        """The gateway's clock."""
        ...

    @property
    def cache(self) -> Cache:
        """Values shared by all requests to a tenant's APIs; keys begin with the policy's type."""
        ...

    async def fetch(
        self,
        method: str,
        url: str,
        headers: Headers = (),
        body: bytes = b"",
        *,
        seconds: float = ...,
        tls: UpstreamTls | None = None,
    ) -> FetchedResponse:
        """Send a request to an http or https URL, there as `tls`, and return the whole response.

        It has `seconds` from connecting to the last byte, without them what an engine gives. Under
        the address rules of backends (STOA_BACKENDS_ALLOW, _DENY). Redirects are not followed.
        Raises ServiceFailed when there is no response in time, or one that is too large.
        """
        ...


class PolicyLabel(NamedTuple):
    """What people call a policy of an API: its phase, its type, and its id and name, if it has any.

    One that the gateway adds by itself has neither: `api_key` for plans, `access`.
    """

    phase: Phase
    type: str
    id: str = ""
    name: str = ""


Wrap = Callable[[PolicyLabel, Policy], Policy]
"""Puts a policy in another's place that does the same, and more."""


def unwrapped(label: PolicyLabel, policy: Policy) -> Policy:
    """Return a policy as it is."""
    return policy


ParsePolicy = Callable[[str, Mapping[str, object]], Policy]


def never_public(config: Mapping[str, object]) -> bool:
    """Whether a config may be written to disk: no."""
    return False


def always_public(config: Mapping[str, object]) -> bool:
    """Whether a config may be written to disk: yes, for it has no place for a credential."""
    return True


@dataclass(frozen=True, slots=True)
class PolicyType:
    """Everything that the data plane knows of one type of policy; each module exports one.

    `parse(policy_id, config)` raises ValueError, whose message names the key that is wrong.
    `config_help` describes `config` in Markdown, for docs/data-plane-admin.md; `statuses` are
    those of its refusals. Of an `is_single` type only the first policy of an API counts.
    `is_shared` is whether equal policies may be one object; not for those that know their id.
    `is_public` tells of a config whether it may be written to disk: without it none may, since
    any could hold a credential. `states` are the classes of what its policies keep between
    requests, whose metrics are served.
    """

    name: str
    phase: Phase
    parse: ParsePolicy
    config_help: str
    statuses: tuple[int, ...] = ()
    is_single: bool = False
    is_shared: bool = True
    is_public: Callable[[Mapping[str, object]], bool] = never_public
    states: tuple[type[PolicyState], ...] = ()
