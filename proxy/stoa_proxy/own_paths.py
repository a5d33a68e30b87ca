"""The gateway's own paths for any engine: `/health`, `/ready`, `/metrics`, `/admin`. No I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from stoa_proxy.admin.api import AdminApi
from stoa_proxy.admin.trace_request import TraceRequest
from stoa_proxy.admin.usage import UsageRequest
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.foundation.metrics import CONTENT_TYPE, Metrics
from stoa_proxy.http.heads import RequestHead
from stoa_proxy.http.targets import split_authority

# How long the body of an admin request may take to arrive.
ADMIN_SECONDS = 30.0
ADMIN_TIMED_OUT = problem(408, "Request timeout")

_PREFIXES = ("/admin", "/health", "/ready", "/metrics")
_HEALTH = frozenset({"/health", "/health/live"})
_READY = frozenset({"/ready", "/health/ready"})
_OTHERS = frozenset({"/metrics", *_HEALTH, *_READY})
_ALLOW_READS = (("Allow", "GET,HEAD"),)
_PLAIN = (("Content-Type", "text/plain; charset=utf-8"),)
_READY_RESPONSE = Respond(200, _PLAIN, b"READY")


class AdminCall(NamedTuple):
    """An authorized admin request; the engine reads its body and calls `OwnPaths.complete`."""

    head: RequestHead


class AwaitedCall(NamedTuple):
    """A request for which others have to be asked; the engine awaits `OwnPaths.finish`."""

    head: RequestHead
    body: bytes = b""


Answer = Respond | TraceRequest | UsageRequest | AwaitedCall
"""A response, or what `OwnPaths.finish` makes one of."""


class OwnPaths:
    """Responds on the paths that no route may have.

    `is_ready` is asked for each `/ready`, and then `find_trouble`, which may take seconds and
    returns why this gateway is not ready; `is_draining` is set while the gateway stops. Bodies of
    admin requests are bounded by `max_admin_body` bytes.
    """

    def __init__(self, admin: AdminApi, metrics: Metrics, max_admin_body: int) -> None:
        self._admin = admin
        self._metrics = metrics
        self.max_admin_body = max_admin_body
        self.is_ready: Callable[[], bool] = _always
        self.find_trouble: Callable[[], Awaitable[str | None]] | None = None
        self.is_draining = False
        self.trace: Callable[[TraceRequest], Awaitable[Respond]] = _refuse_trace
        self.show_usage: Callable[[UsageRequest], Awaitable[Respond]] = _refuse_usage

    def respond(self, head: RequestHead) -> Respond | AdminCall | AwaitedCall | None:
        """Return the response, a request to complete, or None for the paths of routes."""
        target = self.own_target(head)
        if target is None:
            return None
        path = target.partition("?")[0]
        if self.is_admin(target):
            # Before the body is read: only who has the token may send one.
            refused = self._admin.authorize(head)
            return AdminCall(head._replace(target=target)) if refused is None else refused
        if path == "/metrics":
            return self._show_metrics(head)
        return self._health(head, path)

    @staticmethod
    def own_target(head: RequestHead) -> str | None:
        """Return the target of a request in origin form, None where it is for a route."""
        target = head.target
        if not target.startswith("/"):
            target = split_authority(target)[1]
        # The usual case first: one call for a request that is for a route.
        if not target.startswith(_PREFIXES):
            return None
        is_own = OwnPaths.is_admin(target) or target.partition("?")[0] in _OTHERS
        return target if is_own else None

    @staticmethod
    def is_admin(target: str) -> bool:
        """Whether a target is one of the admin API."""
        path = target.partition("?")[0]
        return path == "/admin" or path.startswith("/admin/")

    def complete(self, call: AdminCall, body: bytes, *, is_cut: bool = False) -> Answer:
        """Return the response to an admin request, or what `finish` makes it of.

        `is_cut` is whether the body is too large.
        """
        if is_cut or len(body) > self.max_admin_body:
            return problem(413, "Content too large")
        return self._admin.handle(call.head, body)

    async def finish(self, answer: Answer) -> Respond:
        """Return the response of an answer that has to be waited for; any other as it is."""
        match answer:
            case TraceRequest():
                return await self.trace(answer)
            case UsageRequest():
                return await self.show_usage(answer)
            case AwaitedCall():
                return await self._check_ready()
        return answer

    async def _check_ready(self) -> Respond:
        trouble = None if self.find_trouble is None else await self.find_trouble()
        if self.is_draining:
            trouble = "draining"
        return _READY_RESPONSE if trouble is None else _not_ready(trouble)

    def administer(self, head: RequestHead, body: bytes) -> Answer:
        """Return the response to an admin request whose body is here already."""
        refused = self._admin.authorize(head)
        return self.complete(AdminCall(head), body) if refused is None else refused

    def _show_metrics(self, head: RequestHead) -> Respond:
        if head.method not in ("GET", "HEAD"):
            return Respond(405, _ALLOW_READS)
        is_operator = "authorization" in head.keys
        refused = self._admin.authorize(head) if is_operator else None
        if refused is not None:
            return refused
        content = self._metrics.render(with_private=is_operator)
        return Respond(200, (("Content-Type", CONTENT_TYPE),), content)

    def _health(self, head: RequestHead, path: str) -> Respond | AwaitedCall:
        if head.method not in ("GET", "HEAD"):
            return Respond(405, _ALLOW_READS)
        if path in _HEALTH:
            return Respond(200, _PLAIN, b"OK")
        if self.is_draining:
            return _not_ready("draining")
        if not self.is_ready():
            return _not_ready("not configured yet")
        return _READY_RESPONSE if self.find_trouble is None else AwaitedCall(head)


def _not_ready(reason: str) -> Respond:
    return Respond(503, _PLAIN, f"NOT READY: {reason}".encode())


async def _refuse_trace(request: TraceRequest) -> Respond:
    return problem(501, "Not implemented", "This engine traces no requests.")


async def _refuse_usage(request: UsageRequest) -> Respond:
    return problem(501, "Not implemented", "Usage is kept where the gateway has a state folder.")


def _always() -> bool:
    return True
