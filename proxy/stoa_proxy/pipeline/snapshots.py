"""What a snapshot of a request that was answered 500 or above says, without any credential. No I/O.

It is made when the request has ended, so that others pay nothing for it. Bodies are never in it,
values of queries neither.
"""

from __future__ import annotations

import json
import random
from typing import Final

from stoa_proxy.core.exchange import CallNote, RequestContext, RequestRecord
from stoa_proxy.core.snapshots import Snapshot, Snapshots
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import Headers, RequestHead
from stoa_proxy.http.redaction import scrub_path, shown_headers, shown_query
from stoa_proxy.pipeline.policy_verdicts import CompileApi, PolicyVerdicts
from stoa_proxy.pipeline.shown import milliseconds, shown_url

_MOST_HEADERS: Final = 40
_LONGEST_VALUE: Final = 200
_LONGEST_PATH: Final = 1024
_MOST_CALLS: Final = 20


class SnapshotMaker:
    """Makes the snapshots of a gateway and hands them to `kept`."""

    def __init__(self, kept: Snapshots, compile_api: CompileApi, clock: Clock) -> None:
        self.kept = kept
        self._verdicts = PolicyVerdicts(compile_api)
        self._clock = clock
        # Of two in one millisecond the later one sorts behind.
        self._number = 0

    def capture(
        self,
        head: RequestHead,
        context: RequestContext | None,
        status: int,
        seconds: float,
        answer: Headers = (),
    ) -> None:
        """Keep what is known of a request that took so long, unless there are many of its API.

        `answer` are the headers of the response, for a request without a context.
        """
        now = self._clock.now()
        tenant_id = "" if context is None else context.route.tenant_id
        api_id = "" if context is None else context.route.api_id
        time = now.timestamp()
        if not self.kept.wants(tenant_id, api_id, time):
            return
        self._number = (self._number + 1) % (1 << 24)
        request_id = f"{int(time * 1000):011x}{self._number:06x}{random.getrandbits(32):08x}"
        record = RequestRecord() if context is None or context.record is None else context.record
        secret = _secret_names(context)
        document = {
            "request_id": request_id,
            "timestamp": now.isoformat(timespec="milliseconds"),
            # Of a check it is the request that was asked about.
            **_shown_request(head if context is None else context.head, secret),
            **_shown_route(context),
            "status_code": status,
            "error_category": _category(record, context),
            "failure": record.failure or None,
            "duration_ms": milliseconds(seconds),
            "response_headers": _headers(record.answer or answer, secret),
            "policies": [] if context is None else self._verdicts.shown(context, record),
            "policies_ms": milliseconds(self._policy_seconds(record, seconds)),
            "calls": self._calls(record, seconds),
            "trace_id": None if head.trace is None else head.trace.trace_id,
        }
        content = json.dumps(document, separators=(",", ":"))
        self.kept.add(Snapshot(request_id, time, tenant_id, api_id, content))

    def _policy_seconds(self, record: RequestRecord, seconds: float) -> float:
        """Return how long it took until a backend was called, or the request was refused."""
        if not record.calls:
            return seconds
        return max(0.0, seconds - (self._clock.monotonic() - record.calls[0].began))

    def _calls(self, record: RequestRecord, seconds: float) -> list[dict[str, object]]:
        started = self._clock.monotonic() - seconds
        return [_call(call, started) for call in record.calls[:_MOST_CALLS]]


def _secret_names(context: RequestContext | None) -> frozenset[str]:
    """Return the headers in which credentials of this API are, in lower case."""
    if context is None:
        return frozenset()
    places = [policy.key_place for policy in context.api.policies]
    keys = {name.lower() for place, name in filter(None, places) if place == "header"}
    auth = context.route.backend_auth
    if auth is not None and auth.location == "header":
        keys.add(auth.name.lower())
    return context.secret_headers | context.hidden_headers | keys


def _shown_request(head: RequestHead, secret: frozenset[str]) -> dict[str, object]:
    """Return what is shown of a request's head."""
    path, _, query = head.target.partition("?")
    return {
        "method": head.method[:32],
        "path": scrub_path(path)[:_LONGEST_PATH],
        "query": shown_query(query, longest=_LONGEST_PATH) if query else "",
        "client_address": head.client_address,
        "request_headers": _headers(head.headers, secret),
    }


def _shown_route(context: RequestContext | None) -> dict[str, object]:
    """Return whose a request is and where it was to go, all empty for one without a route."""
    if context is None:
        names = dict.fromkeys(("tenant_id", "api_id", "route_id"), "")
        return {**names, "consumer_id": None, "fallback": None}
    route, consumer = context.route, context.consumer
    return {
        "tenant_id": route.tenant_id,
        "api_id": route.api_id,
        "route_id": route.id,
        "consumer_id": None if consumer is None else consumer.id,
        "fallback": context.fallback_reason,
    }


def _headers(headers: Headers, secret: frozenset[str]) -> list[list[str]]:
    return shown_headers(headers, secret, most=_MOST_HEADERS, longest=_LONGEST_VALUE)


def _category(record: RequestRecord, context: RequestContext | None) -> str:
    """Return whose error it is: a policy's, a backend's that answered or did not, or our own."""
    if record.refused_by is not None:
        return "policy"
    if record.failure:
        return "backend_failed"
    if record.calls and isinstance(record.calls[-1].outcome, int):
        return "backend"
    return "gateway" if context is not None else "no_route"


def _call(call: CallNote, started: float) -> dict[str, object]:
    is_status = isinstance(call.outcome, int)
    return {
        "upstream": shown_url(call.target)[:_LONGEST_PATH],
        "status": call.outcome if is_status else None,
        "failure": None if is_status else call.outcome,
        "began_ms": milliseconds(max(0.0, call.began - started)),
        "duration_ms": milliseconds(call.ended - call.began),
    }
