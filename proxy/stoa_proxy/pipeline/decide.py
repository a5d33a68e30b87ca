"""The pipeline: request head and routing table in, decision out. No I/O.

Phases, always in this order:

1. `request_filter`: the head is cleaned, the target parsed, a route selected, a preflight
   answered; then the API's policies run in the order of `core.policy.Phase`. One that needs I/O
   makes the pipeline return `Prepare`; the engine awaits it and calls `resume`.
2. `select_upstream`: the backend, or the fallback where the backend is known not to work.
3. `upstream_request_filter`: the target and the headers that are sent; then policies edit them.
4. `response_filter`: headers of the response, the upstream's or our own; then policies edit them.
5. `log_request` or `log_refusal` (`pipeline.request_ends`): metrics, usage, spans, snapshots.
   `end_request` has policies log, in any case.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace

from stoa_proxy.core import match as matching
from stoa_proxy.core.backend import Backend, Upstream
from stoa_proxy.core.body_limit import BodyRefusals, LargeBody
from stoa_proxy.core.counters import RateCounters
from stoa_proxy.core.exchange import (
    Decision,
    Echo,
    FirstDecision,
    Forward,
    Prepare,
    RequestContext,
    UpstreamDecision,
)
from stoa_proxy.core.limit_headers import RATE_HEADERS, limit_headers
from stoa_proxy.core.match import build_target, refuse_doubt, select_route
from stoa_proxy.core.policy import AsyncPolicy, Policy, Unavailable
from stoa_proxy.core.policy_states import PolicyStates
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.retries import IDEMPOTENT, RetryBudgets
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.core.trie import Match
from stoa_proxy.core.upstream_headers import connect_seconds, hide_backend_auth, request_headers
from stoa_proxy.errors import RequestRefused, UpstreamFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import (
    WEBSOCKET_HEADERS,
    Header,
    RequestHead,
    filter_response_headers,
    is_preflight,
    is_websocket_upgrade,
    read_host,
    sanitize,
    without,
)
from stoa_proxy.http.targets import RequestPath, read_target
from stoa_proxy.pipeline.backend_choice import BackendChoice
from stoa_proxy.pipeline.backend_token import BACKEND_TOKEN
from stoa_proxy.pipeline.preflights import answer_preflight
from stoa_proxy.pipeline.request_ends import RequestEnds
from stoa_proxy.pipeline.upstreams import refuse_failed, refuse_unavailable, select_retry_rules

_HTTP = "1.1 "


class Pipeline(RequestEnds):
    """Runs the phases. Holds what outlives a request: counters, metrics, the state of backends.

    Without `counters` those of rate limits have the usual bounds.

    pipeline = Pipeline(clock)
    match pipeline.decide(head, table):
        case Forward() as forward: ...  # send it upstream
        case Respond() as response: ...  # a policy or a problem responded
        case Echo() as echo: ...  # respond with what was received
        case Prepare() as prepare: ...  # await the policy, then pipeline.resume

    Other modes are other classes: of one that does not `forwards`, each decision is a response.
    Requests for `body_targets` may be decided with their body (`ReadBody`).
    """

    forwards = True
    body_targets: frozenset[str] = frozenset()

    def __init__(self, clock: Clock, counters: RateCounters | None = None) -> None:
        super().__init__(clock)
        self.counters = RateCounters(clock) if counters is None else counters
        self.states = PolicyStates(clock)
        self._budgets = self.states.of(RetryBudgets)
        # Set by an engine that calls `upstream_response_filter` and feeds `context.recorder`.
        self.filters_responses = False
        # Of this gateway alone, so that two of a chain are no loop (RFC 9110, 7.6.3).
        self.via = f"{_HTTP}stoa-gateway-{secrets.token_hex(4)}"
        self.backends = BackendChoice(clock, self.states)

    def rehearsal(self) -> Pipeline:
        """Return a pipeline that decides as this one does, and counts and remembers nothing."""
        rehearsal = Pipeline(self._clock, self.counters.preview())
        rehearsal.states = self.states.preview()
        rehearsal.filters_responses = self.filters_responses
        health = self.backends.upstream_health
        rehearsal.backends = BackendChoice(self._clock, rehearsal.states, health)
        rehearsal.via = self.via
        return rehearsal

    def decide(self, head: RequestHead, table: RoutingTable) -> FirstDecision:
        """Return what to do with a request. Raises nothing for whatever a client sent."""
        try:
            outcome = self.request_filter(head, table)
        except RequestRefused as refused:
            return problem(refused.status, refused.title, refused.detail)
        if isinstance(outcome, RequestContext):
            return self.enter_upstream(outcome)
        return outcome

    def resume(self, prepared: Prepare, refusal: Respond | None) -> Decision:
        """Return what to do after a policy's `prepare`, which returned `refusal`."""
        context = prepared.context
        if refusal is not None:
            return self.refuse(context, prepared.policy, refusal)
        if prepared.policy is BACKEND_TOKEN:
            return self._select_and_forward(context)
        refused = context.ask((prepared.policy,))
        if refused is not None:
            return self.refuse(context, *refused)
        outcome = self.filter_from(context, prepared.position + 1)
        if isinstance(outcome, RequestContext):
            return self.enter_upstream(outcome)
        return outcome

    def request_filter(
        self, head: RequestHead, table: RoutingTable
    ) -> RequestContext | Prepare | Respond:
        """Return the context of a request that all policies let pass, or what to do instead.

        Raises RequestRefused.
        """
        path = read_target(head.target)
        if "via" in head.keys:
            self._refuse_loop(head)
        host = read_host(head, path.authority)
        # Before the head is cleaned: `Upgrade` is hop-by-hop.
        is_websocket = is_websocket_upgrade(head)
        head = sanitize(head)
        match = table.find(host, path.segments, head)
        if match is None:
            return problem(404, "No matching API route", kind="no-route")
        if not path.is_plain:
            refuse_doubt(path, host, match, table, head)
        if is_preflight(head):
            response = answer_preflight(head, match, table, self.states)
            if response is not None:
                return response
        context = self.make_context(head, path, host, match, table)
        if isinstance(context, Respond):
            return context
        context.is_websocket = is_websocket
        return self.filter_from(context, 0)

    def refuse(self, context: RequestContext, policy: Policy, refusal: Respond) -> Respond:
        """Return the refusal of a policy as the client gets it."""
        if refusal.status >= 500:
            context.noted.refused_by = policy
        return self.finish(context, refusal)

    def _refuse_loop(self, head: RequestHead) -> None:
        """Refuse a request that this gateway has forwarded before: it would come round for ever."""
        if any(self.via.removeprefix(_HTTP) in value for value in head.values("via")):
            detail = "This gateway has forwarded the request already: a backend leads back to it."
            raise RequestRefused(508, "Loop detected", detail)

    def filter_from(
        self, context: RequestContext, start: int
    ) -> RequestContext | Prepare | Respond:
        """Ask the request filters from one on, up to the next that has to be prepared."""
        filters = context.api.request_filters
        if not context.api.needs_services:  # nearly all requests
            refused = context.ask(filters[start:])
            return context if refused is None else self.refuse(context, *refused)
        for index in range(start, len(filters)):
            policy, began = filters[index], self._clock.monotonic()
            refusal, waiting = None, None
            if isinstance(policy, AsyncPolicy) and not policy.is_prepared(context):
                waiting = Prepare(context, policy, index)
            else:
                refusal = policy.request_filter(context)
            context.policy_seconds.append((policy, self._clock.monotonic() - began))
            if waiting is not None:
                return waiting
            if refusal is not None:
                return self.refuse(context, policy, refusal)
        return context

    def make_context(
        self, head: RequestHead, path: RequestPath, host: str, match: Match, table: RoutingTable
    ) -> RequestContext | Respond:
        """Return the context of a request to one of the matched routes, or why there is none."""
        route = select_route(match, head.method)
        if route is None:
            # RFC 9110, 15.5.6: 405 must say which methods are allowed.
            allow = ("Allow", ", ".join(matching.allowed_methods(match)))
            return problem(
                405, "Method not allowed for this API", headers=[allow], kind="method-not-allowed"
            )
        context = RequestContext(
            head, path, host, route, match.depth, table, self._clock, self.counters, self.states
        )
        if not route.activated:
            return replace(problem(503, "API not activated", kind="api-inactive"), context=context)
        if context.api.loggers:
            context.started = self._clock.monotonic()
        if context.api.upstream_response_filters:
            context.filters_responses = self.filters_responses
        return context

    def enter_upstream(self, context: RequestContext) -> Decision:
        """Return what to do behind all request filters."""
        if context.route.backend_auth is not None and not BACKEND_TOKEN.is_prepared(context):
            return Prepare(context, BACKEND_TOKEN, len(context.api.request_filters))
        return self._select_and_forward(context)

    def _select_and_forward(self, context: RequestContext) -> UpstreamDecision:
        upstream = self.select_upstream(context)
        if isinstance(upstream, Respond):
            return upstream
        return self.upstream_request_filter(context, upstream)

    def select_upstream(self, context: RequestContext) -> Upstream | Respond:
        """Return the backend; the fallback when the backend is known not to work; or 503."""
        route = context.route
        is_plain = route.fallback is None and route.backend_auth is None
        if is_plain and route.balancing is None and not context.api.upstream_peers:
            return route.backend  # nearly all requests
        if context.fallback_reason is None:
            chosen = self.backends.choose(context)
            if not isinstance(chosen, Unavailable):
                return chosen
            if route.fallback is None:
                return self._finish_failed(context, chosen.reason, refuse_unavailable(chosen))
            context.fallback_reason = chosen.reason
        assert route.fallback is not None, "only routes with a fallback have a reason"
        return route.fallback

    def upstream_request_filter(
        self, context: RequestContext, upstream: Upstream
    ) -> Forward | Echo:
        """Return target and headers for an upstream.

        The backend's credential goes to the backend alone, never to the fallback.
        """
        hide_backend_auth(context)
        auth = context.route.backend_auth if context.fallback_reason is None else None
        pair = None if auth is None else self.backends.credential(context, auth)
        in_query = auth is not None and auth.location == "query"
        target = build_target(
            upstream,
            context.path,
            context.depth,
            strip=context.route.strip_path,
            drop=context.hidden_query,
            add=pair if in_query else None,
        )
        headers = request_headers(context, self.via)
        for policy in context.api.upstream_request_filters:
            policy.upstream_request_filter(context, headers)
        if pair is not None and not in_query:
            # After the policies: none of them may replace the credential.
            headers = [*without(headers, frozenset({pair[0].lower()})), pair]
        if context.is_websocket:
            headers += WEBSOCKET_HEADERS
        if not isinstance(upstream, Backend):
            return Echo(context, target, tuple(headers))
        head = context.head
        is_repeatable = head.method in IDEMPOTENT and not head.has_body
        return Forward(
            context,
            target,
            tuple(headers),
            timeout=context.route.timeout,
            connect_timeout=connect_seconds(context),
            retry=select_retry_rules(context, self._budgets, is_repeatable=is_repeatable),
            is_repeatable=is_repeatable,
            is_websocket=context.is_websocket,
        )

    def upstream_response_filter(
        self, context: RequestContext, status: int, headers: Sequence[Header]
    ) -> Respond | None:
        """Return a response in place of the upstream's, of which the head is here, or None.

        An engine asks before it passes a response on, where the API has
        `upstream_response_filters`, and feeds the body to `context.recorder` afterwards.
        """
        for policy in context.api.upstream_response_filters:
            response = policy.upstream_response_filter(context, status, headers)
            if response is not None:
                return self.finish(context, response)
        return None

    def response_filter(
        self, context: RequestContext, headers: Iterable[Header], status: int
    ) -> list[Header]:
        """Return the headers of a response as the client gets them."""
        edited = filter_response_headers(headers)
        for policy in context.api.response_filters:
            policy.response_filter(context, edited)
        result = context.limit_result
        if result is not None:
            edited = without(edited, RATE_HEADERS)
            edited += limit_headers(result)
        if context.fallback_reason is not None:
            edited.append(("X-Stoa-Fallback", context.fallback_reason))
        if status >= 500:
            context.noted.status, context.noted.answer = status, tuple(edited)
        return edited

    def observe(self, context: RequestContext, outcome: UpstreamFailed | int | None) -> None:
        """Note how an attempt to call the backend ended, and tell policies; None: by the client."""
        self.backends.note(context, outcome)

    def has_other(self, context: RequestContext) -> bool:
        """Whether the route has a backend that the request was not sent to yet."""
        return context.fallback_reason is None and self.backends.has_other(context)

    def retry(self, forward: Forward) -> Forward | None:
        """Return what one more attempt sends, which is counted; None where none may be made."""
        context = forward.context
        if not self.backends.may_retry(context):
            return None
        if not self._budgets.withdraw(context.route.api_id):
            return None
        if context.fallback_reason is not None or context.route.balancing is None:
            return forward
        chosen = self.backends.choose(context)
        following = None
        if not isinstance(chosen, Unavailable):
            following = self.upstream_request_filter(context, chosen)
        return following if isinstance(following, Forward) else None

    def wants_fallback(self, context: RequestContext, status: int) -> bool:
        """Whether an upstream's response is one that sends the request to the fallback."""
        return context.can_fall_back and (status in (401, 429) or status >= 500)

    def fall_back(self, context: RequestContext, reason: str) -> UpstreamDecision:
        """Return the decision for the route's fallback, which it must have and not have used."""
        context.fallback_reason = reason
        return self._select_and_forward(context)

    def handle_failure(
        self, context: RequestContext, reason: str, detail: str = "", *, is_repeatable: bool = True
    ) -> UpstreamDecision:
        """Return what to do when the upstream did not respond: the fallback, or 502 or 504.

        `reason` and `detail` are those of UpstreamFailed; `is_repeatable` is whether the
        request's body can be sent once more.
        """
        if context.can_fall_back:
            if reason in ("unreachable", "tls-failed"):
                self.backends.note_unreachable(context)
            if is_repeatable:
                return self.fall_back(context, reason)
        return self._finish_failed(context, reason, refuse_failed(reason, detail))

    def _finish_failed(self, context: RequestContext, reason: str, response: Respond) -> Respond:
        """Return the response where a backend is of no use: a policy's own, or this one."""
        context.noted.failure = reason
        for policy in context.api.failure_filters:
            response = policy.failure_filter(context, reason) or response
        return self.finish(context, response)

    def finish(self, context: RequestContext, response: Respond) -> Respond:
        """Return a response of our own after `response_filter`."""
        self.usage.count_once(context, response.status, sent=len(response.body))
        if isinstance(response, LargeBody):
            self.states.of(BodyRefusals).counts[response.found] += 1
        if context.api.loggers:
            self.end_request(context, response.status)
        headers = tuple(self.response_filter(context, response.headers, response.status))
        return replace(response, headers=headers, context=context)
