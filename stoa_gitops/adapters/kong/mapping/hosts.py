"""Host names and addresses as Kong's schema takes them (kong/tools/ip.lua). Pure."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final

_NUMERIC: Final = re.compile(r"[0-9.]+")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


@lru_cache(maxsize=4096)
def host_fault(host: str) -> str:
    """Return why Kong refuses a host (without port or brackets); empty where it takes it."""
    if ":" in host:
        return _ipv6_fault(host)
    if is_address(host):
        return "" if _is_ipv4(host) else "it is no IPv4 address of four numbers"
    if not host.isascii():
        return f"it takes ASCII alone: write {_punycode(host)}"
    labels = host.removesuffix(".").split(".")
    if _NAME.fullmatch(host) is None:
        return "it takes letters, digits, `-`, `_` and `.` in names"
    if any(not label or label.endswith("-") for label in labels):
        return "no part of a name is empty or ends with a hyphen"
    return ""


def is_address(host: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    return ":" in host or _NUMERIC.fullmatch(host) is not None


def _ipv6_fault(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return "it is no IPv6 address"
    if "." in host:
        number = int(address)
        groups = (f"{number >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))
        return f"it takes no dots in an IPv6 address: write {':'.join(groups)}"
    return ""


def _is_ipv4(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and all(0 < len(one) <= 3 and int(one) <= 255 for one in parts)


def _punycode(name: str) -> str:
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return "the name as DNS has it (xn--…)"
