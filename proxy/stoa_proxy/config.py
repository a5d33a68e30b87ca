"""Settings of the data plane, from the environment or from the process that embeds it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stoa_proxy import control_plane_config, keycloak_config, tls_config, workers_config
from stoa_proxy.control_plane_config import ControlPlaneConfig, control_plane_from_env
from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.foundation.address_guard import AddressGuard, Network, parse_networks
from stoa_proxy.foundation.environment import read_flag, read_list, read_number, read_text
from stoa_proxy.foundation.server_certificates import TlsFiles
from stoa_proxy.keycloak_config import Realm, realm_from_env
from stoa_proxy.tls_config import tls_from_env
from stoa_proxy.tracing_config import TracingConfig, tracing_from_env
from stoa_proxy.workers_config import check_workers, workers_from_env

_ENVIRONMENTS = {
    "dev": "dev",
    "development": "dev",
    "staging": "staging",
    "stage": "staging",
    "prod": "prod",
    "production": "prod",
}
# A blank or a line break in a token could never be sent in a header.
_CONTROL = re.compile(r"[\x00-\x20\x7f]")

MODES: Final = ("edge-mcp", "sidecar", "proxy", "shadow")
"""What `STOA_GATEWAY_MODE` may be, letter for letter."""

MODE: Final = "STOA_GATEWAY_MODE"
"""The variable of `mode`."""

UPSTREAM: Final = "STOA_UPSTREAM_URL"
"""The variable of `upstream_url`."""

_UPSTREAM_TIMEOUT = "STOA_UPSTREAM_TIMEOUT"
# Of STOA's gateway, which calls a proposed contract a UAC.
_LEAST_REQUESTS = "STOA_MIN_REQUESTS_FOR_UAC"

CALLERS: Final = "STOA_AUTHZ_CALLERS"
"""The variable of `authz_callers`."""

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")

_SIDECAR_PORT, _PORT = 8081, 8080
# Of the reconciler, which may have its environment in common with a gateway.
_NOT_OURS = ("STOA_GITOPS_", "STOA_GIT_", "STOA_SECRETS_", "STOA_CONTROL_TOKEN")

SNAPSHOTS: Final = "STOA_SNAPSHOT_ENABLED"
"""The variable of `snapshots`."""

SNAPSHOTS_PER_TENANT: Final = "STOA_SNAPSHOTS_PER_TENANT"
"""The variable of `snapshots_per_tenant`."""

BOUNDS: Final = {
    "STOA_MAX_CONNECTIONS": "max_connections",
    "STOA_MAX_CONNECTIONS_PER_CLIENT": "connections_per_client",
    "STOA_MAX_REQUESTS_PER_TENANT": "requests_per_tenant",
    "STOA_MAX_REQUESTS_PER_UPSTREAM": "requests_per_upstream",
    "STOA_MAX_LOOKUPS_PER_TENANT": "lookups_per_tenant",
    "STOA_MAX_COUNTERS_PER_POLICY": "counters_per_policy",
    "STOA_MAX_COUNTERS_PER_TENANT": "counters_per_tenant",
    "STOA_HEAD_SECONDS": "head_seconds",
    "STOA_UPLOAD_SECONDS": "upload_seconds",
    "STOA_WRITE_SECONDS": "write_seconds",
    "STOA_KEEPALIVE_SECONDS": "keepalive_seconds",
    "STOA_WEBSOCKET_IDLE_SECONDS": "idle_seconds",
    SNAPSHOTS_PER_TENANT: "snapshots_per_tenant",
    "STOA_SNAPSHOT_HOURS": "snapshot_hours",
}
"""Variables that bound shares, and their fields; a process that embeds this reads them, too."""

PROXIES: Final = "STOA_TRUSTED_PROXIES"
"""The variable of `trusted_proxies`, one more of those that an embedding process reads."""

PROXY_PROTOCOL: Final = "STOA_PROXY_PROTOCOL"
"""The variable of `proxy_protocol`."""

ENGINE: Final = "STOA_PROXY_ENGINE"
"""The variable of `engine`."""

ENGINES: Final = ("aiohttp", "fast")

VARIABLES: Final = frozenset(
    {
        "STOA_ADMIN_API_TOKEN", "STOA_ADMIN_RATE_LIMIT", "STOA_BACKENDS_ALLOW",
        "STOA_BACKENDS_DENY", "STOA_DRAIN_SECONDS", "STOA_ENVIRONMENT", CALLERS, MODE,
        UPSTREAM, _UPSTREAM_TIMEOUT, _LEAST_REQUESTS,
        "STOA_HOST", "STOA_LOG_LEVEL", "STOA_PORT", "STOA_STATE_DIR", "STOA_TENANT_ID", PROXIES,
        ENGINE, *BOUNDS, *control_plane_config.VARIABLES, *keycloak_config.VARIABLES,
        *tls_config.VARIABLES, *workers_config.VARIABLES, PROXY_PROTOCOL, SNAPSHOTS,
    }
)  # fmt: skip
"""All variables of this project that `config_from_env` reads."""

LOG_LEVELS: Final = ("debug", "info", "warning", "error")

COUNTERS_PER_POLICY: Final = 10_000
COUNTERS_PER_TENANT: Final = 50_000
"""Counters of rate limits; one takes 0.4 KiB, so 4 MiB and 20 MiB."""


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """All settings.

    `port` 0 takes a free one. `admin_api_token` None disables the admin API (503).
    `backends_allow` and `backends_deny` are CIDRs. `environment` is dev, staging or prod.
    `tenant_id` restricts to objects of that tenant. `state_dir` is the folder in which the table
    outlives the process; None keeps it in memory only. `quota_dir` is that of the counts of quotas;
    None is `state_dir`. `admin_rate_limit` are admin requests with
    a right token per minute and client address, 0 for no limit.
    `drain_seconds` bounds how long requests in flight are waited for. `max_admin_body` and
    `max_websocket_message` are in bytes. `idle_seconds` is how long a WebSocket may be silent.
    `control_plane` is where the gateway registers and gets its table from; None is standalone.
    `realm` is the identity provider whose tokens are checked.
    `engine` is one of ENGINES, `aiohttp` the complete one. `mode` is one of MODES. `authz_callers`
    are CIDRs from which a sidecar is asked for decisions. `upstream_url` takes, in mode `proxy`,
    what no route of the table is for, within `upstream_timeout` seconds; in mode `shadow` it is the
    backend of proposed APIs, which need `shadow_min_requests`. `tls` are
    certificates of the listener; None is plain HTTP. With `proxy_protocol` each connection begins
    with a header of that protocol, and only `trusted_proxies` may connect.
    `tracing` is where spans are sent; None traces nothing. With `snapshots` what is known of
    requests that are answered 500 or above is kept, of each tenant's `snapshots_per_tenant` for
    `snapshot_hours`.
    `workers` processes serve, each with all bounds that follow; with `shares_port` this is one.
    `log_level` is one of LOG_LEVELS; it is for the process, and embedding ones have their own.
    Raises ConfigInvalid.

    What follows keeps one client, tenant or upstream from taking what others need; each is a
    variable, too (BOUNDS). `head_seconds` bounds how long a connection's first head may take,
    `upload_seconds` how long a client may send next to nothing (under 16 KiB) of a body that is
    waited for, `write_seconds` how long it may take as little of a response, and
    `keepalive_seconds` how long a connection may be idle between two requests.
    `max_connections` bounds client connections and `connections_per_client` those of one address
    or IPv6 /64; through `trusted_proxies` (CIDRs) it bounds the requests in flight of a client that
    they name. `requests_per_tenant` and `requests_per_upstream` bound those to the APIs of one
    tenant, and to one of its backends. None derives them (`foundation.descriptors`).
    `lookups_per_tenant` are names of backends that are looked up at the same time.
    `counters_per_policy` and `counters_per_tenant` are callers that rate limits tell apart.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    admin_api_token: str | None = field(default=None, repr=False)
    backends_allow: tuple[str, ...] = ()
    backends_deny: tuple[str, ...] = ()
    environment: str = "dev"
    tenant_id: str | None = None
    state_dir: str | None = None
    quota_dir: str | None = None
    admin_rate_limit: int = 0
    drain_seconds: float = 10.0
    max_admin_body: int = 4 * 1024 * 1024
    max_websocket_message: int = 16 * 1024 * 1024
    idle_seconds: float = 300.0
    control_plane: ControlPlaneConfig | None = None
    realm: Realm | None = None
    log_level: str = "info"
    engine: str = "aiohttp"
    mode: str = "proxy"
    authz_callers: tuple[str, ...] = LOOPBACK
    upstream_url: str | None = None
    upstream_timeout: float = 30.0
    shadow_min_requests: int = 100
    tls: TlsFiles | None = None
    tracing: TracingConfig | None = None
    snapshots: bool = True
    snapshots_per_tenant: int = 100
    snapshot_hours: int = 72
    proxy_protocol: bool = False
    workers: int = 1
    shares_port: bool = False
    head_seconds: float = 30.0
    upload_seconds: float = 30.0
    write_seconds: float = 30.0
    keepalive_seconds: float = 75.0  # nginx waits as long
    max_connections: int | None = None
    connections_per_client: int | None = None
    trusted_proxies: tuple[str, ...] = ()
    requests_per_tenant: int | None = None
    requests_per_upstream: int | None = None
    lookups_per_tenant: int = 8
    counters_per_policy: int = COUNTERS_PER_POLICY
    counters_per_tenant: int = COUNTERS_PER_TENANT

    def __post_init__(self) -> None:
        if not self.host or _CONTROL.search(self.host):
            raise ConfigInvalid("STOA_HOST must be an address or a host name")
        if not 0 <= self.port <= 65535:
            raise ConfigInvalid(f"STOA_PORT must be between 0 and 65535, not {self.port}")
        token = self.admin_api_token
        if token is not None and (not token or _CONTROL.search(token)):
            raise ConfigInvalid("STOA_ADMIN_API_TOKEN must not hold blanks or control characters")
        if self.environment not in _ENVIRONMENTS.values():
            raise ConfigInvalid("STOA_ENVIRONMENT must be dev, staging or prod")
        if self.admin_rate_limit < 0 or not 0 <= self.drain_seconds <= 3600:
            raise ConfigInvalid("STOA_ADMIN_RATE_LIMIT and STOA_DRAIN_SECONDS must not be negative")
        if self.log_level not in LOG_LEVELS:
            raise ConfigInvalid(f"STOA_LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}")
        if self.engine not in ENGINES:
            raise ConfigInvalid(f"{ENGINE} must be one of {', '.join(ENGINES)}")
        self._check_mode()
        check_workers(self.workers, self.mode)
        for variable, name in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigInvalid(f"{variable} must be 1 or more")
        if self.proxy_protocol and not self.trusted_proxies:
            raise ConfigInvalid(
                f"{PROXY_PROTOCOL} needs {PROXIES}: who may say whose request it is"
            )
        self.guard()
        self.proxies()
        self.callers()

    def _check_mode(self) -> None:
        if self.mode not in MODES:
            raise ConfigInvalid(f"{MODE} must be one of {', '.join(MODES)}, not {self.mode!r}")
        if self.upstream_url is not None and self.mode not in ("proxy", "shadow"):
            raise ConfigInvalid(f"{UPSTREAM} is for {MODE}=proxy and shadow, not for {self.mode}")
        if self.shadow_min_requests < 1:
            raise ConfigInvalid(f"{_LEAST_REQUESTS} must be 1 or more")
        if not 1 <= self.upstream_timeout <= 3600:
            raise ConfigInvalid(f"{_UPSTREAM_TIMEOUT} must be between 1 and 3600 seconds")

    def callers(self) -> tuple[Network, ...]:
        """Return the networks of `authz_callers`. Raises ConfigInvalid."""
        return _networks(CALLERS, self.authz_callers)

    def proxies(self) -> tuple[Network, ...]:
        """Return the networks of `trusted_proxies`. Raises ConfigInvalid."""
        return _networks(PROXIES, self.trusted_proxies)

    def guard(self) -> AddressGuard:
        """Return the address rules of the two backend lists. Raises ConfigInvalid."""
        return AddressGuard(
            _networks("STOA_BACKENDS_ALLOW", self.backends_allow),
            _networks("STOA_BACKENDS_DENY", self.backends_deny),
        )


