"""What a snapshot of a request that was answered 500 or above says, without any credential. No I/O.

It is made when the request has ended, so that others pay nothing for it. Bodies are never in it,
values of queries neither.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Final

from stoa_proxy.core.api import Api
from stoa_proxy.core.exchange import CallNote, RequestContext, RequestRecord
from stoa_proxy.core.policy import Policy, PolicyLabel, Wrap
from stoa_proxy.core.snapshots import Snapshot, Snapshots
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import Headers, RequestHead
from stoa_proxy.http.redaction import scrub_path, shown_headers, shown_query
from stoa_proxy.pipeline.shown import milliseconds, shown_url

_MOST_HEADERS: Final = 40
_LONGEST_VALUE: Final = 200
_LONGEST_PATH: Final = 1024
_MOST_CALLS: Final = 20
# APIs whose policies are named without asking again.
_MOST_KNOWN: Final = 512

CompileApi = Callable[[str, Wrap], Api]
"""Returns an API of the table with its policies replaced (`Store.compile_wrapped`)."""


class SnapshotMaker:
    """Makes the snapshots of a gateway and hands them to `kept`."""

    def __init__(self, kept: Snapshots, compile_api: CompileApi, clock: Clock) -> None:
        self.kept = kept
        self._compile_api = compile_api
        self._clock = clock
        # Of two in one millisecond the later one sorts behind.
        self._number = 0
        self._labels: dict[str, tuple[Api, tuple[PolicyLabel, ...]]] = {}

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
        # Of a check it is the request that was asked about.
        asked = head if context is None else context.head
        path, _, query = asked.target.partition("?")
        document = {
            "request_id": request_id,
            "timestamp": now.isoformat(timespec="milliseconds"),
            "tenant_id": tenant_id,
            "api_id": api_id,
            "route_id": "" if context is None else context.route.id,
            "consumer_id": _consumer_id(context),
            "method": asked.method[:32],
            "path": scrub_path(path)[:_LONGEST_PATH],
            "query": shown_query(query, longest=_LONGEST_PATH) if query else "",
            "client_address": asked.client_address,
            "status_code": status,
            "error_category": _category(record, context),
            "failure": record.failure or None,
            "fallback": None if context is None else context.fallback_reason,
            "duration_ms": milliseconds(seconds),
            "request_headers": _headers(asked.headers, secret),
            "response_headers": _headers(record.answer or answer, secret),
            "policies": [] if context is None else self._policies(context, record),
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

    def _policies(self, context: RequestContext, record: RequestRecord) -> list[dict[str, object]]:
        """Return what each policy that decides about requests did."""
        api = context.api
        is_reached = True
        shown: list[dict[str, object]] = []
        for label, policy in zip(self._names(api), api.policies, strict=False):
            if policy in api.request_filters:
                verdict = "passed" if is_reached else "not reached"
            elif policy in api.upstream_peers and record.failure == "circuit-open":
                verdict = "unavailable"
            else:
                continue
            if policy is record.refused_by:
                verdict, is_reached = "refused", False
            waited = next((seconds for one, seconds in record.waits if one is policy), None)
            shown.append(
                {
                    "type": label.type,
                    "id": label.id,
                    "name": label.name,
                    "verdict": verdict,
                    "waited_ms": None if waited is None else milliseconds(waited),
                }
            )
        return shown

    def _names(self, api: Api) -> tuple[PolicyLabel, ...]:
        known = self._labels.get(api.id)
        if known is not None and known[0] is api:
            return known[1]
        compiled = self._compile_api(api.id, _Named)
        names = tuple(one.label for one in compiled.policies if isinstance(one, _Named))
        if len(self._labels) >= _MOST_KNOWN:
            self._labels.clear()
        self._labels[api.id] = api, names
        return names


class _Named(Policy):
    """The name of a policy in its place, as `Wrap` makes it."""

    __slots__ = ("label",)

    def __init__(self, label: PolicyLabel, policy: Policy) -> None:
        self.label = label


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


def _consumer_id(context: RequestContext | None) -> str | None:
    return None if context is None or context.consumer is None else context.consumer.id


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
