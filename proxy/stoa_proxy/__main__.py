"""`python -m stoa_proxy`: the data plane as a process of its own, set by STOA_* variables."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stoa_proxy.config import ProxyConfig, config_from_env, unknown_variables
from stoa_proxy.control_plane_config import start_warnings
from stoa_proxy.errors import ConfigInvalid, ListenFailed
from stoa_proxy.foundation.allocator import tune_malloc
from stoa_proxy.foundation.descriptors import raise_descriptor_limit
from stoa_proxy.workers_config import AUTO, WORKERS, parse_workers

_log = logging.getLogger("stoa_proxy")


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


def main(words: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM (returns 0) or SIGINT (130); 1 for an invalid setting or address.

    `words` are the arguments; without any those of the process.
    """
    options = _parser().parse_args(words)
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
        # Here, because it takes its time: Ctrl-C meanwhile ends the start without a traceback.
        from stoa_proxy.engine_choice import choose_loop

        for warning in start_warnings(os.environ):
            _log.warning("%s", warning)
        config = with_state_dir(config_from_env(os.environ), os.environ)
        if options.workers is not None:
            config = replace(config, workers=parse_workers(options.workers, "--workers"))
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
    except KeyboardInterrupt:  # while it starts; later a signal lets requests end first
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stoa_proxy",
        description="Serve APIs as STOA_* variables say (docs/operations.md).",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        help=f"processes that serve, or {AUTO} for one for each processor; wins over {WORKERS}",
    )
    return parser


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
    from stoa_proxy.app import Gateway  # as above

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
        "listening url=%s mode=%s environment=%s control_plane=%s engine=%s workers=%d",
        gateway.base_url, config.mode, config.environment, plane, config.engine, config.workers,
    )  # fmt: skip
    received = await stopped
    _log.info("draining signal=%s seconds=%s", received.name, config.drain_seconds)
    await gateway.stop()
    # 128 and the signal's number, as shells expect; SIGTERM is the normal way to stop a service.
    return 130 if received is signal.SIGINT else 0


if __name__ == "__main__":
    sys.exit(main())
