"""A way through the proxy of the environment, to an address that was looked at."""

from __future__ import annotations

import base64
import http.client
import socket
from typing import Final
from urllib.parse import unquote, urlsplit

from stoa_gitops.errors import GatewayUnreachable

_PORTS: Final = {"http": 80}


def find_proxy(url: str) -> str | None:
    """Return the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name for a URL.

    Raises OSError, whose text holds no password, for one that cannot be used.
    """
    # Late: files need no proxy, and what is behind this import takes as long as reading one.
    from stoa_gitops.adapter_sdk.http.proxies import environment_proxy

    try:
        proxy = environment_proxy(url)
    except GatewayUnreachable as error:
        raise OSError(str(error)) from None
    if proxy is not None and urlsplit(proxy).scheme not in _PORTS:
        kind = urlsplit(proxy).scheme
        raise OSError(
            f"the proxy of the environment is of the type {kind}, and documents are read through "
            "http:// proxies only: fetch it to a file"
        )
    return proxy


def open_tunnel(proxy: str, host: str, port: int, seconds: float) -> socket.socket:
    """Return a connection to a host through a proxy (CONNECT, RFC 9110, 9.3.6).

    `seconds` bounds each step. Raises OSError, which names the proxy without its password.
    """
    parts = urlsplit(proxy)
    shown = f"the proxy {parts.hostname}:{parts.port or _PORTS['http']}"
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or _PORTS["http"], timeout=seconds
    )
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    connection.set_tunnel(f"[{host}]" if ":" in host else host, port, headers)
    try:
        connection.connect()
    except OSError as error:
        connection.close()
        reason = error.strerror or str(error) or type(error).__name__
        raise OSError(f"{shown} does not lead to {host}: {reason[:200]}") from None
    except (http.client.HTTPException, ValueError) as error:
        connection.close()
        raise OSError(f"{shown} does not answer as one ({type(error).__name__})") from None
    assert connection.sock is not None, "a connection that was made has a socket"
    return connection.sock
