"""The pipeline: request head and table in, decision out. No I/O.

Phases, always in this order:

1. `request_filter`: the head is cleaned, the target read, a route found, a preflight answered,
   then the API's policies run (cors, ip_filter, api_key, plans, rate_limit, request_size, mock).
2. `select_upstream`: the backend, or the fallback where the backend is known not to work.
3. `upstream_request_filter`: the target and the headers that are sent; then policies (headers).
4. `response_filter`: headers of the answer, the upstream's or our own; then policies (cors, headers).
5. `logging`: one line at DEBUG.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from stoa_proxy.core.backend import Backend, Upstream
from stoa_proxy.core.counters import RateCounters
from stoa_proxy.core.exchange import Decision, Echo, Forward, RequestContext, Respond
from stoa_proxy.core.match import allowed_methods, build_target, select_route
from stoa_proxy.core.model import Api
from stoa_proxy.core.problems import problem
from stoa_proxy.core.table import Match, RoutingTable
from stoa_proxy.core.upstream_headers import connect_seconds, hide_backend_auth, request_headers
from stoa_proxy.core.upstream_health import UpstreamHealth
from stoa_proxy.errors import RequestRefused
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import (
    WEBSOCKET_HEADERS,
    Header,
    RequestHead,
    filter_response_headers,
    is_websocket_upgrade,
    read_host,
    sanitize,
    without,
)
from stoa_proxy.http.targets import RequestPath, read_target
from stoa_proxy.policies.cors import Cors, is_preflight
from stoa_proxy.policies.ip_filter import IpFilter, refuse_address

_log = logging.getLogger("stoa_proxy.access")

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_RATE_HEADERS = frozenset({"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"})
_FAILURES = {
    "unreachable": (502, "Failed to connect to upstream", "The upstream could not be reached."),
    "no-answer": (502, "Bad gateway", "The upstream closed the connection without an answer."),
    "bad-answer": (502, "Bad gateway", "The upstream's answer is malformed."),
    "denied": (
        502,
        "Backend address refused",
        "The backend's address is not one that this gateway may call.",
    ),
    "timeout": (504, "Gateway timeout", "The upstream did not answer in time."),
}


class Pipeline:
    """Runs the phases. Holds what outlives a request: counters and upstreams found down."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.counters = RateCounters(clock)
        self.down = UpstreamHealth(clock)

    def decide(self, head: RequestHead, table: RoutingTable) -> Decision:
        """What to do with a request. Never raises for anything that a caller sent."""
        try:
            outcome = self.request_filter(head, table)
        except RequestRefused as refused:
            return problem(refused.status, refused.title, refused.detail)
        if isinstance(outcome, Respond):
            return outcome
        return self._continue(outcome)

    def request_filter(self, head: RequestHead, table: RoutingTable) -> RequestContext | Respond:
        """An context that all policies let pass, or the answer. Raises RequestRefused."""
        path = read_target(head.target)
        host = read_host(head, path.authority)
        is_websocket = is_websocket_upgrade(head)
        head = sanitize(head)
        found = table.find(host, path.segments)
        if found is None:
            return problem(404, "No matching API route")
        if is_preflight(head):
            answer = self._preflight(head, found, table)
            if answer is not None:
                return answer
        outcome = self._begin(head, path, host, found, table)
        if isinstance(outcome, Respond):
            return outcome
        outcome.is_websocket = is_websocket
        for policy in outcome.api.filters:
            refusal = policy.request_filter(outcome)
            if refusal is not None:
                return self.finish(outcome, refusal)
        return outcome

    def _preflight(self, head: RequestHead, found: Match, table: RoutingTable) -> Respond | None:
        """The answer to a preflight, by the API of the asked method; None without CORS.

        Answered before authentication, which preflights have none of, but not to upstreams that an
        `ip_filter` refuses. No API gives leave for the methods of another on the same path.
        """
        asked = select_route(found, head.value("access-control-request-method") or "")
        for route in found.routes if asked is None else (asked,):
            api = table.api(route.api_id)
            cors = _cors_of(api)
            if cors is None:
                continue
            if any(
                isinstance(one, IpFilter) and not one.admits(head.client_address)
                for one in api.filters
            ):
                return refuse_address()
            return cors.preflight(head, _methods_of(route.api_id, found))
        return None

    def _begin(
        self, head: RequestHead, path: RequestPath, host: str, found: Match, table: RoutingTable
    ) -> RequestContext | Respond:
        route = select_route(found, head.method)
        if route is None:
            allow = ("Allow", ", ".join(allowed_methods(found)))
            return problem(405, "Method not allowed for this API", headers=[allow])
        if not route.activated:
            return problem(503, "API not activated")
        return RequestContext(
            head, path, host, route, found.depth, table, self._clock, self.counters
        )

    def _continue(self, context: RequestContext) -> Decision:
        upstream = self.select_upstream(context)
        if isinstance(upstream, Respond):
            return upstream
        return self.upstream_request_filter(context, upstream)

    def select_upstream(self, context: RequestContext) -> Upstream | Respond:
        """The backend; the fallback when the backend is known not to work; or 503."""
        route = context.route
        if context.fallback_reason is None:
            reason = self._known_failure(context)
            if reason is None:
                return route.backend
            if route.fallback is None:
                detail = "The backend's credential is not available."
                return self.finish(context, problem(503, "Service unavailable", detail))
            context.fallback_reason = reason
        assert route.fallback is not None, "only routes with a fallback have a reason"
        return route.fallback

    def _known_failure(self, context: RequestContext) -> str | None:
        route = context.route
        if route.backend_auth is not None and route.backend_auth.value is None:
            return "credential-unresolved"
        if route.fallback is None or not isinstance(route.backend, Backend):
            return None
        return "upstream-down" if self.down.is_down(route.backend) else None

    def upstream_request_filter(
        self, context: RequestContext, upstream: Upstream
    ) -> Forward | Echo:
        """Target and headers for a upstream. The backend's credential goes to the backend alone."""
        hide_backend_auth(context)
        auth = context.route.backend_auth if context.fallback_reason is None else None
        pair = (auth.name, auth.value) if auth is not None and auth.value is not None else None
        in_query = auth is not None and auth.place == "query"
        target = build_target(
            upstream,
            context.path,
            context.depth,
            strip=context.route.strip_path,
            drop=context.hidden_query,
            add=pair if in_query else None,
        )
        headers = request_headers(context)
        for policy in context.api.upstream_filters:
            policy.upstream_request_filter(context, headers)
        if pair is not None and not in_query:
            headers = [*without(headers, frozenset({pair[0].lower()})), pair]
        if context.is_websocket:
            headers += WEBSOCKET_HEADERS
        if not isinstance(upstream, Backend):
            return Echo(context, target, tuple(headers))
        head = context.head
        is_repeatable = head.method in _IDEMPOTENT and not head.has_body
        return Forward(
            context,
            target,
            tuple(headers),
            timeout=context.route.timeout,
            connect_timeout=connect_seconds(context),
            retries=context.route.retries if is_repeatable else 0,
            is_repeatable=is_repeatable,
            is_websocket=context.is_websocket,
        )

    def response_filter(self, context: RequestContext, headers: Iterable[Header]) -> list[Header]:
        """The headers of an answer as the caller gets them."""
        edited = filter_response_headers(headers)
        for policy in context.api.answer_filters:
            policy.response_filter(context, edited)
        verdict = context.verdict
        if verdict is not None:
            edited = without(edited, _RATE_HEADERS)
            edited += [
                ("RateLimit-Limit", str(verdict.limit)),
                ("RateLimit-Remaining", str(verdict.remaining)),
                ("RateLimit-Reset", str(int(-(-verdict.reset // 1)))),
            ]
        if context.fallback_reason is not None:
            edited.append(("X-Stoa-Fallback", context.fallback_reason))
        return edited

    def logging(self, context: RequestContext, status: int, seconds: float) -> None:
        """One line at DEBUG: no query, no headers, so that no secret gets into it."""
        _log.debug(
            "request method=%s route=%s tenant=%s status=%d seconds=%.4f fallback=%s",
            context.head.method,
            context.route.id,
            context.route.tenant_id,
            status,
            seconds,
            context.fallback_reason or "-",
        )

    def wants_fallback(self, context: RequestContext, status: int) -> bool:
        """Whether an upstream's answer is one that sends the request to the fallback."""
        return context.may_fall_back and (status in (401, 429) or status >= 500)

    def fall_back(self, context: RequestContext, reason: str) -> Decision:
        """The decision for the route's fallback, which it must have and not have used."""
        context.fallback_reason = reason
        return self._continue(context)

    def failed(
        self, context: RequestContext, reason: str, detail: str = "", *, is_repeatable: bool = True
    ) -> Decision:
        """What to do when the upstream gave no answer: the fallback, or 502 or 504.

        `reason` and `detail` are those of UpstreamFailed; `is_repeatable` is whether the
        request's body can be sent once more.
        """
        if context.may_fall_back:
            backend = context.route.backend
            if reason == "unreachable" and isinstance(backend, Backend):
                self.down.mark(backend)
            if is_repeatable:
                return self.fall_back(context, reason)
        status, title, usual = _FAILURES[reason]
        return self.finish(context, problem(status, title, detail or usual))

    def finish(self, context: RequestContext, answer: Respond) -> Respond:
        """An answer of our own after `response_filter`."""
        return replace(answer, headers=tuple(self.response_filter(context, answer.headers)))


def _methods_of(api_id: str, found: Match) -> list[str]:
    """The methods that the routes of one API take among the found ones, sorted."""
    chosen = ((method, select_route(found, method)) for method in allowed_methods(found))
    return [method for method, route in chosen if route is not None and route.api_id == api_id]


def _cors_of(api: Api) -> Cors | None:
    return next((one for one in api.policies if isinstance(one, Cors)), None)
