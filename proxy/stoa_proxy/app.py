"""The data plane as one object that can be embedded.

::

    gateway = Gateway(ProxyConfig(port=0, admin_api_token="..."))
    await gateway.start()
    ...  # gateway.base_url
    await gateway.stop(drain_seconds=5)
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from stoa_proxy.admin.api import AdminApi
from stoa_proxy.admin.store import Store
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.exchange import Respond
from stoa_proxy.core.problems import problem
from stoa_proxy.engines.complete.server import AiohttpEngine
from stoa_proxy.engines.complete.upstream.client import Pause, UpstreamClient
from stoa_proxy.foundation.address_guard import AddressGuard, parse_networks
from stoa_proxy.foundation.clock import Clock, SystemClock
from stoa_proxy.http.heads import RequestHead, lower_names
from stoa_proxy.pipeline.decide import Pipeline

_log = logging.getLogger("stoa_proxy.admin.api")


class Gateway:
    """Listener, admin API and proxy of one process, for one event loop.

    `clock`, `pause` and `jitter` are handed in by tests. State (routes, policies, consumers,
    counters) lives as long as the object, so a `start` after a `stop` still has it.
    """

    def __init__(
        self,
        config: ProxyConfig,
        *,
        clock: Clock | None = None,
        pause: Pause = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        clock = clock or SystemClock()
        self.store = Store()
        self.pipeline = Pipeline(clock)
        self._admin = AdminApi(config, self.store, clock)
        self._client = UpstreamClient(config.guard(), pause, jitter)
        self._engine = AiohttpEngine(
            self.pipeline, self.store, self._admin, self._client, config, clock
        )
        self._port: int | None = None

    async def start(self) -> None:
        """Listen on the configured address. Raises ListenFailed."""
        self._port = await self._engine.start(self._config.host, self._config.port)

    async def stop(self, drain_seconds: float | None = None) -> None:
        """Take no new connections, let requests finish, end after `drain_seconds` at the latest.

        Without an argument the configured time. Does nothing when not started.
        """
        if self._port is None:
            return
        self._port = None
        seconds = self._config.drain_seconds if drain_seconds is None else drain_seconds
        await self._engine.stop(seconds)

    async def administer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, /
    ) -> tuple[int, Mapping[str, str], AsyncIterator[bytes]]:
        """The admin API for the process that embeds this: status, headers in lower case, body in pieces.

        Judged as over the listener, credential included, but whatever the clients there do.
        """
        await asyncio.sleep(0)
        pairs = tuple(headers.items())
        head = RequestHead(
            method, target, pairs, lower_names(pairs), "embedded", has_body=bool(body)
        )
        try:
            answer = self._answer(head, body)
        except Exception:  # noqa: BLE001 - the boundary where a fault of ours becomes an answer
            _log.exception("a request failed")
            answer = problem(500, "Internal server error")
        named = {name.lower(): value for name, value in answer.headers}
        return answer.status, named, _pieces(answer)

    def _answer(self, head: RequestHead, body: bytes) -> Respond:
        refused = self._admin.authorize(head)
        if refused is None and len(body) > self._config.max_admin_body:
            refused = problem(413, "Content too large")
        return refused or self._admin.answer(head, body)

    def set_ready(self, is_ready: bool | Callable[[], bool]) -> None:
        """What `/ready` answers while the gateway listens: 200 when true, else 503.

        A callable is asked each time. Without a call of this, listening is being ready. Requests
        are served either way: readiness only tells who sends them here.
        """
        self._engine.is_ready = is_ready if callable(is_ready) else lambda: is_ready

    @property
    def port(self) -> int:
        """The bound port. Raises RuntimeError when not started."""
        if self._port is None:
            raise RuntimeError("the gateway is not started")
        return self._port

    @property
    def base_url(self) -> str:
        """Where this process reaches the listener; loopback when it listens on all addresses."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104
            self._config.host, self._config.host
        )
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def update_backends(self, allow: Iterable[str], deny: Iterable[str] = ()) -> None:
        """Judge backend addresses by these CIDRs from now on. Raises ValueError for a wrong one.

        Requests in flight finish; connections made under the old rules are not used again.
        """
        guard = AddressGuard(parse_networks(allow), parse_networks(deny))
        self._admin.guard = guard
        await self._client.update_guard(guard)


async def _pieces(answer: Respond) -> AsyncIterator[bytes]:
    """The body of an answer; others have their turn before each further piece is made."""
    yield answer.body
    for piece in answer.rest or ():
        await asyncio.sleep(0)
        yield piece
