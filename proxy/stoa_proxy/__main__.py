"""`python -m stoa_proxy`: the data plane as a process of its own, set by STOA_* variables."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig, config_from_env, unknown_variables
from stoa_proxy.control_plane_config import start_warnings
from stoa_proxy.errors import ConfigInvalid, ListenFailed
from stoa_proxy.foundation.allocator import tune_malloc
from stoa_proxy.foundation.descriptors import raise_descriptor_limit

_log = logging.getLogger("stoa_proxy")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class VisibleFormatter(logging.Formatter):
    """Formats one line: names of others may move a cursor or turn text around."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging.Formatter names it
        """Format the line without its exception, with what is invisible as escapes."""
        line = super().formatMessage(record)
        if line.isprintable():
            return line
        return "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode()
            for letter in line
        )


def main() -> int:
    """Serve until SIGTERM (returns 0) or SIGINT (130); 1 for an invalid setting or address."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        VisibleFormatter("%(asctime)s level=%(levelname)s logger=%(name)s %(message)s")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    tune_malloc()
    raise_descriptor_limit()
    unknown = unknown_variables(os.environ)
    if unknown:
        _log.warning("variables without an effect on this gateway: %s", ", ".join(unknown))
    if os.environ.get("STOA_GATEWAY_MODE", "").strip() == "edge-mcp":
        _log.warning("APIs only: MCP, OAuth and LLM paths are not part of this gateway")
    try:
        for warning in start_warnings(os.environ):
            _log.warning("%s", warning)
        config = with_state_dir(config_from_env(os.environ), os.environ)
        # This package's alone: what libraries say at debug level is of use to nobody here.
        logging.getLogger("stoa_proxy").setLevel(config.log_level.upper())
        config, loop_factory = choose_loop(config)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(_serve(config))
    except ConfigInvalid as error:
        _log.error("%s", error)
        return 1
    except ListenFailed as error:
        _log.error("%s: STOA_HOST and STOA_PORT choose another address", error)
        return 1


def choose_loop(config: ProxyConfig) -> tuple[ProxyConfig, LoopFactory | None]:
    """Return what makes the event loop: uvloop's for the fast engine, which needs it to be fast.

    Where it cannot be imported the complete engine is used, with a warning.
    """
    if config.engine != "fast":
        return config, None
    try:
        import uvloop
    except ImportError as error:
        _log.warning("the fast engine is not used, but the complete one: %s", error)
        return replace(config, engine="aiohttp"), None
    return config, uvloop.new_event_loop


def with_state_dir(config: ProxyConfig, env: Mapping[str, str]) -> ProxyConfig:
    """Return the config with a folder for the table, if a control plane writes that table.

    Nobody else brings it back after a restart while the control plane is away, so two variables
    have to be enough: `$XDG_STATE_HOME/stoa-gateway/<port>`, or below `~/.local/state`.
    """
    if config.control_plane is None or config.state_dir is not None:
        return config
    home = env.get("XDG_STATE_HOME") or (f"{env['HOME']}/.local/state" if env.get("HOME") else "")
    if not Path(home).is_absolute():
        _log.warning(
            "STOA_STATE_DIR is not set, nor HOME: after a restart without its control plane this"
            " gateway has no routes"
        )
        return config
    return replace(config, state_dir=str(Path(home) / "stoa-gateway" / str(config.port)))


async def _serve(config: ProxyConfig) -> int:
    gateway = Gateway(config)
    stopped: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()

    def stop(received: signal.Signals) -> None:
        if not stopped.done():
            stopped.set_result(received)

    await gateway.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    if config.admin_api_token is None:
        _log.warning("STOA_ADMIN_API_TOKEN is not set: the admin API answers 503")
    # `register` is what people look for in the log of a gateway that does not appear.
    plane = "none, so it does not register" if config.control_plane is None else "registering"
    _log.info(
        "listening url=%s mode=%s environment=%s control_plane=%s engine=%s",
        gateway.base_url, config.mode, config.environment, plane, config.engine,
    )  # fmt: skip
    received = await stopped
    _log.info("draining signal=%s seconds=%s", received.name, config.drain_seconds)
    await gateway.stop()
    # 128 and the signal's number, as shells expect; SIGTERM is the normal way to stop a service.
    return 130 if received is signal.SIGINT else 0


if __name__ == "__main__":
    sys.exit(main())
