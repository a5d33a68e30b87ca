"""Secrets of `run` from the environment, or from files that it names and SIGHUP reads again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings
from stoa_proxy.config import ProxyConfig, bounds_from_env
from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.foundation.descriptors import max_connections
from stoa_proxy.workers_config import parse_workers

from stoa_gitops.control.tenant_tokens import TenantTokens
from stoa_gitops.daemon.control_credentials import ControlCredentials
from stoa_gitops.daemon.gateway_keys import KeySettings
from stoa_gitops.daemon.listeners import ControlBounds
from stoa_gitops.errors import UsageError
from stoa_gitops.model.secret import Secret
from stoa_gitops.settings import ControlSettings, GatewayKeySettings, GitSettings, Settings

MAX_BYTES: Final = 64 * 1024
"""Of a file with a secret: a larger file is a wrong path."""


def read_credentials() -> ControlCredentials:
    """Read the control token, the webhook secret and the tokens of tenants.

    Raises UsageError, which names the variable and never its value.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        # `from None`: the error of pydantic quotes the value, and --debug prints causes.
        raise UsageError(_message(error)) from None
    control, git = settings.control, settings.git
    token = _secret("STOA_CONTROL_TOKEN", control.token, control.token_file, ControlSettings)
    variable = "STOA_GIT_WEBHOOK_SECRET"
    webhook = _secret(variable, git.webhook_secret, git.webhook_secret_file, GitSettings)
    return ControlCredentials(token, webhook, _tenant_tokens(control.tenant_tokens_file))


def read_control_token() -> Secret:
    """Read the token that a caller of a control API has: STOA_CONTROL_TOKEN, or its _FILE.

    Raises UsageError, where there is none, too.
    """
    try:
        settings = ControlSettings()
    except ValidationError as error:
        raise UsageError(_message(error)) from None
    token = _secret("STOA_CONTROL_TOKEN", settings.token, settings.token_file, ControlSettings)
    if token is None:
        raise UsageError("set STOA_CONTROL_TOKEN_FILE, or STOA_CONTROL_TOKEN, to your token")
    return token


def _tenant_tokens(file: Path | None) -> TenantTokens:
    if file is None:
        return TenantTokens()
    variable = "STOA_CONTROL_TENANT_TOKENS"
    try:
        return TenantTokens.parse(_read_file(variable, file))
    except ValueError as error:
        raise UsageError(f"{variable}_FILE {file}: {error}") from None


def read_gateway_keys() -> KeySettings:
    """Read where the keys of gateways are: GATEWAY_API_KEYS or its _FILE, which is not opened."""
    settings = GatewayKeySettings()
    text = settings.keys
    return KeySettings(Secret(text.get_secret_value()) if text else None, settings.keys_file)


def read_data_plane_bounds(workers: str = "1", flag: str = "") -> ProxyConfig:
    """Read the bounds of the embedded data plane, from the variables of one that runs alone.

    `workers` is how many processes it has, as `flag` has it. Raises UsageError, which names the
    variable or the flag.
    """
    try:
        number = parse_workers(workers, flag)
        config = ProxyConfig(**bounds_from_env(os.environ), workers=number)
        max_connections(config.max_connections)  # more than the process may open
        return config
    except ConfigInvalid as error:
        raise UsageError(str(error)) from None


def read_control_bounds() -> ControlBounds:
    """Read who may call the control listener, and what of it one client may take.

    Raises UsageError, which names the variable.
    """
    try:
        settings = ControlSettings()
    except ValidationError as error:
        raise UsageError(_message(error)) from None
    return ControlBounds.of(
        settings.max_connections,
        settings.max_connections_per_client,
        hosts=tuple(name.strip() for name in settings.hosts.split(",") if name.strip()),
        proxies=read_data_plane_bounds().proxies(),
    )


def _message(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    group = error.title.removesuffix("Settings").upper()
    name = "_".join(("STOA", group, *(str(part).upper() for part in first["loc"])))
    return f"{name}: {first['msg'].removeprefix('Value error, ')}"


def _secret(
    variable: str, given: SecretStr | None, file: Path | None, group: type[BaseSettings]
) -> Secret | None:
    """Return the value of a variable, or of its _FILE, validated the same way."""
    if file is None:
        return Secret(given.get_secret_value()) if given else None
    if given is not None:
        raise UsageError(f"{variable} and {variable}_FILE are both set: keep one of them")
    text = _read_file(variable, file)
    if not text:
        raise UsageError(f"{variable}_FILE {file} is empty")
    # Validated as if it had been given in the environment: the same rules, the same messages.
    field = variable.removeprefix(str(group.model_config["env_prefix"])).lower()
    try:
        group.model_validate({field: text})
    except ValidationError as error:
        raise UsageError(f"{variable}_FILE {file}: {_message(error).partition(': ')[2]}") from None
    return Secret(text)


def _read_file(variable: str, file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)  # bounded: it may be a device
        if len(raw) > MAX_BYTES:
            raise UsageError(f"{variable}_FILE {file}: over {MAX_BYTES} bytes are no secret")
        return raw.decode("utf-8").strip()
    except OSError as error:
        message = f"{variable}_FILE {file} cannot be read: {error.strerror}"
        raise UsageError(message) from None
    except UnicodeDecodeError:
        raise UsageError(f"{variable}_FILE {file} is no text") from None
