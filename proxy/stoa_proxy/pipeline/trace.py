"""Records what the policies of one request decide, in which order and how fast. No I/O.

The request is decided by a table of its own, in which each policy of its API is wrapped: requests
beside it run through the table as it is, and pay nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from stoa_proxy.core.api import Api
from stoa_proxy.core.backend import Backend
from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.match import select_route
from stoa_proxy.core.model import Route
from stoa_proxy.core.policy import (
    AsyncPolicy,
    Policy,
    PolicyContext,
    PolicyLabel,
    RequestEnd,
    Services,
    Unavailable,
    Wrap,
)
from stoa_proxy.core.policy_states import PolicyStates
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.retries import RetryRules
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.core.trie import Match
from stoa_proxy.errors import RequestRefused, UpstreamFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import Header, RequestHead, read_host, sanitize
from stoa_proxy.http.targets import read_target

T = TypeVar("T")
# A request that is tried again asks its policies again: more than this tells nothing new.
_MAX_STEPS = 500


@dataclass(slots=True)
class Step:
    """What one policy did in one hook.

    `verdict` is one of passed, refused, answered, edited, waited, available, unavailable, noted;
    `status` is that of a response; `seconds` is how long it took.
    """

    hook: str
    policy: PolicyLabel
    verdict: str
    detail: str = ""
    status: int | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class Call:
    """One attempt to call an upstream: its status, or why there is none (`UpstreamFailed`)."""

    upstream: str
    status: int | None = None
    failure: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Trace:
    """The record of one request.

    `route` is the one that it is for; `context` is that of its policies, once one has run.
    """

    clock: Clock
    route: Route | None = None
    steps: list[Step] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    context: PolicyContext | None = None

    def wrap(self, label: PolicyLabel, policy: Policy) -> Policy:
        """Return a policy that does the same, and is recorded here."""
        kind = _TracedAsyncPolicy if isinstance(policy, AsyncPolicy) else _TracedPolicy
        return kind(self, label, policy)

    def add(self, step: Step, started: float) -> None:
        """Add what was done since `started`."""
        step.seconds = self.clock.monotonic() - started
        if len(self.steps) < _MAX_STEPS:
            self.steps.append(step)

    @property
    def decided_by(self) -> PolicyLabel | None:
        """The policy whose response the client got; None where no policy has responded."""
        for step in reversed(self.steps):
            if step.verdict in ("refused", "answered"):
                return step.policy
        return None


def traced_table(
    head: RequestHead, table: RoutingTable, compile_api: Callable[[str, Wrap], Api], trace: Trace
) -> RoutingTable:
    """Return a table that decides a request as `table` does, and records it in `trace`.

    `compile_api` returns an API of the table with its policies wrapped.
    """
    match = _find(head, table)
    if match is None:
        return table
    trace.route = select_route(match, head.method)
    for api_id in dict.fromkeys(route.api_id for route in match.routes):
        table = table.with_api(compile_api(api_id, trace.wrap))
    return table


def find_api(head: RequestHead, table: RoutingTable) -> Api | None:
    """Return the API that a request is for, None where it is for none."""
    match = _find(head, table)
    route = None if match is None else select_route(match, head.method)
    return None if route is None else table.api(route.api_id)


def _find(head: RequestHead, table: RoutingTable) -> Match | None:
    try:
        path = read_target(head.target)
        return table.find(read_host(head, path.authority), path.segments, sanitize(head))
    except RequestRefused:
        return None


class _TracedPolicy(Policy):
    """A policy in whose hooks the trace looks on."""

    __slots__ = ("_label", "_policy", "_trace")

    def __init__(self, trace: Trace, label: PolicyLabel, policy: Policy) -> None:
        self._trace = trace
        self._label = label
        self._policy = policy

    def overrides(self, hook: str) -> bool:
        return self._policy.overrides(hook)

    def is_presented(self, context: PolicyContext) -> bool:
        return self._policy.is_presented(context)

    def retry_rules(self) -> RetryRules | None:
        return self._policy.retry_rules()

    def preflight_filter(self, head: RequestHead, states: PolicyStates) -> Respond | None:
        return self._ask("preflight", lambda: self._policy.preflight_filter(head, states))

    def preflight(
        self, head: RequestHead, methods: Sequence[str], states: PolicyStates
    ) -> Respond | None:
        return self._ask("preflight", lambda: self._policy.preflight(head, methods, states))

    def request_filter(self, context: PolicyContext) -> Respond | None:
        return self._ask("request", lambda: self._policy.request_filter(context), context)

    def upstream_peer(self, context: PolicyContext, backend: Backend) -> Unavailable | None:
        started = self._trace.clock.monotonic()
        found = self._policy.upstream_peer(context, backend)
        step = Step("upstream", self._label, "available")
        if found is not None:
            step.verdict, step.detail = "unavailable", found.reason
        self._trace.add(step, started)
        return found

    def upstream_outcome(
        self, context: PolicyContext, backend: Backend, outcome: UpstreamFailed | int | None
    ) -> None:
        started = self._trace.clock.monotonic()
        self._policy.upstream_outcome(context, backend, outcome)
        shown = outcome.reason if isinstance(outcome, UpstreamFailed) else outcome
        self._trace.add(Step("outcome", self._label, "noted", str(shown)), started)

    def upstream_request_filter(self, context: PolicyContext, headers: list[Header]) -> None:
        self._edit(
            "upstream request",
            lambda: self._policy.upstream_request_filter(context, headers),
            headers,
        )

    def upstream_response_filter(
        self, context: PolicyContext, status: int, headers: Sequence[Header]
    ) -> Respond | None:
        return self._ask(
            "upstream response",
            lambda: self._policy.upstream_response_filter(context, status, headers),
            context,
        )

    def failure_filter(self, context: PolicyContext, reason: str) -> Respond | None:
        return self._ask("failure", lambda: self._policy.failure_filter(context, reason), context)

    def response_filter(self, context: PolicyContext, headers: list[Header]) -> None:
        self._edit("response", lambda: self._policy.response_filter(context, headers), headers)

    def log(self, context: PolicyContext, end: RequestEnd) -> None:
        started = self._trace.clock.monotonic()
        self._policy.log(context, end)
        self._trace.add(Step("log", self._label, "noted"), started)

    def _ask(
        self, hook: str, ask: Callable[[], Respond | None], context: PolicyContext | None = None
    ) -> Respond | None:
        trace = self._trace
        before = None if context is None else (context.consumer, context.limit_result)
        started = trace.clock.monotonic()
        response = ask()
        step = Step(hook, self._label, "passed")
        if context is not None:
            trace.context = context
            step.detail = _learnt(context, before)
        if response is not None:
            step.verdict = "refused" if response.status >= 400 else "answered"
            step.status = response.status
            step.detail = _said(response) or step.detail
        trace.add(step, started)
        return response

    def _edit(self, hook: str, edit: Callable[[], None], headers: list[Header]) -> None:
        before, started = list(headers), self._trace.clock.monotonic()
        edit()
        changes = _changed_names(before, headers)
        verdict = "edited" if changes else "passed"
        self._trace.add(Step(hook, self._label, verdict, changes), started)


class _TracedAsyncPolicy(_TracedPolicy, AsyncPolicy):
    """A policy that waits for I/O, in whose hooks the trace looks on."""

    __slots__ = ()

    def is_prepared(self, context: PolicyContext) -> bool:
        assert isinstance(self._policy, AsyncPolicy)
        return self._policy.is_prepared(context)

    async def prepare(self, context: PolicyContext, services: Services) -> Respond | None:
        assert isinstance(self._policy, AsyncPolicy)
        started = self._trace.clock.monotonic()
        response = await self._policy.prepare(context, services)
        step = Step("prepare", self._label, "waited")
        if response is not None:
            step = Step("prepare", self._label, "refused", _said(response), response.status)
        self._trace.add(step, started)
        return response


def _learnt(context: PolicyContext, before: tuple[object, object] | None) -> str:
    """Return what a policy has found out about a request."""
    texts = []
    consumer, limit = context.consumer, context.limit_result
    if before is not None and consumer is not None and consumer is not before[0]:
        texts.append(f"the caller is {consumer.name} of {consumer.tenant_id}")
    if before is not None and limit is not None and limit is not before[1]:
        # Up, as in the header of a refusal: what is left of a second is not nothing.
        seconds = math.ceil(limit.reset)
        texts.append(f"{limit.remaining} of {limit.limit} left, whole again in {seconds} s")
    return "; ".join(texts)


def _said(response: Respond) -> str:
    """Return the sentence of a problem; a client reads it, too."""
    is_problem = ("Content-Type", "application/problem+json") in response.headers
    try:
        body = json.loads(response.body) if is_problem else None
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    return str(body.get("detail") or body.get("title") or "")


def _changed_names(before: Sequence[Header], after: Sequence[Header]) -> str:
    """Return the names of headers that an edit set and removed; no values, which may be secrets."""
    was, now = set(before), set(after)
    set_names = dict.fromkeys(name for name, value in after if (name, value) not in was)
    kept = {name.lower() for name, _ in after}
    removed = dict.fromkeys(
        name for name, value in before if (name, value) not in now and name.lower() not in kept
    )
    texts = [f"sets {', '.join(set_names)}"] if set_names else []
    texts += [f"removes {', '.join(removed)}"] if removed else []
    return "; ".join(texts)


def context_of(trace: Trace) -> RequestContext | None:
    """Return the context that policies saw."""
    return trace.context if isinstance(trace.context, RequestContext) else None
