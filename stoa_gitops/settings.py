"""Settings of the process, from the environment (`STOA_*`); secrets never show in `repr`.

Only the command line reads them, and passes them on as values. The content of a `_FILE` may change
while the process runs. Flags of the command line have variables of their own
(`STOA_GITOPS_<FLAG>`), and those of the data plane are read by `stoa_proxy.config`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class GitSettings(BaseSettings):
    """Access to a private catalog, and the shared secret of its webhooks."""

    model_config = SettingsConfigDict(env_prefix="STOA_GIT_")

    token_file: Path | None = None
    ssh_key_file: Path | None = None
    webhook_secret: SecretStr | None = None
    webhook_secret_file: Path | None = None

    @field_validator("webhook_secret")
    @classmethod
    def _is_hard_to_guess(cls, secret: SecretStr | None) -> SecretStr | None:
        # GitHub and GitLab set no minimum; a shorter one can be guessed offline from a signature.
        if secret is not None and len(secret.get_secret_value()) < 8:
            raise ValueError("a webhook secret has eight or more characters")
        return secret


class ControlSettings(BaseSettings):
    """The control listener: its bearer token, names and bounds.

    A token is created at the first start where none is set. `hosts` are names, comma-separated,
    that it is called by beside localhost and addresses.
    """

    model_config = SettingsConfigDict(env_prefix="STOA_CONTROL_", env_ignore_empty=True)

    token: SecretStr | None = None
    token_file: Path | None = None
    tenant_tokens_file: Path | None = None
    hosts: str = ""
    max_connections: int | None = Field(default=None, ge=1, le=100_000)
    max_connections_per_client: int | None = Field(default=None, ge=1, le=100_000)

    @field_validator("token")
    @classmethod
    def _is_one_word(cls, token: SecretStr | None) -> SecretStr | None:
        value = token.get_secret_value() if token else "token"
        # RFC 6750 §2.1: a bearer token is ASCII without spaces, or no client can send it.
        if len(value) < 5 or not value.isascii() or any(c.isspace() or ord(c) < 33 for c in value):
            raise ValueError("a control token is one word of five or more printable ASCII letters")
        return token


class GatewayKeySettings(BaseSettings):
    """Keys that gateways register with, or the file that holds them, which wins."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_API_", env_ignore_empty=True)

    keys: SecretStr | None = None
    keys_file: Path | None = None


class Settings(BaseSettings):
    """All settings, by group."""

    git: GitSettings = Field(default_factory=GitSettings)
    control: ControlSettings = Field(default_factory=ControlSettings)
