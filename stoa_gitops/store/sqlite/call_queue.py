"""Calls of a store in their order, on one thread; those that wait for it share a commit."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from stoa_gitops.errors import StoreError
from stoa_gitops.store.sqlite.blocking_store import BlockingStore

T = TypeVar("T")

MOST_TOGETHER: Final = 64
LONGEST: Final = 0.02
"""Seconds after which a commit waits for no further call: other processes wait for it, too."""


class CallQueue:
    """Runs calls with a store on the one thread of `thread`.

    A commit waits for the disk, and a hundred gateways that are reconciled at once have five of
    them each. A caller gets its result when what it wrote is committed, and not before.
    """

    def __init__(self, store: BlockingStore, thread: ThreadPoolExecutor) -> None:
        self._store = store
        self._thread = thread
        self._waiting: deque[_Call] = deque()

    def submit(self, method: Callable[[BlockingStore], T]) -> Future[T]:
        """Have a method called after those before it; one that is cancelled in time is not.

        Raises RuntimeError when the thread was shut down.
        """
        call = _Call(method, Future())
        self._waiting.append(call)
        # One run for each call: those whose call was taken with an earlier one find another, or
        # nothing.
        self._thread.submit(self._run)
        return call.future

    def _run(self) -> None:
        calls: list[_Call] = []
        end = time.monotonic() + LONGEST
        try:
            with self._store.together():
                while (call := self._take()) is not None:
                    calls.append(call)
                    call.run(self._store)
                    if len(calls) == MOST_TOGETHER or time.monotonic() >= end:
                        break
        except StoreError:
            # Nothing of any of them is stored: each runs again for itself, and fails for itself.
            for call in calls:
                call.run(self._store)
        except BaseException as error:  # noqa: BLE001 - whatever it is: nobody waits for ever
            for call in calls:
                call.error = error
        for call in calls:
            call.finish()

    def _take(self) -> _Call | None:
        while self._waiting:
            call = self._waiting.popleft()
            if call.future.set_running_or_notify_cancel():
                return call
        return None


@dataclass(slots=True, eq=False)
class _Call:
    method: Callable[[BlockingStore], Any]
    future: Future[Any]
    result: Any = None
    error: BaseException | None = None

    def run(self, store: BlockingStore) -> None:
        self.result = self.error = None
        try:
            self.result = self.method(store)
        except BaseException as error:  # noqa: BLE001 - its caller gets it
            self.error = error

    def finish(self) -> None:
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)
            self.error = None  # the future has it, and its traceback has this call
