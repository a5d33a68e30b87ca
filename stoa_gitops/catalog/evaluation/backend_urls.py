"""Checks the URLs of backends: scheme, host, address, and whether the host is of another
environment.

Only literal addresses are checked here; names are resolved, and their addresses checked, by the
data plane when it connects.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from stoa_gitops.catalog.findings import Finding
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.instances import GatewayInstance

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

# Prefixes under which an IPv6 address carries an IPv4 one: RFC 6052 §2.1, RFC 4291 §2.5.5.1.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
# "This network" (RFC 1122 §3.2.1.3): Linux connects to the machine itself.
_THIS_NETWORK: Final = ipaddress.IPv4Network("0.0.0.0/8")
_BROADCAST: Final = ipaddress.IPv4Address("255.255.255.255")
_USUAL: Final = re.compile(r"https?://([a-z0-9_.-]+)(?::[1-9][0-9]{0,3})?(?:/[A-Za-z0-9._~/-]*)?")
"""Ordinary URLs, with their hosts: most backends need no further parsing (half the time)."""

_NUMBER_PART: Final = re.compile(r"^(0[xX][0-9a-fA-F]*|[0-9]+)$")

_FAMILIES: Final = {
    "production": ("prod", "production", "prd", "live"),
    "staging": ("staging", "stage", "stg", "preprod", "uat"),
    "test": ("test", "tst", "qa", "int"),
    "development": ("dev", "development", "local"),
}

_LABELS: Final = frozenset(label for labels in _FAMILIES.values() for label in labels)


@dataclass(frozen=True, slots=True)
class Backend:
    """The host of one URL of a document; `addresses` are those that a literal means."""

    pointer: Pointer
    host: str
    addresses: tuple[Address, ...] = ()


def check_url(url: str, pointer: Pointer, document: int) -> tuple[Backend | None, list[Finding]]:
    """Return the host of a backend's URL, and what is wrong with the URL."""
    usual = _USUAL.fullmatch(url)
    if usual is not None:
        return Backend(pointer, usual[1], literal_addresses(usual[1])), []
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return None, [
            Finding("backend.url", f"this is no URL: {error}", pointer, document=document)
        ]
    if parts.scheme not in ("http", "https"):
        text = f"the scheme {parts.scheme} is not forwarded to"
        return None, [
            Finding("backend.scheme", text, pointer, "use http or https", document=document)
        ]
    if not host or "%" in host or port == 0:
        text = "the URL names no host" if not host else "the host or port is not valid"
        return None, [Finding("backend.url", text, pointer, document=document)]
    found = []
    if "{" in url or "}" in url:
        # Braces have no place in a URL (RFC 3986 §2), so nobody can mean them.
        text = "the URL of a backend takes no parameters of a route's path"
        hint = "write stripPath: false at the route: the backend gets the path as it was sent then"
        found.append(Finding("backend.url", text, pointer, hint, document=document))
    if "@" in parts.netloc:
        found.append(
            Finding(
                "secret.value",
                "the URL carries credentials",
                pointer,
                "remove them, and write `auth: {in: header, name: Authorization, valueRef: …}`",
                document=document,
            )
        )
    if "#" in url:
        text = "a fragment is never sent to a backend"
        found.append(Finding("backend.url", text, pointer, "remove it", document=document))
    return Backend(pointer, host, literal_addresses(host)), found


def literal_addresses(host: str) -> tuple[Address, ...]:
    """Return the addresses that a host means without a lookup; empty for other names.

    Covers what resolvers accept: `localhost` (RFC 6761 §6.3), the short, decimal, octal and
    hexadecimal forms of inet_aton, digits of other scripts (NFKC), and IPv4 embedded in IPv6.
    """
    # A host that ends in a name cannot be a literal address; the last label decides (WHATWG URL).
    last = host.rpartition(".")[2]
    if last[:1].isalpha() and host.isascii() and ":" not in host and last.lower() != "localhost":
        return ()
    name = unicodedata.normalize("NFKC", host).rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")
    if ":" in name:
        try:
            return _unwrap(ipaddress.IPv6Address(name.partition("%")[0]))
        except ValueError:
            return ()
    parts = name.split(".")
    if len(parts) > 4 or not all(_NUMBER_PART.match(part) for part in parts):
        return ()
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return ()
    # inet_aton: the last part fills all bytes that the others leave (127.1 is 127.0.0.1).
    value = 0
    for number in numbers[:-1]:
        if number > 255:
            return ()
        value = value << 8 | number
    bits = 8 * (5 - len(numbers))
    if numbers[-1] >= 1 << bits:
        return ()
    return (ipaddress.IPv4Address(value << bits | numbers[-1]),)


def _number(part: str) -> int:
    if part[:2] in ("0x", "0X"):
        return int(part[2:] or "0", 16)
    # A leading zero means octal to inet_aton, so 0177.0.0.1 is loopback.
    if len(part) > 1 and part[0] == "0":
        return int(part, 8)
    return int(part)


def _unwrap(address: ipaddress.IPv6Address) -> tuple[Address, ...]:
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return (address,) if inner is None else (inner, address)


def denied_category(address: Address) -> str:
    """Return why an address is denied by default (`loopback`); empty when it is not."""
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast or address == _BROADCAST:
        return "multicast"
    if address.is_unspecified or (address.version == 4 and address in _THIS_NETWORK):
        return "unspecified"
    return ""


def denial_reason(backend: Backend, gateway: GatewayInstance) -> str:
    """Return why a gateway may not reach a backend; empty if it may, or if only a lookup would
    tell.
    """
    # deny wins over allow, and allow over what is denied by default.
    allow = [ipaddress.ip_network(text, strict=False) for text in gateway.backends_allow]
    deny = [ipaddress.ip_network(text, strict=False) for text in gateway.backends_deny]
    for address in backend.addresses:
        if any(address in network for network in deny):
            return f"{address} is denied by backends.deny"
    if any(address in network for address in backend.addresses for network in allow):
        return ""
    for address in backend.addresses:
        if sort := denied_category(address):
            return f"{address} is {sort}"
    return ""


@cache
def environment_family(environment: str) -> str:
    """Return the usual sort of environment that a name means, empty for any other name."""
    return next((name for name, labels in _FAMILIES.items() if environment in labels), "")


def foreign_family(host: str, environment: str) -> str:
    """Return the sort of environment in a host's name when it is not this one; else empty."""
    labels = host.lower().replace("-", ".").replace("_", ".").split(".")
    if _LABELS.isdisjoint(labels):
        return ""
    here = environment_family(environment)
    if not here:
        return ""
    families = {environment_family(label) for label in labels if label in _LABELS}
    return min(families) if families and here not in families else ""
