"""Who may call the control listener: as given to the process, kept in its state folder, and replaced at SIGHUP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stoa_gitops.control.auth import Credentials
from stoa_gitops.model.secret import Secret
from stoa_gitops.state_folder import control_token


@dataclass(frozen=True, slots=True)
class ControlCredentials:
    """The control token, None for the one that the state folder keeps; the webhook secret, None for no webhooks."""

    control_token: Secret | None = None
    webhook_secret: Secret | None = None

    def credentials(self, folder: Path) -> Credentials:
        """Return what callers must know; raises StoreError for a token that cannot be read or made."""
        return Credentials(control_token.kept(folder, self.control_token), self.webhook_secret)


def replace(old: Credentials, new: Credentials) -> str:
    """Put new credentials into force, and say in words which of them changed."""
    moved = {
        "control token": old.token != new.token,
        "webhook secret": old.webhook_secret != new.webhook_secret,
    }
    old.token, old.webhook_secret = new.token, new.webhook_secret
    return ", ".join(
        f"{name} ({'changed' if is_new else 'the same'})" for name, is_new in moved.items()
    )
