"""The pipeline of a sidecar: decides about requests that another gateway got and asks about.

Route and policies are those of the table, and nothing is called or answered in a backend's stead.
Whatever is in doubt is refused: a caller that is not named, a check that lacks a fact, a path of no
route.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Final

from stoa_proxy.admin.json_body import read_json
from stoa_proxy.core.counters import RateCounters
from stoa_proxy.core.exchange import (
    Decision,
    FirstDecision,
    Prepare,
    ReadBody,
    RequestContext,
)
from stoa_proxy.core.limit_headers import limit_headers
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.core.upstream_headers import consumer_headers
from stoa_proxy.core.usage import Counted
from stoa_proxy.errors import BodyRefused, CheckRefused, RequestRefused
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.throttled_log import ThrottledLog
from stoa_proxy.http.forwarded import is_proxy
from stoa_proxy.http.heads import Header, Headers, RequestHead
from stoa_proxy.http.targets import read_target
from stoa_proxy.pipeline.checks import (
    PATH,
    PREFIX,
    Check,
    Networks,
    read_document,
    read_envoy,
    read_original,
)
from stoa_proxy.pipeline.decide import Pipeline
from stoa_proxy.pipeline.verdicts import (
    Allowed,
    Encode,
    as_document,
    for_envoy,
    for_nginx,
    identity_names,
    reason_of,
    removed_names,
    with_removed,
)

_log = logging.getLogger("stoa_proxy.authz")

# A document holds the headers of one request.
_MAX_DOCUMENT: Final = 64 * 1024
_NOBODY: Final = "none"
_NOT_FOUND = Respond(404)
_NOT_ALLOWED = Respond(405, (("Allow", "GET,POST"),))
_FOREIGN = problem(
    403, "Forbidden", "Decisions are not for callers of this address.", kind="caller-refused"
)


class Sidecar(Pipeline):
    """Runs `request_filter` for the request that a check is about, and tells what came of it.

    `callers` are the networks of gateways that may ask, `proxies` those before them. A decision
    about a request is a response, so engines carry it out as any other of the gateway itself.
    """

    forwards = False
    body_targets = frozenset({PATH})

    def __init__(
        self, clock: Clock, counters: RateCounters | None, callers: Networks, proxies: Networks
    ) -> None:
        super().__init__(clock, counters)
        self.proxies = proxies
        self.is_caller = lru_cache(maxsize=1024)(partial(_is_in, callers))
        self._throttled_log = ThrottledLog(_log, clock)
        self._decisions: dict[tuple[str, bool], int] = {}
        self._reasons: dict[str, int] = {}
        self._is_counted = False
        self.metrics.add(
            "counter",
            "stoa_authz_decisions_total",
            "Decisions of a sidecar, by the tenant of the route that the request has.",
            lambda: [
                ({"tenant": tenant, "decision": "allow" if is_allowed else "deny"}, count)
                for (tenant, is_allowed), count in sorted(self._decisions.items())
            ],
            is_private=True,
        )
        self.metrics.add(
            "counter",
            "stoa_authz_refusals_total",
            "Decisions of a sidecar to refuse, by reason.",
            lambda: [({"reason": name}, count) for name, count in sorted(self._reasons.items())],
        )

    def decide(self, head: RequestHead, table: RoutingTable) -> FirstDecision:
        """Return the decision for a check, or that its body has to be read."""
        if not self.is_caller(head.peer):
            self._throttled_log.warning(
                "a caller that is not in STOA_AUTHZ_CALLERS asks for decisions peer=%s", head.peer
            )
            return self._refuse(_FOREIGN)
        target = head.target
        if target.startswith(PREFIX):
            return self._check_head(head, read_envoy, for_envoy, table)
        if target.partition("?")[0] != PATH:
            return _NOT_FOUND
        if head.method == "POST":
            return ReadBody(_MAX_DOCUMENT, partial(self._check_document, head, table))
        if head.method != "GET":
            return _NOT_ALLOWED
        return self._check_head(head, read_original, for_nginx, table)

    def resume(self, prepared: Prepare, refusal: Respond | None) -> Decision:
        """Return what to do after a policy's `prepare`, in the form of the check."""
        outcome = super().resume(prepared, refusal)
        if not isinstance(outcome, Respond):
            return outcome
        finish = prepared.context.notes[Sidecar]
        assert callable(finish)
        response = finish(outcome)
        assert isinstance(response, Respond)
        return response

    def finish(self, context: RequestContext, response: Respond) -> Respond:
        """Count a refusal, and return it after `response_filter`."""
        self._count_refusal(context.route.tenant_id, response)
        return super().finish(context, response)

    def enter_upstream(self, context: RequestContext) -> Decision:
        """Return the verdict: nothing is called."""
        return self.allow(context)

    def allow(self, context: RequestContext) -> Allowed:
        """Count a request that all policies let pass, and return its verdict."""
        self.count_allowed(context)
        return self.verdict(context)

    def verdict(self, context: RequestContext, *, with_notes: bool = True) -> Allowed:
        """Return that a request may pass, with what policies change in its headers."""
        added, gone = _edits(context)
        names = tuple(name for name, _ in added)
        result = context.limit_result if with_notes else None
        return Allowed(
            200,
            added,
            removed=removed_names(context.hidden_headers | gone, names),
            removed_query=tuple(sorted(context.hidden_query)),
            notes=() if result is None else tuple(limit_headers(result)),
            context=context,
        )

    def count_allowed(self, context: RequestContext) -> None:
        """Count a decision to let a request pass."""
        self._is_counted = True
        self.usage.count_once(context, 200)
        key = (context.route.tenant_id, True)
        self._decisions[key] = self._decisions.get(key, 0) + 1

    def count_repeated(self, method: str, counted: Counted, seconds: float) -> None:
        """Count the whole of a check that lets a request pass like one that did (`Policy.repeat`).

        `counted` is by what the request is (`core.usage.counted_as`).
        """
        self.metrics.count_request(method, 200, seconds)
        self.usage.count_answered(counted, seconds)
        key = (counted[0], True)
        self._decisions[key] = self._decisions.get(key, 0) + 1

    def _check_head(
        self,
        head: RequestHead,
        read: Callable[[RequestHead, Networks], Check],
        encode: Encode,
        table: RoutingTable,
    ) -> FirstDecision:
        try:
            check = read(head, self.proxies)
        except CheckRefused as refused:
            self._throttled_log.warning(
                "a check is refused peer=%s: %s", head.peer, refused, subject=refused.name
            )
            response = problem(403, "Forbidden", str(refused), kind="check-incomplete")
            return encode(self._refuse(response))
        return self._decide_check(check, encode, table)

    def _check_document(
        self, head: RequestHead, table: RoutingTable, raw: bytes | None
    ) -> Respond | Prepare:
        if raw is None:
            return problem(413, "Content too large", f"A check has {_MAX_DOCUMENT} bytes at most.")
        try:
            check = read_document(head, read_json(head.value("content-type") or "", raw))
        except BodyRefused as refused:
            content_type = ("Content-Type", "text/plain; charset=utf-8")
            return Respond(refused.status, (content_type,), refused.text.encode())
        if not check.has_host and _depends_on_host(table, check.head.target):
            detail = "Which route this is depends on the host: send the header Host."
            return as_document(self._refuse(problem(403, "Forbidden", detail, kind="host-needed")))
        return self._decide_check(check, as_document, table)

    def _decide_check(self, check: Check, encode: Encode, table: RoutingTable) -> Respond | Prepare:
        self._is_counted = False
        outcome = super().decide(check.head, table)
        claimed = identity_names(check.head.keys)

        def finish(final: Respond) -> Respond:
            return encode(with_removed(final, claimed) if claimed else final)

        if isinstance(outcome, Prepare):
            outcome.context.notes[Sidecar] = finish
            return outcome
        assert isinstance(outcome, Respond), "nothing is forwarded here"
        if not self._is_counted:
            self._refuse(outcome)
        return finish(outcome)

    def _refuse(self, refusal: Respond) -> Respond:
        """Count a refusal of a request that has no route."""
        self._count_refusal(_NOBODY, refusal)
        return refusal

    def _count_refusal(self, tenant: str, refusal: Respond) -> None:
        self._is_counted = True
        key = (tenant, False)
        self._decisions[key] = self._decisions.get(key, 0) + 1
        reason = reason_of(refusal)
        self._reasons[reason] = self._reasons.get(reason, 0) + 1


