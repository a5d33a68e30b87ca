"""Keyed hashes of secrets, by which a changed secret is noticed without storing it.

The key is a file of its own, never in the database: a copy of the database alone is no help in
trying out passwords against the hashes in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

from stoa_gitops.errors import StoreError
from stoa_gitops.foundation.files import create_private_file
from stoa_gitops.model.secret import Secret

FILE: Final = "hmac.key"
_LENGTH: Final = 32
"""Bytes of the key: as many as SHA-256 gives out (RFC 2104 §3)."""


class SecretHasher:
    """HMAC-SHA256 of secrets. The key is never printed."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, folder: Path) -> SecretHasher:
        """Read the key of a folder, or create it; raises StoreError.

        Two processes that create it at once end up with the same one.
        """
        path = folder / FILE
        try:
            if not path.exists():
                _create_key(path)
            key = path.read_bytes()
        except OSError as error:
            raise StoreError(
                f"{path} cannot be read or created ({error.strerror}): give this user access to it"
            ) from error
        if len(key) != _LENGTH:
            raise StoreError(
                f"{path} is damaged ({len(key)} bytes instead of {_LENGTH}). It was not modified: "
                "move it aside and restart; every secret is then written to the gateways once more"
            )
        return cls(key)

    def hash(self, secret: Secret) -> str:
        """Return the HMAC-SHA256 of a secret, 64 hex digits."""
        # surrogatepass: an environment variable that is not UTF-8 reaches us as lone surrogates
        value = secret.reveal().encode("utf-8", "surrogatepass")
        return hmac.new(self._key, value, hashlib.sha256).hexdigest()

    def __repr__(self) -> str:
        return "SecretHasher(***)"


def _create_key(path: Path) -> None:
    # Another process that opens the same store for the first time may be quicker: its key counts.
    with contextlib.suppress(FileExistsError):
        create_private_file(path, secrets.token_bytes(_LENGTH))
