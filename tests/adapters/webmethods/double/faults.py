"""Faults on demand, by "METHOD path" globs, beside what a `Front` does to the network."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.adapters.webmethods.double.answers import html


@dataclass
class Fault:
    """`is_done`: the work is done all the same, and only the response tells otherwise."""

    pattern: str
    status: int
    body: Any
    left: int
    is_done: bool
    response_status: str | None = None

    def matches(self, line: str) -> bool:
        return self.left > 0 and fnmatch.fnmatchcase(line, self.pattern)

    def response(self) -> web.Response:
        if isinstance(self.body, str):
            return html(self.body, self.status)
        return web.json_response(self.body, status=self.status)


class Faults:
    """What goes wrong with the next requests; the first that matches counts."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []

    def fail(
        self,
        pattern: str,
        status: int = 500,
        body: Any = None,
        *,
        times: int = 1,
        is_done: bool = False,
    ) -> None:
        """Answer requests such as `PUT */apis/*` with a status; a body of text is HTML."""
        body = {"errorDetails": None} if body is None else body
        self._planned.append(Fault(pattern, status, body, times, is_done))

    def answer_status(
        self, pattern: str, response_status: str, *, times: int = 1, is_done: bool = False
    ) -> None:
        """Answer 200 with another `responseStatus` than SUCCESS (contract A.1)."""
        body = {"apiResponse": {"api": None, "responseStatus": response_status}}
        self._planned.append(Fault(pattern, 200, body, times, is_done, response_status))

    def heal(self) -> None:
        self._planned.clear()

    def take(self, line: str) -> Fault | None:
        for fault in self._planned:
            if fault.matches(line):
                fault.left -= 1
                return fault
        return None


def with_status(fault: Fault, response: web.StreamResponse) -> web.StreamResponse:
    """Return what is told of a request that was carried out."""
    if fault.response_status is None or not isinstance(response, web.Response):
        return fault.response()
    body = json.loads(response.text or "{}")
    if isinstance(body.get("apiResponse"), dict):
        body["apiResponse"]["responseStatus"] = fault.response_status
    return web.json_response(body, status=200)
