"""Certificates for tests: an authority that issues them, and servers that ask for them."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, as files and as PEM."""

    certificate_file: Path
    key_file: Path
    not_after: dt.datetime

    @property
    def certificate(self) -> str:
        return self.certificate_file.read_text()

    @property
    def key(self) -> str:
        return self.key_file.read_text()


class Authority:
    """Makes certificates in a folder; `name` is the subject of its own."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / "ca.pem"
        folder.mkdir(parents=True, exist_ok=True)
        _write(self.file, self._build(self.name, self.key.public_key(), [], (-30, 30), is_ca=True))

    @property
    def pem(self) -> str:
        """The certificate of the authority itself."""
        return self.file.read_text()

    def issue(
        self,
        file: str,
        *names: str,
        password: bytes | None = None,
        days: tuple[int, int] = (-1, 1),
    ) -> Issued:
        """Write FILE.crt and FILE.key for names, valid from and to so many days from now.

        The common name is FILE; the serial number tells two apart.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, file)])
        made, secret = self.folder / f"{file}.crt", self.folder / f"{file}.key"
        made.parent.mkdir(parents=True, exist_ok=True)
        certificate = self._build(subject, key.public_key(), list(names), days)
        _write(made, certificate)
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password)
                if password
                else serialization.NoEncryption(),
            )
        )
        return Issued(made, secret, certificate.not_valid_after_utc)

    def _build(
        self,
        subject: x509.Name,
        key: Any,
        names: list[str],
        days: tuple[int, int],
        *,
        is_ca: bool = False,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=days[0]))
            .not_valid_after(now + dt.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if names:
            found = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(found, critical=False)
        return builder.sign(self.key, hashes.SHA256())


@dataclass
class TlsUpstream:
    """A server of TLS that wants a certificate; `callers` has whose each request came with.

    `connections` has the same by connection: one that serves two callers would have two.
    """

    port: int = 0
    callers: list[str] = field(default_factory=list)
    connections: dict[object, set[str]] = field(default_factory=dict)
    status: int = 200

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        shown = request.transport.get_extra_info("peercert") or {"subject": ()}
        names = dict(part for (part,) in shown["subject"])
        # What a request says of itself tells, too, whose connection it came on.
        self.callers.append(names.get("commonName", ""))
        found = self.connections.setdefault(request.transport, set())
        found.add(request.headers.get("X-Caller", ""))
        return web.json_response({"caller": self.callers[-1]}, status=self.status)


@asynccontextmanager
async def serving(
    shown: Issued,
    client_ca: Authority | None,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> AsyncIterator[TlsUpstream]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    context.load_cert_chain(shown.certificate_file, shown.key_file)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_ca.pem)
    upstream = TlsUpstream()
    runner = web.ServerRunner(web.Server(upstream.handle), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        upstream.port = site.port
        yield upstream
    finally:
        await runner.cleanup()


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
