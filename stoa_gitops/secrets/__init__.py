"""Resolves references to secrets from the environment and from files.

Comparing secrets is the planner's (by HMAC), hiding them in messages is `model.redaction`.
"""

from __future__ import annotations

from stoa_gitops.secrets.resolver import MAX_BYTES, SecretResolver, Value

__all__ = ["MAX_BYTES", "SecretResolver", "Value"]
