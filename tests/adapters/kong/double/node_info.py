"""What the Admin API says about the node itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.adapters.kong.double.responses import NOT_ALLOWED, NOT_FOUND, Response, message
from tests.adapters.kong.double.store import Store

NODE_ID = "6bd09854-4d17-445d-bc66-e34409ef7473"
_UNITS = {"k": (1024, "KiB"), "m": (1024**2, "MiB"), "g": (1024**3, "GiB"), "b": (1, "")}
_MIB = 1024 * 1024
_ENDPOINTS: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "schema_data" / "endpoints.json").read_text(encoding="utf-8")
)
# Collections of bundled plugins that the double keeps nothing in.
EMPTY_COLLECTIONS = ("acme_storage", "oauth2_tokens", "sessions")
_DICTS = {
    "kong": 5, "kong_locks": 8, "kong_healthchecks": 5, "kong_cluster_events": 5,
    "kong_rate_limiting_counters": 12,
    "kong_core_db_cache": 128, "kong_core_db_cache_miss": 12, "kong_db_cache": 128,
    "kong_db_cache_miss": 12,
    "kong_secrets": 5, "prometheus_metrics": 5,
}  # fmt: skip
_SERVER = {
    "connections_accepted": 7, "connections_active": 3, "connections_handled": 7,
    "connections_reading": 0,
    "connections_writing": 3, "connections_waiting": 0, "total_requests": 7,
}  # fmt: skip


class NodeEndpoints:
    def __init__(self, store: Store, version: str, edition: str) -> None:
        self._store = store
        self._version = version
        self._edition = edition
        # The count of requests begins anew with a restart, by which the adapter notices one.
        self.answered = 6
        self.worker_seconds = 0.0

    def root(self) -> Response:
        plugins = self._store.schemas.plugins
        used = sorted({one["name"] for one in self._store.entities.get("plugins", {}).values()})
        body: dict[str, Any] = {
            "version": self._version,
            "tagline": "Welcome to kong",
            "hostname": "kong",
            "node_id": NODE_ID,
            "lua_version": "LuaJIT 2.1.0-beta3",
            "pids": {"master": 1, "workers": [2, 3]},
            "timers": {"running": 79, "pending": 1},
            "plugins": {
                "available_on_server": {
                    n: self._available(n, p.priority) for n, p in plugins.items()
                },
                "enabled_in_cluster": used or {},
            },
            "configuration": self._configuration(sorted(plugins)),
        }
        if self._store.schemas.is_at_least("3.6"):
            body["edition"] = self._edition
        return Response(200, body)

    def _available(self, name: str, priority: int) -> dict[str, Any] | bool:
        if not self._store.schemas.is_at_least("3.0"):
            return True
        # 3.4.2 reports this version for the plugin.
        version = "0.1.0" if name == "opentelemetry" and not self._is_new else self._version
        return {"version": version, "priority": priority}

    @property
    def _is_new(self) -> bool:
        return self._store.schemas.is_at_least("3.5")

    def _configuration(self, plugins: list[str]) -> dict[str, Any]:
        return {
            "database": self._store.database,
            "role": "traditional",
            "router_flavor": "traditional_compatible",
            "loaded_plugins": dict.fromkeys(plugins, True),
            "nginx_admin_client_max_body_size": "10m",
            # Kong's own are 5 s.
            "worker_consistency": "eventual",
            "worker_state_update_frequency": self.worker_seconds,
            "db_update_frequency": 0,
            "db_update_propagation": 0,
        }

    def status(self, digest: str, query: dict[str, str]) -> Response:
        unit = query.get("unit", "m").lower()
        if unit not in _UNITS:
            wanted = "expected 'k/K', 'm/M', or 'g/G'"
            return message(400, f"invalid unit '{query['unit']}' ({wanted})")
        scale = int(query["scale"]) if query.get("scale", "").isdigit() else 2
        self.answered += 1
        counts = {**_SERVER, "total_requests": self.answered}
        body = {"memory": _memory(unit, scale), "server": counts}
        if self._store.database == "off":
            return Response(200, {**body, "configuration_hash": digest})
        return Response(200, {**body, "database": {"reachable": True}})

    def other(self, path: str) -> Response:
        """Addresses that have a fixed answer."""
        if path.startswith("/clustering/"):
            role = "only available when Kong is configured to run as Control Plane for the cluster"
            return message(400, f"this endpoint is {role}")
        if path == "/filter-chains":
            return message(400, "this endpoint is only available when wasm is enabled")
        if path == "/debug/node/log-level":
            return message(200, "log level: notice")
        if path == "/endpoints":
            return Response(200, {"data": self._endpoints()})
        if path == "/proxy-cache":
            return NOT_ALLOWED
        if path.strip("/") in EMPTY_COLLECTIONS:
            return Response(200, {"data": [], "next": None})
        # 3.9.1 without a database has no /workspaces.
        is_listed = self._store.database == "postgres" or not self._is_new
        if path == "/workspaces" and is_listed:
            return Response(200, {"data": [_workspace()], "next": None})
        return NOT_FOUND

    def _endpoints(self) -> list[str]:
        """The list as it was recorded whole, with the paths of plugins that are no collections."""
        return _ENDPOINTS["3.9.1" if self._is_new else "3.4.2"]


def _workspace() -> dict[str, Any]:
    return {
        "id": "0dc6f45b-8f8d-40d2-a504-473544ee190b", "name": "default", "comment": None,
        "config": {}, "meta": {},
        "created_at": 1, "updated_at": 1,
    }  # fmt: skip


def _memory(unit: str, scale: int) -> dict[str, Any]:
    divisor, suffix = _UNITS[unit]

    def shown(size: float) -> str:
        return f"{size / divisor:.{scale}f} {suffix}".strip()

    dicts = {
        name: {"allocated_slabs": shown(0.04 * _MIB), "capacity": shown(size * _MIB)}
        for name, size in _DICTS.items()
    }
    workers = [{"pid": pid, "http_allocated_gc": shown(43.7 * _MIB)} for pid in (2, 3)]
    return {"lua_shared_dicts": dicts, "workers_lua_vms": workers}
