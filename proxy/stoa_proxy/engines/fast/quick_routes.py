"""What the shortest way knows of routes: where requests go, and what lets equal ones pass."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import compress
from operator import attrgetter
from typing import Any, Final, TypeVar

from stoa_proxy.core.backend import Backend
from stoa_proxy.core.exchange import CallNote, RequestContext
from stoa_proxy.core.match import build_target
from stoa_proxy.core.model import Consumer, Route
from stoa_proxy.core.policy import LogEnd, Policy, Repeat, RepeatLog
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.core.upstream_headers import NEVER_SENT
from stoa_proxy.core.usage import counted_as
from stoa_proxy.engines.complete.upstream.http1 import encode_head
from stoa_proxy.engines.fast.quick_heads import Head, Recent
from stoa_proxy.engines.fast.quick_responses import KnownResponse
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import without
from stoa_proxy.http.trace_context import NAMES as TRACE_NAMES
from stoa_proxy.pipeline.decide import Pipeline

K = TypeVar("K")
P = TypeVar("P", bound="Pass")

# Tokens change with time: of a backend one is sent, and the one before for requests in between.
_MOST_TAILS: Final = 64
_MOST_WIRES: Final = 8
_SENT: Final = attrgetter("sent")


class Place:
    """A backend as requests are sent to it.

    `base` is its path, `base_alone` the same where nothing follows, `key` what calls are counted
    by. `response` is what its last response began with.
    """

    __slots__ = ("backend", "base", "base_alone", "key", "origin", "response")

    def __init__(self, tenant: str, backend: Backend) -> None:
        self.backend = backend
        self.origin = backend.origin
        self.key = (tenant, backend.host, backend.port)
        self.base = backend.base_path.rstrip("/").encode()
        self.base_alone = backend.base_path.encode() or b"/"
        self.response: KnownResponse | None = None


class RoutePlan:
    """A route that can be served the shortest way, and its API.

    `place` is that of its only backend; of several `places` has each by the backend's identity.
    `names` are the headers that its policies read, None for any.
    """

    __slots__ = (
        "filters", "is_observed", "loggers", "names", "needs_context", "place", "places", "route",
        "tenant", "timeout",
    )  # fmt: skip

    def __init__(self, route: Route, backend: Backend, table: RoutingTable) -> None:
        api = table.api(route.api_id)
        self.route = route
        self.tenant = route.tenant_id
        self.filters = api.request_filters
        self.loggers = api.loggers
        self.names = header_names((*api.request_filters, *api.loggers))
        self.needs_context = bool(api.request_filters or api.loggers)
        self.timeout = route.timeout
        self.is_observed = route.is_observed
        self.place: Place | None = None
        self.places: dict[int, Place] = {}
        if route.balancing is None and route.backend_auth is None:
            self.place = Place(route.tenant_id, backend)
        else:
            targets = () if route.balancing is None else route.balancing.targets
            for one in (backend, *(target.backend for target in targets)):
                self.places[id(one)] = Place(route.tenant_id, one)


def header_names(policies: Iterable[Policy]) -> frozenset[str] | None:
    """Return the headers (lower case) that policies read; None where that is not known."""
    names: frozenset[str] = frozenset()
    for policy in policies:
        read = policy.header_names
        if read is None:
            return None
        names |= read
    return names


class Tail:
    """The head for an upstream without its first line, as far as requests let it be the same.

    Of those whose pass is the same it differs in the lines that the client's headers are sent as.
    """

    __slots__ = ("_after", "_before", "_head", "_is_fixed", "_is_kept", "_sent")

    def __init__(self, head: Head[Any], context: RequestContext, sent: bytes) -> None:
        names = frozenset(context.head.keys) - context.hidden_headers - NEVER_SENT
        if context.head.trace is not None:
            names -= TRACE_NAMES
        # All of one form have lines of the same names in the same order.
        self._is_kept = tuple([line.name in names for line in head.lines])
        lines = self._write_lines(head)
        start = sent.index(b"\r\n") + 2
        # Behind the Host of the backend, as `request_headers` and `encode_head` have it.
        self._is_fixed = not sent.startswith(lines, start)
        self._before, self._after = sent[:start], sent[start + len(lines) :]
        self._head, self._sent = head, sent

    def _write_lines(self, head: Head[Any]) -> bytes:
        return b"".join(map(_SENT, compress(head.lines, self._is_kept)))

    def write(self, head: Head[Any]) -> bytes | None:
        """Return the head with the lines of a request, None where it has to be made anew."""
        if head is self._head:
            return self._sent
        if self._is_fixed:
            return None
        self._head = head
        self._sent = sent = self._before + self._write_lines(head) + self._after
        return sent


class Pass:
    """What holds for requests to a route from one client, after one like them that passed.

    They have the same shape of headers, and the same values of those that the policies of the
    route read. `is_whole` is whether policies need be asked no more: then each of `counts` counts
    a request, beside the number of its policy, and `logs` note the end. Nothing holds any more from
    `until` on. `tails` are heads for upstreams without their request lines.
    """

    __slots__ = (
        "consumer", "counted", "counts", "hidden", "is_whole", "logs", "secret", "tails", "until",
    )  # fmt: skip

    def __init__(self, context: RequestContext, filters: tuple[Policy, ...]) -> None:
        self.consumer: Consumer | None = context.consumer
        self.counted = counted_as(context.route, context.consumer)
        self.hidden, self.secret = context.hidden_headers, context.secret_headers
        self.tails: Recent[tuple[Place, str], Tail] = Recent(_MOST_TAILS)
        repeats = [policy.repeat(context) for policy in filters]
        logs = [policy.repeat_log(context) for policy in context.api.loggers]
        self.is_whole = None not in repeats and None not in logs
        known = [repeat or Repeat() for repeat in repeats]
        self.counts = [
            (number, repeat.count)
            for number, repeat in enumerate(known)
            if repeat.count is not None
        ]
        self.logs: list[RepeatLog] = [log for log in logs if log is not None]
        ends = [repeat.until for repeat in known if repeat.until is not None]
        self.until: datetime | None = min(ends, default=None)

    def holds(self, clock: Clock) -> bool:
        """Whether it does still."""
        return self.until is None or clock.now() < self.until


class Course:
    """What equal requests of one client to a route have in common, beside their pass.

    `wire` is what the only backend of the route gets; of several, or of those that get tokens,
    `wires` has each. `ends` note how such a request ended.
    """

    __slots__ = ("ends", "passed", "wire", "wires")

    def __init__(self, passed: Pass, method: str, target: str) -> None:
        self.passed = passed
        self.wire = b""
        self.wires: Recent[tuple[Place, str], bytes] = Recent(_MOST_WIRES)
        self.ends: list[LogEnd] = [log(method, target) for log in passed.logs]


def find_pass(passes: Recent[K, P], key: K, clock: Clock) -> P | None:
    """Return what let the last request like this one pass, while it holds."""
    found = passes.new.get(key) or passes.get(key)
    if found is None or found.holds(clock):
        return found
    passes.forget(key)
    return None


def encode_tail(pipeline: Pipeline, context: RequestContext, backend: Backend) -> bytes:
    """Return the head that an upstream gets, without its request line.

    Of a request with a trace without that, and without the empty line behind it.
    """
    forward = pipeline.upstream_request_filter(context, backend)
    headers = forward.headers
    is_traced = context.head.trace is not None
    if is_traced:
        headers = tuple(without(headers, TRACE_NAMES))
    head, _ = encode_head(context.head.method, forward.target, headers, has_body=False)
    tail = head.partition(b"\r\n")[2]
    return tail[:-2] if is_traced else tail


def note_call(context: RequestContext, backend: Backend, status: int) -> None:
    """Note the call of a request that is recorded, as `core.attempts` does it."""
    trace, route = context.head.trace, context.route
    if trace is None or not trace.is_recorded:
        return
    target = build_target(backend, context.path, context.depth, strip=route.strip_path)
    now = context.clock.monotonic()
    context.noted.calls.append(CallNote(target, trace.started, now, status, trace.client_id))
