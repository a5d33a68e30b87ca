"""HTTP client for admin APIs: bounded in time, size and tries; messages never show a secret."""

from __future__ import annotations

import asyncio
import json as jsonlib
import random
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Hashable,
    Mapping,
    Sequence,
)
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

from stoa_gitops.adapter_sdk.http.body_memo import BodyMemo
from stoa_gitops.adapter_sdk.http.registered_address import Resolve, resolve_host
from stoa_gitops.adapter_sdk.http.responses import (
    TRANSIENT,
    Classifier,
    Response,
    error_from_response,
)
from stoa_gitops.adapter_sdk.http.transport import Limits, Transport
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.errors import GatewayError, GatewayMalformed, GatewayUnreachable, Retry
from stoa_gitops.model.redaction import reveal
from stoa_gitops.model.secret import Secret, Value

# 1 MiB of JSON takes tens of milliseconds to parse; a small body is done before a thread starts.
PARSE_IN_THREAD_FROM = 1 << 20
"""Bytes from which a body is parsed in a thread, so that the event loop goes on."""


_ERROR_BYTES: Final = 1 << 16
"""Bytes of an answer in place of a file that are read, for its message."""

_FLUSH_FROM: Final = 1 << 20
"""Bytes of a file that are collected before a thread writes them to the disk."""


