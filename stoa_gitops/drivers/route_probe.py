"""Whether a route answers through the gateway: the calls that a catalog declares as `probe`, after a write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

import httpx

from stoa_gitops.adapter_sdk.http.auth import is_loopback
from stoa_gitops.model.changes import Action
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import Probe

PROBE_FAILED: Final = "ProbeFailed"
SIDE_BY_SIDE: Final = 8


@dataclass(frozen=True, slots=True)
class ProbePolicy:
    """How long a route may take to be live.

    in_a_row  good answers, each on a new connection: a gateway's workers switch one after the other, and old and new
              answers alternate for a moment (Kong: up to 2 s at 10,000 units)
    seconds   for one route, and for one answer
    together  for all routes of one apply; those that are not reached by then are left with a warning
    """

    in_a_row: int = 5
    seconds: float = 10.0
    answer_seconds: float = 2.0
    pause_seconds: float = 0.1
    together: float = 120.0


class Prober:
    """Calls routes of one gateway at the address where its consumers call them."""

    def __init__(self, public_url: str, patience: ProbePolicy | None = None) -> None:
        self._base = public_url.rstrip("/")
        self._patience = patience or ProbePolicy()

    async def judge(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Return the outcomes; a written API whose route does not answer as declared has failed, and it alone."""
        judged = list(outcomes)
        asked = [index for index, outcome in enumerate(judged) if _probe_of(outcome) is not None]
        if not self._base or not asked:
            return judged
        gate = asyncio.Semaphore(SIDE_BY_SIDE)
        until = time.monotonic() + self._patience.together

        async def one(index: int) -> None:
            async with gate:
                judged[index] = await self._judged(judged[index], until)

        tasks = [asyncio.create_task(one(index)) for index in asked]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return judged

    async def _judged(self, outcome: Outcome, until: float) -> Outcome:
        probe = _probe_of(outcome)
        if probe is None:
            return outcome
        left = until - time.monotonic()
        if left <= 0:
            words = f"not probed: the probes before it took {self._patience.together:g} s"
            return replace(outcome, warnings=(*outcome.warnings, words))
        wrong = await self._wrong(probe, min(left, self._patience.seconds))
        if wrong is None:
            return outcome
        words = f"it was written, and GET {probe.path} through {self._base} {wrong}"
        return replace(outcome, status=Status.FAILED, reason=PROBE_FAILED, message=words)

    async def _wrong(self, probe: Probe, seconds: float) -> str | None:
        """Return in words what is wrong with a route at the end of its time; None when it answers as declared."""
        said = "was not answered"
        good = 0
        try:
            async with asyncio.timeout(seconds):
                while good < self._patience.in_a_row:
                    said, is_good = await self._ask(probe)
                    good = good + 1 if is_good else 0
                    if not is_good:
                        await asyncio.sleep(self._patience.pause_seconds)
        except TimeoutError:
            return f"{said}, and not {self._patience.in_a_row} times in a row {probe.expect}, within {seconds:.0f} s"
        return None

    async def _ask(self, probe: Probe) -> tuple[str, bool]:
        """Call once, on a connection of its own; redirects are answers like any other."""
        headers = {"Host": probe.host} if probe.host else {}
        try:
            async with httpx.AsyncClient(
                timeout=self._patience.answer_seconds,
                follow_redirects=False,
                trust_env=not is_loopback(self._base),
            ) as client:
                url = self._base + quote(probe.path, safe="/%?&=:@!$'()*+,;~-._")
                answer = await client.get(url, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"failed ({type(error).__name__})", False
        return f"was answered with {answer.status_code}", answer.status_code == probe.expect


def _probe_of(outcome: Outcome) -> Probe | None:
    change = outcome.change
    if outcome.status is not Status.APPLIED or change.action is Action.DELETE:
        return None
    return change.resource.hints.probe if change.resource else None
