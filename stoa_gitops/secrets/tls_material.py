"""Checks certificates and keys for TLS to backends, before gateway or backend refuses them.

What is said quotes nothing of them; of a certificate its end may be named, which everybody sees who
connects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from stoa_gitops.model.secret import Secret, Value

_BLOCK: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----", re.ASCII
)


@dataclass(frozen=True, slots=True)
class TlsFlaw:
    """What is wrong with the TLS to a backend; with an `is_partial` one it can be written."""

    message: str
    is_partial: bool = False


def find_tls_flaws(backend: Mapping[str, Value], now: datetime) -> Iterator[TlsFlaw]:
    """Yield what is wrong with the material of an API's canonical backend, secrets resolved.

    Certificates that have ended, or begin later than `now`, are partial: backends decide.
    """
    yield from _flaws_of(backend.get("tls"), "backend.tls", now)
    targets: Any = backend.get("targets", ())
    for target in targets:
        yield from _flaws_of(target.get("tls"), f"the TLS to {target['url']}", now)


def _flaws_of(tls: Any, where: str, now: datetime) -> Iterator[TlsFlaw]:
    if not isinstance(tls, Mapping):
        return
    material = {name: item.reveal() for name, item in tls.items() if isinstance(item, Secret)}
    for name in ("certificate", "ca"):
        if name in material:
            yield from _certificate_flaws(name, material[name], where, now)
    if "certificate" in material and "key" in material:
        yield from _key_flaws(material["certificate"], material["key"], where)


_NAMES: Final = {"certificate": "client certificate (certRef)", "ca": "CA (caRef)"}


def _certificate_flaws(name: str, text: str, where: str, now: datetime) -> Iterator[TlsFlaw]:
    from cryptography import x509  # late: most catalogs have no such backend

    what = f"{where}: the {_NAMES[name]}"
    try:
        found = [x509.load_pem_x509_certificate(one.encode()) for one in _BLOCK.findall(text)]
    except ValueError:
        found = []
    if not found:
        yield TlsFlaw(f"{what} is no certificate in PEM")
        return
    # What is shown is of no use without any of its chain, of several issuers one is enough.
    end = min if name == "certificate" else max
    last = end(one.not_valid_after_utc for one in found)
    first = found[0].not_valid_before_utc
    if last < now:
        yield TlsFlaw(f"{what} ended on {last:%Y-%m-%d}", is_partial=True)
    elif name == "certificate" and first > now:
        yield TlsFlaw(f"{what} begins on {first:%Y-%m-%d}", is_partial=True)


def _key_flaws(certificate: str, key: str, where: str) -> Iterator[TlsFlaw]:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    try:
        public = load_pem_private_key(key.encode(), None).public_key()
    except TypeError:
        yield TlsFlaw(f"{where}: the key (keyRef) has a pass phrase: store it without")
        return
    except (ValueError, UnsupportedAlgorithm):
        yield TlsFlaw(f"{where}: the key (keyRef) is no private key in PEM")
        return
    first = _BLOCK.search(certificate)
    try:
        shown = x509.load_pem_x509_certificate(first[0].encode() if first else b"").public_key()
    except (ValueError, UnsupportedAlgorithm):
        return  # that is said of the certificate
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if public.public_bytes(*form) != shown.public_bytes(*form):
        yield TlsFlaw(f"{where}: the key (keyRef) is not that of the certificate (certRef)")
