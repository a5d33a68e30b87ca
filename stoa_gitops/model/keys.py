"""Identity of an object, the same on the desired and on the actual side."""

from __future__ import annotations

import hashlib
import uuid
from typing import Final, NamedTuple

# Of all ids that we choose, UUIDv5 (RFC 9562 §5.5). Part of the public contract and never changed:
# with another one every object on every gateway would be foreign.
NAMESPACE: Final = uuid.UUID("6a0c3f2e-6f0b-5d0e-9a51-1c7f5d3b8e42")

API: Final = "api"
POLICY: Final = "policy"
APPLICATION: Final = "application"


class Key(NamedTuple):
    """Kind in lower case, tenant (empty for objects of no tenant), and name.

    >>> Key.parse("policy/acme/billing.cors").parent
    Key(kind='api', tenant='acme', name='billing')
    """

    # A named tuple is hashed and compared in C: a plan of 20,000 objects does so a million times.

    kind: str
    tenant: str
    name: str

    def __str__(self) -> str:
        """`api/acme/billing`, or `alias/-/echo` where there is no tenant."""
        return f"{self.kind}/{self.tenant or '-'}/{self.name}"

    @property
    def short(self) -> str:
        """`acme/billing`, for where the kind is known from the context."""
        return f"{self.tenant}/{self.name}" if self.tenant else self.name

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read the form that `str()` writes; raises ValueError with what is expected."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"{text!r} is not a key: write kind/tenant/name, as api/acme/billing")
        # A dash, because an empty part between two slashes is easily overlooked.
        kind, tenant, name = parts
        return cls(kind, "" if tenant == "-" else tenant, name)

    @classmethod
    def parse_name(cls, kind: str, text: str, tenant: str) -> Key:
        """Parse `acme/billing`, or `billing` of the given tenant, as documents name objects."""
        before, slash, name = text.partition("/")
        return cls(kind, before, name) if slash else cls(kind, tenant, text)

    @property
    def parent(self) -> Key | None:
        """The API that a policy belongs to; None for every other kind."""
        if self.kind != POLICY:
            return None
        api, dot, _ = self.name.rpartition(".")  # types of policies have no dot, names of APIs may
        return Key(API, self.tenant, api) if dot else None

    @property
    def policy_type(self) -> str:
        """The type of a policy: what follows the last dot of its name."""
        return self.name.rpartition(".")[2]

    def policy(self, policy_type: str) -> Key:
        """Return the key of a policy of this API: `policy/acme/billing.rate_limit`."""
        return Key(POLICY, self.tenant, f"{self.name}.{policy_type}")

    def identifier(self, owner: str, part: str = "") -> str:
        """Return the UUIDv5 of this object for one catalog; `part` names one of several pieces."""
        text = f"{owner}|{self.kind}|{self.tenant}|{self.name}|{part}"
        # SHA-1 is what UUIDv5 is made of (RFC 9562 §5.5); FIPS builds of OpenSSL refuse it for
        # security.
        digest = hashlib.sha1(NAMESPACE.bytes + text.encode(), usedforsecurity=False).hexdigest()
        # UUIDv5 by hand (RFC 9562 §5.5): 0.07 s of CPU instead of 0.19 with uuid.uuid5 for the
        # 70,000 ids of one document.
        # The two upper bits of this digit are the variant 0b10 (RFC 9562 §4.1).
        variant = "89ab"[int(digest[16], 16) & 3]
        return (
            f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"
        )
