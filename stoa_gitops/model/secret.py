"""Secret values and the references that stand for them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from stoa_gitops.model.canonical import SECRET_FIELD, Json, JsonObject

# Shown in place of a secret.
MASK: Final = "***"

# vault and k8s are accepted in documents, and refused by the resolver of this version.
SCHEMES: Final = ("env", "file", "vault", "k8s")


_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_+[A-Z0-9]+)*_*")
_FILE: Final = re.compile(r"[a-z][a-z._-]*")
_WORD_OF_NAME: Final = 20
_CHANGES_IN_WORD: Final = 3


def is_plain_variable(name: str) -> bool:
    """Whether a text is written as variables are, and not as a password that somebody put there.

    `ACME_KEY`, `OAUTH2_CLIENT`; not `hunter2`, `JBSWY3DPEHPK3PXP` or an access key of AWS.
    """
    return _VARIABLE.fullmatch(name) is not None and all(map(_is_word, name.split("_")))


def _is_word(text: str) -> bool:
    kinds = [letter.isdigit() for letter in text]
    changes = sum(one is not other for one, other in pairwise(kinds))
    return len(text) < _WORD_OF_NAME and changes <= _CHANGES_IN_WORD


@dataclass(frozen=True, slots=True, order=True)
class SecretRef:
    """A reference to a secret: a scheme of SCHEMES and a locator.

    `str` is the reference as documents have it, `shown` the text for people: somebody may have
    written the secret itself where the name of a variable belongs.
    """

    scheme: str
    locator: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.locator}"

    @property
    def is_plain(self) -> bool:
        """Whether the locator is none that may be a secret."""
        if self.scheme == "env":
            return is_plain_variable(self.locator)
        return "/" in self.locator or _FILE.fullmatch(self.locator) is not None

    @property
    def shown(self) -> str:
        """The reference as messages have it."""
        return str(self) if self.is_plain else f"{self.scheme}:{MASK}"

    @classmethod
    def parse(cls, text: str) -> SecretRef:
        """Read `env:NAME`; raises ValueError for an unknown scheme or an empty locator."""
        scheme, _, locator = text.partition(":")
        if scheme not in SCHEMES or not locator:
            raise ValueError("not a secret reference: write env:NAME or file:/path")
        return cls(scheme, locator)


class Secret:
    """A value that `repr`, `str` and formatting show as `***`; pickling raises TypeError."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value; call this only where it goes onto the wire or into a hash."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other.reveal()

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK  # whatever the format asks for: its width would tell the length

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


Value: TypeAlias = "Json | Secret | Sequence[Value] | Mapping[str, Value]"
"""A canonical tree with Secret objects where references stood.

A reference that does not resolve is `None` there, for mappers that can do without (a fallback).
"""

WITHHELD: Final[JsonObject] = {SECRET_FIELD: ""}
"""Placeholder for a secret that a gateway holds and does not show.

`list_*` reports it and `Rules.project` puts it, so both sides compare equal there; whether the
secret itself changed is told by its HMAC in the inventory.
"""


def withheld(value: Value) -> Json:
    """Return a copy in which every secret, resolved or a reference, is WITHHELD."""
    if isinstance(value, Secret):
        return WITHHELD
    if isinstance(value, Mapping):
        if len(value) == 1 and isinstance(value.get(SECRET_FIELD), str):
            return WITHHELD
        return {name: withheld(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [withheld(item) for item in value]
    return value  # type: ignore[return-value]  # what is left are the leaves of JSON
