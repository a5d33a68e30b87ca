"""One HTTP client for admin APIs: bounded in time, size and tries, and silent about secrets."""

from __future__ import annotations

import asyncio
import json as jsonlib
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from stoa_gitops.adapter_sdk.http.responses import TRANSIENT, Classifier, Response, error_of
from stoa_gitops.adapter_sdk.http.transport import Limits, Transport
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.errors import GatewayError, GatewayUnreachable, Retry
from stoa_gitops.model.redaction import reveal
from stoa_gitops.model.secret import Secret, Value

OFF_LOOP = 1 << 20
"""Bytes from which a body is parsed on a thread, so that the loop goes on."""


class AdminClient:
    """One gateway's admin API. Every public method raises GatewayError and nothing else.

    classify  a vendor's own reading of a status and a text, before the general one
    sleep, chance, now  injected for tests: pause in seconds, random in [0, 1), time in UTC
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
    ) -> None:
        self._limits = limits or Limits()
        self._classify = classify
        self._sleep, self._chance, self._now = sleep, chance, now
        self._transport = Transport(connection, self._limits)
        self._kept: dict[str, tuple[str, Any]] = {}

    async def aclose(self) -> None:
        """Close the connections; the client opens again when it is used."""
        self._kept.clear()
        await self._transport.aclose()

    def forget(self) -> None:
        """Drop what conditional reads have kept: the next ones read everything."""
        self._kept.clear()

    async def read(
        self,
        path: str,
        what: str,
        shape: type[Any],
        *,
        conditional: bool = False,
        then: Callable[[Any], Any] = lambda value: value,
    ) -> Any:
        """GET a JSON value and make something of it by `then`, which may run on a thread.

        With `conditional`, an unchanged one (304) gives the very thing of the last time, and only that is kept. Callers
        must not change what they get. Raises GatewayError, GatewayMalformed for another shape, and what `then` raises.
        """
        etag, kept = self._kept.get(path, ("", None)) if conditional else ("", None)
        headers = {"If-None-Match": etag} if etag else {}
        expect = (200, 304) if etag else (200,)
        answer = await self.request("GET", path, what, expect=expect, headers=headers)
        if answer.status == 304:
            return kept
        if len(answer.body) > OFF_LOOP:
            value = await asyncio.to_thread(lambda: then(answer.json(what, shape)))
        else:
            value = then(answer.json(what, shape))
        if conditional and answer.headers.get("etag"):
            self._kept[path] = (answer.headers["etag"], value)
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
        """Send and return the answer, whose status is one of `expect`; raises GatewayError otherwise.

        `what` begins each message: "the list of APIs". `repeatable` is False for a call that must not be
        made twice; it is then tried once. Secrets may stand in `body` and are revealed on the wire only.
        """
        seen: list[Secret] = []
        content = None if body is None else jsonlib.dumps(reveal(body, seen)).encode()
        try:
            async with asyncio.timeout(self._limits.call_seconds):
                return await self._try(method, path, what, content, expect, headers, repeatable)
        except TimeoutError:
            seconds = self._limits.call_seconds
            raise GatewayUnreachable(f"{what}: no answer within {seconds:g} s in all") from None
        except GatewayError as error:
            error.args = (self._transport.redact.extended(seen)(str(error)),)
            raise error from None

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
            last = not repeatable or number == self._limits.tries
            pause = self._pause(number)
            try:
                answer = await self._transport.send(method, path, what, content, headers)
            except GatewayUnreachable:
                if last:
                    raise
                await self._sleep(pause)
                continue
            if answer.status in expect:
                return answer
            error = self._error(answer, what)
            if last or answer.status not in TRANSIENT or error.retry is Retry.NEVER:
                raise error
            await self._sleep(self._patience(error, pause))
        raise AssertionError("the last try returns or raises")

    def _error(self, answer: Response, what: str) -> GatewayError:
        own = self._classify(answer.status, answer.text) if self._classify else None
        return own or error_of(answer, what, self._now())

    def _pause(self, number: int) -> float:
        ceiling = min(self._limits.base_seconds * 2.0**number, self._limits.cap_seconds)
        return ceiling * self._chance()

    def _patience(self, error: GatewayError, pause: float) -> float:
        """Wait as long as asked and a little, or give up at once when that is longer than we wait."""
        if error.retry_after is None:
            return pause
        if error.retry_after > self._limits.busy_cap_seconds:
            raise error
        return error.retry_after + min(pause, 1.0)
