"""Whether a backend is called, how often, and what a client is told where it is of no use."""

from __future__ import annotations

import math

from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.policy import Unavailable
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.retries import NO_RETRY, RetryBudgets, RetryRules, route_rules
from stoa_proxy.foundation.upstream_tls import NO_TLS
from stoa_proxy.http.heads import Header

_FAILURES = {
    "unreachable": (502, "Failed to connect to upstream", "The upstream could not be reached."),
    "tls-failed": (502, "Failed to connect to upstream", NO_TLS),
    "no-answer": (502, "Bad gateway", "The upstream closed the connection without an answer."),
    "bad-answer": (502, "Bad gateway", "The upstream's answer is malformed."),
    "denied": (
        502,
        "Backend address refused",
        "The backend's address is not one that this gateway may call.",
    ),
    "timeout": (504, "Gateway timeout", "The upstream did not answer in time."),
    "busy": (503, "Too many requests in flight", "The upstream has all requests that it may have."),
}


# Why a backend without a fallback is not called.
_UNAVAILABLE = {
    "credential-unresolved": (503, "The backend's credential is not available."),
    "circuit-open": (503, "The backend fails, so it is not called for a while."),
    # 502: what fails is behind the gateway, as with a backend that cannot be reached.
    "token-unavailable": (502, "There is no token to call the backend with."),
}
_UNKNOWN = (503, "The backend is not called now.")


def refuse_unavailable(unavailable: Unavailable) -> Respond:
    """Return the response where a backend is not called and there is no fallback: 503 or 502."""
    headers: list[Header] = []
    if unavailable.retry_after:
        headers.append(("Retry-After", str(max(1, math.ceil(unavailable.retry_after)))))
    status, detail = _UNAVAILABLE.get(unavailable.reason, _UNKNOWN)
    title = "Service unavailable" if status == 503 else "Bad gateway"
    return problem(status, title, detail, headers, kind=unavailable.reason)


def refuse_failed(reason: str, detail: str = "") -> Respond:
    """Return the response where a backend did not respond: 502, 503 or 504.

    `reason` and `detail` are those of UpstreamFailed.
    """
    if reason in _UNAVAILABLE:
        return refuse_unavailable(Unavailable(reason, 0.0))
    status, title, usual = _FAILURES[reason]
    return problem(status, title, detail or usual, kind=f"upstream-{reason}")


def select_retry_rules(
    context: RequestContext, budgets: RetryBudgets, *, is_repeatable: bool
) -> RetryRules:
    """Return when a request is tried again: never one whose method or body must not be."""
    rules = context.api.retry
    if rules is None:
        if not is_repeatable or not context.route.retries:
            return NO_RETRY
        rules = route_rules(context.route.retries)
    elif context.head.method not in rules.methods:
        return NO_RETRY
    if context.fallback_reason is None:
        budgets.deposit(context.route.api_id)
    return rules
