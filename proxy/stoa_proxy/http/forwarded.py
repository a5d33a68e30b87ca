"""Whose request a trusted proxy forwards, and how it came to it: `X-Forwarded-For`, `-Proto`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from stoa_proxy.foundation.address_guard import Address, Network, is_in_any, unmap

# More proxies than this in a row are none; it bounds the work for a header of 32 KiB.
_MOST_HOPS = 32
_SCHEMES = ("http", "https")


def is_proxy(peer: str, proxies: tuple[Network, ...]) -> bool:
    """Whether a peer's address is one of trusted proxies."""
    ip = _parse(peer)
    return ip is not None and is_in_any(ip, proxies)


def forwarded_client(peer: str, values: Iterable[str], proxies: tuple[Network, ...]) -> str:
    """Return the client that a trusted proxy at `peer` names in X-Forwarded-For.

    Each proxy appends who it was called by, so the last one that is no trusted proxy is the client;
    what stands before is the client's own word. Without any it is the first proxy.
    """
    client = peer
    for text in reversed(",".join(values).rsplit(",", _MOST_HOPS)):
        ip = _parse(text.strip())
        if ip is None:
            return client
        client = str(ip)
        if not is_in_any(ip, proxies):
            return client
    return client


def forwarded_scheme(values: Iterable[str], scheme: str) -> str:
    """Return the scheme that a trusted proxy names in X-Forwarded-Proto; `scheme` without any.

    Of several the last one: what stands before may be the client's own word.
    """
    named = ",".join(values).rpartition(",")[2].strip().lower()
    return named if named in _SCHEMES else scheme


# Of clients that come again; parsing one takes longer than all else that is done for it here.
@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    """Return an address; some proxies write `192.0.2.1:4711` and `[2001:db8::1]:4711`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return unmap(ip_address(text.partition("%")[0]))
    except ValueError:
        return None