def _is_in(callers: Networks, peer: str) -> bool:
    return is_proxy(peer, callers)


def _edits(context: RequestContext) -> tuple[Headers, frozenset[str]]:
    """Return the headers that a request gets, and the names of those that policies take away."""
    consumer, policies = context.consumer, context.api.upstream_request_filters
    added = () if consumer is None else tuple(consumer_headers(consumer))
    if not policies:
        return added, frozenset()
    head, hidden = context.head, context.hidden_headers
    sent = [pair for key, pair in zip(head.keys, head.headers, strict=True) if key not in hidden]
    edited: list[Header] = [*sent, *added]
    for policy in policies:
        policy.upstream_request_filter(context, edited)
    before, after = _by_name(sent), _by_name(edited)
    changed = tuple(
        (names[0], ", ".join(values))
        for key, (names, values) in after.items()
        if before.get(key, ([], []))[1] != values
    )
    return changed, frozenset(before.keys() - after.keys())


def _by_name(headers: Iterable[Header]) -> dict[str, tuple[list[str], list[str]]]:
    """Return spellings and values by the name in lower case."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for name, value in headers:
        names, values = found.setdefault(name.lower(), ([], []))
        names.append(name)
        values.append(value)
    return found


def _depends_on_host(table: RoutingTable, target: str) -> bool:
    """Whether a path has routes for some hosts only."""
    try:
        segments = read_target(target).segments
    except RequestRefused:
        return False  # it is refused for that
    return table.has_hosts(segments)
