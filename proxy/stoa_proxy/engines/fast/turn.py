"""What usual requests send in one turn of the event loop, all at once.

A write wakes whoever waits for it. On another core that costs several times the write itself, and
as often as the reader falls asleep again before the next one. So what a turn has to send is worked
out first and then sent without a pause: readers that are awake take all of it along.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.engine import FastEngine
    from stoa_proxy.engines.fast.upstream import FastUpstream

_log = logging.getLogger("stoa_proxy.engine")

Write = tuple[Callable[[bytes], object], bytes]


class Waiting(Protocol):
    """A request at work whose response has come, or a part of it."""

    def pass_on(self) -> None:
        """Pass on what came."""
        ...

    def fail(self, error: Exception) -> None:
        """Learn of an error of ours while it was passed on."""
        ...


class Turn:
    """What waits for the end of a turn of an engine's event loop.

    `responses` are those for clients that are worked out; only `Waiting.pass_on` adds some.
    """

    __slots__ = ("_engine", "_is_due", "_requests", "_waiting", "responses")

    def __init__(self, engine: FastEngine) -> None:
        self._engine = engine
        self._is_due = False
        self._waiting: list[Waiting] = []
        self._requests: list[tuple[FastUpstream, bytes]] = []
        self.responses: list[Write] = []

    def send(self, end: FastUpstream, request: bytes) -> None:
        """Send a request to an upstream, unless its connection ends before."""
        self._requests.append((end, request))
        if not self._is_due:
            self._be_due()

    def wait(self, waiting: Waiting) -> None:
        """Let what came of a response be passed on."""
        self._waiting.append(waiting)
        if not self._is_due:
            self._be_due()

    def _be_due(self) -> None:
        self._is_due = True
        self._engine.loop.call_soon(self.end)

    def end(self) -> None:
        """Do now what waits, as the turn does when it ends."""
        self._is_due = False
        waiting, self._waiting = self._waiting, []
        requests, self._requests = self._requests, []
        for one in waiting:
            try:
                one.pass_on()
            except Exception as error:  # noqa: BLE001 - the boundary where it becomes a response
                self._send_responses()  # maybe its own
                _fail(one, error)
        self._send_responses()
        for end, request in requests:
            if not end.transport.is_closing():
                _write(end.write, request)

    def _send_responses(self) -> None:
        responses, self.responses = self.responses, []
        for write, response in responses:
            _write(write, response)


def _fail(one: Waiting, error: Exception) -> None:
    try:
        one.fail(error)
    except Exception as another:  # noqa: BLE001 - of one request, which has a time limit, too
        _log.error("unexpected error in a request", exc_info=another)


def _write(write: Callable[[bytes], object], data: bytes) -> None:
    try:
        write(data)
    except Exception as error:  # noqa: BLE001 - of one connection; the others have theirs to send
        _log.error("unexpected error in a request", exc_info=error)