def config_from_env(env: Mapping[str, str]) -> ProxyConfig:
    """Return the config of STOA_* variables; one that is empty counts as unset.

    Raises ConfigInvalid.
    """
    mode = read_text(env, MODE) or "proxy"
    callers = read_list(env, CALLERS)
    environment = (read_text(env, "STOA_ENVIRONMENT") or "dev").lower()
    return ProxyConfig(
        host=read_text(env, "STOA_HOST") or "127.0.0.1",
        port=_number(env, "STOA_PORT", _SIDECAR_PORT if mode == "sidecar" else _PORT),
        admin_api_token=read_text(env, "STOA_ADMIN_API_TOKEN"),
        backends_allow=read_list(env, "STOA_BACKENDS_ALLOW"),
        backends_deny=read_list(env, "STOA_BACKENDS_DENY"),
        environment=_ENVIRONMENTS.get(environment, environment),
        tenant_id=read_text(env, "STOA_TENANT_ID"),
        state_dir=read_text(env, "STOA_STATE_DIR"),
        admin_rate_limit=_number(env, "STOA_ADMIN_RATE_LIMIT", 0),
        drain_seconds=float(_number(env, "STOA_DRAIN_SECONDS", 10)),
        control_plane=control_plane_from_env(env, mode),
        realm=realm_from_env(env),
        engine=(read_text(env, ENGINE) or ENGINES[0]).lower(),
        log_level=(read_text(env, "STOA_LOG_LEVEL") or "info").lower(),
        mode=mode,
        authz_callers=callers or LOOPBACK,
        upstream_url=read_text(env, UPSTREAM),
        upstream_timeout=float(_number(env, _UPSTREAM_TIMEOUT, 30)),
        shadow_min_requests=_number(env, _LEAST_REQUESTS, 100),
        workers=workers_from_env(env),
        **bounds_from_env(env),
    )


