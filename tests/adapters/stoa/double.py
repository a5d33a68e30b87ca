"""A stateful double of the STOA admin API, written from the contract and the recordings.

`Dialect.REAL` is the gateway 0.9.25: it drops unknown fields, lists in random order, stores
policies without enforcing them, forces `trusted_backend`, refuses private addresses, and may count
calls (`AdminLimit`). `forwarded_to` says where a request goes. `Dialect.OURS` has the extensions of
our data plane.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import random
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import web
from stoa_proxy.admin.api import extensions
from stoa_proxy.admin.backend_tls import read_tls_view
from stoa_proxy.admin.consumers import CREDENTIALS
from stoa_proxy.admin.json_body import Body
from stoa_proxy.policies import POLICIES

EXTENSIONS = list(extensions(POLICIES))
_ROUTE = {
    "id": str, "name": str, "tenant_id": str, "path_prefix": str, "backend_url": str,
    "methods": list, "spec_hash": str, "activated": bool,
}  # fmt: skip
_DEFAULTS = {"upstream_http_version": "auto", "upstreams": [], "load_balancer": "round_robin"}
_OPTIONAL = ("classification", "contract_key")
_POLICY = {"id": str, "name": str, "policy_type": str, "priority": int, "api_id": str}


class Dialect(Enum):
    REAL = "real gateway 0.9.25"
    OURS = "ours"


@dataclass
class AdminLimit:
    """Calls that the admin API takes in any `window` seconds; its headers come with a 429 only."""

    calls: int = 1000
    window: float = 60.0
    now: Callable[[], float] = time.time
    refused: int = 0
    _taken: deque[float] = field(default_factory=deque)

    def refusal(self) -> web.Response | None:
        """Count one call; return the 429 if it is one too many, which then does not count."""
        now = self.now()
        while self._taken and self._taken[0] <= now - self.window:
            self._taken.popleft()
        if len(self._taken) < self.calls:
            self._taken.append(now)
            return None
        self.refused += 1
        headers = {
            "x-ratelimit-limit": str(self.calls),
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": str(int((self._taken or [now])[0] + self.window)),
        }
        body = {"message": "Admin API rate limit exceeded", "status": "error"}
        return web.json_response(body, status=429, headers=headers)


class StoaDouble:
    """State and handlers; `app()` is the aiohttp application."""

    def __init__(
        self,
        dialect: Dialect,
        token: str | None = "admin-token",
        limit: AdminLimit | None = None,
    ) -> None:
        self.dialect = dialect
        self.limit = limit
        self.token = token
        self.routes: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.consumers: dict[str, dict[str, Any]] = {}
        self.unattached: list[str] = []
        self.is_vague = False
        self.reload: Callable[[], int] | None = None
        """Fetches the routes and returns their number; None where that is not enabled."""
        self.requests: list[tuple[str, str, str]] = []
        self._random = random.Random(1)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/admin/health", self._health)
        self._collection(app, "apis", self.routes, self._read_route, "API not found")
        self._collection(app, "policies", self.policies, self._read_policy, "Policy not found")
        if self.dialect is Dialect.REAL:
            app.router.add_post("/admin/routes/reload", self._reload)
        if self.dialect is Dialect.OURS:
            self._collection(
                app, "consumers", self.consumers, self._read_consumer, "Consumer not found"
            )
            app.router.add_post("/admin/batch", self._batch)
        return app

    async def _batch(self, request: web.Request) -> web.Response:
        """All of it or none, as `POST /admin/batch` of our data plane."""
        if self.is_vague:
            said = {"status": "error", "errors": ["something is wrong"], "objects": []}
            return web.json_response(said, status=400)
        body = json.loads(await request.text())
        kinds = {
            "apis": (self.routes, self._read_route),
            "policies": (self.policies, self._read_policy),
            "consumers": (self.consumers, self._read_consumer),
        }
        read = {
            kind: [(item["id"], parse(item)) for item in body.get(kind, [])]
            for kind, (_, parse) in kinds.items()
        }
        refused = [
            (kind, item_id, answer.text)
            for kind, items in read.items()
            for item_id, answer in items
            if isinstance(answer, web.Response)
        ]
        if refused:
            errors = [f"{kind} '{item_id}': {text}" for kind, item_id, text in refused]
            objects = [{"kind": kind, "id": item_id} for kind, item_id, _ in refused]
            said = {"status": "error", "errors": errors, "objects": objects}
            return web.json_response(said, status=400)
        for kind, (store, _) in kinds.items():
            for item_id in body.get("delete", {}).get(kind, []):
                store.pop(item_id, None)
            store.update(read[kind])
        return web.json_response({"status": "ok"})

    def _collection(self, app, name, store, read, gone) -> None:
        async def listed(request: web.Request) -> web.Response:
            items = list(store.values())
            if self.dialect is Dialect.OURS:
                etag = '"' + hashlib.sha256(json.dumps(items).encode()).hexdigest()[:16] + '"'
                if request.headers.get("If-None-Match") == etag:
                    return web.Response(status=304, headers={"ETag": etag})
                return web.json_response(items, headers={"ETag": etag})
            self._random.shuffle(items)
            return web.json_response(items)

        async def put(request: web.Request) -> web.Response:
            try:
                body = json.loads(await request.text())
            except ValueError as error:
                text = f"Failed to parse the request body as JSON: {error}"
                return web.Response(status=400, text=text)
            answer = read(body)
            if isinstance(answer, web.Response):
                return answer
            status = 200 if answer["id"] in store else 201
            store[answer["id"]] = answer
            said = {"id": answer["id"], "status": "ok"}
            if name == "apis":
                said["deployment_id"] = str(uuid.UUID(int=self._random.getrandbits(128)))
            return web.json_response(said, status=status)

        async def delete(request: web.Request) -> web.Response:
            if store.pop(request.match_info["id"], None) is None:
                return web.Response(status=404, text=gone)
            return web.Response(status=204)

        app.router.add_get(f"/admin/{name}", listed)
        app.router.add_post(f"/admin/{name}", put)
        app.router.add_delete(f"/admin/{name}/{{id}}", delete)

    @web.middleware
    async def _guard(self, request: web.Request, handler) -> web.StreamResponse:
        self.requests.append((request.method, request.path, await request.text()))
        # Before the token is looked at: wrong ones count, too.
        refusal = self.limit and self.limit.refusal()
        if refusal:
            return refusal
        if self.token is None:
            text = "Admin API disabled - no admin_api_token configured"
            return web.Response(status=503, text=text)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return web.Response(status=404, text="No matching API route")

    async def _reload(self, request: web.Request) -> web.Response:
        if self.reload is None:
            text = "Route reload is disabled (STOA_ROUTE_RELOAD_ENABLED=false)"
            return web.json_response({"status": "error", "message": text}, status=409)
        return web.json_response({"status": "ok", "routes_loaded": self.reload()})

    async def _health(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = {
            "status": "ok", "version": "0.9.25", "routes_count": len(self.routes),
            "policies_count": len(self.policies), "contracts_count": 0, "skills_count": 0,
            "uptime_seconds": 0, "git_provider": "gitlab",
        }  # fmt: skip
        if self.dialect is Dialect.OURS:
            body |= {"version": "0.1.0", "extensions": EXTENSIONS, "consumers_count": 0}
            body["unattached_policies"] = self.unattached
        return web.json_response(body)

    def forwarded_to(self, path: str) -> str | None:
        """Return the URL that gateway 0.9.25 calls for a path; None for 404."""
        decoded = unquote(path)
        matching = [r for r in self.routes.values() if decoded.startswith(r["path_prefix"])]
        if not matching:
            return None
        route = max(matching, key=lambda r: len(r["path_prefix"]))
        backend = route["upstreams"][0]["url"] if route["upstreams"] else route["backend_url"]
        return str(backend.rstrip("/") + decoded.removeprefix(route["path_prefix"]))

    def _read_route(self, body: dict[str, Any]) -> dict[str, Any] | web.Response:
        errors = _typed(body, _ROUTE)
        if errors is not None:
            return errors
        blank = [n for n in ("id", "name", "tenant_id", "backend_url") if not body[n].strip()]
        words = [f"{name} must not be empty" for name in blank]
        if not body["path_prefix"].startswith("/"):
            words.append("path_prefix must start with '/'")
        if words:
            return web.json_response({"status": "error", "errors": words}, status=400)
        echo = self.dialect is Dialect.OURS and body["backend_url"] == "builtin:echo"
        if not echo and _is_private(body["backend_url"]):
            said = {"error": "backend_url targets a private/internal IP range", "detail": "refused"}
            return web.json_response(said, status=400)
        kept = {name: body[name] for name in _ROUTE}
        kept |= {name: body.get(name, default) for name, default in _DEFAULTS.items()}
        kept |= {name: body[name] for name in _OPTIONAL if body.get(name) is not None}
        kept["upstreams"] = [
            {"weight": 1, "health_check_path": None, **item} for item in kept["upstreams"]
        ]
        kept["trusted_backend"] = True
        return kept | self._extended(body) if self.dialect is Dialect.OURS else kept

    def _extended(self, body: dict[str, Any]) -> dict[str, Any]:
        auth = body.get("backend_auth")
        return {
            "api_id": body.get("api_id", body["id"]),
            "hosts": body.get("hosts", []),
            **({"headers": body["headers"]} if body.get("headers") else {}),
            "strip_path": body.get("strip_path", True),
            "timeout_ms": body.get("timeout_ms", 30_000),
            "retries": body.get("retries", 0),
            "fallback_url": body.get("fallback_url"),
            "access": body.get("access", "tenant"),
            "backend_auth": auth and _shown_auth(auth),
            "backend_tls": read_tls_view(Body(body), "backend_tls"),
            "plans": body.get("plans", []),
            "metadata": body.get("metadata", {}),
        }

    def _read_policy(self, body: dict[str, Any]) -> dict[str, Any] | web.Response:
        errors = _typed(body, _POLICY)
        if errors is not None:
            return errors
        kind = f"policy:{body['policy_type']}"
        if self.dialect is Dialect.OURS and kind not in EXTENSIONS:
            words = [f"policy_type {body['policy_type']!r} is not enforced by this gateway"]
            return web.json_response({"status": "error", "errors": words}, status=400)
        return {**{name: body[name] for name in _POLICY}, "config": body.get("config")}

    def _read_consumer(self, body: dict[str, Any]) -> dict[str, Any] | web.Response:
        credentials = [
            {"type": one["type"], "fingerprint": _fingerprint(one[CREDENTIALS[one["type"]]])}
            for one in body["credentials"]
        ]
        prints = [one["fingerprint"] for one in credentials if one["type"] == "api_key"]
        for other in self.consumers.values():
            if other["id"] != body["id"] and any(
                one["fingerprint"] in prints for one in other["credentials"]
            ):
                words = ["a key belongs to another consumer already"]
                return web.json_response({"status": "error", "errors": words}, status=409)
        return {
            "id": body["id"],
            "name": body["name"],
            "tenant_id": body["tenant_id"],
            "metadata": body.get("metadata", {}),
            "credentials": credentials,
            "subscriptions": body["subscriptions"],
        }


def _typed(body: dict[str, Any], fields: dict[str, type]) -> web.Response | None:
    for name, kind in fields.items():
        if not isinstance(body.get(name), kind):
            text = (
                f"Failed to deserialize the JSON body into the target type: missing field `{name}`"
            )
            return web.Response(status=422, text=text)
    return None


def _shown_auth(auth: dict[str, Any]) -> dict[str, Any]:
    shown = {"in": auth["in"], "name": auth["name"], "value_set": auth["value"] is not None}
    if auth["value"] is None:
        return shown
    digest = hashlib.sha256(auth["value"].encode()).hexdigest()
    return {**shown, "fingerprint": _fingerprint(digest)}


def _fingerprint(key_sha256: str) -> str:
    return hashlib.sha256(key_sha256.encode()).hexdigest()[:16]


def _is_private(url: str) -> bool:
    host = urlsplit(url).hostname
    if host is None or host == "localhost":
        return True
    try:
        packed = socket.inet_aton(host) if ":" not in host else host
        address = ipaddress.ip_address(packed)
    except (OSError, ValueError):
        return False
    # As seen: addresses that lead nowhere or to all are refused, shared and mapped ones are not.
    if address in (ipaddress.ip_address("255.255.255.255"), ipaddress.ip_address("0.0.0.0")):
        return True
    if isinstance(address, ipaddress.IPv6Address):
        return address.is_loopback or address.is_unspecified or address.packed[0] & 0xFE == 0xFC
    private = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16")
    return any(address in ipaddress.ip_network(n) for n in private)
