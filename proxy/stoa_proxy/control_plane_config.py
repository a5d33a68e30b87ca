"""Settings of a gateway that registers with a control plane."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.foundation.environment import read_flag, read_number, read_text
from stoa_proxy.foundation.urls import check_url
from stoa_proxy.keycloak_config import realm_from_env

URL: Final = "STOA_CONTROL_PLANE_URL"
KEY: Final = "STOA_CONTROL_PLANE_API_KEY"
KEY_FILE: Final = "STOA_CONTROL_PLANE_API_KEY_FILE"
DECISIVE: Final = frozenset({URL, KEY, KEY_FILE})
"""Without the first, or both others, a gateway is standalone."""

_HEARTBEAT = "STOA_HEARTBEAT_INTERVAL_SECS"
_RELOAD = "STOA_ROUTE_RELOAD_INTERVAL_SECS"
_PULLS = "STOA_ROUTE_RELOAD_ENABLED"

OFFLINE_SECONDS: Final = 90
"""After so long without a heartbeat a control plane calls a gateway OFFLINE."""

VARIABLES: Final = frozenset(
    {
        URL, KEY, KEY_FILE, _HEARTBEAT, _RELOAD, _PULLS, "STOA_ADVERTISE_URL",
        "STOA_CONTROL_PLANE_CA_FILE", "STOA_INSTANCE_NAME",
    }
)  # fmt: skip
"""All variables that `control_plane_from_env` reads."""

# What a header cannot carry; blanks end a key that was copied with its line.
_NOT_IN_KEY = re.compile(r"[^\x21-\x7e]")
# An hour: what beats or asks less often is not watched at all.
_MAX_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class ControlPlaneConfig:
    """Where a gateway registers and as what.

    `url` has no trailing slash. Of `key` and `key_file` one is set: the file is read again when the
    control plane refuses what was in it. `instance_name` is the host name by default, and
    `advertise_url` None is derived from the listener. `heartbeat_seconds` and `reload_seconds` are
    pauses between beats and between looks at the table; without `pulls` nobody looks, and whoever
    has the admin token writes the table. `oidc_url` is the document that
    readiness asks for, None without STOA_KEYCLOAK_URL. Raises ConfigInvalid.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    key_file: str | None = None
    instance_name: str = field(default_factory=socket.gethostname)
    advertise_url: str | None = None
    mode: str = "proxy"
    heartbeat_seconds: int = 30
    reload_seconds: int = 30
    pulls: bool = True
    oidc_url: str | None = None
    ca_file: str | None = None

    def __post_init__(self) -> None:
        check_url(URL, self.url)
        if self.advertise_url is not None:
            check_url("STOA_ADVERTISE_URL", self.advertise_url)
        if self.key is not None:
            check_key(KEY, self.key)
        if not self.instance_name.isprintable() or len(self.instance_name) > 255:
            raise ConfigInvalid("STOA_INSTANCE_NAME must be a name of at most 255 characters")
        for name, seconds in ((_HEARTBEAT, self.heartbeat_seconds), (_RELOAD, self.reload_seconds)):
            if not 1 <= seconds <= _MAX_SECONDS:
                raise ConfigInvalid(
                    f"{name} must be between 1 and {_MAX_SECONDS} seconds, not {seconds}"
                )


def control_plane_from_env(env: Mapping[str, str], mode: str) -> ControlPlaneConfig | None:
    """Return the settings of STOA_* variables, None without a URL or without a key.

    Raises ConfigInvalid, also for what is wrong in variables that would have no effect.
    """
    url, key, key_file = (read_text(env, name) for name in (URL, KEY, KEY_FILE))
    realm = realm_from_env(env)
    config = ControlPlaneConfig(
        url=(url or "http://unset").rstrip("/"),
        # The file wins, as for the other secrets that may be in one: it is what can be rotated.
        key=None if key_file else key,
        key_file=key_file,
        instance_name=read_text(env, "STOA_INSTANCE_NAME") or socket.gethostname(),
        advertise_url=read_text(env, "STOA_ADVERTISE_URL"),
        mode=mode,
        heartbeat_seconds=_seconds(env, _HEARTBEAT),
        reload_seconds=_seconds(env, _RELOAD),
        pulls=read_flag(env, _PULLS, default=True),
        oidc_url=None if realm is None else realm.discovery_url,
        ca_file=read_text(env, "STOA_CONTROL_PLANE_CA_FILE"),
    )
    return None if missing_variables(env) else config


def missing_variables(env: Mapping[str, str]) -> list[str]:
    """Return which of URL and key are not there, as a message names them: none, one or both."""
    missing = [] if read_text(env, URL) else [URL]
    key_file = read_text(env, KEY_FILE)
    if key_file and _is_blank(Path(key_file)):
        missing.append(f"{KEY_FILE} {key_file}")
    elif not key_file and not read_text(env, KEY):
        missing.append(KEY)
    return missing


def start_warnings(env: Mapping[str, str]) -> list[str]:
    """Return what whoever starts this gateway should know of its settings."""
    missing = missing_variables(env)
    if missing:
        # With neither of the two nobody expected anything.
        names = " and ".join(missing)
        half = f"standalone, nothing is registered: {names} is not set, or blank"
        return [half] if any(read_text(env, name) for name in (URL, KEY, KEY_FILE)) else []
    warnings = []
    if read_text(env, KEY) and read_text(env, KEY_FILE):
        warnings.append(f"{KEY} and {KEY_FILE} are both set: the file is used")
    if _seconds(env, _HEARTBEAT) >= OFFLINE_SECONDS:
        warnings.append(f"{_HEARTBEAT}: without a heartbeat for 90 s a gateway counts as OFFLINE")
    return warnings


def _is_blank(file: Path) -> bool:
    """Whether a key's file is not there or empty, as for a secret that is optional."""
    try:
        with file.open("rb") as opened:
            return not opened.read(1024).strip()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # said by whoever reads the key


def check_key(where: str, key: str) -> None:
    """Raise ConfigInvalid for a key that no header can carry; the message never holds it."""
    if _NOT_IN_KEY.search(key):
        raise ConfigInvalid(f"{where} must be printable ASCII without blanks")


def _seconds(env: Mapping[str, str], name: str) -> int:
    value = read_number(env, name)
    return 30 if value is None else value
