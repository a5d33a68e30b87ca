"""What an engine is, and what all engines share: awaiting policies that need I/O."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from stoa_proxy.core.exchange import Decision, Prepare, UpstreamDecision
from stoa_proxy.core.policy import Services
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.engines.deadlines import TimeLimits
from stoa_proxy.errors import ServiceFailed
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.throttled_log import ThrottledLog
from stoa_proxy.pipeline.decide import Pipeline

_log = logging.getLogger("stoa_proxy.engine")

# For each AsyncPolicy of a request; less where the route's own timeout is less. A client waits for
# it before its request goes anywhere, so it must be well below the route's default of 30 s.
PREPARE_SECONDS = 5.0

OPERATOR = ""
"""Whose services call what settings name, under no rule for addresses of backends."""


class Engine(ABC):
    """Serves clients on one address and carries out what the pipeline decides.

    An engine owns its sockets, its connections to upstreams and its `core.policy.Services`. It
    hands each request head to `OwnPaths` first and to the pipeline then, follows `core.attempts`
    when it calls upstreams, and awaits policies by a `PolicyPreparer`. It calls `on_drained` in
    `stop`, when requests have ended and its connections are still there for services.
    """

    on_drained: Callable[[], Awaitable[None]]
    serves_here = True
    """Whether requests are served by this process, or by others that the engine has."""

    @abstractmethod
    async def start(self, host: str, port: int) -> int:
        """Listen; return the port, which for 0 is a free one. Raises ListenFailed."""

    @abstractmethod
    async def stop(self, drain_seconds: float) -> None:
        """Accept no more, finish requests for at most `drain_seconds`, then end the rest."""

    @abstractmethod
    async def update_guard(self, guard: AddressGuard) -> None:
        """Connect to backends by these address rules from now on, and close older connections."""

    @abstractmethod
    def services_of(self, tenant: str) -> Services:
        """Return what a tenant's policies may use; those of OPERATOR are the gateway's own."""


class PolicyPreparer:
    """Awaits the policies of a request that need I/O, each for a bounded time.

    `services_of` returns what a tenant's policies are given. What a policy raises refuses the
    request: it never lets one pass. A client that leaves cancels the task that this runs in, and
    so the policy.
    """

    def __init__(
        self, pipeline: Pipeline, services_of: Callable[[str], Services], clock: Clock
    ) -> None:
        self._pipeline = pipeline
        self._services_of = services_of
        self._limits = TimeLimits()
        # Clients can provoke these lines with every request.
        self._throttled_log = ThrottledLog(_log, clock)

    async def prepare(self, decision: Prepare) -> UpstreamDecision:
        """Return the decision that stands after all policies of a request."""
        following: Decision = decision
        while isinstance(following, Prepare):
            following = self._pipeline.resume(following, await self._await_policy(following))
        return following

    async def _await_policy(self, decision: Prepare) -> Respond | None:
        context, policy = decision.context, decision.policy
        clock = context.clock
        started = clock.monotonic()
        try:
            with self._limits.within(min(PREPARE_SECONDS, context.route.timeout)):
                services = self._services_of(context.route.tenant_id)
                return await policy.prepare(context, services)
        except (ServiceFailed, TimeoutError) as error:
            self._throttled_log.warning(
                "a service that a policy needs does not respond route=%s policy=%s: %s",
                context.route.id,
                type(policy).__name__,
                str(error) or "timeout",
                subject=context.route.tenant_id,
            )
            detail = "A service that this gateway needs does not respond."
            return problem(503, "Service unavailable", detail)
        except Exception as error:  # noqa: BLE001 - an extension's bug must refuse, never admit
            self._throttled_log.warning(
                "unexpected error in a policy route=%s policy=%s",
                context.route.id,
                type(policy).__name__,
                subject=context.route.tenant_id,
                error=error,
            )
            return problem(500, "Internal server error")
        finally:
            context.noted.waits.append((policy, clock.monotonic() - started))
