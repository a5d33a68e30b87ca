"""How many processes serve: `STOA_PROXY_WORKERS`, and `--workers` of the command."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import Final

from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.foundation.environment import read_text

WORKERS: Final = "STOA_PROXY_WORKERS"
"""The variable of `ProxyConfig.workers`."""

MOST: Final = 128

AUTO: Final = "auto"
"""One for each processor that this process may use."""

VARIABLES: Final = frozenset({WORKERS})


def workers_from_env(env: Mapping[str, str]) -> int:
    """Return the number of workers, 1 without the variable. Raises ConfigInvalid."""
    text = read_text(env, WORKERS)
    return 1 if text is None else parse_workers(text, WORKERS)


def parse_workers(text: str, name: str) -> int:
    """Return a number, or that of processors for `auto`; ConfigInvalid names the setting."""
    if text.lower() == AUTO:
        return min(MOST, len(os.sched_getaffinity(0))) if sys.platform == "linux" else 1
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MOST:
        raise ConfigInvalid(f"{name} must be a number from 1 to {MOST}, or {AUTO}, not {text!r}")
    return int(text)


def check_workers(workers: int, mode: str) -> None:
    """Raise ConfigInvalid where so many workers cannot be."""
    if not 1 <= workers <= MOST:
        raise ConfigInvalid(f"{WORKERS} must be between 1 and {MOST}")
    if workers == 1:
        return
    if sys.platform != "linux":
        raise ConfigInvalid(f"{WORKERS} above 1 needs Linux, which spreads connections over them")
    if mode == "shadow":
        raise ConfigInvalid(f"{WORKERS} must be 1 in mode shadow, which learns in one process")
