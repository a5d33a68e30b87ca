"""The double of what STOA's gateway 0.9.25 sends to its control plane, and how it takes responses.

Written from the contract (stoa.md §16.3) and from `recordings/control-plane.jsonl`. Nothing here
waits: a test calls each step, and `delays` says how long the gateway would have waited before the
next one.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

import aiohttp

CAPABILITIES = {
    "edge-mcp": ["rest", "oidc", "metering", "mcp", "sse", "rate_limiting", "policy"],
    "sidecar": ["rest", "oidc", "metering", "ext_authz", "rate_limiting", "policy"],
    "proxy": ["rest", "oidc", "metering", "rate_limiting", "policy"],
    "shadow": ["rest", "oidc", "metering", "traffic_capture", "rate_limiting", "policy"],
}
"""What each mode names at its registration, in this order."""

ROUTE = {
    "id": str, "name": str, "tenant_id": str, "path_prefix": str, "backend_url": str,
    "methods": list, "spec_hash": str, "activated": bool,
}  # fmt: skip
"""Fields without which a pull is refused whole, and their types."""

OPTIONAL = {
    "api_id": str, "deployment_id": str, "gateway_instance_id": str, "generation": int,
    "trusted_backend": bool,
}  # fmt: skip

_FIRST_DELAY, _LONGEST_DELAY = 5.0, 300.0
_STEPS = [
    {
        "name": "gateway_routes_fetched",
        "status": "success",
        "detail": "route loaded from control plane",
    },
    {
        "name": "gateway_routes_applied",
        "status": "success",
        "detail": "route table swapped in stoa-gateway",
    },
]


class State(Enum):
    """Where a gateway is with its control plane."""

    STARTING = "not registered yet"
    REGISTERED = "registered"
    STOPPED = "will not retry"


class ReloadFailed(Exception):
    """A pull that changed nothing, or whose acknowledgement was refused; the gateway says 502."""


@dataclass
class RealGateway:
    """One gateway; `url` and `key` are its two documented variables.

    reload   whether STOA_ROUTE_RELOAD_ENABLED is set
    delays   seconds that it would have waited before each further registration
    sent     every call that it made: method and path
    """

    url: str
    key: str
    hostname: str = "inst-edge"
    mode: str = "edge-mcp"
    environment: str = "dev"
    admin_url: str = "http://127.0.0.1:18101"
    reload: bool = False
    further: Mapping[str, object] = field(default_factory=dict)
    state: State = State.STARTING
    gateway_id: str | None = None
    name: str = ""
    uptime: int = 0
    requests: int = 0
    error_rate: float = 0.0
    table: dict[str, dict[str, Any]] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    _misses: int = 0
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            timeout=aiohttp.ClientTimeout(total=60),  # the real one has 15, and no busy machine
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    # registration and heartbeats

    async def start(self) -> None:
        """Do what it does at its start: register, send a heartbeat at once, ask for tools."""
        await self.ready()
        await self.register()
        if self.state is State.REGISTERED:
            await self.beat()
        await self.ask_for_tools()

    async def register(self) -> State:
        """Try to register once."""
        body = {
            "hostname": self.hostname,
            "mode": self.mode,
            "version": "0.9.25",
            "environment": self.environment,
            "capabilities": CAPABILITIES[self.mode],
            "admin_url": self.admin_url,
            **self.further,
        }
        try:
            status, text = await self._call("POST", "/v1/internal/gateways/register", body)
        except (aiohttp.ClientError, TimeoutError):
            return self._retry()
        if status in (401, 403):
            self.state = State.STOPPED
            return self.state
        answer = _object(text)
        try:
            uuid.UUID(str(answer["id"]))
            if not 200 <= status < 300 or not isinstance(answer["status"], str):
                return self._retry()
            self.name = str(answer["name"])
        except (KeyError, ValueError):
            return self._retry()
        self.gateway_id, self.state, self._misses = str(answer["id"]), State.REGISTERED, 0
        self.delays.clear()
        return self.state

    async def beat(self) -> int:
        """Send one heartbeat; the third 404 in a row makes it register at once. Returns the status.

        Whatever else comes back is ignored.
        """
        body = {
            "uptime_seconds": self.uptime,
            "routes_count": len(self.table),
            "policies_count": 0,
            "discovered_apis": 15,
            "requests_total": self.requests,
            "error_rate": self.error_rate,
        }
        path = f"/v1/internal/gateways/{self.gateway_id}/heartbeat"
        try:
            status, _ = await self._call("POST", path, body)
        except (aiohttp.ClientError, TimeoutError):
            return 0
        self._misses = self._misses + 1 if status == 404 else 0
        if self._misses == 3:
            self.state = State.STARTING
            await self.register()
        return status

    def _retry(self) -> State:
        longest = self.delays[-1] * 2 if self.delays else _FIRST_DELAY
        self.delays.append(min(longest, _LONGEST_DELAY))
        return self.state

    # everything else that it asks for

    async def ready(self) -> str:
        """Return what its `/ready` says of the control plane."""
        try:
            status, _ = await self._call("GET", "/health", keyed=False)
        except (aiohttp.ClientError, TimeoutError):
            return "NOT READY: Control Plane unreachable"
        return "READY" if 200 <= status < 300 else "NOT READY: Control Plane unhealthy"

    async def ask_for_tools(self) -> list[int]:
        """Ask for tools and APIs, as it does each minute; return the statuses.

        Raises AssertionError for documents that it could not read.
        """
        tools = await self._call("GET", "/v1/internal/gateways/tools")
        generated = await self._call(
            "GET", "/v1/internal/gateways/tools/generated?tenant_id=_default"
        )
        path = f"/v1/internal/catalog/apis?gateway_id={self.gateway_id}"
        apis = await self._call("GET", path, keyed=False)
        for (status, text), fields in (
            (tools, ("tools",)),
            (generated, ("tenant_id", "tools", "total")),
            (apis, ("apis",)),
        ):
            if status == 200:
                assert set(fields) <= set(_object(text)), text
        return [tools[0], generated[0], apis[0]]

    async def ask_for_permissions(self, tenant: str) -> dict[str, Any]:
        """Return the permissions of a tenant's tools, as a REST tool call asks for them."""
        headers = {"X-Tenant-ID": tenant}
        path = f"/v1/tenants/{tenant}/tool-permissions?page_size=100"
        status, text = await self._call("GET", path, keyed=False, headers=headers)
        assert status == 200, text
        return _object(text)

    async def pull(self) -> None:
        """Fetch its routes, put them in the place of its table, and acknowledge them.

        Raises ReloadFailed; after a refused acknowledgement the table is changed all the same.
        """
        spelled = f"{self.hostname}-{self.mode}-{self.environment}"
        # The reload code trims the slash that registration leaves.
        path = f"/v1/internal/gateways/routes?gateway_name={spelled}"
        try:
            status, text = await self._call("GET", path, trims=True)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ReloadFailed("control plane unreachable") from error
        if status != 200:
            raise ReloadFailed(f"control plane answered {status}")
        items = _routes(text)
        self.table = {item["id"]: item for item in items if item["backend_url"]}
        await self._acknowledge(items)

    async def _acknowledge(self, items: list[dict[str, Any]]) -> None:
        by_instance: dict[str, list[dict[str, Any]]] = {}
        for item in items:
            done = {
                "deployment_id": item.get("deployment_id", ""),
                "status": "applied",
                "error": None,
                "steps": _STEPS,
                "generation": item.get("generation", 1),
            }
            by_instance.setdefault(item.get("gateway_instance_id", ""), []).append(done)
        for instance, done_routes in by_instance.items():
            body = {
                "synced_routes": done_routes,
                "sync_timestamp": "2026-11-21T01:02:10.194417464+00:00",
            }
            path = f"/v1/internal/gateways/{instance}/route-sync-ack"
            status, _ = await self._call("POST", path, body, trims=True)
            if not 200 <= status < 300:
                raise ReloadFailed(f"control plane refused the acknowledgement: {status}")

    async def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        keyed: bool = True,
        trims: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        assert self._session is not None, "use it as a context manager"
        sent = {"accept": "*/*", **(headers or {})}
        if keyed:
            sent["x-gateway-key"] = self.key
        content = None
        if body is not None:
            content = json.dumps(body, separators=(",", ":")).encode()
            sent["content-type"] = "application/json"
        base = self.url.rstrip("/") if trims else self.url
        self.sent.append((method, path))
        async with self._session.request(
            method, base + path, data=content, headers=sent, max_redirects=10
        ) as response:
            return response.status, await response.text()


@asynccontextmanager
async def started(url: str, key: str, **more: Any) -> AsyncIterator[RealGateway]:
    """A gateway that did what it does at its start."""
    async with RealGateway(url, key, **more) as gateway:
        await gateway.start()
        yield gateway


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _routes(text: str) -> list[dict[str, Any]]:
    """Return route items; ReloadFailed where one of them is not as the gateway reads it."""
    try:
        items = json.loads(text)
    except ValueError:
        items = None
    if not isinstance(items, list) or not all(_is_route(item) for item in items):
        raise ReloadFailed("control plane response malformed")
    return items


def _is_route(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    fields = all(isinstance(item.get(name), kind) for name, kind in ROUTE.items())
    further = all(isinstance(item[name], kind) for name, kind in OPTIONAL.items() if name in item)
    methods = fields and all(isinstance(method, str) for method in item["methods"])
    return methods and further and int(item.get("generation", 1)) >= 0
