"""Tokens with which a tenant reads its own part of the control API; kept as hashes only."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

_LINE: Final = re.compile(
    r"(?P<tenant>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)[ \t]+(?P<hash>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class TenantTokens:
    """All live tokens: the SHA-256 of each, with the tenant that it is of."""

    digests: tuple[tuple[bytes, str], ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str) -> TenantTokens:
        """Read lines `<tenant> <SHA-256 of the token, 64 hex digits>`; `#` begins a comment.

        Raises ValueError, which names lines and never what stands there: for a line that is none,
        and for one token of two tenants.
        """
        found: dict[bytes, str] = {}
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
            content = line.partition("#")[0].strip()
            if not content:
                continue
            match = _LINE.fullmatch(content)
            if match is None:
                raise ValueError(f"line {number} is not `<tenant> <SHA-256 of the token in hex>`")
            digest = bytes.fromhex(match["hash"])
            if found.setdefault(digest, match["tenant"]) != match["tenant"]:
                raise ValueError(f"line {number} has the token of another tenant")
        return cls(tuple(found.items()))

    def find(self, given: bytes) -> str | None:
        """Return the tenant of a token that somebody sent, None for a wrong one.

        In constant time: every token is compared, and hashes of equal length are.
        """
        digest = hashlib.sha256(given).digest()
        found = None
        for known, tenant in self.digests:
            if hmac.compare_digest(digest, known):
                found = tenant
        return found


NO_TENANTS: Final = TenantTokens()
"""Without any."""
