"""The requests of the admin API (docs/data-plane-admin.md), without I/O.

The token is checked before anything else, for unknown paths, too.
"""

from __future__ import annotations

import hmac
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from urllib.parse import unquote

from stoa_proxy.admin.batch import Parse, parse_batch
from stoa_proxy.admin.checks import Scope
from stoa_proxy.admin.consumers import parse_consumer
from stoa_proxy.admin.figures import find_handlers
from stoa_proxy.admin.json_body import read_json
from stoa_proxy.admin.object_list import ObjectList
from stoa_proxy.admin.policies import parse_policy_object
from stoa_proxy.admin.quotas import NAME as QUOTAS
from stoa_proxy.admin.quotas import QuotaAdmin
from stoa_proxy.admin.routes import parse_route
from stoa_proxy.admin.shadow import NAME as SHADOW
from stoa_proxy.admin.shadow import ShadowAdmin
from stoa_proxy.admin.snapshots import NAME as SNAPSHOTS
from stoa_proxy.admin.snapshots import SnapshotAdmin
from stoa_proxy.admin.store import Store
from stoa_proxy.admin.trace_request import TraceRequest, parse_trace
from stoa_proxy.admin.usage import UsageRequest, parse_usage
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.counters import RateCounters
from stoa_proxy.core.limits import Limit, LimitResult
from stoa_proxy.core.policy_states import PolicyStates
from stoa_proxy.core.problems import Respond
from stoa_proxy.errors import BackendRefused, BodyRefused, ObjectRefused
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.foundation.client_network import client_network
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import Header, RequestHead
from stoa_proxy.policies.registry import PolicyRegistry

_log = logging.getLogger("stoa_proxy.admin.api")

