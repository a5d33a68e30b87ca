"""Recognises public keys that verify tokens, and the algorithm that each is for. Pure.

Kong takes whatever is no PEM of its own as the secret of HS256: with a certificate or a JWK, which
anybody may read, anybody forges tokens (contract kong.md R.7). So a key is read here to its end, as
SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) in PEM (RFC 7468 §13), and anything else is refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Final

from stoa_gitops.adapters.kong.mapping.losses import Inexpressible

_PEM: Final = re.compile(
    r"\s*-----BEGIN PUBLIC KEY-----\s*([A-Za-z0-9+/=\s]+?)\s*-----END PUBLIC KEY-----\s*"
)
# Kong 3.4.2 and 3.9.1 refuse a key that is indented, in one line, or has an empty line within.
_LINES: Final = re.compile(
    r"(?:[ \t\r]*\n)*-----BEGIN PUBLIC KEY-----[ \t]*\r?\n(?:[A-Za-z0-9+/=]+[ \t]*\r?\n)+"
    r"-----END PUBLIC KEY-----\s*"
)
_LABEL: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----")

_INTEGER, _BITS, _NULL, _IDENTIFIER, _SEQUENCE = 0x02, 0x03, 0x05, 0x06, 0x30
_RSA: Final = bytes.fromhex("2a864886f70d010101")  # RFC 3279 §2.3.1
_EC: Final = bytes.fromhex("2a8648ce3d0201")  # RFC 5480 §2.1.1
_EDWARDS: Final = bytes.fromhex("2b6570")  # RFC 8410 §3
_CURVES: Final[Mapping[bytes, tuple[str, int]]] = {
    bytes.fromhex("2a8648ce3d030107"): ("ES256", 32),
    bytes.fromhex("2b81040022"): ("ES384", 48),
    bytes.fromhex("2b81040023"): ("ES512", 66),
}
"""Curve (RFC 5480 §2.1.1.1) -> algorithm (RFC 7518 §3.4), bytes of a coordinate."""

_ED25519_BYTES: Final = 32
_SHORTEST_MODULUS: Final = 2048  # bits; RFC 7518 §3.3


class _NotDer(Exception):
    """Bytes that are no key in DER."""


def verifying_algorithm(key: str) -> str:
    """Return the algorithm (RFC 7518 §3.1) of the tokens that a public key in PEM verifies.

    Raises Inexpressible for anything else, without its content.
    """
    found = _PEM.fullmatch(key)
    if found is None:
        raise Inexpressible(_what_it_is(key))
    try:
        algorithm = _algorithm(base64.b64decode("".join(found[1].split()), validate=True))
    except (binascii.Error, _NotDer):
        raise Inexpressible(_message("begins as a public key in PEM and is none")) from None
    if algorithm is None:
        raise Inexpressible(
            _message("is a public key that Kong has no algorithm for: it takes RSA from 2048 bits, "
                     "P-256, P-384, P-521 and Ed25519")
        )  # fmt: skip
    if _LINES.fullmatch(key) is None:
        raise Inexpressible(
            _message("has its lines indented, run together or apart: each must begin where its "
                     "line begins, as `openssl pkey -pubin` writes them")
        )  # fmt: skip
    return algorithm


def _message(what: str) -> str:
    return f"the key of a jwt credential {what}"


def _what_it_is(key: str) -> str:
    label = _LABEL.search(key)
    if label is not None and label[1] == "RSA PUBLIC KEY":
        what = "is in the form of PKCS #1: write `openssl rsa -RSAPublicKey_in -pubout` of it"
    elif label is not None and label[1] == "CERTIFICATE":
        what = "is a certificate: write `openssl x509 -pubkey -noout` of it"
    elif label is not None and label[1].endswith("PRIVATE KEY"):
        what = "is a private key: write `openssl pkey -pubout` of it"
    elif key.lstrip().startswith("{"):
        what = "is a JSON Web Key: write the same key as PEM"
    else:
        what = (
            "is no public key in PEM; Kong would take it as a secret with which whoever reads it "
            "makes tokens"
        )
    return _message(what)


def _algorithm(der: bytes) -> str | None:
    """Return the algorithm of a SubjectPublicKeyInfo; None for a sort of key that Kong lacks."""
    identifier, bits = _two(_only(der, _SEQUENCE), _SEQUENCE, _BITS)
    # The first byte says how many bits at the end do not count: whole bytes have 0.
    if not bits or bits[0] != 0:
        raise _NotDer
    parts = list(_values(identifier))
    if not parts or parts[0][0] != _IDENTIFIER:
        raise _NotDer
    sort, rest, content = parts[0][1], parts[1:], bits[1:]
    if sort == _RSA:
        return _rsa(content, rest)
    if sort == _EC:
        return _curve(content, rest)
    if sort == _EDWARDS and not rest:
        return "EdDSA" if len(content) == _ED25519_BYTES else None
    return None


def _rsa(content: bytes, parameters: list[tuple[int, bytes]]) -> str | None:
    if parameters != [(_NULL, b"")]:
        raise _NotDer
    modulus, exponent = _two(_only(content, _SEQUENCE), _INTEGER, _INTEGER)
    number, power = int.from_bytes(modulus), int.from_bytes(exponent)
    if modulus[:1] >= b"\x80" or number % 2 == 0 or power % 2 == 0 or power < 3:
        raise _NotDer
    return "RS256" if number.bit_length() >= _SHORTEST_MODULUS else None


def _curve(content: bytes, parameters: list[tuple[int, bytes]]) -> str | None:
    if len(parameters) != 1 or parameters[0][0] != _IDENTIFIER:
        raise _NotDer
    algorithm, length = _CURVES.get(parameters[0][1], (None, 0))
    # An uncompressed point (SEC 1 §2.3.3), or a compressed one.
    is_whole = content[:1] == b"\x04" and len(content) == 1 + 2 * length
    is_compressed = content[:1] in (b"\x02", b"\x03") and len(content) == 1 + length
    if algorithm is not None and not is_whole and not is_compressed:
        raise _NotDer
    return algorithm


def _only(der: bytes, tag: int) -> bytes:
    found = list(_values(der))
    if len(found) != 1 or found[0][0] != tag:
        raise _NotDer
    return found[0][1]


def _two(der: bytes, first: int, second: int) -> tuple[bytes, bytes]:
    found = list(_values(der))
    if [tag for tag, _ in found] != [first, second]:
        raise _NotDer
    return found[0][1], found[1][1]


def _values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each value in a row (X.690 §8.1)."""
    at = 0
    while at < len(der):
        if at + 2 > len(der):
            raise _NotDer
        tag, length, at = der[at], der[at + 1], at + 2
        if length >= 0x80:
            count = length & 0x7F
            # The shortest form alone is DER; four bytes are more than any key has.
            if not 1 <= count <= 4 or at + count > len(der):
                raise _NotDer
            length, at = int.from_bytes(der[at : at + count]), at + count
            if length < 0x80:
                raise _NotDer
        if at + length > len(der):
            raise _NotDer
        yield tag, der[at : at + length]
        at += length
