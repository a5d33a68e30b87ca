"""Checks that every object of the admin API goes through, and how its secrets are shown."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

# The longest id of the catalog, tenant, API, policy type and all, has 200 characters.
_LONGEST_TEXT = 512
# Identifiers end up in log lines and headers, where a line break would begin another one.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

View = Mapping[str, object]
"""An object as the admin API shows it: JSON values, defaults included, no secrets."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which tenant's objects a gateway accepts; None accepts those of every tenant."""

    tenant_id: str | None = None

    def check_tenant(self, tenant_id: str) -> list[str]:
        """Return messages about a tenant that this gateway does not serve."""
        # A blank tenant has its own message already (`check_texts`).
        if self.tenant_id is None or not tenant_id.strip() or tenant_id == self.tenant_id:
            return []
        return [f"tenant_id '{tenant_id}' is not served here: only '{self.tenant_id}' is"]


def check_texts(texts: Mapping[str, str]) -> list[str]:
    """Return messages about identifying fields that are blank, long or hold control characters."""
    errors = [f"{name} must not be empty" for name, text in texts.items() if not text.strip()]
    errors += [
        f"{name} must not be longer than {_LONGEST_TEXT} characters"
        for name, text in texts.items()
        if len(text) > _LONGEST_TEXT
    ]
    errors += [
        f"{name} must not hold control characters"
        for name, text in texts.items()
        if text.strip() and _CONTROL.search(text)
    ]
    return errors


def fingerprint(secret_sha256: str) -> str:
    """Return 16 hex digits that tell a secret from another one, given its hash, and no more."""
    return hashlib.sha256(secret_sha256.encode()).hexdigest()[:16]
