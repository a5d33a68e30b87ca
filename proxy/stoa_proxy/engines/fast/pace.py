"""How slowly a client may send the body of a request while nobody but the client is waited for."""

from __future__ import annotations

import asyncio
from typing import Protocol

from stoa_proxy.engines.complete.request_body import LEAST_SENT
from stoa_proxy.engines.fast.upload import Upload


class BodyLink(Protocol):
    """The connection that a body comes on.

    `is_held` is whether it has to wait, and `was_held` whether it had to since that was reset.
    """

    is_held: bool
    was_held: bool


class SlowBody(Protocol):
    """Whose body it is."""

    def refuse_slow_body(self) -> None:
        """Refuse it: next to nothing of it came."""
        ...


class Pace:
    """Looks every `seconds` whether 16 KiB of a body came; for one that had to wait again later."""

    __slots__ = ("_handle", "_link", "_loop", "_owner", "_received", "_seconds", "_upload")

    def __init__(self, owner: SlowBody, link: BodyLink, upload: Upload, seconds: float) -> None:
        self._owner = owner
        self._link = link
        self._upload = upload
        self._seconds = seconds
        self._received = upload.size
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(seconds, self._check)

    def stop(self) -> None:
        """Look no more."""
        self._handle.cancel()

    def _check(self) -> None:
        if not self._link.was_held and self._upload.size - self._received < LEAST_SENT:
            self._owner.refuse_slow_body()
            return
        self._received = self._upload.size
        self._link.was_held = self._link.is_held
        self._handle = self._loop.call_later(self._seconds, self._check)
