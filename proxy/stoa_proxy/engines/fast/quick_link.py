"""What a usual request needs of the connection that it came on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.engine import FastEngine
    from stoa_proxy.engines.fast.exchange import Exchange
    from stoa_proxy.engines.fast.quick_exchange import QuickExchange


class QuickLink(Protocol):
    """The client's connection of usual requests, as `client_link.ClientLink` says it.

    `ends_at_once` is whether `end_quick` is called behind a response that is written.
    """

    ends_at_once: bool
    engine: FastEngine
    client_address: str
    is_closing: bool
    is_write_paused: bool

    @property
    def write(self) -> Callable[[bytes], object]:
        """What sends a response, or a part of one."""
        ...

    def begin_quick(self, quick: QuickExchange, deadline: float, *, is_last: bool) -> None:
        """Let a request be at work until `deadline`; `is_last` as it asks for."""
        ...

    def end_quick(self) -> None:
        """Go on behind a response that is sent."""
        ...

    def abort(self) -> None:
        """Close at once and give everything back."""
        ...

    def carry(self, step: Callable[[], None]) -> None:
        """Do what needs an `Exchange`, or its like, for the request at work."""
        ...

    def replace_exchange(self, exchange: Exchange) -> None:
        """Let another one carry the request at work."""
        ...
