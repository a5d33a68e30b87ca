"""Applies one plan under the lease of its gateway: batches written, read back and recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from stoa_gitops.drivers.execution import Execution
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.resources import Resource
from stoa_gitops.reconcile.recorder import Recorder
from stoa_gitops.reconcile.spec_resolver import SpecResolver


@dataclass
class GatewayWriter:
    """The steps apply, verify and record. `GatewaySession.write` makes one and holds the lease.

    execution  writes to the gateway, and reads back what was written
    batches    outcomes of `execution`, one list for each batch
    resolver   knows the secrets that were written, which no message may show
    recorder   writes to the store
    """

    execution: Execution
    batches: AsyncIterator[list[Outcome]]
    resolver: SpecResolver
    recorder: Recorder

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """What happened to each change so far, as it was recorded."""
        return self.recorder.outcomes

    def apply(self) -> AsyncIterator[list[Outcome]]:
        """Yield the outcomes of each batch once it is written; verify it before the next one."""
        return self.batches

    async def verify(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Return the outcomes, FAILED where the gateway does not hold what was acknowledged.

        A change that failed here blocks those that depend on it in later batches.
        """
        return await self.execution.verify(outcomes)

    async def verify_again(self, resources: Sequence[Resource]) -> list[Outcome]:
        """Call the routes of live objects that did not answer before; see `Execution`."""
        return await self.execution.verify_again(resources)

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes in the store, without secrets in their messages; raises StoreError."""
        for outcome in outcomes:
            message = self.resolver.redact(outcome.message)
            self.recorder.outcomes.append(replace(outcome, message=message))
            if self.recorder.is_due:
                await self.recorder.write_outcomes()
