"""Connections of the listener: what cannot be read is answered as a problem, and not for ever."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from multidict import CIMultiDict

from stoa_proxy.exchange import Respond
from stoa_proxy.problems import problem

_log = logging.getLogger("stoa_proxy.engine")
# From connecting to the first whole head.
_FIRST_HEAD_SECONDS = 30.0


class Connection(web.RequestHandler):
    """One client connection."""

    __slots__ = ("_head_timer",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._head_timer = loop.call_later(_FIRST_HEAD_SECONDS, self._close_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop waiting."""
        self._head_timer.cancel()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A problem without details; a traceback in the log only where the fault is ours."""
        if status >= 500:
            _log.error("a request failed", exc_info=exc)
        else:
            _log.debug("a request could not be read: %r", exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun and cannot be replaced")
        title = "Internal server error" if status >= 500 else "Bad request"
        response = make_response(problem(status, title))
        response.force_close()
        return response

    def _close_if_silent(self) -> None:
        if self._request_count == 0:
            self.force_close()


class ConnectionServer(web.Server):
    """Makes a Connection for every client."""

    def __call__(self) -> Connection:
        """A new connection's protocol."""
        return Connection(self, loop=self._loop, **self._kwargs)


def make_response(answer: Respond) -> web.Response:
    """An answer of our own as aiohttp sends it."""
    response = web.Response(
        status=answer.status, headers=CIMultiDict(answer.headers), body=answer.body or None
    )
    response.headers.setdefault("Server", "stoa-gateway")
    return response
