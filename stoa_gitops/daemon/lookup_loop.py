"""An event loop with short turns that loses no signal, and looks names up on threads of its own.

asyncio looks names up on its default threads, six on two cores. A few gateways whose names are slow
would then keep plans, secrets and answers of all others waiting for a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVarTuple, Unpack

from stoa_gitops.daemon.turn_selector import TurnSelector
from stoa_gitops.foundation.daemon_thread import on_a_thread

Ts = TypeVarTuple("Ts")
AddressInfo = list[tuple[Any, Any, int, str, Any]]


class LookupLoop(asyncio.SelectorEventLoop):
    """Looks each name up on a thread of its own, once at a time for all who ask.

    So there are as many threads as names that are slow: those of gateways and of this machine,
    which operators write.
    """

    def __init__(self, look_up: Callable[..., AddressInfo] = socket.getaddrinfo) -> None:
        super().__init__(TurnSelector())
        self._look_up = look_up
        self._lookups: dict[tuple[Any, ...], asyncio.Task[AddressInfo]] = {}

    def add_signal_handler(
        self, sig: int, callback: Callable[[Unpack[Ts]], object], *args: *Ts
    ) -> None:
        """Call back for each signal, however busy the loop is.

        asyncio reads signals from the socket that also wakes it up for results of threads. While
        a thousand of these wait, the socket is full, and a SIGTERM that finds no room is lost.
        """
        # For the wakeup: what is in the socket says nothing here.
        super().add_signal_handler(sig, lambda: None)
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)
        signal.signal(sig, lambda *_: self.call_soon_threadsafe(callback, *args))
        signal.siginterrupt(sig, False)

    async def getaddrinfo(  # type: ignore[override]  # typeshed has the host as bytes, too
        self,
        host: str | None,
        port: int | str | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - asyncio's name
        proto: int = 0,
        flags: int = 0,
    ) -> AddressInfo:
        """Return what `socket.getaddrinfo` does. Raises OSError."""
        key = (host, port, family, type, proto, flags)
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = self.create_task(
                on_a_thread(partial(self._look_up, *key))
            )
            lookup.add_done_callback(partial(self._forget, key))
        # Whoever stops waiting does not stop the others.
        return await asyncio.shield(lookup)

    def _forget(self, key: tuple[Any, ...], lookup: asyncio.Task[AddressInfo]) -> None:
        del self._lookups[key]
        with contextlib.suppress(asyncio.CancelledError):
            lookup.exception()  # read, so that it is not logged when nobody waits any more
