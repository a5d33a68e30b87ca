"""Credentials of the control listener: given, or kept in the state folder; replaced at SIGHUP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stoa_gitops.control.auth import Credentials
from stoa_gitops.control.tenant_tokens import NO_TENANTS, TenantTokens
from stoa_gitops.model.secret import Secret
from stoa_gitops.state_folder import control_token


@dataclass(frozen=True, slots=True)
class ControlCredentials:
    """What the process was given.

    control_token   None for the one that the state folder keeps
    webhook_secret  None for no webhooks
    tenant_tokens   those with which tenants read what is theirs
    """

    control_token: Secret | None = None
    webhook_secret: Secret | None = None
    tenant_tokens: TenantTokens = NO_TENANTS

    def credentials(self, folder: Path) -> Credentials:
        """Return what callers must present; raises StoreError for a token that cannot be read."""
        return Credentials(
            control_token.load_or_create(folder, self.control_token),
            self.webhook_secret,
            tenant_tokens=self.tenant_tokens,
        )


def replace_credentials(old: Credentials, new: Credentials) -> str:
    """Put new credentials into force in place, and return which changed, as text for the log."""
    changes = {
        "control token": old.token != new.token,
        "webhook secret": old.webhook_secret != new.webhook_secret,
        "tenant tokens": old.tenant_tokens != new.tenant_tokens,
    }
    old.token, old.webhook_secret = new.token, new.webhook_secret
    old.tenant_tokens = new.tenant_tokens
    return ", ".join(
        f"{name} ({'changed' if is_new else 'unchanged'})" for name, is_new in changes.items()
    )
