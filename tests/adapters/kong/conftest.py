from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web

from tests.adapters.front import listening
from tests.adapters.kong.payloads import Connect


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def connected(app: web.Application) -> aiohttp.ClientSession:
            runner, base_url = await listening(app)
            stack.push_async_callback(runner.cleanup)
            session = aiohttp.ClientSession(base_url, timeout=aiohttp.ClientTimeout(30))
            return await stack.enter_async_context(session)

        yield connected
