"""Calls the routes that a catalog declares as `probe`, through the gateway, after a write."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

import httpx

from stoa_gitops.adapter_sdk.http.proxies import environment_proxy
from stoa_gitops.errors import GatewayUnreachable
from stoa_gitops.model.changes import Action
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import Probe

PROBE_FAILED: Final = "ProbeFailed"
NOT_PROBED: Final = "NotProbed"
"""Reason of an outcome that is applied, and whose routes were not called for want of time."""

BODY_AT_MOST: Final = 65_536
"""Bytes that are read of a response: enough to see that a body comes, whatever its size."""

# As many as writes at the same time (WriteLimits): a probe is no heavier than a write.
CONCURRENT_PROBES: Final = 8

PROBES_PER_TENANT: Final = 4
"""Half of them: while one tenant's routes hang, those of others are called."""

# RFC 3986 §3.3 and §3.4: everything that may stand in a path or query, and `%` because the
# catalog's path is percent-encoded already.
_SAFE: Final = "/%?&=:@!$'()*+,;~-._"


@dataclass(frozen=True, slots=True)
class ProbePolicy:
    """How long a route may take to be live.

    in_a_row         good responses, each on a new connection: a gateway's workers switch one after
                     the other, and old and new responses alternate for a moment (Kong: up to 2 s
                     with 10,000 APIs)
    seconds          for one route
    answer_seconds   for one response, with the beginning of its body
    pause_seconds    between a wrong response and the next try
    total_seconds    for all routes of one apply; those not reached by then get a warning
    tenant_seconds   that all routes of one tenant may take in one apply, but for the first
                     `quick_seconds` of each; once 4 routes have hung for 10 s, no further one of
                     their tenant is called
    """

    in_a_row: int = 5
    seconds: float = 10.0
    answer_seconds: float = 2.0
    pause_seconds: float = 0.1
    total_seconds: float = 60.0
    tenant_seconds: float = 30.0
    quick_seconds: float = 0.5


AGAIN: Final = ProbePolicy(seconds=3.0, total_seconds=20.0, tenant_seconds=10.0)
"""For routes that did not answer before: each cycle calls them, and must not take long."""


