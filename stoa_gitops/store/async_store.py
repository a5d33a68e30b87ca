"""The store behind a thread of its own, so that the loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from stoa_gitops.store.store import Store

P = ParamSpec("P")
T = TypeVar("T")


class AsyncStore:
    """Calls the methods of a Store on one thread, in the order in which they were asked for."""

    def __init__(self, store: Store, thread: ThreadPoolExecutor) -> None:
        self._store = store
        self._thread = thread

    @classmethod
    async def open(cls, opener: Callable[[], Store]) -> AsyncStore:
        """Open a store on its thread: `AsyncStore.open(lambda: Store.open(folder))`."""
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        try:
            store = await asyncio.get_running_loop().run_in_executor(thread, opener)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(store, thread)

    async def call(
        self, method: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run one method: `await store.call(Store.load, scope)`. Raises what the method raises.

        A call that is cancelled while it waits for its turn does not run; one that runs is finished.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, lambda: method(self._store, *args, **kwargs)
        )

    async def close(self) -> None:
        """Finish what is running, close the store and end the thread; a second call does nothing."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        except RuntimeError:
            return
        self._thread.shutdown(wait=True)