def unknown_variables(env: Mapping[str, str]) -> list[str]:
    """Return the STOA_* variables that are set and that nothing here reads, sorted.

    STOA's own gateway has many more: whoever sets one of them expects it to do something. Those
    about a control plane have an effect only where there is one.
    """
    known = VARIABLES
    if control_plane_config.missing_variables(env):
        known = VARIABLES - control_plane_config.VARIABLES | control_plane_config.DECISIVE
    return sorted(
        name
        for name, value in env.items()
        if name.startswith("STOA_")
        and not name.startswith(_NOT_OURS)
        and name not in known
        and value.strip()
    )


def bounds_from_env(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of ProxyConfig that BOUNDS, PROXIES, SNAPSHOTS, STOA_TLS_*, OTEL_* set.

    Raises ConfigInvalid.
    """
    fields: dict[str, Any] = {}
    for variable, name in BOUNDS.items():
        value = read_number(env, variable)
        if value is not None:
            fields[name] = value
    proxies, tls, tracing = read_list(env, PROXIES), tls_from_env(env), tracing_from_env(env)
    if proxies:
        fields["trusted_proxies"] = proxies
    if tls is not None:
        fields["tls"] = tls
    if tracing is not None:
        fields["tracing"] = tracing
    if not read_flag(env, SNAPSHOTS, default=True):
        fields["snapshots"] = False
    if read_flag(env, PROXY_PROTOCOL, default=False):
        fields["proxy_protocol"] = True
    return fields


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    value = read_number(env, name)
    return default if value is None else value


def _networks(name: str, texts: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return parse_networks(texts)
    except ValueError as error:
        raise ConfigInvalid(f"{name}: {error}") from None
