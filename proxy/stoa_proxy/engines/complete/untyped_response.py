"""Answers of upstreams that do not say of what type they are: passed on without one.

The server library would call them `application/octet-stream`, which browsers take for a download.
"""

from __future__ import annotations

from aiohttp import web


class UntypedStream(web.StreamResponse):
    """An answer in pieces."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Content-Type", None)


class UntypedResponse(web.Response):
    """An answer that is there already."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Content-Type", None)
