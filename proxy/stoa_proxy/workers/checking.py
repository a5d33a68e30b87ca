"""Which worker checks backends for all, and how the others learn what it finds.

A check costs its backend the same however many processes a gateway has. When the worker that checks
ends, another one goes on with what it was told; until a worker that hangs is killed, nothing is
checked, and what was found stands.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from stoa_proxy.core.backend_health import SharedVerdict
from stoa_proxy.workers.channel import Message
from stoa_proxy.workers.link import WorkerLink

_log = logging.getLogger("stoa_proxy.workers")

_KIND: Final = "verdicts"


def verdicts_message(verdicts: Iterable[SharedVerdict]) -> Message:
    """Return what checks of backends found, for another process."""
    return Message(_KIND, {"verdicts": list(verdicts)})


def read_verdicts(message: Message) -> list[SharedVerdict]:
    """Return the verdicts of a message."""
    return [SharedVerdict(*one) for one in message.values["verdicts"]]


class Checking:
    """The one of the `listening` workers that checks."""

    def __init__(self, listening: Callable[[], Sequence[WorkerLink]]) -> None:
        self._listening = listening
        self._leader: WorkerLink | None = None

    def is_leader(self, link: WorkerLink) -> bool:
        """Whether it is this one."""
        return link is self._leader

    def join(self, link: WorkerLink) -> None:
        """Have a worker that listens now check, or learn what is known."""
        if self._leader is None:
            self._appoint(link)
        else:
            # To all, in the order of what is found later.
            self._leader.post(Message("tell verdicts"))

    def leave(self, link: WorkerLink) -> None:
        """Have another one check in place of a worker that has ended."""
        if link is not self._leader:
            return
        self._leader = None
        for other in self._listening():
            self._appoint(other)
            return

    def relay(self, link: WorkerLink, message: Message) -> None:
        """Tell all others what a worker found."""
        for other in self._listening():
            if other is not link:
                other.post(message)

    def _appoint(self, link: WorkerLink) -> None:
        self._leader = link
        link.post(Message("check"))
        _log.debug("backends are checked by worker=%d", link.number)
