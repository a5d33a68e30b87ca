"""Holds the lease of a gateway while it is written to: waits, renews, releases."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

from stoa_gitops.errors import LeaseHeld, StoreError
from stoa_gitops.store import Lease, Store

# Another machine may take the lease over after so long. It is renewed every third of it, so that a
# loop that is late does not lose it.
TTL = timedelta(seconds=60)
# Seconds to wait for another process to finish with a gateway.
PATIENCE = 30.0


@contextlib.asynccontextmanager
async def leased(
    store: Store,
    gateway: str,
    holder: str,
    clock: Callable[[], datetime],
    *,
    patience: float = PATIENCE,
) -> AsyncIterator[None]:
    """Hold the lease inside the block; raises LeaseHeld, with the holder, after `patience` seconds.

    A lease that is lost meanwhile (a clock that jumped, a person who removed it) ends the block
    with LeaseHeld as well, because another process may already be writing.
    """
    lease = await _acquired(store, gateway, holder, clock, patience)
    working = asyncio.current_task()
    renewing = asyncio.create_task(_renew(store, lease, clock, working))
    try:
        yield
    except asyncio.CancelledError:
        # Cancelled by `_renew`, which lost the lease, or from outside: only the first becomes
        # LeaseHeld. `uncancel` above 0 says that somebody else wants this task to end as well.
        lost = renewing.exception() if renewing.done() and not renewing.cancelled() else None
        if lost is None or working is None or working.uncancel() > 0:
            raise
        raise LeaseHeld(str(lost)) from lost
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        # Shielded: a cancelled cycle gives the lease back, or the next one waits for it to expire.
        with contextlib.suppress(StoreError):
            await asyncio.shield(store.release_lease(lease))


async def _acquired(
    store: Store,
    gateway: str,
    holder: str,
    clock: Callable[[], datetime],
    patience: float,
) -> Lease:
    end = asyncio.get_running_loop().time() + patience
    while True:
        try:
            return await store.acquire_lease(gateway, holder, TTL, clock())
        except LeaseHeld:
            if asyncio.get_running_loop().time() >= end:
                raise
            await asyncio.sleep(random.uniform(0.05, 0.15))  # noqa: S311  # jitter, no secret


async def _renew(
    store: Store,
    lease: Lease,
    clock: Callable[[], datetime],
    working: asyncio.Task[object] | None,
) -> None:
    while True:
        await asyncio.sleep(TTL.total_seconds() / 3)
        try:
            lease = await store.renew_lease(lease, TTL, clock())
        except StoreError:
            if working is not None:
                working.cancel()
            raise
