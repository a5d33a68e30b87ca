"""Waits for the token that a route's backend is called with.

Not a policy type: the credential belongs to routes, and those that need a token get this one.
"""

from __future__ import annotations

from dataclasses import dataclass

from stoa_proxy.core.backend_auth import ClientCredentials
from stoa_proxy.core.policy import AsyncPolicy, PolicyContext, Services
from stoa_proxy.core.problems import Respond
from stoa_proxy.tokens.backend_tokens import BackendTokens

# Less than a policy has in all, so that the fallback gets its turn.
_SECONDS = 4.5


@dataclass(frozen=True, slots=True)
class BackendToken(AsyncPolicy):
    """Runs behind all policies of an API, before the backend is chosen."""

    def is_prepared(self, context: PolicyContext) -> bool:
        """Whether there is nothing to wait for."""
        auth = context.route.backend_auth
        if not isinstance(auth, ClientCredentials) or not auth.is_resolved:
            return True
        return context.states.of(BackendTokens).is_ready(context.route.tenant_id, auth)

    async def prepare(self, context: PolicyContext, services: Services) -> Respond | None:
        """Fetch a token; where none comes, the choice of the backend says what becomes of it."""
        route, auth = context.route, context.route.backend_auth
        assert isinstance(auth, ClientCredentials), "asked before"
        seconds = min(_SECONDS, route.timeout * 0.9)
        tokens = context.states.of(BackendTokens)
        await tokens.update(route.tenant_id, auth, services, seconds)
        return None


BACKEND_TOKEN = BackendToken()
