"""Either of several credentials: for an API whose policies identify callers in more than one way.

Not a policy type: an API with `api_key` and `jwt` gets it in their place.
"""

from __future__ import annotations

from dataclasses import dataclass

from stoa_proxy.core.policy import AsyncPolicy, Policy, PolicyContext, Services
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.http.heads import Header


@dataclass(frozen=True, slots=True)
class EitherCredential(AsyncPolicy):
    """Lets requests pass that carry one of the credentials; each one that is sent must be good."""

    policies: tuple[Policy, ...]

    @property
    def key_place(self) -> tuple[str, str] | None:
        """Where the first of the policies reads a key that reads one."""
        return next((one.key_place for one in self.policies if one.key_place is not None), None)

    def is_prepared(self, context: PolicyContext) -> bool:
        """Whether none of the credentials that were sent has to be waited for."""
        return all(
            not isinstance(policy, AsyncPolicy) or policy.is_prepared(context)
            for policy in self._sent(context)
        )

    async def prepare(self, context: PolicyContext, services: Services) -> Respond | None:
        """Wait for what the credentials need that were sent."""
        for policy in self._sent(context):
            if isinstance(policy, AsyncPolicy) and not policy.is_prepared(context):
                refusal = await policy.prepare(context, services)
                if refusal is not None:
                    return refusal
        return None

    def request_filter(self, context: PolicyContext) -> Respond | None:
        """Refuse with 401 without any credential, and with 403 two of different consumers."""
        sent = self._sent(context)
        if not sent:
            return self._challenge(context)
        found: set[str | None] = set()
        for policy in sent:
            context.consumer = None
            refusal = policy.request_filter(context)
            if refusal is not None:
                return refusal
            found.add(None if context.consumer is None else context.consumer.id)
        if len(found) > 1:
            detail = "The credentials are those of different consumers."
            return problem(403, "Forbidden", detail, kind="credential-ambiguous")
        return None

    def upstream_request_filter(self, context: PolicyContext, headers: list[Header]) -> None:
        """Edit what the upstream gets as each of the policies does."""
        for policy in self.policies:
            policy.upstream_request_filter(context, headers)

    def _sent(self, context: PolicyContext) -> list[Policy]:
        return [policy for policy in self.policies if policy.is_presented(context)]

    def _challenge(self, context: PolicyContext) -> Respond:
        """Return 401 with the challenges of all (RFC 9110, 11.6.1)."""
        refusals = [policy.request_filter(context) for policy in self.policies]
        challenges = [
            pair
            for refusal in refusals
            if refusal is not None
            for pair in refusal.headers
            if pair[0] == "WWW-Authenticate"
        ]
        detail = "A credential is needed: a key, or a token."
        return problem(401, "Unauthorized", detail, challenges, kind="credential-missing")
