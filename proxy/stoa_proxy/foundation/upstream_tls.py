"""Who the gateway is to a backend behind TLS, and by whom it knows that backend.

::

    identity = upstream_tls("acme", certificate=..., key=..., ca=..., server_name=None)
    identity.check()          # raises CertificateUnusable
    identity.make_context()   # for connections; may take 60 ms, once

Equal material of one tenant is one object for as long as anybody has it, and nothing else is equal:
a connection that is kept under an identity serves nobody else, and of each there is one context.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Final
from weakref import WeakValueDictionary

from stoa_proxy.errors import CertificateUnusable

_known: Final[WeakValueDictionary[str, UpstreamTls]] = WeakValueDictionary()


class UpstreamTls:
    """The TLS of connections to one backend of one tenant; `upstream_tls` makes it.

    name         the same text in all processes of a gateway, for none but them
    certificate  PEM that the gateway shows, followed by those of its issuers; None: none
    key          PEM of its key, without a pass phrase
    ca           PEM of the issuers that the backend's certificate may have; None: the system's
    server_name  the name that the backend's certificate must have; None: the URL's host

    An empty text stands for what could not be resolved, or is not kept on disk. `repr` shows no
    part of it.
    """

    __slots__ = (
        "__weakref__", "_context", "_is_checked", "_lock", "ca", "certificate", "key", "name",
        "server_name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        certificate: str | None,
        key: str | None,
        ca: str | None,
        server_name: str | None,
    ) -> None:
        self.name = name
        self.certificate = certificate
        self.key = key
        self.ca = ca
        self.server_name = server_name
        self._context: ssl.SSLContext | None = None
        self._is_checked = False
        self._lock = Lock()

    @property
    def is_resolved(self) -> bool:
        """Whether all of it is here."""
        return "" not in (self.certificate, self.key, self.ca)

    @property
    def context(self) -> ssl.SSLContext | None:
        """The context of connections; None before `make_context`."""
        return self._context

    def as_body(self) -> Mapping[str, object]:
        """Return it as the admin API takes it, key included; null is what is not here."""
        parts = {"certificate": self.certificate, "key": self.key, "ca": self.ca}
        body: dict[str, object] = {
            name: text or None for name, text in parts.items() if text is not None
        }
        return body if self.server_name is None else {**body, "server_name": self.server_name}

    def as_bare_body(self) -> Mapping[str, object]:
        """Return what is left of it on disk."""
        return {
            name: text if name == "server_name" else None for name, text in self.as_body().items()
        }

    def check(self) -> None:
        """Raise CertificateUnusable, which quotes nothing, where it cannot be used."""
        if self._is_checked:
            return
        if self.ca is not None and self.is_resolved:
            self.make_context()  # it is as cheap, and is kept
        else:
            if self.ca:
                _make_context(None, None, self.ca)
            if self.certificate and self.key:
                _make_context(self.certificate, self.key, None)
        self._is_checked = True

    def make_context(self) -> ssl.SSLContext:
        """Return the context of connections, which is made once.

        Reading the system's issuers blocks for 60 ms. Raises CertificateUnusable.
        """
        with self._lock:
            if self._context is None:
                if not self.is_resolved:
                    raise CertificateUnusable("it is not here")
                context = _make_context(self.certificate, self.key, self.ca)
                if self.ca is None:
                    context.load_default_certs()
                self._context = context
            return self._context


def upstream_tls(
    tenant: str,
    *,
    certificate: str | None = None,
    key: str | None = None,
    ca: str | None = None,
    server_name: str | None = None,
) -> UpstreamTls:
    """Return the identity of a tenant with this material: the same object while there is one."""
    digest = hashlib.sha256()
    for part in (tenant, certificate, key, ca, server_name):
        # With its length and kind, so that no text moves from one part into the next.
        content = b"" if part is None else part.encode("utf-8", "surrogatepass")
        digest.update(f"{part is None}:{len(content)}:".encode() + content)
    found = _known.get(name := digest.hexdigest())
    if found is None:
        found = _known[name] = UpstreamTls(name, certificate, key, ca, server_name)
    return found


def _make_context(certificate: str | None, key: str | None, ca: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    if ca is not None:
        try:
            context.load_verify_locations(cadata=ca)
        except (ssl.SSLError, ValueError):
            raise CertificateUnusable("ca holds no certificates in PEM") from None
    if certificate is not None and key is not None:
        try:
            with _private_file(f"{certificate}\n{key}") as path:
                context.load_cert_chain(path, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else None
            raise CertificateUnusable(
                "key is not that of certificate"
                if reason == "KEY_VALUES_MISMATCH"
                else "certificate or key is no PEM, or the key has a pass phrase"
            ) from None
    return context


def _no_password() -> str:
    # The prompt would wait for somebody at a terminal.
    raise ValueError


@contextlib.contextmanager
def _private_file(text: str) -> Iterator[str]:
    """Give a text the name of a file: `load_cert_chain` takes nothing else.

    In memory where the system has that (Linux); else in a folder that only this user may enter.
    """
    content = text.encode("utf-8", "surrogatepass")
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory(prefix="stoa-proxy-") as folder:
            path = Path(folder) / "chain.pem"
            path.touch(mode=0o600)
            path.write_bytes(content)
            yield str(path)
        return
    descriptor = os.memfd_create("stoa-proxy-certificate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


_CAUSES: Final[Mapping[int, str]] = {
    9: "The upstream's certificate is not valid yet.",
    10: "The upstream's certificate has expired.",
    62: "The upstream's certificate has another name.",
    64: "The upstream's certificate has another name.",
}
"""By `X509_V_ERR_*` of OpenSSL."""

UNTRUSTED: Final = "The upstream's certificate is of no issuer that is trusted."
NO_TLS: Final = "There is no TLS connection to the upstream."
REFUSED: Final = "The upstream does not take the gateway's certificate, or wants one."
# Alerts about certificates (RFC 8446, 6.2). A server sends them in place of the end of its
# handshake, before it reads any request.
_ALERTS: Final = (
    "BAD_CERTIFICATE", "CERTIFICATE_", "UNKNOWN_CA", "UNSUPPORTED_CERTIFICATE", "ACCESS_DENIED",
)  # fmt: skip


def describe_handshake(error: BaseException | None) -> str:
    """Return why there is no connection, for people: nothing of what the upstream sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CAUSES.get(error.verify_code, UNTRUSTED)
    return REFUSED if is_certificate_refused(error) else NO_TLS


def is_certificate_refused(error: BaseException | None) -> bool:
    """Whether a connection ended by an alert about the certificate of this side."""
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLCertVerificationError):
        return False
    reason = error.reason or ""
    # Without a certificate TLS 1.2 has no alert but this one (RFC 5246, 7.2.2).
    return "ALERT" in reason and (
        any(name in reason for name in _ALERTS) or reason.endswith("HANDSHAKE_FAILURE")
    )
