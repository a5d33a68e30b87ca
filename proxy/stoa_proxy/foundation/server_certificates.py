"""Certificates of a listener, chosen by the name that a client asks for, read again when changed.

::

    certificates = ServerCertificates(TlsFiles(Path("tls.crt"), Path("tls.key")))
    certificates.load()     # raises CertificateUnusable
    certificates.context    # for new connections
    certificates.reload()   # None, or why the files are not taken: those before stay in force
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from stoa_proxy.errors import CertificateUnusable

# Files of a folder that belong together, as Kubernetes writes them in a secret, and as others do.
_SUFFIXES: Final = ((".crt", ".key"), (".pem", ".key"))

_Signature: TypeAlias = "tuple[tuple[Path, int, int, int], ...]"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where certificates and keys are, all in PEM.

    certificate, key  of clients that ask for no name, or for one that no other certificate has;
                      a certificate is followed by those of its issuers
    more              folder with further pairs, `NAME.crt` and `NAME.key`, or None
    client_ca         issuers of the certificates that clients must show, or None: they need none
    """

    certificate: Path
    key: Path
    more: Path | None = None
    client_ca: Path | None = None


class ServerCertificates:
    """The certificates of one listener."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._context: ssl.SSLContext | None = None
        self._signature: _Signature = ()

    @property
    def context(self) -> ssl.SSLContext:
        """The context for a new connection; `load` comes first."""
        assert self._context is not None, "loaded before the listener is opened"
        return self._context

    def load(self) -> None:
        """Read all files. Raises CertificateUnusable, which names the file."""
        signature = self._read_signature()
        self._context = self._make_contexts()
        self._signature = signature

    def reload(self) -> str | None:
        """Read the files again if they have changed; return why they are not taken, if so.

        May block for as long as a file system does.
        """
        try:
            signature = self._read_signature()
            if signature != self._signature:
                self._context = self._make_contexts()
                self._signature = signature
        except CertificateUnusable as error:
            return str(error)
        return None

    def _read_signature(self) -> _Signature:
        return tuple(_sign(path) for path in self._paths())

    def _paths(self) -> Iterator[Path]:
        files = self._files
        yield from (files.certificate, files.key)
        if files.client_ca is not None:
            yield files.client_ca
        for pair in self._pairs():
            yield from pair

    def _pairs(self) -> Iterator[tuple[Path, Path]]:
        """Yield the pairs of the folder, sorted by name; hidden files are left out."""
        folder = self._files.more
        if folder is None:
            return
        try:
            found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        except OSError as error:
            raise CertificateUnusable(f"{folder}: {error.strerror or error}") from None
        for path in found:
            for suffix, key_suffix in _SUFFIXES:
                key = path.with_suffix(key_suffix)
                if path.suffix == suffix and key in found:
                    yield path, key

    def _make_contexts(self) -> ssl.SSLContext:
        """Return the context of the first certificate, which hands names of others on."""
        default = self._make_context(self._files.certificate, self._files.key)
        by_name: dict[str, ssl.SSLContext] = {}
        for certificate, key in self._pairs():
            context = self._make_context(certificate, key)
            for name in _names_of(certificate):
                by_name.setdefault(name, context)

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            if name is not None:
                connection.context = _find(by_name, name.lower().rstrip(".")) or default

        default.sni_callback = choose
        return default

    def _make_context(self, certificate: Path, key: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A client that renegotiates costs the server ten times what it costs the client.
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(["http/1.1"])
        try:
            # A key with a pass phrase is refused: the prompt would wait for somebody at a terminal.
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            reason = _reason(error)
            raise CertificateUnusable(f"{certificate} with {key}: {reason}") from None
        client_ca = self._files.client_ca
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(client_ca)
            except (OSError, ssl.SSLError) as error:
                raise CertificateUnusable(f"{client_ca}: {_reason(error)}") from None
        return context


def _no_password() -> str:
    raise ValueError("the key has a pass phrase: write it without one")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no certificate, or not that of the key").replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)


def _sign(path: Path) -> tuple[Path, int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise CertificateUnusable(f"{path}: {error.strerror or error}") from None
    return path, status.st_ino, status.st_mtime_ns, status.st_size


def _names_of(certificate: Path) -> Iterator[str]:
    """Yield the DNS names of a certificate, in lower case. Raises CertificateUnusable."""
    from cryptography import x509  # late: most gateways have one certificate, or none

    try:
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        reason = "it has no DNS names (subjectAltName), so nobody can ask for it"
        raise CertificateUnusable(f"{certificate}: {reason}") from None
    except (OSError, ValueError) as error:
        raise CertificateUnusable(f"{certificate}: {error}") from None
    yield from (name.lower() for name in names.get_values_for_type(x509.DNSName))


def _find(by_name: Mapping[str, ssl.SSLContext], name: str) -> ssl.SSLContext | None:
    """Return the context of a name: its own, or that of `*.` in place of its first label."""
    return by_name.get(name) or by_name.get("*." + name.partition(".")[2])
