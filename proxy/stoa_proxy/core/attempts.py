"""Which upstream is called next: the retries and the fallback of one request, for any engine.

A state machine without I/O. The engine makes an attempt, reports its outcome, and gets the step
that follows::

    attempts = Attempts(pipeline, body, random.random)
    step = attempts.start(decision)
    while isinstance(step, Attempt):
        ...  # wait step.pause seconds, call step.forward.target
        step = attempts.next(outcome)

What holds whatever upstreams do: at most `retry.retries` + 1 attempts before the fallback and as
many after, one more where a kept connection was closed at its other end, and one more for each of
several backends that cannot be connected to; at most one fallback; no further attempt for a body
that cannot be sent again, and none that the budget of the API refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple, Protocol

from stoa_proxy.core.exchange import CallNote, Echo, Forward, RequestContext, UpstreamDecision
from stoa_proxy.core.problems import Respond
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.http.trace_context import renew_client_span


class Attempt(NamedTuple):
    """Call an upstream after `pause` seconds.

    The time limit `forward.timeout` runs over an attempt and the retries that follow it; one that
    is no such retry (`is_retry`), as after a timeout or a status, begins a new one.
    """

    forward: Forward
    pause: float = 0.0
    is_retry: bool = False


class PassOn(Enum):
    """The type of PASS_ON."""

    PASS_ON = "pass on"


PASS_ON: Final = PassOn.PASS_ON
"""Pass the upstream's response on to the client."""

Step = Attempt | PassOn | Echo | Respond


class BodyState(Protocol):
    """The state of a request's body."""

    @property
    def is_repeatable(self) -> bool:
        """Whether the body can be sent (again) from its beginning."""
        ...

    @property
    def refusal(self) -> Respond | None:
        """The response for the client once the body turned out to be malformed or too large."""
        ...


class FallbackRules(Protocol):
    """What decides when and how a request falls back; the pipeline is the implementation."""

    def wants_fallback(self, context: RequestContext, status: int) -> bool:
        """Whether an upstream's response is one that sends the request to the fallback."""
        ...

    def fall_back(self, context: RequestContext, reason: str) -> UpstreamDecision:
        """Return the decision for the route's fallback."""
        ...

    def handle_failure(
        self, context: RequestContext, reason: str, detail: str = "", *, is_repeatable: bool = True
    ) -> UpstreamDecision:
        """Return what to do when the upstream did not respond: the fallback, or 502 or 504."""
        ...

    def observe(self, context: RequestContext, outcome: UpstreamFailed | int | None) -> None:
        """Tell policies how an attempt ended; None: by the client."""
        ...

    def retry(self, forward: Forward) -> Forward | None:
        """Return what one more attempt sends, which is counted; None where none may be made.

        Among several backends it goes to another one.
        """
        ...

    def has_other(self, context: RequestContext) -> bool:
        """Whether the route has a backend that the request was not sent to yet."""
        ...

    def finish(self, context: RequestContext, response: Respond) -> Respond:
        """Return a response of the gateway itself as the client gets it."""
        ...


