"""The gateway's own paths in a worker, which asks the parent, and in the parent, which answers.

So `/admin`, `/metrics`, `/health` and `/ready` say the same whichever worker is asked, and speak
of all of them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from stoa_proxy.admin.api import AdminApi
from stoa_proxy.admin.usage import UsageRequest
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.errors import WorkerGone
from stoa_proxy.foundation.metrics import Metrics
from stoa_proxy.http.heads import RequestHead, lower_names
from stoa_proxy.own_paths import AdminCall, Answer, AwaitedCall, OwnPaths
from stoa_proxy.workers.channel import Channel, Message
from stoa_proxy.workers.spread import is_spread

RELAY: Final = "relay"
"""A request that a worker hands to the parent."""

# A write waits for all workers, a traced request for its backend; probes wait for a few seconds.
_ADMIN_SECONDS, _PROBE_SECONDS = 120.0, 15.0
_WORKERS: Final = "/admin/workers"
# What the parent has of all workers, with what they report.
_REPORTED: Final = ("/admin/snapshots", "/admin/quotas")
_UNREACHABLE: Final = problem(
    503, "Service unavailable", "The process that this worker belongs to does not respond."
)


class RelayedPaths(OwnPaths):
    """Those of a worker. Who may send a body is checked here, everything else by the parent."""

    def __init__(
        self, admin: AdminApi, metrics: Metrics, max_admin_body: int, channel: Channel
    ) -> None:
        super().__init__(admin, metrics, max_admin_body)
        self._channel = channel

    def respond(self, head: RequestHead) -> Respond | AdminCall | AwaitedCall | None:
        """Return a request to complete or to await, or None for the paths of routes."""
        target = self.own_target(head)
        if target is None:
            return None
        head = head._replace(target=target)
        # A wrong token goes to the parent without its body: it counts those of all workers.
        is_right = self.is_admin(target) and self._admin.has_token(head)
        return AdminCall(head) if is_right else AwaitedCall(head)

    def complete(self, call: AdminCall, body: bytes, *, is_cut: bool = False) -> Answer:
        """Return what `finish` hands to the parent."""
        if is_cut or len(body) > self.max_admin_body:
            return problem(413, "Content too large")
        return AwaitedCall(call.head, body)

    async def finish(self, answer: Answer) -> Respond:
        """Return the parent's response; 503 without one."""
        if not isinstance(answer, AwaitedCall):
            return await super().finish(answer)
        seconds = _ADMIN_SECONDS if self.is_admin(answer.head.target) else _PROBE_SECONDS
        message = Message(RELAY, head_values(answer.head), answer.body)
        try:
            return read_response(await self._channel.call(message, seconds))
        except (WorkerGone, TimeoutError):
            return _UNREACHABLE

    async def answer_here(self, head: RequestHead, body: bytes) -> Respond:
        """Return this worker's own response to a request that the parent has let pass."""
        return await super().finish(super().complete(AdminCall(head), body))


class CommonPaths(OwnPaths):
    """Those of the parent.

    `spread` asks all workers, `collect` adds up what they counted, and `settle` waits until all
    have what was written.
    """

    spread: Callable[[AwaitedCall], Awaitable[Respond]]
    collect: Callable[[], Awaitable[None]]
    settle: Callable[[], Awaitable[None]]
    list_workers: Callable[[], Awaitable[Sequence[Mapping[str, object]]]]

    def complete(self, call: AdminCall, body: bytes, *, is_cut: bool = False) -> Answer:
        """Return the response to an admin request, or what `finish` makes it of."""
        path = call.head.target.partition("?")[0]
        if not is_cut and (is_spread(path) or path == _WORKERS or path.startswith(_REPORTED)):
            return AwaitedCall(call.head, body)
        return super().complete(call, body, is_cut=is_cut)

    async def finish(self, answer: Answer) -> Respond:
        """Return the response of an answer, once what it changed holds in all workers."""
        if isinstance(answer, AwaitedCall) and self.is_admin(answer.head.target):
            return await self._ask_workers(answer)
        if isinstance(answer, UsageRequest):
            await self.collect()
        response = await super().finish(answer)
        await self.settle()
        return response

    async def _ask_workers(self, call: AwaitedCall) -> Respond:
        path = call.head.target.partition("?")[0]
        if path.startswith(_REPORTED):
            await self.collect()
            return await super().finish(super().complete(AdminCall(call.head), call.body))
        if path != _WORKERS:
            return await self.spread(call)
        if call.head.method not in ("GET", "HEAD"):
            return Respond(405, (("Allow", "GET,HEAD"),))
        content = json.dumps(await self.list_workers(), separators=(",", ":")).encode()
        return Respond(200, (("Content-Type", "application/json"),), content)

    async def answer(self, message: Message) -> Respond:
        """Return the response to a request that a worker has handed over."""
        head = read_head(message.values)
        if head.target.partition("?")[0] == "/metrics":
            await self.collect()
        own = self.respond(head)
        if isinstance(own, AdminCall):
            return await self.finish(self.complete(own, message.content))
        if isinstance(own, AwaitedCall):
            return await self.finish(own)
        return own or problem(404, "Not found")


def head_values(head: RequestHead) -> Mapping[str, Any]:
    """Return what of a head a request of an own path is about, as JSON has it."""
    return {
        "method": head.method,
        "target": head.target,
        "headers": head.headers,
        "client": head.client_address,
    }


def read_head(values: Mapping[str, Any]) -> RequestHead:
    """Return the head of `head_values`."""
    headers = tuple((name, value) for name, value in values["headers"])
    return RequestHead(
        values["method"], values["target"], headers, lower_names(headers), values["client"]
    )


def response_values(response: Respond) -> Mapping[str, Any]:
    """Return status and headers as JSON has them."""
    return {"status": response.status, "headers": response.headers}


def read_response(message: Message) -> Respond:
    """Return the response of `response_values`."""
    headers = tuple((name, value) for name, value in message.values["headers"])
    return Respond(message.values["status"], headers, message.content)
