"""Resolves references to secrets from the environment and from files, for those who may use them.

Comparing secrets is the planner's (by HMAC), hiding them in messages is `model.redaction`.
"""

from __future__ import annotations

from stoa_gitops.secrets.files import MAX_BYTES
from stoa_gitops.secrets.forms import SecretForm, form_of_role
from stoa_gitops.secrets.permission import find_refusal
from stoa_gitops.secrets.places import SecretPlaces
from stoa_gitops.secrets.resolver import SecretResolver

__all__ = [
    "MAX_BYTES",
    "SecretForm",
    "SecretPlaces",
    "SecretResolver",
    "find_refusal",
    "form_of_role",
]
