"""A small proxy behind the double: follows the loaded routes and echoes what it matched."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.adapters.kong.double.schema import Entity
from tests.adapters.kong.double.store import Store

if TYPE_CHECKING:
    from tests.adapters.kong.double.admin_api import KongDouble

REQUEST_ID = "0" * 31 + "1"
_SCOPES = ("consumer", "route", "service")
_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True)
class _Match:
    route: Entity
    service: Entity | None
    matched: str
    rank: tuple[Any, ...]


class Proxy:
    def __init__(self, double: KongDouble, lag: int) -> None:
        self._double = double
        self._lag = lag
        self._seen = double.generation
        self._left = 0
        self._counts: dict[tuple[str, str, str, int], int] = {}
        self._is_new = double.schemas.is_at_least("3.5")

    async def handle(self, request: web.Request) -> web.Response:
        tables = self._tables()
        match = _best(tables, request)
        if match is None:
            return self._refused(404, "no Route matched with those values")
        consumer: Entity | None = None
        plugins = self._plugins(tables, match, consumer)
        if "cors" in plugins and _is_preflight(request):
            return _answer_preflight(plugins["cors"]["config"], request)
        if "key-auth" in plugins:
            found = _consumer(tables, plugins["key-auth"]["config"], request)
            if isinstance(found, str):
                return self._unauthorized(found)
            consumer = found
            # From here on those of the consumer count, too.
            plugins = self._plugins(tables, match, consumer)
        if "acl" in plugins and not _is_member(tables, plugins["acl"]["config"], consumer):
            return self._refused(403, "You cannot consume this service")
        headers: dict[str, str] = {}
        if "rate-limiting" in plugins:
            over = self._limited(plugins["rate-limiting"], consumer, request, headers)
            if over:
                return over
        if "request-termination" in plugins:
            return self._terminated(plugins["request-termination"]["config"], headers)
        if self._leads_nowhere(match.service):
            return self._refused(503, "name resolution failed")
        return web.json_response(_echo(match, request, consumer), headers=headers)

    def _leads_nowhere(self, service: Entity | None) -> bool:
        """Whether a service names an upstream that is gone: its name is no host of DNS."""
        gone = {one["name"] for _, kind, one in self._double.deleted if kind == "upstreams"}
        there = {one["name"] for one in self._double.entities.get("upstreams", {}).values()}
        return service is not None and service["host"] in gone - there

    def _tables(self) -> dict[str, dict[str, Entity]]:
        """Return old or new tables: after a change Kong's workers switch one after the other."""
        if self._double.generation != self._seen:
            self._seen, self._left = self._double.generation, self._lag
        if self._left > 0:
            self._left -= 1
            if (self._lag - self._left) % 2:
                return self._double.former
        return self._of_a_worker() if self._double.worker_seconds else self._double.entities

    def _of_a_worker(self) -> dict[str, dict[str, Entity]]:
        """Return what a worker has whose timers strike in the worst order (3.9.1, PostgreSQL).

        Routes and plugins are taken over by a timer each: here new routes and deleted plugins at
        once, new plugins and deleted routes as late as may be. A changed route is found both ways,
        a changed service leads where it led. Upstreams and targets are taken over at once.
        """
        since = time.monotonic() - self._double.worker_seconds
        tables = dict(self._double.entities)
        tables["plugins"] = {
            ident: one
            for ident, one in tables.get("plugins", {}).items()
            if self._double.written.get(ident, 0.0) <= since
        }
        for kind in ("services", "routes"):
            late = {
                one["id"]: one
                for moment, deleted, one in self._double.deleted
                if deleted == kind and moment > since
            }
            tables[kind] = {**late, **tables.get(kind, {})}
        for moment, kind, one in self._double.changed:
            if moment <= since:
                continue
            if kind == "services" and one["id"] in tables[kind]:
                tables[kind][one["id"]] = one
            if kind == "routes":
                tables[kind][f"{one['id']} {moment}"] = one
        return tables

    def _plugins(
        self, tables: dict[str, dict[str, Entity]], match: _Match, consumer: Entity | None
    ) -> dict[str, Entity]:
        """The plugin of each name that applies.

        The most specific, and of equals the one listed last.
        """
        listed = Store(self._double.schemas, "off", tables).list_in_order("plugins")
        chosen: dict[str, tuple[float, Entity]] = {}
        for one in listed:
            here = {"route": match.route, "service": match.service, "consumer": consumer}
            keys = {key: one[key]["id"] for key in _SCOPES if one.get(key)}
            if not one["enabled"] or any(
                (here[k] or {}).get("id") != ident for k, ident in keys.items()
            ):
                continue
            weight = 2 * ("route" in keys) + ("service" in keys)
            # Documentation of Kong, "Precedence order of plugins": a consumer alone comes last but
            # for route and service alone; with one of them it comes first.
            weight += 4 * ("consumer" in keys and len(keys) > 1)
            weight += 2.5 * ("consumer" in keys and len(keys) == 1)
            # Two plugins of one name and scope are taken; the one listed last runs.
            if one["name"] not in chosen or weight >= chosen[one["name"]][0]:
                chosen[one["name"]] = (weight, one)
        return {name: one for name, (_weight, one) in chosen.items()}

    def _limited(
        self, plugin: Entity, consumer: Entity | None, request: web.Request, headers: dict[str, str]
    ) -> web.Response | None:
        who = (consumer or {}).get("id") or str(request.remote)
        config, moment = plugin["config"], self._double.now()
        for period, seconds in _PERIODS.items():
            limit = config.get(period)
            if limit is None:
                continue
            key = (plugin["name"], who, period, moment // seconds)
            used = self._counts[key] = self._counts.get(key, 0) + 1
            left, reset = max(0, int(limit) - used), str(seconds - moment % seconds)
            name = f"X-RateLimit-Remaining-{period.capitalize()}"
            headers |= {"RateLimit-Remaining": str(left), name: str(left)}
            headers |= {"RateLimit-Limit": f"{limit:g}", "RateLimit-Reset": reset}
            if used > limit:
                headers["Retry-After"] = reset
                return self._refused(config["error_code"], config["error_message"], headers)
        return None

    def _terminated(self, config: Entity, headers: dict[str, str]) -> web.Response:
        status = int(config["status_code"])
        if config["body"]:
            kind = config["content_type"] or "application/json; charset=utf-8"
            return web.Response(
                status=status,
                body=config["body"].encode(),
                headers={**headers, "Content-Type": kind},
            )
        return web.json_response(
            {"message": config["message"] or "Service unavailable"}, status=status, headers=headers
        )

    def _unauthorized(self, reason: str) -> web.Response:
        scheme = "Key" if self._is_new else 'Key realm="kong"'
        if reason == "bad":
            reason = "Unauthorized" if self._is_new else "Invalid authentication credentials"
        return self._refused(401, reason, {"WWW-Authenticate": scheme})

    def _refused(
        self, status: int, text: str, headers: dict[str, str] | None = None
    ) -> web.Response:
        body = {"message": text}
        if self._is_new:
            body["request_id"] = REQUEST_ID
        return web.json_response(body, status=status, headers=headers)


def _is_preflight(request: web.Request) -> bool:
    """Anything else goes on to the backend, OPTIONS or not (kong/plugins/cors/handler.lua)."""
    asked = "Origin" in request.headers and "Access-Control-Request-Method" in request.headers
    return request.method == "OPTIONS" and asked


def _answer_preflight(config: Entity, request: web.Request) -> web.Response:
    origins, headers = config["origins"] or ["*"], {"Vary": "Origin"}
    headers["Access-Control-Allow-Methods"] = ",".join(config["methods"])
    if origins == ["*"] or request.headers["Origin"] in origins:
        headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
    return web.Response(status=200, headers=headers)


def _best(tables: dict[str, dict[str, Entity]], request: web.Request) -> _Match | None:
    found = [
        match
        for route in tables.get("routes", {}).values()
        if (match := _matched(tables, route, request)) is not None
    ]
    return max(found, key=lambda one: one.rank, default=None)


def _matched(
    tables: dict[str, dict[str, Entity]], route: Entity, request: web.Request
) -> _Match | None:
    if "http" not in route["protocols"] and "https" not in route["protocols"]:
        return None
    if route["methods"] and request.method not in route["methods"]:
        return None
    if route["hosts"] and not any(_is_host(h, request.host) for h in route["hosts"]):
        return None
    for name, values in (route["headers"] or {}).items():
        if request.headers.get(name) not in values:
            return None
    service = tables.get("services", {}).get((route["service"] or {}).get("id", ""))
    if service is not None and not service["enabled"]:
        return None
    path = _path(route, request.path)
    if path is None:
        return None
    matched, pattern = path
    return _Match(route, service, matched, (route_number(route, pattern), -route["created_at"]))


def route_number(route: Entity, pattern: str) -> int:
    """The 64 bits by which a running 3.9.1 sorted routes: the higher ones are tried first.

    Plain numbers are shifted as LuaJIT does, as signed ones of 32 bits; two bits are 64 wide.
    """
    hosts, is_regex = route.get("hosts") or (), pattern.startswith("~")
    headers = len(route.get("headers") or ())
    kinds = sum(bool(route.get(name)) for name in ("methods", "hosts", "headers", "paths"))
    found = 0 if is_regex else len(pattern)
    for value, bits in ((kinds, 61), (headers, 52), (is_regex and route["regex_priority"], 19)):
        word = (int(value) << bits % 32) % 2**32
        found |= word - 2**32 if word >= 2**31 else word
    is_plain = bool(hosts) and not any("*" in host for host in hosts)
    return (found | is_plain << 60 | is_regex << 51) % 2**64


def _path(route: Entity, path: str) -> tuple[str, str] | None:
    """(matched part, pattern): prefixes match letter by letter, regexes from the start."""
    if not route["paths"]:
        return "", ""
    found = []
    for pattern in route["paths"]:
        if pattern.startswith("~"):
            # Python writes all named groups with a `P`.
            match = re.match(pattern[1:].replace("(?<", "(?P<"), path)
            if match:
                found.append((match.group(), pattern))
        elif path.startswith(pattern):
            found.append((pattern, pattern))
    return max(found, key=lambda one: (one[1].startswith("~"), len(one[1])), default=None)


def _is_host(pattern: str, host: str) -> bool:
    host = host.rsplit(":", 1)[0] if ":" not in pattern else host
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".+"), host) is not None


