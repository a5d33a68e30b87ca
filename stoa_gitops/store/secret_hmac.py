"""The key under which secrets are compared: in a file of its own, never in the database.

Whoever gets hold of the database alone cannot try out passwords against the fingerprints in it.
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


class Fingerprints:
    """Keyed hashes of secrets. The key shows itself nowhere."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, folder: Path) -> Fingerprints:
        """Read the key of a folder, or make it; raises StoreError.

        Two processes that make it at once end up with the same one.
        """
        path = folder / FILE
        try:
            if not path.exists():
                _create_key(path)
            key = path.read_bytes()
        except OSError as error:
            raise StoreError(
                f"{path} cannot be read or made ({error.strerror}): give this user access to it"
            ) from error
        if len(key) != _LENGTH:
            raise StoreError(
                f"{path} is damaged ({len(key)} bytes instead of {_LENGTH}). It was left as it is: move it "
                "away and start again; every secret is then written to the gateways once more"
            )
        return cls(key)

    def of(self, secret: Secret | str) -> str:
        """Return the HMAC-SHA256 of a secret, 64 hex digits."""
        value = secret.reveal() if isinstance(secret, Secret) else secret
        return hmac.new(
            self._key, value.encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()

    def __repr__(self) -> str:
        return "Fingerprints(***)"


def _create_key(path: Path) -> None:
    # Another process that opens the same store for the first time may be quicker: its key counts.
    with contextlib.suppress(FileExistsError):
        create_private_file(path, secrets.token_bytes(_LENGTH))
