"""Keys with which gateways register: which of them are live, and for which environment."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from stoa_gitops.fleet.identity import canonical_environment

SHORT: Final = 24
"""Characters below which a key is warned of: it can be guessed by trying."""

_PREFIX: Final = "gw"
_STOA: Final = frozenset({"dev", "staging", "prod"})
_SEPARATOR: Final = re.compile(r"[,\r\n]+")
# RFC 9110 §5.5: what a header value can carry, and no blank inside: a list is separated by them in
# people's minds, and the one that is cut there would be half a key.
_CARRIED: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """One live key; its text is kept as a hash only.

    environment  the only one in which it may be used; None for any
    fingerprint  the first 12 hex digits of its SHA-256: what the audit trail shows
    length       in characters
    """

    digest: bytes = field(repr=False)
    environment: str | None = None
    length: int = 0

    @property
    def fingerprint(self) -> str:
        """What tells keys apart for people, and does not tell the key."""
        return self.digest.hex()[:12]

    def is_for(self, environment: str) -> bool:
        """Whether it may be used in an environment, in any of its spellings."""
        return self.environment is None or self.environment == canonical_environment(environment)


@dataclass(frozen=True, slots=True)
class GatewayKeys:
    """All live keys; `problems` are messages about others, by their position in the text."""

    keys: tuple[GatewayKey, ...] = ()
    problems: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> GatewayKeys:
        """Read keys separated by commas or line breaks, as `GATEWAY_API_KEYS` has them.

        A key that no header can carry is left out: nobody could send it. Messages name positions,
        counted from 1, and never what stands there.
        """
        keys: dict[bytes, GatewayKey] = {}
        problems: list[str] = []
        parts = [part.strip(" \t") for part in _SEPARATOR.split(text.removeprefix("\ufeff"))]
        for number, part in enumerate(filter(None, parts), start=1):
            if not _CARRIED.fullmatch(part):
                problems.append(f"key {number} has characters that no header can carry: left out")
                continue
            if len(part) < SHORT:
                problems.append(
                    f"key {number} has {len(part)} characters: `gateways new-key` makes longer ones"
                )
            digest = hashlib.sha256(part.encode()).digest()
            keys.setdefault(digest, GatewayKey(digest, _environment(part), len(part)))
        return cls(tuple(keys.values()), tuple(problems))

    def __iter__(self) -> Iterator[GatewayKey]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, given: str) -> GatewayKey | None:
        """Return the live key that somebody sent, None for a wrong one.

        In constant time: every key is compared, and hashes of equal length are.
        """
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        found = None
        for key in self.keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found


def new_key(environment: str, random_text: str) -> str:
    """Return a key for an environment: `gw_<environment>_<random>`; ValueError for an odd name.

    `random_text` is of letters, digits and hyphens, at least SHORT of them.
    """
    return f"{_PREFIX}_{canonical_environment(environment)}_{random_text}"


def _environment(key: str) -> str | None:
    """Return the environment that a key of the form `gw_<environment>_<random>` is bound to.

    STOA's documentation has `gw_prod_key_abc123` and, as a placeholder, `gw_your_key`: words that
    are none of STOA's environments count only before a long random part.
    """
    prefix, _, rest = key.partition("_")
    word, _, random_part = rest.partition("_")
    if prefix != _PREFIX or not word or not random_part:
        return None
    try:
        environment = canonical_environment(word)
    except ValueError:
        return None
    is_made_here = len(random_part) >= SHORT and "_" not in random_part
    return environment if environment in _STOA or is_made_here else None