class Attempts:
    """The attempts of one request; `jitter` draws from 0 to 1. `start` it, then ask `next`."""

    __slots__ = ("_began", "_body", "_can_be_stale", "_forward", "_jitter", "_retries", "_rules")

    _began: float
    _forward: Forward

    def __init__(
        self, rules: FallbackRules, body: BodyState | None, jitter: Callable[[], float]
    ) -> None:
        self._rules = rules
        self._body = body
        self._jitter = jitter

    def start(
        self, decision: UpstreamDecision, began: float | None = None
    ) -> Attempt | Echo | Respond:
        """Return the first step for a decision: an attempt where an upstream is to be called.

        `began` (of the monotonic clock) is when it was called already.
        """
        if not isinstance(decision, Forward):
            return decision
        self._forward = decision
        self._began = decision.context.clock.monotonic() if began is None else began
        self._retries = 0
        self._can_be_stale = decision.is_repeatable
        return Attempt(decision)

    def next(self, outcome: UpstreamFailed | int) -> Step:
        """Return what follows on an attempt, which failed or got a response of this status.

        After PASS_ON and whatever is no Attempt there is no next step.
        """
        rules, body, context = self._rules, self._body, self._forward.context
        trace = context.head.trace
        is_traced = trace is not None and trace.is_recorded
        if is_traced or not isinstance(outcome, int) or outcome >= 400:
            self._note(context, outcome)
        if context.api.upstream_observers or context.route.is_observed:
            is_clients = body is not None and body.refusal is not None
            rules.observe(context, None if is_clients else outcome)
        if isinstance(outcome, int):
            if outcome in self._forward.retry.statuses:
                following = self._retry()
                if following is not None:
                    return Attempt(following, self._draw_pause())
            if not rules.wants_fallback(context, outcome) or (
                body is not None and not body.is_repeatable
            ):
                return PASS_ON
            return self.start(rules.fall_back(context, f"status-{outcome}"))
        if body is not None and body.refusal is not None:
            # The attempt failed because its body did.
            return rules.finish(context, body.refusal)
        retry = self._next_retry(outcome)
        if retry is not None:
            return retry
        is_repeatable = body is None or body.is_repeatable
        return self.start(
            rules.handle_failure(
                context, outcome.reason, outcome.detail, is_repeatable=is_repeatable
            )
        )

    def _note(self, context: RequestContext, outcome: UpstreamFailed | int) -> None:
        """Note how an attempt ended; what follows on it has a span of its own."""
        trace, target, now = context.head.trace, self._forward.target, context.clock.monotonic()
        shown = outcome if isinstance(outcome, int) else outcome.reason
        span_id = "" if trace is None else trace.client_id
        context.noted.calls.append(CallNote(target, self._began, now, shown, span_id))
        self._began = now
        if trace is not None and trace.is_recorded:
            renew_client_span(trace)

    def _next_retry(self, failure: UpstreamFailed) -> Attempt | None:
        forward = self._forward
        if self._can_be_stale and failure.was_reused:
            # An idle connection that was closed at its other end tells nothing of the upstream
            # (RFC 9112, 9.3.1): replaced once, beside the configured retries.
            self._can_be_stale = False
            self._forward = forward = _with_trace(forward)
            return Attempt(forward, self._draw_pause(), is_retry=True)
        # What never went out can go to another backend, whatever its method.
        is_unsent = failure.is_unsent and self._rules.has_other(forward.context)
        if not is_unsent and failure.reason not in forward.retry.reasons:
            return None
        following = self._retry(is_unsent=is_unsent)
        if following is None:
            return None
        # After a timeout the time of the attempts before is used up; another backend has its own.
        is_same = following.target is forward.target and failure.reason != "timeout"
        return Attempt(following, 0.0 if is_unsent else self._draw_pause(), is_retry=is_same)

    def _retry(self, *, is_unsent: bool = False) -> Forward | None:
        """Return what one more attempt sends, which is counted; None where none may be made."""
        # `Forward.retry` has none for methods and bodies that are not to be sent again.
        if not is_unsent and self._retries >= self._forward.retry.retries:
            return None
        if self._body is not None and not self._body.is_repeatable:
            return None
        following = self._rules.retry(self._forward)
        if following is None:
            return None
        if not is_unsent:
            self._retries += 1
        self._forward = following = _with_trace(following)
        return following

    def _draw_pause(self) -> float:
        if not self._retries:
            return 0.0
        retry = self._forward.retry
        longest: float = min(retry.longest_pause, retry.first_pause * 2.0 ** (self._retries - 1))
        # A random half is waited for at least: those that failed together do not come back so.
        pause = longest * (0.5 + self._jitter() / 2)
        self._began += pause
        return pause


def _with_trace(forward: Forward) -> Forward:
    """Return what is sent again, under the span of this attempt; the same where there is none."""
    trace = forward.context.head.trace
    if trace is None or not trace.is_recorded:
        return forward
    headers = tuple(
        (name, trace.outgoing) if name.lower() == "traceparent" else (name, value)
        for name, value in forward.headers
    )
    return forward._replace(headers=headers)
