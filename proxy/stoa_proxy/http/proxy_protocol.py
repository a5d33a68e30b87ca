"""The PROXY protocol, versions 1 and 2: whose connection a load balancer passes on.

Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, sections 2.1 and 2.2.
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from stoa_proxy.errors import ProxyHeaderInvalid

LONGEST: Final = 4096
"""Bytes of a header: addresses take 52, what version 2 adds to them is passed over."""

_V1: Final = b"PROXY "
_V1_LONGEST: Final = 107
_V1_LINE: Final = re.compile(rb"PROXY (TCP4|TCP6) (\S+) (\S+) (\d{1,5}) (\d{1,5})")
_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_HEAD: Final = 16
_INET, _INET6 = 1, 2


class ProxyHeader(NamedTuple):
    """What stands before a connection's own bytes.

    size    bytes of the header
    client  address of the client; None where the load balancer speaks for itself, as for its checks
    """

    size: int
    client: str | None


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """Return the header that begins `data`; None where more of it has to come.

    Raises ProxyHeaderInvalid.
    """
    if data.startswith(_V2[: len(data)]):
        return _read_v2(data) if len(data) >= _V2_HEAD else None
    if data.startswith(_V1[: len(data)]):
        return _read_v1(data)
    raise ProxyHeaderInvalid("no header of the PROXY protocol")


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _V1_LONGEST)
    if end < 0:
        if len(data) >= _V1_LONGEST:
            raise ProxyHeaderInvalid("a line that does not end")
        return None
    line = data[:end]
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return ProxyHeader(end + 2, None)
    found = _V1_LINE.fullmatch(line)
    if found is None:
        raise ProxyHeaderInvalid("a line that is none of version 1")
    wanted = IPv4Address if found[1] == b"TCP4" else IPv6Address
    try:
        source, destination = (ip_address(found[part].decode("ascii")) for part in (2, 3))
    except ValueError:
        raise ProxyHeaderInvalid("no addresses") from None
    ports = int(found[4]), int(found[5])
    if not isinstance(source, wanted) or not isinstance(destination, wanted) or max(ports) > 65535:
        raise ProxyHeaderInvalid("addresses of another family, or no ports")
    return ProxyHeader(end + 2, str(source))


def _read_v2(data: bytes) -> ProxyHeader | None:
    version, family, length = struct.unpack_from("!BBH", data, len(_V2))
    command, size = version & 0xF, _V2_HEAD + length
    if version >> 4 != 2 or command > 1:
        raise ProxyHeaderInvalid("a version or a command that is unknown")
    if size > LONGEST:
        raise ProxyHeaderInvalid(f"more than {LONGEST} bytes")
    if len(data) < size:
        return None
    if command == 0:  # LOCAL: of the load balancer's own
        return ProxyHeader(size, None)
    if family >> 4 == _INET and length >= 12:
        return ProxyHeader(size, str(IPv4Address(data[16:20])))
    if family >> 4 == _INET6 and length >= 36:
        return ProxyHeader(size, str(IPv6Address(data[16:32])))
    # A family without an address that means anything here: the receiver uses the real one (2.2).
    if family >> 4 in (0, 3):
        return ProxyHeader(size, None)
    raise ProxyHeaderInvalid("addresses that are too short, or of an unknown family")
