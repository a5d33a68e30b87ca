"""A server in front of a gateway that can spoil any response; the gateway itself works."""

from __future__ import annotations

import asyncio
import fnmatch
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import aiohttp
from aiohttp import web


class Trouble(Enum):
    TIMEOUT = "timeout"
    REFUSED_CONNECTION = "refused connection"
    UNAUTHORIZED = "401"
    CONFLICT = "409"
    BUSY = "429 with Retry-After"
    SERVER_ERROR = "500"
    BAD_GATEWAY = "502"
    MALFORMED = "malformed"
    HTML = "HTML"
    TRUNCATED = "truncated"
    REDIRECT = "redirect"
    HALF_WRITTEN = "half-written"
    ODD_OBJECTS = "objects that nobody foresaw"
    DOUBLED = "one object twice in place of another"


@dataclass
class _Planned:
    trouble: Trouble
    patterns: Sequence[str]
    left: int
    spared: int = 0

    def meets(self, line: str) -> bool:
        """Whether a request has this trouble; counts it."""
        if self.left <= 0 or not any(fnmatch.fnmatch(line, one) for one in self.patterns):
            return False
        if self.spared > 0:
            self.spared -= 1
            return False
        self.left -= 1
        return True


@dataclass
class _LeftOut:
    ident: str
    left: int