# Fields and capabilities that STOA's documented admin API lacks; clients look for them here.
_EXTENSIONS = (
    "api_id", "hosts", "strip_path", "timeout", "retries", "fallback", "backend_auth", "plans",
    "metadata", "builtin_echo", "consumers", "websocket", "batch", "access", "credential:jwt",
    "either_credential", "trace", "upstreams", "health_check", "backend_auth:basic",
    "backend_auth:oauth2_client_credentials", "route_headers", "path_parameters",
    "backend_tls",
)  # fmt: skip
# What STOA gateway 0.9.25 has below `/admin` beside what is here.
_NOT_HERE = frozenset(
    {
        "a2a", "api-proxy", "backend-credentials", "cache", "circuit-breaker", "circuit-breakers",
        "consumer-credentials", "contracts", "diagnostic", "diagnostics", "ebpf", "federation",
        "hegemon", "llm", "mtls", "prompt-cache", "routes", "sessions", "skills",
        "tracing",
    }
)  # fmt: skip
# Of unattached policies so many are named in the health.
_MAX_NAMED = 100
_DISABLED = "Admin API disabled - no admin_api_token configured"
# Wrong tokens per client address: enough for a misconfigured client, too few for guessing.
_BAD_TOKENS = Limit(60, 60.0)
_ONLY_GET = Respond(405, (("Allow", "GET"),))
_ONLY_POST = Respond(405, (("Allow", "POST"),))
_MISSING = {
    "apis": "API not found",
    "policies": "Policy not found",
    "consumers": "Consumer not found",
}


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the objects of one kind are served; `readable` is whether one object can be read."""

    items: ObjectList
    upsert: Callable[[RequestHead, bytes], Respond]
    delete: Callable[[str], bool]
    readable: bool = True


class AdminApi:
    """Handles requests under `/admin`: first `authorize`, then, with the body, `handle`.

    `states` are those of the gateway's policies; without any there are no figures of them.
    """

    def __init__(
        self, config: ProxyConfig, store: Store, clock: Clock, states: PolicyStates | None = None
    ) -> None:
        self.guard: AddressGuard = config.guard()
        self._token = config.admin_api_token
        self._rate = config.admin_rate_limit
        self._store = store
        self._scope = Scope(config.tenant_id)
        self._clock = clock
        self._states = PolicyStates(clock) if states is None else states
        self._started = clock.monotonic()
        self.quotas = QuotaAdmin(self._states, store, config.tenant_id)
        self.shadow: ShadowAdmin | None = None
        self.snapshots: SnapshotAdmin | None = None
        self._counters = RateCounters(clock)
        self._kinds: Mapping[str, _Kind] = {
            "apis": _Kind(store.routes, self._put_route, store.delete_route),
            "policies": _Kind(store.policies, self._put_policy, store.delete_policy, False),
            "consumers": _Kind(store.consumers, self._put_consumer, store.delete_consumer),
        }

    @property
    def parsers(self) -> Mapping[str, Parse]:
        """What parses the objects of each kind, by the names that kinds have in a batch."""
        return {
            "apis": lambda item: parse_route(item, self.guard, self._scope),
            "policies": lambda item: parse_policy_object(item, self._store.policy_types),
            "consumers": lambda item: parse_consumer(item, self._scope),
        }

    def authorize(self, head: RequestHead) -> Respond | None:
        """Return None for the right token, else 503 (none is configured), 401 or 429.

        Wrong tokens are counted apart and by client address, so that they never lock out a client
        that has the right one.
        """
        if self._token is None:
            return _text(503, _DISABLED)
        network = client_network(head.client_address)
        if not self.has_token(head):
            result = self._counters.hit("", [(("bad", network), _BAD_TOKENS)])
            return Respond(401) if result.allowed else self._limited(result)
        if self._rate:
            limit = Limit(self._rate, 60.0)
            result = self._counters.hit("", [(("good", network), limit)])
            if not result.allowed:
                return self._limited(result)
        return None

    def handle(self, head: RequestHead, body: bytes) -> Respond | TraceRequest | UsageRequest:
        """Return the response to an authorized request, or what has to be waited for."""
        path, _, query = head.target.partition("?")
        parts = [unquote(part) for part in path.split("/")[2:]]
        if parts == ["health"]:
            return self._allow(head, {"GET": self._health})
        if parts[:1] == [QUOTAS]:
            return self.quotas.handle(head, parts[1:], query)
        figures = find_handlers(parts, self._states, self._store.table)
        if figures is not None:
            return self._allow(
                head, {method: partial(_answer, get) for method, get in figures.items()}
            )
        kept = self._handle_kept(head, parts, query, body)
        if kept is not None:
            return kept
        if parts == ["trace"]:
            return self._parse_trace(head, body) if head.method == "POST" else _ONLY_POST
        if parts == ["usage"]:
            if head.method != "GET":
                return _ONLY_GET
            return parse_usage(query, self._clock.now(), self._scope.tenant_id)
        if parts == ["batch"]:
            return self._allow(head, {"POST": lambda: self._change(head, body)})
        kind = self._kinds.get(parts[0]) if parts else None
        if kind is None or len(parts) > 2 or (len(parts) == 2 and not parts[1]):
            return _text(404, "No matching API route")
        if len(parts) == 1:
            return self._allow(
                head,
                {
                    "GET": lambda: self._list(head, kind.items),
                    "POST": lambda: self._upsert(head, kind, body),
                },
            )
        handlers = {"DELETE": lambda: self._delete(parts[0], parts[1])}
        if kind.readable:
            handlers = {"GET": lambda: self._read(parts[0], parts[1]), **handlers}
        return self._allow(head, handlers)

    def _handle_kept(
        self, head: RequestHead, parts: list[str], query: str, body: bytes
    ) -> Respond | None:
        """Return the response to what only some gateways have; None for another path."""
        if parts[:1] == [SHADOW] and self.shadow is not None:
            return self.shadow.handle(head, parts[1:], body)
        if parts[:1] == [SNAPSHOTS] and self.snapshots is not None:
            return self.snapshots.handle(head, parts[1:], query, self._clock.now().timestamp())
        if parts and parts[0] in (*_NOT_HERE, SNAPSHOTS):
            return _json(501, {"status": "error", "message": "not part of this gateway"})
        return None

    def has_token(self, head: RequestHead) -> bool:
        """Whether a request has the right token; nothing is counted."""
        sent = head.values("authorization")
        if self._token is None or len(sent) != 1:
            return False
        # In constant time: how much of a guess is right must not show in how long it takes.
        expected = f"Bearer {self._token}".encode()
        return hmac.compare_digest(sent[0].encode("utf-8", "surrogateescape"), expected)

    def _limited(self, result: LimitResult) -> Respond:
        body = {"status": "error", "message": "Admin API rate limit exceeded"}
        return _json(
            429,
            body,
            ("X-RateLimit-Limit", str(result.limit)),
            ("X-RateLimit-Remaining", "0"),
            ("X-RateLimit-Reset", str(int(self._clock.now().timestamp() + result.reset))),
        )

    def _allow(self, head: RequestHead, handlers: Mapping[str, Callable[[], Respond]]) -> Respond:
        handler = handlers.get("GET" if head.method == "HEAD" else head.method)
        if handler is not None:
            return handler()
        allow = ",".join("GET,HEAD" if method == "GET" else method for method in handlers)
        return Respond(405, (("Allow", allow),))

    def _health(self) -> Respond:
        store = self._store
        unattached = store.unattached_policies()
        return _json(
            200,
            {
                "status": "ok",
                "version": own_version(),
                "routes_count": len(store.routes),
                "policies_count": len(store.policies),
                "contracts_count": 0,
                "skills_count": 0,
                "uptime_seconds": int(self._clock.monotonic() - self._started),
                "git_provider": "none",
                "consumers_count": len(store.consumers),
                "unattached_policies_count": len(unattached),
                "unattached_policies": unattached[:_MAX_NAMED],
                "extensions": list(extensions(store.policy_types)),
            },
        )

    def _list(self, head: RequestHead, items: ObjectList) -> Respond:
        etag = ("ETag", items.etag)
        sent = ",".join(head.values("if-none-match"))
        tags = {tag.strip().removeprefix("W/") for tag in sent.split(",")}
        if items.etag in tags or "*" in tags:
            return Respond(304, (etag,))
        parts = items.stream_json()
        headers = (("Content-Type", "application/json"), etag)
        first, second = next(parts), next(parts, None)
        rest = None if second is None else chain((second,), parts)
        return Respond(200, headers, first, rest)

    def _read(self, kind: str, item_id: str) -> Respond:
        content = self._kinds[kind].items.get(item_id)
        if content is None:
            return Respond(404)
        return Respond(200, (("Content-Type", "application/json"),), content)

    def _delete(self, kind: str, item_id: str) -> Respond:
        if not self._kinds[kind].delete(item_id):
            return _text(404, _MISSING[kind])
        _log.info("deleted kind=%s id=%r", kind, item_id)
        return Respond(204)

    def _upsert(self, head: RequestHead, kind: _Kind, body: bytes) -> Respond:
        try:
            return kind.upsert(head, body)
        except BodyRefused as refused:
            return _text(refused.status, refused.text)
        except ObjectRefused as refused:
            return _json(refused.status, {"status": "error", "errors": refused.errors})
        except BackendRefused as refused:
            return _json(400, {"error": refused.summary, "detail": refused.detail})

    def _change(self, head: RequestHead, raw: bytes) -> Respond:
        """Carry out a batch: all of it, or nothing."""
        try:
            body = read_json(head.value("content-type") or "", raw)
            changes = parse_batch(body, self.parsers)
            self._store.change(changes)
        except BodyRefused as refused:
            return _text(refused.status, refused.text)
        except ObjectRefused as refused:
            objects = [{"kind": kind, "id": item_id} for kind, item_id in refused.objects]
            result = {"status": "error", "errors": refused.errors, "objects": objects}
            return _json(refused.status, result)
        _log.info("stored a batch: %s", changes.summary)
        return _json(200, {"status": "ok"})

    def _parse_trace(self, head: RequestHead, raw: bytes) -> Respond | TraceRequest:
        try:
            return parse_trace(head.value("content-type") or "", raw)
        except BodyRefused as refused:
            return _text(refused.status, refused.text)
        except ObjectRefused as refused:
            return _json(refused.status, {"status": "error", "errors": refused.errors})

    def _put_route(self, head: RequestHead, raw: bytes) -> Respond:
        body = read_json(head.value("content-type") or "", raw)
        route, view = parse_route(body, self.guard, self._scope)
        is_new = self._store.put_route(route, view)
        _log.info("stored kind=apis id=%r new=%s", route.id, is_new)
        # A new one for each write, as STOA gateway 0.9.25 returns it; here it names nothing.
        result = {"id": route.id, "status": "ok", "deployment_id": str(uuid.uuid4())}
        return _json(201 if is_new else 200, result)

    def _put_policy(self, head: RequestHead, raw: bytes) -> Respond:
        body = read_json(head.value("content-type") or "", raw)
        entry, view = parse_policy_object(body, self._store.policy_types)
        is_new = self._store.put_policy(entry, view)
        _log.info("stored kind=policies id=%r new=%s", entry.id, is_new)
        return _json(201 if is_new else 200, {"id": entry.id, "status": "ok"})

    def _put_consumer(self, head: RequestHead, raw: bytes) -> Respond:
        body = read_json(head.value("content-type") or "", raw)
        consumer, view = parse_consumer(body, self._scope)
        is_new = self._store.put_consumer(consumer, view)
        _log.info("stored kind=consumers id=%r new=%s", consumer.id, is_new)
        return _json(201 if is_new else 200, {"id": consumer.id, "status": "ok"})


def _answer(get: Callable[[], tuple[int, object]]) -> Respond:
    status, value = get()
    return _json(status, value)


def extensions(policy_types: PolicyRegistry) -> tuple[str, ...]:
    """Return what `GET /admin/health` names: additions to STOA's API, and the enforced policies."""
    return (*_EXTENSIONS, *(f"policy:{name}" for name in policy_types.names))


def _text(status: int, text: str) -> Respond:
    return Respond(status, (("Content-Type", "text/plain; charset=utf-8"),), text.encode())


def _json(status: int, body: object, *headers: Header) -> Respond:
    content = json.dumps(body, separators=(",", ":")).encode()
    return Respond(status, (("Content-Type", "application/json"), *headers), content)


@cache
def own_version() -> str:
    """Return the version of this program."""
    try:
        return version("stoa-gitops")
    except PackageNotFoundError:
        return "0.0.0"
