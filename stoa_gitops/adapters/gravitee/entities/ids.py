"""Names and ids of our objects: both are computed, so that nothing has to be looked up. Pure.

Gravitee derives its ids from the hrid by Java's `UUID.nameUUIDFromBytes` (contract gravitee.md B.4,
confirmed by 4.10.8 and 4.12.12).
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Final

from stoa_gitops.model.keys import Key

GENERATIONS: Final = 9
"""Names that one plan or subscription may take in turn: one that was closed or rejected is never
usable again."""


def name_uuid(text: str) -> str:
    """Return the UUIDv3 of a text without a name space, as Java's nameUUIDFromBytes does."""
    # MD5 is Gravitee's choice; FIPS builds of OpenSSL refuse it for security.
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return str(uuid.UUID(bytes=digest, version=3))


def hrid_of(key: Key) -> str:
    """Return the human-readable id of an API or application: `acme_billing`.

    Names of the catalog are DNS labels, so `_` parts tenant and name without doubt. Before 4.12 an
    hrid must begin with a letter (contract R.1 row 23); no name has capitals.
    """
    text = f"{key.tenant}_{key.name.replace('.', '__')}"
    return text if text[0].isalpha() else f"T{text}"


def subscription_hrids(application: Key, plan: str) -> list[str]:
    """Return the names that a subscription may have, the usual one first.

    `plan` is the hrid of the plan.
    """
    return plan_hrids(f"{hrid_of(application)}_{plan}")


def plan_hrids(base: str) -> list[str]:
    """Return the names that a plan may have, the usual one first. No name of a plan has a `_`."""
    return [base, *(f"{base}_{number}" for number in range(2, GENERATIONS + 1))]


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids in one environment, named by its id and that of its organization."""

    organization: str
    environment: str

    def cross(self, hrid: str) -> str:
        """Return the id across environments of an API or application."""
        return name_uuid(self.organization + hrid)

    def api(self, hrid: str) -> str:
        """Return the id of an API or application."""
        return name_uuid(self.cross(hrid) + self.environment)

    def child(self, api: str, hrid: str) -> str:
        """Return the id of a plan or subscription; `api` is the hrid of its API."""
        return name_uuid(self.cross(api) + self.environment + hrid)
