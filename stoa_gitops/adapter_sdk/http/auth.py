"""Base URL, credential header and TLS context of a Connection."""

from __future__ import annotations

import base64
import ipaddress
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.errors import GatewayMalformed, GatewayUnauthorized
from stoa_gitops.model.secret import Secret


def normalise_base_url(base_url: str) -> str:
    """Return a base URL without a trailing slash; raises GatewayMalformed if it is no http URL.

    Paths with a leading slash are appended to it, and two slashes in a row are another path to
    most servers.
    """
    try:
        parts = urlsplit(base_url.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise GatewayMalformed("baseUrl is not an http or https URL with a host: check baseUrl")
    # RFC 9110 §4.2.4 forbids to send user info, and it would show in messages and logs.
    if parts.username is not None or parts.query or parts.fragment:
        raise GatewayMalformed(
            "baseUrl carries user info, a query or a fragment: credentials belong in spec.auth"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def is_loopback(base_url: str) -> bool:
    """Whether a URL names this machine: HTTP_PROXY and the like do not apply then."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def credential_header(connection: Connection) -> tuple[str, Secret] | None:
    """Return name and value of the header that authenticates us; None without authentication.

    The document of an embedded data plane does not mention its token: a `token` with
    `auth.type: none` is sent as a bearer token. Raises GatewayUnauthorized if a credential is
    missing or cannot be a header value.
    """
    kind, given = connection.instance.auth.type, connection.credentials
    if kind == "none" and "token" not in given:
        return None
    if kind == "basic":
        # RFC 7617 §2; UTF-8, as its §2.1 recommends.
        pair = f"{_role(given, 'username', kind)}:{_role(given, 'password', kind)}"
        name, text = "Authorization", "Basic " + base64.b64encode(pair.encode()).decode()
    elif kind == "header":
        name, text = connection.instance.auth.header, _role(given, "value", kind)
    else:
        # RFC 6750 §2.1.
        name, text = "Authorization", "Bearer " + _role(given, "token", kind)
    # RFC 9110 §5.5: a line break would start a new header.
    if not text.isascii() or not text.isprintable():
        raise GatewayUnauthorized(
            f"the credential for auth type {kind} holds a character that no header may carry,"
            " such as a newline"
        )
    return name, Secret(text)


def tls_context(connection: Connection) -> ssl.SSLContext:
    """Return the context that verifies the gateway's certificate and presents ours.

    Raises GatewayUnauthorized if the PEM material of the connection is unusable.
    """
    if connection.base_url.lower().startswith("http:"):
        # Never used for plain http; create_default_context reads all authorities of the system,
        # which takes tens of milliseconds.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = connection.tls
    try:
        context = ssl.create_default_context(cadata=tls["ca"].reveal() if "ca" in tls else None)
        if "cert" in tls:
            chain = tls["cert"].reveal() + "\n" + (tls["key"].reveal() if "key" in tls else "")
            with _private_file(chain) as path:
                context.load_cert_chain(path)
    except (ssl.SSLError, ValueError):
        # Without the error's own text, which may quote the material.
        raise GatewayUnauthorized(
            "spec.tls: the CA, certificate or key is not usable PEM, or key and certificate do not"
            " match"
        ) from None
    return context


@contextmanager
def _private_file(text: str) -> Iterator[str]:
    """Write a text into a file that only we may read: `load_cert_chain` accepts only paths."""
    with tempfile.TemporaryDirectory(prefix="stoa-gitops-") as folder:
        path = Path(folder) / "chain.pem"
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        yield str(path)


def _role(given: Mapping[str, Secret], role: str, kind: str) -> str:
    secret = given.get(role)
    if secret is None or not secret.reveal():
        raise GatewayUnauthorized(
            f"spec.auth of type {kind} needs {role}Ref, and it led to no value: check the reference"
        )
    return secret.reveal()
