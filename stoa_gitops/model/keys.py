"""Identity of an object, the same on the desired and on the actual side."""

from __future__ import annotations

import uuid
from typing import Final, NamedTuple

NAMESPACE: Final = uuid.UUID("6a0c3f2e-6f0b-5d0e-9a51-1c7f5d3b8e42")
"""Under which every id that we choose is derived; part of the public contract, never changed."""

API: Final = "api"
POLICY: Final = "policy"
APPLICATION: Final = "application"


class Key(NamedTuple):
    """Kind in lower case, tenant (empty for what belongs to no tenant), and name.

    A named tuple, because it is hashed and compared in C: a plan of 20,000 objects does so a million times.
    """

    kind: str
    tenant: str
    name: str

    def __str__(self) -> str:
        """`api/acme/billing`, or `alias/-/echo` where there is no tenant."""
        return f"{self.kind}/{self.tenant or '-'}/{self.name}"

    @property
    def short(self) -> str:
        """`acme/billing`: the form under a heading that already says the kind."""
        return f"{self.tenant}/{self.name}" if self.tenant else self.name

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read the form that `str()` writes; raises ValueError with what is expected."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"{text!r} is not a key: write kind/tenant/name, as api/acme/billing")
        kind, tenant, name = parts
        return cls(kind, "" if tenant == "-" else tenant, name)

    def identifier(self, owner: str, part: str = "") -> str:
        """Return the UUIDv5 of this object for one catalog; `part` names one of several pieces."""
        return str(uuid.uuid5(NAMESPACE, f"{owner}|{self.kind}|{self.tenant}|{self.name}|{part}"))