def _consumer(
    tables: dict[str, dict[str, Entity]], config: Entity, request: web.Request
) -> Entity | str | None:
    """The consumer of the key that came, None for the anonymous one, or why nobody is let in."""
    keys = [
        request.headers.get(name) or request.query.get(name)
        for name in config["key_names"]
        if name in request.headers or name in request.query
    ]
    if not keys:
        return None if config["anonymous"] else "No API key found in request"
    for credential in tables.get("keyauth_credentials", {}).values():
        if credential["key"] == keys[0]:
            return tables["consumers"][credential["consumer"]["id"]]
    return None if config["anonymous"] else "bad"


def _is_member(
    tables: dict[str, dict[str, Entity]], config: Entity, consumer: Entity | None
) -> bool:
    own = {
        one["group"]
        for one in tables.get("acls", {}).values()
        if consumer and one["consumer"]["id"] == consumer["id"]
    }
    if config["allow"]:
        return bool(own & set(config["allow"]))
    return not own & set(config["deny"] or [])


def _echo(match: _Match, request: web.Request, consumer: Entity | None) -> dict[str, Any]:
    rest = request.path
    if match.route["strip_path"]:
        rest = rest[len(match.matched) :]
    base = ((match.service or {}).get("path") or "/").rstrip("/")
    joined = base + ("" if not rest and base else "/" + rest.lstrip("/"))
    service = match.service or {}
    return {
        "service": {"id": service.get("id"), "name": service.get("name")},
        "route": {"id": match.route["id"], "name": match.route["name"]},
        "consumer": (consumer or {}).get("username"),
        "method": request.method,
        "path": joined,
    }
