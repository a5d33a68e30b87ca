"""How to get to an admin API: base URL, credentials and TLS, from a Connection."""

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


def normalised(base_url: str) -> str:
    """Return a base URL without a trailing slash; raises GatewayMalformed for what is no http URL.

    Two slashes in a row are another path to most servers, and a path is appended to this.
    """
    try:
        parts = urlsplit(base_url.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise GatewayMalformed("baseUrl is not an http or https URL with a host: check baseUrl")
    if parts.username is not None or parts.query or parts.fragment:
        raise GatewayMalformed(
            "baseUrl carries user info, a query or a fragment: credentials belong in spec.auth"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def is_loopback(base_url: str) -> bool:
    """Whether a URL names this machine, so that no proxy of the environment belongs in between."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def credential_header(connection: Connection) -> tuple[str, Secret] | None:
    """Return the header that authenticates us, None where there is none.

    An embedded data plane's document says nothing of its token: a `token` with `auth.type: none` is a bearer's.
    Raises GatewayUnauthorized when a credential is missing or cannot stand in a header.
    """
    kind, given = connection.instance.auth.type, connection.credentials
    if kind == "none" and "token" not in given:
        return None
    if kind == "basic":
        pair = f"{_role(given, 'username', kind)}:{_role(given, 'password', kind)}"
        name, text = "Authorization", "Basic " + base64.b64encode(pair.encode()).decode()
    elif kind == "header":
        name, text = connection.instance.auth.header, _role(given, "value", kind)
    else:
        name, text = "Authorization", "Bearer " + _role(given, "token", kind)
    if not text.isascii() or not text.isprintable():
        raise GatewayUnauthorized(
            f"the credential for auth type {kind} holds a character that no header may carry, such as a newline"
        )
    return name, Secret(text)


def tls_context(connection: Connection) -> ssl.SSLContext:
    """Return what judges the gateway's certificate and carries ours; raises GatewayUnauthorized.

    For plain http it trusts nobody, which costs no reading of the system's authorities.
    """
    if connection.base_url.lower().startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = connection.tls
    try:
        context = ssl.create_default_context(cadata=tls["ca"].reveal() if "ca" in tls else None)
        if "cert" in tls:
            chain = tls["cert"].reveal() + "\n" + (tls["key"].reveal() if "key" in tls else "")
            with _private_file(chain) as path:
                context.load_cert_chain(path)
    except (ssl.SSLError, ValueError):
        # The text of the error may quote the material.
        raise GatewayUnauthorized(
            "spec.tls: the CA, certificate or key is not usable PEM, or key and certificate do not match"
        ) from None
    return context


@contextmanager
def _private_file(text: str) -> Iterator[str]:
    """Hold a text in a file that only we may read: OpenSSL takes a chain from files alone."""
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
