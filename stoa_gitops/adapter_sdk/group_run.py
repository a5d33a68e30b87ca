"""Outcomes of an adapter that applies a whole plan itself: in time, blocked, and cancelled as one.

`apply_each` does the same for adapters whose changes are written one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from stoa_gitops.adapter_sdk.blocking import FailedDependencies, outcome_of
from stoa_gitops.adapter_sdk.contract import AdapterResult, Write, WriteLimits
from stoa_gitops.adapter_sdk.results import failure, internal_error
from stoa_gitops.errors import GatewayUnreachable, StoaGitopsError
from stoa_gitops.model.outcomes import Outcome

Done = TypeVar("Done")


class GroupRun:
    """One call of `apply`: at most `writers` writes at a time, each within the time of one.

    outcomes  by identity of the writes
    """

    def __init__(self, limits: WriteLimits, writers: int) -> None:
        self.limits = limits
        self.slots = asyncio.Semaphore(min(limits.concurrency, writers))
        self.outcomes: dict[int, Outcome] = {}
        self._failed = FailedDependencies()

    async def in_time(self, job: Awaitable[Done]) -> Done | AdapterResult:
        """Return what a job returns, or the result of its failure. Raises nothing."""
        seconds = self.limits.write_seconds
        try:
            async with asyncio.timeout(seconds):
                return await job
        except TimeoutError:
            message = f"the gateway did not finish within {seconds:g} s"
            return failure(GatewayUnreachable(message))
        except StoaGitopsError as error:
            return failure(error)
        except Exception as error:  # noqa: BLE001  # only cancellation may leave this boundary
            return internal_error(error)

    def is_blocked(self, write: Write) -> bool:
        """Whether a write waits for one that failed; it has its outcome then."""
        blocked = self._failed.blocked_outcome(write.change)
        if blocked is not None:
            self.outcomes[id(write)] = blocked
        return blocked is not None

    def finish(self, write: Write, result: AdapterResult) -> None:
        """Keep the outcome of a write; what depends on a failed one is blocked from now on."""
        outcome = outcome_of(write.change, result)
        self.outcomes[id(write)] = outcome
        self._failed.add_outcome(outcome)


async def gather(jobs: Sequence[Awaitable[None]]) -> None:
    """Run jobs side by side, and end all of them with the caller."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        # Reached early if the caller is cancelled: no write may go on.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