class Front:
    """Listens on an ephemeral port; `fail` plans trouble for "METHOD path" globs."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._planned: list[_Planned] = []
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.base_url = ""
        self.seen: list[str] = []
        self.listed: dict[str, str] | None = None
        """By id of an object path and name of a list that has it, once this is a dictionary."""
        self._left_out: _LeftOut | None = None
        self.running = 0
        self.most_running = 0

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=1 << 27)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def fail(self, trouble: Trouble, pattern: str = "*", times: int = 1000) -> None:
        self._planned.append(_Planned(trouble, (pattern,), times))

    def fail_after(
        self, spared: int, trouble: Trouble, patterns: Sequence[str]
    ) -> Callable[[], bool]:
        """Plan trouble for what comes after `spared` requests; returns whether one had it."""
        times = 1_000_000
        planned = _Planned(trouble, patterns, times, spared)
        self._planned.append(planned)
        return lambda: planned.left < times

    def heal(self) -> None:
        self._planned.clear()
        self._left_out = None

    def leave_out(self, ident: str, times: int = 1_000_000) -> None:
        """Leave one object out of the next lists that have it; asked for by its id it is there."""
        self._left_out = _LeftOut(ident, times)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        line = f"{request.method} {request.path}"
        self.seen.append(line)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for planned in self._planned:
                if planned.meets(line):
                    return await self._trouble(planned.trouble, request)
            if self._left_out is not None or self.listed is not None:
                return self._with_lists(
                    request, await self._forward(request, left_out=("host", "if-none-match"))
                )
            return await self._forward(request)
        finally:
            self.running -= 1

    async def _trouble(self, trouble: Trouble, request: web.Request) -> web.StreamResponse:
        if trouble is Trouble.TIMEOUT:
            await asyncio.Event().wait()
        if trouble is Trouble.REFUSED_CONNECTION:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if trouble is Trouble.ODD_OBJECTS:
            return with_odd_objects(
                await self._forward(request, left_out=("host", "if-none-match"))
            )
        if trouble is Trouble.DOUBLED:
            return with_doubled(await self._forward(request, left_out=("host", "if-none-match")))
        if trouble is Trouble.HALF_WRITTEN:
            return web.json_response({"id": "x", "status": "ok"}, status=200)
        if trouble is Trouble.TRUNCATED:
            answer = web.StreamResponse(headers={"Content-Length": "100"})
            await answer.prepare(request)
            await answer.write(b'[{"id":')
            assert request.transport is not None
            request.transport.close()
            return answer
        return {
            Trouble.UNAUTHORIZED: lambda: web.Response(status=401),
            Trouble.CONFLICT: lambda: web.json_response(
                {"status": "error", "errors": ["somebody else has it"]}, status=409
            ),
            Trouble.BUSY: lambda: web.json_response(
                {"message": "too fast"}, status=429, headers={"Retry-After": "90"}
            ),
            Trouble.SERVER_ERROR: lambda: web.Response(status=500, text="it broke"),
            Trouble.BAD_GATEWAY: lambda: web.Response(status=502, text="nobody there"),
            Trouble.MALFORMED: lambda: web.Response(text="[{", content_type="application/json"),
            Trouble.HTML: lambda: web.Response(
                text="<!doctype html><p>Sign in", content_type="text/html"
            ),
            Trouble.REDIRECT: lambda: web.Response(
                status=302, headers={"Location": "https://login.example/"}
            ),
        }[trouble]()

    def _with_lists(self, request: web.Request, answer: web.Response) -> web.Response:
        """Note what an answer lists, and leave out of it what it is to miss."""
        try:
            body = json.loads(answer.body or b"")  # type: ignore[arg-type]
        except ValueError:
            return answer
        asked = request.rel_url.raw_path_qs
        found = {ident: name for ident, name in listed_in(body).items() if ident not in asked}
        if self.listed is not None:
            self.listed |= {ident: f"{request.path} {name}" for ident, name in found.items()}
        lie = self._left_out
        if lie is None or lie.left <= 0 or lie.ident not in found:
            return answer
        lie.left -= 1
        return web.json_response(without(body, lie.ident), status=answer.status)

    async def _forward(
        self, request: web.Request, *, left_out: Collection[str] = ("host",)
    ) -> web.Response:
        assert self._session is not None
        headers = {n: v for n, v in request.headers.items() if n.lower() not in left_out}
        async with self._session.request(
            request.method,
            self._upstream + request.rel_url.raw_path_qs,
            headers=headers,
            # Without a body no type of one, which Gravitee would refuse a GET for.
            data=await request.read() or None,
            allow_redirects=False,
        ) as answer:
            kept = {
                n: v
                for n, v in answer.headers.items()
                if n.lower() in ("content-type", "etag") or n.lower().startswith("x-ratelimit-")
            }
            return web.Response(status=answer.status, headers=kept, body=await answer.read())


_TOTALS = ("total", "totalCount", "total_elements", "count", "pageItemsCount")


def listed_in(body: Any) -> dict[str, str]:
    """Return by id what an answer lists, in an array or in arrays under their names: the name."""
    lists = body if isinstance(body, dict) else {"": body}
    return {
        ident: str(name)
        for name, listed in lists.items()
        if isinstance(listed, list)
        for one in listed
        if isinstance(one, dict) and (ident := _ident_of(one))
    }


def _ident_of(item: dict[str, Any]) -> str:
    """Return the id of a listed object, empty for one without any."""
    inner = item.get("api")
    if isinstance(inner, dict):
        item = inner
    return next((item[n] for n in ("id", "hrid", "alias") if isinstance(item.get(n), str)), "")


def without(body: Any, ident: str) -> Any:
    """Return an answer whose lists miss an object, and with them the totals beside them."""
    if not isinstance(body, dict):
        return [one for one in body if not isinstance(one, dict) or _ident_of(one) != ident]
    found = {n: without(v, ident) if isinstance(v, list) else v for n, v in body.items()}
    return _with_fewer({n: _with_fewer(v) if isinstance(v, dict) else v for n, v in found.items()})


def _with_fewer(part: dict[str, Any]) -> dict[str, Any]:
    return {n: v - 1 if n in _TOTALS and isinstance(v, int) else v for n, v in part.items()}


def with_odd_objects(answer: web.Response) -> web.Response:
    """Put two objects that no decoder foresaw beside the first of a list; hashes differ then."""
    try:
        body = json.loads(answer.body or b"")  # type: ignore[arg-type]
    except ValueError:
        return answer
    if isinstance(body, dict) and isinstance(body.get("configuration_hash"), str):
        body["configuration_hash"] = "f" * 32
    # Lists of several kinds may come in one answer, each under its name.
    for listed in body.values() if isinstance(body, dict) else (body,):
        if isinstance(listed, list) and listed and isinstance(listed[0], dict):
            first = listed[0]
            listed.append({**{n: _odd(v) for n, v in first.items()}, "id": "0" * 35 + "1"})
            kept = {
                n: v if isinstance(v, str) or n == "tags" else _odd(v) for n, v in first.items()
            }
            listed.append({**kept, "id": "0" * 35 + "2"})
    return web.json_response(body, status=answer.status)


def with_doubled(answer: web.Response) -> web.Response:
    """Show the first of each list twice, and the last one not (Kong 3.4.2 did, R.7 no. 45)."""
    try:
        body = json.loads(answer.body or b"")  # type: ignore[arg-type]
    except ValueError:
        return answer
    if isinstance(body, dict) and isinstance(body.get("configuration_hash"), str):
        body["configuration_hash"] = "f" * 32
    for listed in body.values() if isinstance(body, dict) else (body,):
        if isinstance(listed, list) and len(listed) > 1 and isinstance(listed[0], dict):
            listed[-1] = listed[0]
    return web.json_response(body, status=answer.status)


def _odd(value: Any) -> Any:
    match value:
        case None | bool():
            return {"odd": -1}
        case str() | dict():
            return [{"odd": None}]
        case list():
            return {"odd": [-1]}
        case _:
            return "odd"


async def listening(app: web.Application) -> tuple[web.AppRunner, str]:
    """Start an application on an ephemeral port; returns its runner and base URL."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"
