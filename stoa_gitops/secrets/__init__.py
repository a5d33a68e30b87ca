"""References to secrets, and the values they lead to."""

from __future__ import annotations

from stoa_gitops.secrets.mask import MASK, masked
from stoa_gitops.secrets.resolver import MAX_BYTES, SecretResolver, Value

__all__ = ["MASK", "MAX_BYTES", "SecretResolver", "Value", "masked"]
