"""`circuit_breaker`: stops calling a backend that fails, and tries it again after a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from stoa_proxy.core.backend import Backend
from stoa_proxy.core.circuit_breakers import BreakerKey, BreakerRules, CircuitBreakers
from stoa_proxy.core.policy import (
    Phase,
    Policy,
    PolicyContext,
    PolicyType,
    RequestEnd,
    Unavailable,
    always_public,
)
from stoa_proxy.errors import NO_RESPONSE, UpstreamFailed
from stoa_proxy.policies.parsing import check_keys, read_positive, read_seconds

# Not `denied` and `busy`: the gateway itself refused, so nothing was learnt of the backend.
_FAILURES = NO_RESPONSE | {"timeout"}
# Beyond the route's own time limit, for what comes before and after the call.
_MORE_SECONDS = 5.0


class _Probe(NamedTuple):
    """A request that tries a backend half open, awaited `until` then."""

    key: BreakerKey
    until: float


@dataclass(frozen=True, slots=True)
class CircuitBreaker(Policy):
    """Counts what its API's backends do; its breakers belong to `policy_id`."""

    policy_id: str
    rules: BreakerRules

    def upstream_peer(self, context: PolicyContext, backend: Backend) -> Unavailable | None:
        """Keep a request from a backend whose breaker is open."""
        breakers = context.states.of(CircuitBreakers)
        seconds = context.route.timeout + _MORE_SECONDS
        key = self._key(context, backend)
        wait = breakers.refuse(key, self.rules, seconds)
        if wait is not None:
            return Unavailable("circuit-open", wait)
        until = breakers.probe_until(key)
        if until:
            context.notes[CircuitBreaker] = _Probe(key, until)
        return None

    def upstream_outcome(
        self, context: PolicyContext, backend: Backend, outcome: UpstreamFailed | int | None
    ) -> None:
        """Count failures to respond and 5xx; any other response is a success."""
        context.notes.pop(CircuitBreaker, None)
        is_failure: bool | None = None
        if isinstance(outcome, int):
            is_failure = outcome >= 500
        elif outcome is not None and outcome.reason in _FAILURES:
            is_failure = True
        breakers = context.states.of(CircuitBreakers)
        breakers.note(self._key(context, backend), self.rules, is_failure=is_failure)

    def log(self, context: PolicyContext, end: RequestEnd) -> None:
        """Let the next request try the backend where this one was to and did not, as a client left.

        Else whoever sends requests and leaves could keep a backend from everybody.
        """
        probe = context.notes.pop(CircuitBreaker, None)
        if isinstance(probe, _Probe):
            context.states.of(CircuitBreakers).release(probe.key, probe.until)

    def _key(self, context: PolicyContext, backend: Backend) -> BreakerKey:
        host = f"[{backend.host}]" if ":" in backend.host else backend.host
        origin = f"{backend.scheme}://{host}:{backend.port}"
        return BreakerKey(self.policy_id, context.route.api_id, origin)


def parse_circuit_breaker(policy_id: str, config: Mapping[str, object]) -> CircuitBreaker:
    """Return a CircuitBreaker for `{failures, window, reset}`. Raises ValueError."""
    check_keys(config, ("failures", "window", "reset"))
    rules = BreakerRules(
        read_positive(config, "failures"),
        read_seconds(config, "window"),
        read_seconds(config, "reset"),
    )
    return CircuitBreaker(policy_id, rules)


POLICY = PolicyType(
    "circuit_breaker",
    Phase.UPSTREAM,
    parse_circuit_breaker,
    '`{"failures": int > 0, "window": duration, "reset": duration}`; a failure is a 5xx or no '
    "response",
    statuses=(503,),
    is_single=True,
    is_shared=False,  # each has breakers of its own
    is_public=always_public,
    states=(CircuitBreakers,),
)
