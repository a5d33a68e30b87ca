"""Holding the right to write to a gateway: wait for it in bounds, renew it while working, give it back."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

from stoa_gitops.errors import LeaseHeld, StoreError
from stoa_gitops.store import Lease, Store

TTL = timedelta(seconds=60)
PATIENCE = 30.0
"""Seconds that are waited for another process to finish with a gateway."""


@contextlib.asynccontextmanager
async def leased(
    store: Store,
    gateway: str,
    holder: str,
    clock: Callable[[], datetime],
    *,
    patience: float = PATIENCE,
) -> AsyncIterator[None]:
    """Raises LeaseHeld, with who holds it, when it is not free after `patience` seconds.

    A lease that is lost while working (a clock that jumped, a person who removed it) ends the block with
    LeaseHeld, too: somebody else may write already.
    """
    lease = await _acquired(store, gateway, holder, clock, patience)
    working = asyncio.current_task()
    renewing = asyncio.create_task(_renew(store, lease, clock, working))
    try:
        yield
    except asyncio.CancelledError:
        lost = renewing.exception() if renewing.done() and not renewing.cancelled() else None
        if lost is None or working is None or working.uncancel() > 0:
            raise
        raise LeaseHeld(str(lost)) from lost
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
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
            await asyncio.sleep(random.uniform(0.05, 0.15))  # noqa: S311 - jitter


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
