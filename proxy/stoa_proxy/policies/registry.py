"""The registry of policy types: parses configurations and puts the policies of an API in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stoa_proxy.core.api import Api, make_api
from stoa_proxy.core.model import Plan, PolicyEntry
from stoa_proxy.core.policy import Phase, Policy, PolicyLabel, PolicyType, Wrap, unwrapped
from stoa_proxy.core.withheld import WITHHELD, WithheldPolicy
from stoa_proxy.foundation.interning import interned
from stoa_proxy.keycloak_config import Realm
from stoa_proxy.policies.either import EitherCredential
from stoa_proxy.policies.plans import implied_policies

_TOKENS: Final = "jwt"

DECISIVE_PHASES: Final = (
    Phase.CLIENT_ADDRESS,
    Phase.AUTHENTICATION,
    Phase.AUTHORIZATION,
    Phase.RATE_LIMITING,
    Phase.TRANSFORMATION,
)
"""What a sidecar decides by: it sees heads of requests, and neither bodies nor responses."""


class PolicyRegistry:
    """The policy types that a gateway enforces, by name.

    A gateway uses `stoa_proxy.policies.POLICIES`; a test may hand in one of its own. Policies that
    run in none of `phases` are parsed and not enforced. Tokens are those of `realm` where nothing
    else is said.
    """

    def __init__(
        self,
        types: Iterable[PolicyType],
        phases: Iterable[Phase] = Phase,
        realm: Realm | None = None,
    ) -> None:
        self._phases = frozenset(phases)
        self._realm = realm
        self._types: dict[str, PolicyType] = {}
        for policy_type in types:
            if policy_type.name in self._types:
                raise ValueError(f"two policy types are called {policy_type.name!r}")
            self._types[policy_type.name] = policy_type

    def for_decisions(self) -> PolicyRegistry:
        """Return the registry of a sidecar: it enforces what can be said without a response."""
        return PolicyRegistry(self._types.values(), DECISIVE_PHASES, self._realm)

    def with_realm(self, realm: Realm | None) -> PolicyRegistry:
        """Return a registry of the same types for the tokens of a realm."""
        return PolicyRegistry(self._types.values(), self._phases, realm)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all types, sorted."""
        return tuple(sorted(self._types))

    @property
    def types(self) -> tuple[PolicyType, ...]:
        """All types in the order in which their policies run."""
        return tuple(sorted(self._types.values(), key=lambda known: (known.phase, known.name)))

    def parse(self, policy_type: str, policy_id: str, config: Mapping[str, object]) -> Policy:
        """Return a policy for its config. Raises ValueError, which names the key that is wrong."""
        known = self._types.get(policy_type)
        if known is None:
            names = ", ".join(self.names)
            raise ValueError(
                f"policy_type '{policy_type}' is not enforced here; enforced are {names}"
            )
        if policy_type == _TOKENS and self._realm is not None:
            config = {"issuer": self._realm.issuer, **config}
        policy = known.parse(policy_id, config)
        return interned(policy) if known.is_shared else policy

    def is_public(self, policy_type: str, config: Mapping[str, object]) -> bool:
        """Whether a config may be written to disk: not where it could hold a credential."""
        known = self._types.get(policy_type)
        return known is not None and known.is_public(config)

    def compile_api(
        self,
        api_id: str,
        plans: tuple[Plan, ...],
        entries: Iterable[PolicyEntry],
        wrap: Wrap = unwrapped,
    ) -> Api:
        """Return an API with its policies in running order, implied ones included.

        `entries` must have been parsed before: their types are known and their configs valid, or
        WITHHELD. Each policy is what `wrap` returns for it.
        """
        phased: list[tuple[Phase, Policy]] = []

        def add(phase: Phase, policy: Policy, name: str, entry: PolicyEntry | None = None) -> None:
            named = ("", "") if entry is None else (entry.id, entry.name)
            phased.append((phase, wrap(PolicyLabel(phase, name, *named), policy)))

        singles: set[str] = set()
        for entry in sorted(entries, key=lambda entry: (entry.priority, entry.id)):
            if entry.config == WITHHELD:
                add(Phase.CROSS_ORIGIN, WithheldPolicy(), entry.policy_type, entry)
                continue
            policy_type = self._types[entry.policy_type]
            if policy_type.phase not in self._phases:
                continue
            if policy_type.is_single:
                if policy_type.name in singles:
                    continue
                singles.add(policy_type.name)
            policy = self.parse(entry.policy_type, entry.id, entry.config)
            add(policy_type.phase, policy, policy_type.name, entry)
        identifying = [policy for phase, policy in phased if phase is Phase.AUTHENTICATION]
        is_authenticated = bool(identifying)
        if len(identifying) > 1:
            phased = [pair for pair in phased if pair[0] is not Phase.AUTHENTICATION]
            add(Phase.AUTHENTICATION, EitherCredential(tuple(identifying)), "either")
        tokens = None if self._realm is None else self.parse(_TOKENS, "realm", {})
        implied = implied_policies(plans, is_authenticated=is_authenticated, tokens=tokens)
        for phase, policy, name in implied:
            add(phase, policy, name)
        # Stable, so that priority and id still order the policies of one phase.
        phased.sort(key=lambda pair: pair[0])
        return make_api(api_id, plans, [policy for _, policy in phased])
