"""Which backend of a route gets a request, and what is learnt of it there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stoa_proxy.core.backend import Backend, Upstream
from stoa_proxy.core.backend_auth import AnyBackendAuth, ClientCredentials
from stoa_proxy.core.backend_health import BackendHealth, Owner, is_failure
from stoa_proxy.core.balancers import Balancers, RouteBalancer
from stoa_proxy.core.balancing import Balancing
from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.model import Route
from stoa_proxy.core.policy import Unavailable
from stoa_proxy.core.policy_states import PolicyState, PolicyStates
from stoa_proxy.core.upstream_health import UpstreamHealth
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.tokens.backend_tokens import BackendTokens

BACKEND_STATES: Final[tuple[type[PolicyState], ...]] = (Balancers, BackendHealth, BackendTokens)
"""What is kept of backends between requests, whose metrics are served."""


class BackendChoice:
    """Chooses for each attempt, and keeps what outlives a request: health, turns, tokens."""

    def __init__(
        self, clock: Clock, states: PolicyStates, upstream_health: UpstreamHealth | None = None
    ) -> None:
        self.upstream_health = upstream_health or UpstreamHealth(clock)
        self._health = states.of(BackendHealth)
        self._tokens = states.of(BackendTokens)
        self.balancers = states.of(Balancers)

    def choose(self, context: RequestContext) -> Upstream | Unavailable:
        """Return the backend of the next attempt, noted in the context, or why there is none."""
        route = context.route
        auth = route.backend_auth
        if auth is not None and not auth.is_resolved:
            return Unavailable("credential-unresolved", 0.0)
        if isinstance(auth, ClientCredentials):
            token = self._tokens.token(route.tenant_id, auth)
            if token is None:
                wait = self._tokens.retry_seconds(route.tenant_id, auth)
                return Unavailable("token-unavailable", wait)
            # Kept for this attempt: a request never goes out without it, whenever it ends.
            context.notes[ClientCredentials] = token
        if route.balancing is not None:
            return self._balance(context, route.balancing)
        backend = route.backend
        if not isinstance(backend, Backend):
            return backend
        if route.fallback is not None and self.upstream_health.is_down(backend):
            return Unavailable("upstream-down", 0.0)
        refused = ask_peers(context, backend) if context.api.upstream_peers else None
        return backend if refused is None else refused

    def pick(self, route: Route) -> tuple[Backend, str] | None:
        """Choose for a first attempt without a context; return the backend, and its token or "".

        For routes without a fallback and APIs without `upstream_peers`. None where there is
        something to wait for or to say, which `choose` is for.
        """
        auth, backend, token = route.backend_auth, route.backend, ""
        if auth is not None:
            if not auth.is_resolved:
                return None
            if isinstance(auth, ClientCredentials):
                current = self._tokens.current(route.tenant_id, auth)
                if current is None:
                    return None
                token = current
        if route.balancing is not None:
            balancer = self.balancers.of(route, route.balancing)
            index = self.balancers.select(route, balancer, self._candidates(route, balancer))
            return route.balancing.targets[index].backend, token
        return (backend, token) if isinstance(backend, Backend) else None

    def note_picked(self, context: RequestContext, backend: Backend, token: str) -> None:
        """Note in a context what `pick` chose for its request."""
        context.backend = backend
        if context.route.balancing is not None:
            context.tried = (backend,)
        if token:
            context.notes[ClientCredentials] = token

    def credential(self, context: RequestContext, auth: AnyBackendAuth) -> tuple[str, str] | None:
        """Return the name and the value of a backend's credential, as they are sent."""
        if isinstance(auth, ClientCredentials):
            return auth.name, f"Bearer {context.notes[ClientCredentials]}"
        return None if auth.value is None else (auth.name, auth.value)

    def note_unreachable(self, context: RequestContext) -> None:
        """Note that the one backend of a route with a fallback could not be connected to."""
        backend = context.backend
        # Of several each has a state of its own.
        if context.route.balancing is None and isinstance(backend, Backend):
            self.upstream_health.mark_down(backend)

    def has_other(self, context: RequestContext) -> bool:
        """Whether there is a backend that the request was not sent to yet."""
        balancing = context.route.balancing
        return balancing is not None and any(
            target.weight and target.backend not in context.tried for target in balancing.targets
        )

    def note(self, context: RequestContext, outcome: UpstreamFailed | int | None) -> None:
        """Note how an attempt to call the chosen backend ended; None: by the client."""
        route, backend = context.route, context.backend
        if context.fallback_reason is not None or not isinstance(backend, Backend):
            return
        self.note_outcome(route, backend, outcome)
        for policy in context.api.upstream_observers:
            policy.upstream_outcome(context, backend, outcome)

    def note_outcome(
        self, route: Route, backend: Backend, outcome: UpstreamFailed | int | None
    ) -> None:
        """Do what `note` does, but for policies."""
        health = self._health
        if route.balancing is not None and not (health.is_calm and is_failure(outcome) is False):
            owner = Owner(route.tenant_id, route.api_id)
            health.note_outcome(owner, backend, route.balancing.passive, outcome)
        if outcome == 401 and isinstance(route.backend_auth, ClientCredentials):
            self._tokens.doubt(route.tenant_id, route.backend_auth)

    def may_retry(self, context: RequestContext) -> bool:
        """Whether the backend may be called once more, where it has no others beside it."""
        backend = context.backend
        if context.route.balancing is not None or not isinstance(backend, Backend):
            return True  # among several, the choice asks
        if context.fallback_reason is not None or not context.api.upstream_peers:
            return True
        return ask_peers(context, backend) is None

    def _balance(self, context: RequestContext, balancing: Balancing) -> Backend | Unavailable:
        route, balancer = context.route, self.balancers.of(context.route, balancing)
        backends = [target.backend for target in balancing.targets]
        candidates = self._candidates(route, balancer)
        if not candidates:
            return Unavailable("upstream-down", 0.0)
        tried = context.tried
        if tried:
            candidates = [one for one in candidates if backends[one] not in tried] or candidates
        refused: Unavailable | None = None
        while candidates:
            index = self.balancers.select(route, balancer, candidates)
            backend = backends[index]
            kept_off = ask_peers(context, backend) if context.api.upstream_peers else None
            if kept_off is None:
                context.backend = backend
                context.tried = (*tried, backend)
                return backend
            if refused is None or kept_off.retry_after < refused.retry_after:
                refused = kept_off
            candidates = [one for one in candidates if one != index]
        assert refused is not None, "one backend at least has a weight"
        return refused

    def _candidates(self, route: Route, balancer: RouteBalancer) -> Sequence[int]:
        """Return the backends that may be chosen; none where the fallback is to be called."""
        health = self._health
        if health.is_calm:
            return balancer.usable
        owner = Owner(route.tenant_id, route.api_id)
        targets, probed = balancer.balancing.targets, balancer.probed
        well = [
            index
            for index in balancer.usable
            if health.is_well(owner, probed[index], targets[index].backend)
        ]
        if well or route.fallback is not None:
            return well
        # All are tried rather than none: checks may be wrong, and nothing else is left.
        self.balancers.panics += 1
        return balancer.usable


def ask_peers(context: RequestContext, backend: Backend) -> Unavailable | None:
    """Return why a policy keeps requests from a backend, if one does."""
    monotonic = context.clock.monotonic
    for policy in context.api.upstream_peers:
        began = monotonic()
        unavailable = policy.upstream_peer(context, backend)
        context.policy_seconds.append((policy, monotonic() - began))
        if unavailable is not None:
            return unavailable
    return None
