"""A token as it was sent, and the check of its signature (RFC 7515, compact form)."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stoa_proxy.tokens.keys import ALGORITHMS, VerificationKey

# Headers of a request may have 32 KiB; tokens beyond this are nobody's.
MAX_TOKEN: Final = 16 * 1024
# Without `kid` each key that fits is tried: so many signatures may one token cost.
_MAX_TRIED: Final = 5
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")


class TokenRefused(Exception):
    """A token that is not accepted; the message is for the client and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class SentToken:
    """A token whose head was read and whose signature was not checked yet.

    `digest` is the SHA-256 of the whole token.
    """

    text: str = field(repr=False)
    digest: bytes
    algorithm: str
    key_id: str | None


def read_token(text: str) -> SentToken:
    """Return a token with what its head says. Raises TokenRefused."""
    if len(text) > MAX_TOKEN or text.count(".") != 2 or not text.isascii():
        raise TokenRefused("The token is no JSON Web Token.")
    header = _decode_object(text.partition(".")[0])
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise TokenRefused("The token's algorithm is not accepted.")
    # RFC 7515, 4.1.11: who does not understand what is critical must refuse. Nothing is here.
    if "crit" in header:
        raise TokenRefused("The token has critical parameters that are not understood.")
    if not isinstance(key_id, str | None):
        raise TokenRefused("The token's key is not named by a text.")
    digest = hashlib.sha256(text.encode()).digest()
    return SentToken(text, digest, str(algorithm), key_id)


def select_keys(token: SentToken, keys: Iterable[VerificationKey]) -> tuple[VerificationKey, ...]:
    """Return the keys that may have signed a token: by its `kid`, else by its algorithm."""
    fitting = [
        key
        for key in keys
        if token.algorithm in key.algorithms
        and (token.key_id is None or key.key_id == token.key_id)
    ]
    return tuple(fitting[:_MAX_TRIED])


def verify(
    token: SentToken, keys: Iterable[VerificationKey]
) -> tuple[VerificationKey, Mapping[str, Any]]:
    """Return the key that signed a token, and the token's claims. Raises TokenRefused."""
    from jwt import PyJWS
    from jwt.exceptions import PyJWTError

    # The one algorithm that was compared with the policy's and the key's before.
    library = PyJWS(algorithms=[token.algorithm])
    for key in keys:
        try:
            library.decode_complete(token.text, key.public_key, algorithms=[token.algorithm])
        except PyJWTError:
            continue
        return key, _decode_object(token.text.split(".")[1])
    raise TokenRefused("The token's signature is not valid.")


def _decode_object(part: str) -> dict[str, Any]:
    """Return the JSON object in base64url without padding. Raises TokenRefused."""
    try:
        # RFC 7515, 2 has no other characters; the function passes over them.
        if _BASE64URL.fullmatch(part) is None:
            raise ValueError
        value = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        raise TokenRefused("The token is no JSON Web Token.") from None
    if not isinstance(value, dict):
        raise TokenRefused("The token is no JSON Web Token.")
    return value
