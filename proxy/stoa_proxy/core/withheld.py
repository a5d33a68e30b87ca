"""What stands for a policy whose config was not kept: it refuses, so that nothing is open."""

from __future__ import annotations

from dataclasses import dataclass

from stoa_proxy.core.policy import Policy, PolicyContext
from stoa_proxy.core.policy_states import PolicyStates
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.http.heads import RequestHead

WITHHELD = {"withheld": True}
"""The config of such a policy, which no type accepts: whoever compares it writes it again."""

_REFUSAL = problem(
    503,
    "Service unavailable",
    "A policy of the API is not here since a restart: it has to be written again.",
    headers=[("Retry-After", "5")],
    kind="policy-withheld",
)


@dataclass(frozen=True, slots=True)
class WithheldPolicy(Policy):
    """Refuses every request, preflights included."""

    def preflight_filter(self, head: RequestHead, states: PolicyStates) -> Respond:
        """Refuse a preflight."""
        return _REFUSAL

    def request_filter(self, context: PolicyContext) -> Respond:
        """Refuse a request."""
        return _REFUSAL
