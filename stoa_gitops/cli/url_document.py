"""Reads a document from a URL: bounded, without redirects, and from public addresses only.

A list of URLs may be somebody else's, in a CI job for one, so what answers inside of a network is
only called where a person allows it; what clouds tell their machines at link-local addresses never.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from stoa_gitops.cli.url_proxy import find_proxy, open_tunnel

MAX_BYTES: Final = 64 << 20
SECONDS: Final = 30.0
"""For everything: names, connection, headers and body."""

_STEP_SECONDS: Final = 10.0
_CHUNK: Final = 1 << 16
_NEVER: Final = tuple(
    ipaddress.ip_network(text)
    # Metadata and agents of clouds: AWS, GCP, Azure, Oracle; AWS over IPv6; Alibaba; Azure.
    for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32",
                 "168.63.129.16/32", "192.0.0.192/32")
)  # fmt: skip
_CARRYING: Final = tuple(
    ipaddress.ip_network(text)
    # IPv4-compatible, NAT64 (RFC 6052, RFC 8215) and 6to4: any IPv4 address may be inside.
    for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")
)
_ACCEPT: Final = "application/yaml, application/json, text/yaml, text/plain;q=0.9, */*;q=0.5"

Resolve = Callable[[str, int], Sequence[str]]


class HostUnknown(OSError):
    """A name has no address, as far as this machine knows."""


def read_url(url: str, *, allow_private: bool, seconds: float = SECONDS) -> bytes:
    """Return the body of a 200 answer; OSError, whose text says why there is none.

    All addresses of the host are looked at before one is called, and the very address that was
    looked at is called: a name that changes its answer meanwhile gains nothing.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OSError("this is no address of a document: write https://HOST/path, or a file")
    if parts.username is not None:
        raise OSError("a password in a URL is seen by others: fetch the document to a file")
    # A timeout of a socket bounds one step (names not at all), so a thread does the whole.
    results: list[bytes | OSError] = []
    thread = threading.Thread(
        target=lambda: results.append(_attempt(parts, allow_private, seconds)), daemon=True
    )
    thread.start()
    thread.join(seconds)
    if not results:
        raise OSError(f"no answer within {seconds:g} s")
    result = results[0]
    if isinstance(result, OSError):
        raise result
    return result


def _attempt(parts: SplitResult, allow_private: bool, seconds: float) -> bytes | OSError:
    try:
        return _read(parts, allow_private, time.monotonic() + seconds)
    except OSError as error:
        return error if str(error) else OSError(type(error).__name__)
    except (http.client.HTTPException, ValueError) as error:
        return OSError(f"the answer is not HTTP ({type(error).__name__})")


def _read(parts: SplitResult, allow_private: bool, deadline: float) -> bytes:
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxy = find_proxy(parts.geturl())
    if proxy is None:
        addresses = checked_addresses(host, port, allow_private)
        sock = _connect(host, port, addresses)
    else:
        sock = _connect_by(proxy, host, port, allow_private)
    connection = _connection(parts.scheme, host, port, sock)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(
            "GET", target, headers={"User-Agent": "stoa-gitops-import", "Accept": _ACCEPT}
        )
        response = connection.getresponse()
        _check_head(response)
        return _body(response, deadline)
    finally:
        connection.close()


def _check_head(response: http.client.HTTPResponse) -> None:
    if 300 <= response.status < 400:
        target = response.getheader("Location") or "nowhere"
        raise OSError(
            f"it redirects to {target[:300]}, which was not followed: import that address if it "
            "is the document"
        )
    if response.status != 200:
        raise OSError(f"it answers {response.status} {response.reason}"[:200])
    kind = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise OSError(
            "it answers with a web page, not with an OpenAPI document: a page that shows it, or "
            "a sign-in; give the address of the document itself"
        )


def _body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    body = bytearray()
    while True:
        chunk = response.read(_CHUNK)
        if not chunk:
            return bytes(body)
        body += chunk
        if len(body) > MAX_BYTES:
            raise OSError(f"it has more than {MAX_BYTES >> 20} MiB")
        if time.monotonic() > deadline:
            raise OSError("it does not end in time")


def checked_addresses(
    host: str, port: int, allow_private: bool, resolve: Resolve | None = None
) -> list[str]:
    """Return the addresses of a host; OSError if one of them may not be called."""
    found = (resolve or _resolve)(host, port)
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        plain = getattr(address, "ipv4_mapped", None) or address
        if plain.is_multicast or plain.is_unspecified or any(plain in net for net in _NEVER):
            raise OSError(f"{host} has the address {text}, which is never called")
        is_public = plain.is_global and not any(plain in network for network in _CARRYING)
        if not is_public and not allow_private:
            raise OSError(
                f"{host} has the address {text}, of this machine or a private network: allow it "
                "with --allow-private if you mean it"
            )
    return list(found)


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise HostUnknown(f"{host} has no address") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _connect_by(proxy: str, host: str, port: int, allow_private: bool) -> socket.socket:
    """Return a connection through a proxy, which is asked for the very address that was looked at.

    A proxy looks names up by itself, and may find another address: it is asked for a name only
    where private addresses are allowed.
    """
    try:
        addresses = checked_addresses(host, port, allow_private)
    except HostUnknown as error:
        if not allow_private:
            raise OSError(
                f"{error} here, so nobody can tell what the proxy would call: allow it with "
                "--allow-private if you mean it"
            ) from None
        return open_tunnel(proxy, host, port, _STEP_SECONDS)
    if allow_private:
        return open_tunnel(proxy, host, port, _STEP_SECONDS)
    try:
        return open_tunnel(proxy, addresses[0], port, _STEP_SECONDS)
    except OSError as error:
        raise OSError(f"{error}; with --allow-private it is asked for {host} by name") from None


def _connect(host: str, port: int, addresses: Sequence[str]) -> socket.socket:
    """Return a connection to one of the addresses."""
    for number, address in enumerate(addresses, start=1):
        try:
            return socket.create_connection((address, port), timeout=_STEP_SECONDS)
        except OSError as error:
            if number == len(addresses):
                raise OSError(f"{host} cannot be reached: {error.strerror or error}") from None
    raise AssertionError("a host without addresses is refused before")


def _connection(
    scheme: str, host: str, port: int, sock: socket.socket
) -> http.client.HTTPConnection:
    """Return a connection for the host of the URL, over a socket that leads to it."""
    connection = http.client.HTTPConnection(host, port, timeout=_STEP_SECONDS)
    if scheme == "https":
        try:
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        except OSError as error:
            sock.close()
            raise OSError(f"no TLS with {host}: {error}") from None
        connection.default_port = 443
    connection.sock = sock
    return connection
