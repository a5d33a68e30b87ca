"""Every private name of aiohttp that the data plane uses, each with its reason.

None of them is promised to stay, so aiohttp is pinned below 3.15 and each name has a test in
tests/proxy/engines/complete/test_aiohttp_private.py: a new version fails there, with the reason.
Nothing else in the package may use a private name of aiohttp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpVersion

REASONS = {
    "RequestHandler._waiter": "tells idle client connections, which are closed for new ones",
    "RequestHandler._request_count": "tells connections whose first request has not come",
    "RequestHandler._task_handler": "cancels a request that a stop waits for no longer",
    "RequestHandler._messages": "tells whether requests wait, and fails the body of one that does",
    "RequestHandler._current_request": "fails the body of the request that is being handled",
    "RequestHandler._lingering_time": "closes at once when a body's end cannot be trusted",
    "BaseRequest._version": "answers a request that could not be parsed by HTTP/1.1",
    "Server._loop": "creates connections of a class of our own",
    "Server._kwargs": "creates connections of a class of our own",
    "BaseConnector._loop": "creates upstream protocols of a class of our own",
    "BaseConnector._factory": "creates upstream protocols of a class of our own",
    "ResponseHandler._payload": "fails a response's body when the parser fails",
    "BaseProtocol._reading_paused": "lets a parser alone that was not stopped",
    "BaseProtocol._drain_helper": "waits for a peer that reads slowly",
    "StreamResponse._prepare_headers": "sends a response without Content-Type",
}
"""Owner and name, and what it is needed for."""


# --- the server side ---


def is_waiting_for_request(handler: web.RequestHandler) -> bool:
    """Whether a client connection is between two requests."""
    waiter = handler._waiter  # noqa: SLF001 - see REASONS
    return waiter is not None and not waiter.done()


def has_begun_request(handler: web.RequestHandler) -> bool:
    """Whether a client connection has carried any request."""
    return handler._request_count > 0  # noqa: SLF001 - see REASONS


def has_further_requests(handler: web.RequestHandler) -> bool:
    """Whether requests wait behind the one that is handled."""
    return bool(handler._messages)  # noqa: SLF001 - see REASONS


def cancel_request(handler: web.RequestHandler) -> None:
    """Cancel the task that handles the requests of a client connection."""
    task = handler._task_handler  # noqa: SLF001 - see REASONS
    if task is not None:
        task.cancel()


def find_request_body(handler: web.RequestHandler) -> aiohttp.StreamReader | None:
    """Return the body that a client connection is receiving, or None."""
    # The parser's last message is the newest; before it is handled it waits in the queue.
    messages = handler._messages  # noqa: SLF001 - see REASONS
    if messages:
        return messages[-1][1]
    request = handler._current_request  # noqa: SLF001 - see REASONS
    return None if request is None else request.content


def close_without_lingering(handler: web.RequestHandler) -> None:
    """Close a client connection after the response, without reading the rest of the request."""
    handler._lingering_time = 0.0  # noqa: SLF001 - see REASONS
    handler.close()


def set_version(request: web.BaseRequest, version: HttpVersion) -> None:
    """Set the HTTP version that a request is answered by."""
    request._version = version  # noqa: SLF001 - see REASONS


class HandlerFactory(web.Server):
    """A web.Server that makes handlers of a class of our own."""

    def make_handler(self, handler: Callable[..., Any]) -> Any:
        """Return `handler(server, loop=..., **settings)`, as web.Server makes its own."""
        return handler(self, loop=self._loop, **self._kwargs)


class UntypedStream(web.StreamResponse):
    """A streamed response without `Content-Type`, which aiohttp adds where none is set."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Content-Type", None)


class UntypedResponse(web.Response):
    """A complete response without `Content-Type`, which aiohttp adds where none is set."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Content-Type", None)


# --- the client side ---


class ProtocolConnector(aiohttp.TCPConnector):
    """A connector with protocols of a class of our own."""

    def __init__(self, protocol: Callable[..., ResponseHandler], **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = partial(protocol, loop=self._loop)


def find_response_body(protocol: ResponseHandler) -> aiohttp.StreamReader | None:
    """Return the body that an upstream connection is receiving, or None."""
    return protocol._payload  # noqa: SLF001 - see REASONS


def is_paused(protocol: ResponseHandler) -> bool:
    """Whether an upstream connection, and its parser, was stopped by a reader that is slow."""
    return protocol._reading_paused  # noqa: SLF001 - see REASONS


# --- both sides ---


class Link(Protocol):
    """What aiohttp's two connection protocols have in common."""

    transport: asyncio.Transport | None

    async def _drain_helper(self) -> None: ...


async def drain(link: Link) -> None:
    """Wait until the other end of a connection has taken most of what was written."""
    await link._drain_helper()  # noqa: SLF001 - see REASONS
