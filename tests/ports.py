"""Ports of loopback that are one test's own, whether or not something listens there."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_HANDED_OUT = (49_152, 65_535)
"""What a system hands out that does not say it; RFC 6335, 6."""


@contextmanager
def own_port() -> Iterator[int]:
    """Yield a port where connections are refused until the test listens there; others leave it.

    It is none of those that the system hands out: such a port, closed for a moment, may belong to
    a connection or a server of any other test a moment later. The same port of UDP, which nobody
    uses, is bound meanwhile, so that no other process gets the port here.
    """
    ports = list(_ports())
    random.SystemRandom().shuffle(ports)
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mark:
            if not _is_free(mark, port):
                continue
            yield port
            return
    raise AssertionError("no port is free")


def _ports() -> range:
    """Return the longer range below or above the ports that the system hands out."""
    try:
        lowest, highest = (int(one) for one in _RANGE.read_text().split())
    except FileNotFoundError:
        lowest, highest = _HANDED_OUT
    others = max(range(10_000, lowest), range(highest + 1, 65_536), key=len)
    return others or range(lowest, highest + 1)


def _is_free(mark: socket.socket, port: int) -> bool:
    try:
        mark.bind(("127.0.0.1", port))
        with socket.socket() as listener:
            listener.bind(("0.0.0.0", port))
    except OSError:
        return False
    return True