class AdminClient:
    """Client of one gateway's admin API. Public methods raise GatewayError and nothing else.

    classify           a vendor's own meaning of a status and text, asked before the general one
    sleep, chance, now, resolve  injected for tests: pause in seconds, random in [0, 1), time in
                       UTC, the addresses of a host
    on_response        told of every response, also of those that are tried again; None at first

        client = AdminClient(connection)
        status = await client.get_json("/v1/status", "the status", dict)
        await client.request("PUT", "/v1/services/a", "writing service a", body={"title": "A"})
    """

    def __init__(
        self,
        connection: Connection,
        *,
        limits: Limits | None = None,
        classify: Classifier | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        resolve: Resolve = resolve_host,
    ) -> None:
        self._limits = limits or Limits()
        self._classify = classify
        self._sleep, self._chance, self._now = sleep, chance, now
        self.on_response: Callable[[Response], None] | None = None
        self._transport = Transport(connection, self._limits, resolve)
        # By path: the entity tag (RFC 9110 §8.8.3) and what was made of that response.
        self._cache: dict[str, tuple[str, Any]] = {}

    async def aclose(self) -> None:
        """Close the connections; the next request opens them again."""
        self._cache.clear()
        await self._transport.aclose()

    def clear_cache(self) -> None:
        """Drop the results of conditional requests: the next ones read everything."""
        self._cache.clear()

    async def get_json(
        self,
        path: str,
        what: str,
        shape: type[Any],
        *,
        conditional: bool = False,
        transform: Callable[[Any], Any] = lambda value: value,
        memo: tuple[BodyMemo, Hashable] | None = None,
    ) -> Any:
        """GET a JSON value of type `shape` and return `transform` of it, which may run in a thread.

        With `conditional` the request carries If-None-Match, and 304 (RFC 9110 §15.4.5) returns the
        identical object of the last time; callers must not change it. With a `memo` and a purpose
        so does a body that another client met. Raises GatewayError, GatewayMalformed for another
        shape, and what `transform` raises.
        """
        etag, cached = self._cache.get(path, ("", None)) if conditional else ("", None)
        headers = {"If-None-Match": etag} if etag else {}
        expect = (200, 304) if etag else (200,)
        response = await self.request("GET", path, what, expect=expect, headers=headers)
        if response.status == 304:
            return cached
        shared = memo[0].find(memo[1], response.body) if memo else None
        if shared is not None:
            value = shared
        elif len(response.body) > PARSE_IN_THREAD_FROM:
            value = await asyncio.to_thread(lambda: transform(response.json(what, shape)))
        else:
            value = transform(response.json(what, shape))
        if memo and shared is None:
            memo[0].add(memo[1], response.body, value)
        if conditional and response.headers.get("etag"):
            self._cache[path] = (response.headers["etag"], value)
        return value

    async def request(
        self,
        method: str,
        path: str,
        what: str,
        *,
        body: Value = None,
        expect: Collection[int] = (200,),
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Response:
        """Send a request and return the response, whose status is one of `expect`.

        `what` begins each message: "the list of APIs". `repeatable` is False for a call that must
        not be made twice; it is tried once. `body` may hold Secrets, revealed on the wire only.
        Raises GatewayError for every other status and for no response.
        """
        secrets: list[Secret] = []
        content = None if body is None else _serialise(body, secrets)
        return await self._call(method, path, what, content, secrets, expect, headers, repeatable)

    async def upload(
        self,
        method: str,
        path: str,
        what: str,
        content: bytes,
        content_type: str,
        *,
        secrets: Sequence[Secret] = (),
        expect: Collection[int] = (200,),
    ) -> Response:
        """Send a body that is no JSON, once; `secrets` in it are in no message.

        Raises GatewayError as `request`.
        """
        headers = {"Content-Type": content_type}
        return await self._call(
            method, path, what, content, secrets, expect, headers, repeatable=False
        )

    async def _call(
        self,
        method: str,
        path: str,
        what: str,
        content: bytes | None,
        secrets: Sequence[Secret],
        expect: Collection[int],
        headers: Mapping[str, str] | None,
        repeatable: bool,
    ) -> Response:
        try:
            async with asyncio.timeout(self._limits.call_seconds):
                return await self._try(method, path, what, content, expect, headers, repeatable)
        except TimeoutError:
            seconds = self._limits.call_seconds
            raise GatewayUnreachable(f"{what}: no response within {seconds:g} s in all") from None
        except GatewayError as error:
            # A gateway may quote the request, and with it a secret.
            error.args = (self._transport.redact.extended(secrets)(str(error)),)
            raise error from None

    async def download(
        self,
        path: str,
        what: str,
        target: BinaryIO,
        *,
        signature: bytes,
        most: int,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """GET a file into `target`, piece by piece and once; returns its size in bytes.

        The file begins with `signature` and has `most` bytes at most: anything else is
        GatewayMalformed, also a page or JSON with a good status. How long it may take in all is up
        to the caller; no piece may be late. Raises GatewayError.
        """
        try:
            async with self._transport.stream(path, what, headers or {}) as (status, named, pieces):
                return await self._store(status, named, pieces, what, target, signature, most)
        except GatewayError as error:
            error.args = (self._transport.redact(str(error)),)
            raise error from None

    async def _store(
        self,
        status: int,
        headers: Mapping[str, str],
        pieces: AsyncIterator[bytes],
        what: str,
        target: BinaryIO,
        signature: bytes,
        most: int,
    ) -> int:
        size, held = 0, bytearray()
        is_checked = False
        async for piece in pieces:
            held += piece
            if not is_checked and (status != 200 or len(held) >= len(signature)):
                is_checked = status == 200 and held.startswith(signature)
                if not is_checked and len(held) < _ERROR_BYTES:
                    continue
                if not is_checked:
                    break
            if size + len(held) > most:
                raise GatewayMalformed(f"{what}: the file is longer than {most} bytes")
            if is_checked and len(held) >= _FLUSH_FROM:
                await asyncio.to_thread(target.write, bytes(held))
                size += len(held)
                held.clear()
        if is_checked:
            await asyncio.to_thread(target.write, bytes(held))
            return size + len(held)
        response = Response(status, headers, bytes(held[:_ERROR_BYTES]))
        if status != 200:
            raise self._error(response, what)
        sort = headers.get("content-type", "").partition(";")[0] or "something without a type"
        raise GatewayMalformed(
            f"{what}: the gateway answered {sort} in place of the file ({response.text})"
        )

    async def _try(
        self,
        method: str,
        path: str,
        what: str,
        content: bytes | None,
        expect: Collection[int],
        headers: Mapping[str, str] | None,
        repeatable: bool,
    ) -> Response:
        for number in range(1, self._limits.tries + 1):
            is_last = not repeatable or number == self._limits.tries
            pause = self._pause(number)
            try:
                response = await self._transport.send(method, path, what, content, headers)
            except GatewayUnreachable:
                if is_last:
                    raise
                await self._sleep(pause)
                continue
            if self.on_response is not None:
                self.on_response(response)
            if response.status in expect:
                return response
            error = self._error(response, what)
            if is_last or response.status not in TRANSIENT or error.retry is Retry.NEVER:
                raise error
            await self._sleep(self._pause_after(error, pause))
        raise AssertionError("the last try returns or raises")

    def _error(self, response: Response, what: str) -> GatewayError:
        vendors = self._classify(response.status, response.text) if self._classify else None
        return vendors or error_from_response(response, what, self._now())

    def _pause(self, number: int) -> float:
        # Full jitter: many clients of one gateway that was away do not come back at once.
        ceiling = min(self._limits.base_seconds * 2.0**number, self._limits.cap_seconds)
        return ceiling * self._chance()

    def _pause_after(self, error: GatewayError, pause: float) -> float:
        """Return Retry-After and a little more; raises the error if that is longer than we wait."""
        if error.retry_after is None:
            return pause
        if error.retry_after > self._limits.busy_cap_seconds:
            raise error
        # At most a second more, so that clients told the same time do not all come at it.
        return error.retry_after + min(pause, 1.0)


def _serialise(body: Value, secrets: list[Secret]) -> bytes:
    """Return a body as JSON; each secret in it is added to `secrets`.

    What the encoder does not know goes through `reveal`: walking all of it first takes longer.
    """
    return jsonlib.dumps(body, default=lambda one: reveal(one, secrets)).encode()
