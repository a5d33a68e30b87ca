"""Public keys of an issuer, read from a JWK Set (RFC 7517).

Only keys of asymmetric algorithms are taken. A shared secret (`oct`) is passed over, so that no
public text can ever be the key of an HMAC.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# An issuer has a handful; what is larger is a wrong URL, or an attempt to fill the memory.
MAX_SET_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 100
# NIST SP 800-131A: shorter ones are not to be used for signatures.
_MIN_RSA_BITS: Final = 2048

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""The algorithms that are verified (RFC 7518, 3.1; RFC 8037); never `none` and never an HMAC."""

_OF_RSA: Final = frozenset(name for name in ALGORITHMS if name[:2] in ("RS", "PS"))
_OF_CURVE: Final[Mapping[tuple[object, object], frozenset[str]]] = {
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}


class KeysInvalid(Exception):
    """A body that is no key set; the message says why, without any of its content."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, with the algorithms that it may verify.

    `digest` is the SHA-256 of its JWK: two keys with one digest are the same key.
    """

    key_id: str | None
    algorithms: frozenset[str]
    digest: bytes
    public_key: Any = field(repr=False, compare=False)


def parse_key_set(body: bytes) -> tuple[VerificationKey, ...]:
    """Return the usable keys of a JWK Set. Raises KeysInvalid where there are none.

    Keys that are of another use or of a type that is not verified are passed over (RFC 7517, 5).
    """
    if len(body) > MAX_SET_BYTES:
        raise KeysInvalid(f"the key set has more than {MAX_SET_BYTES} bytes")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise KeysInvalid("the key set is no JSON") from None
    listed = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise KeysInvalid("the key set has no list of keys")
    if len(listed) > MAX_KEYS:
        raise KeysInvalid(f"the key set has more than {MAX_KEYS} keys")
    keys = tuple(key for key in map(_read_key, listed) if key is not None)
    if not keys:
        raise KeysInvalid("the key set has no key that can verify a signature")
    return keys


def _read_key(jwk: object) -> VerificationKey | None:
    # A set that publishes a private part (`d`) is no secret of anybody any more.
    if not isinstance(jwk, dict) or "d" in jwk or jwk.get("use", "sig") != "sig":
        return None
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    algorithms = _algorithms_of(jwk)
    public_key = _load(jwk) if algorithms else None
    if public_key is None:
        return None
    key_id = jwk.get("kid")
    digest = hashlib.sha256(json.dumps(jwk, sort_keys=True).encode()).digest()
    return VerificationKey(
        key_id if isinstance(key_id, str) else None, algorithms, digest, public_key
    )


def _algorithms_of(jwk: Mapping[str, object]) -> frozenset[str]:
    kind, curve = jwk.get("kty"), jwk.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return frozenset()
    algorithms = _OF_RSA if kind == "RSA" else _OF_CURVE.get((kind, curve), frozenset())
    # A key that names its algorithm is for no other one (RFC 7517, 4.4).
    return algorithms if "alg" not in jwk else algorithms & {str(jwk["alg"])}


def _load(jwk: Mapping[str, object]) -> Any:
    # Late, for importing it takes 60 ms, and most processes never meet a token.
    from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

    kinds: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
    try:
        key = kinds[str(jwk["kty"])].from_jwk(dict(jwk))
    except Exception:  # noqa: BLE001 - whatever the libraries raise of a key that is none
        return None
    return None if getattr(key, "key_size", _MIN_RSA_BITS) < _least_bits(jwk) else key


def _least_bits(jwk: Mapping[str, object]) -> int:
    return _MIN_RSA_BITS if jwk["kty"] == "RSA" else 0
