"""Which engine and which event loop a gateway has, as `ProxyConfig.engine` says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from stoa_proxy.config import ProxyConfig
from stoa_proxy.engines.complete.server import AiohttpEngine

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_engine_log = logging.getLogger("stoa_proxy.engine")


def choose_engine(name: str) -> type[AiohttpEngine]:
    """Return the engine of a name; the complete one, with a warning, where `fast` cannot be had."""
    if name != "fast":
        return AiohttpEngine
    try:
        from stoa_proxy.engines.fast.engine import FastEngine
    except ImportError as error:
        _engine_log.warning("the fast engine is not used, but the complete one: %s", error)
        return AiohttpEngine
    return FastEngine


def choose_loop(config: ProxyConfig) -> tuple[ProxyConfig, LoopFactory | None]:
    """Return what makes the event loop: uvloop's for the fast engine, which needs it to be fast.

    Where it cannot be imported the complete engine is used, with a warning.
    """
    if config.engine != "fast":
        return config, None
    try:
        import uvloop
    except ImportError as error:
        _engine_log.warning("the fast engine is not used, but the complete one: %s", error)
        return replace(config, engine="aiohttp"), None
    return config, uvloop.new_event_loop