class Prober:
    """Calls routes of one gateway at the address where its consumers call them; for one apply.

    Each tenant has a share: what it uses up, its other routes wait for until the next cycle.

    clock, sleep  injected for tests: monotonic seconds, and a pause in seconds
    """

    def __init__(
        self,
        public_url: str,
        policy: ProbePolicy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._base = public_url.rstrip("/")
        self._policy = policy or ProbePolicy()
        self._clock, self._sleep = clock, sleep
        self._left = self._policy.total_seconds
        self._left_of: dict[str, float] = {}
        self._tls: ssl.SSLContext | None = None

    async def check(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Return the outcomes; a written API whose routes do not respond as declared has FAILED.

        Only that one outcome fails. Nothing is called without a public URL.
        """
        checked = list(outcomes)
        probed = [index for index, outcome in enumerate(checked) if _probes_of(outcome)]
        if not self._base or not probed:
            return checked
        slots = asyncio.Semaphore(CONCURRENT_PROBES)
        started = self._clock()
        deadline = started + self._left
        of_tenants: dict[str, asyncio.Semaphore] = {}

        async def check_one(index: int) -> None:
            tenant = checked[index].change.key.tenant
            # The tenant's first: of each, four at most wait for a slot, in turn with others'.
            share = of_tenants.setdefault(tenant, asyncio.Semaphore(PROBES_PER_TENANT))
            async with share, slots:
                checked[index] = await self._check_outcome(checked[index], deadline)

        tasks = [asyncio.create_task(check_one(index)) for index in probed]
        try:
            await asyncio.gather(*tasks)
        finally:
            # gather leaves the others running when this task is cancelled or one of them raises.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._left -= self._clock() - started
        return checked

    async def _check_outcome(self, outcome: Outcome, deadline: float) -> Outcome:
        tenant = outcome.change.key.tenant
        for probe in _probes_of(outcome):
            started = self._clock()
            left = deadline - started
            if left <= 0:
                return _not_probed(outcome, "the probes before it took too long")
            if self._left_of.get(tenant, self._policy.tenant_seconds) <= 0:
                return _not_probed(outcome, "other routes of its tenant take too long")
            problem = await self._problem(probe, min(left, self._policy.seconds))
            self._charge(tenant, self._clock() - started)
            if problem is not None:
                sent = [f"Host {probe.host}"] if probe.host else []
                sent += [f"{name}: {value}" for name, value in probe.headers]
                where = f" ({', '.join(sent)})" if sent else ""
                message = (
                    f"it was written, and GET {probe.path}{where} through {self._base} {problem}"
                )
                return replace(outcome, status=Status.FAILED, reason=PROBE_FAILED, message=message)
        return outcome

    def _charge(self, tenant: str, seconds: float) -> None:
        left = self._left_of.get(tenant, self._policy.tenant_seconds)
        self._left_of[tenant] = left - max(0.0, seconds - self._policy.quick_seconds)

    async def _problem(self, probe: Probe, seconds: float) -> str | None:
        """Return what is wrong with a route when its time is up; None if nothing is."""
        deadline = self._clock() + seconds
        last = "was not answered"
        good = 0
        try:
            # Bounds a response that trickles in: httpx' timeout is one for each read.
            async with asyncio.timeout(seconds):
                while good < self._policy.in_a_row and self._clock() < deadline:
                    last, is_good = await self._call(probe)
                    good = good + 1 if is_good else 0
                    if not is_good:
                        await self._sleep(self._policy.pause_seconds)
        except TimeoutError:
            pass  # reported below, with the last response
        if good >= self._policy.in_a_row:
            return None
        return (
            f"{last}, and not {self._policy.in_a_row} times in a row {probe.expect},"
            f" within {seconds:.0f} s"
        )

    async def _call(self, probe: Probe) -> tuple[str, bool]:
        """Call once, on a new connection; a redirect is a response like any other."""
        headers = dict(probe.headers)
        if probe.host:
            headers["Host"] = probe.host
        status: int | None = None
        try:
            async with (
                httpx.AsyncClient(
                    timeout=self._policy.answer_seconds,
                    follow_redirects=False,
                    trust_env=False,
                    verify=self._trust(),
                    proxy=environment_proxy(self._base),
                ) as client,
                asyncio.timeout(self._policy.answer_seconds),
                client.stream("GET", self._url(probe), headers=headers) as response,
            ):
                status = response.status_code
                await _read_some(response)
        except GatewayUnreachable as error:
            return f"failed: {error}", False
        except TimeoutError:
            if status is None:
                return "was not answered in time", False
            # A stream of events has no end: the status says what the route does.
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"failed ({type(error).__name__})", False
        return f"was answered with {status}", status == probe.expect

    def _trust(self) -> ssl.SSLContext:
        """Return whom to trust; httpx would read all authorities, some 20 ms, for each call."""
        if self._tls is None:
            if self._base.lower().startswith("http:"):
                self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            else:
                self._tls = httpx.create_ssl_context(trust_env=False)
        return self._tls

    def _url(self, probe: Probe) -> str:
        return self._base + quote(probe.path, safe=_SAFE)


async def _read_some(response: httpx.Response) -> None:
    """Read the beginning of a body, as it is sent: a compressed one is not unpacked."""
    left = BODY_AT_MOST
    async for part in response.aiter_raw():
        left -= len(part)
        if left <= 0:
            return


def _not_probed(outcome: Outcome, why: str) -> Outcome:
    warnings = (*outcome.warnings, f"not probed: {why}; the next cycle calls it")
    return replace(outcome, reason=NOT_PROBED, warnings=warnings)


def _probes_of(outcome: Outcome) -> tuple[Probe, ...]:
    change = outcome.change
    if outcome.status is not Status.APPLIED or change.action is Action.DELETE:
        return ()
    return change.resource.hints.probes if change.resource else ()
