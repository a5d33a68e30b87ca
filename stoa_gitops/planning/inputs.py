"""Planner inputs other than desired and actual state: the gateway and the circumstances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeAlias, TypeVar

from stoa_gitops.foundation.frozen_sets import frozen
from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.instances import GatewayInstance, PruneBudget, WritePolicy
from stoa_gitops.model.keys import Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.routing import SEGMENTS, Router
from stoa_gitops.planning.broken_scope import BrokenScope

T = TypeVar("T")

_NOTHING: Final[dict[bytes, Any]] = {}


class SpecMemo(Generic[T]):
    """Memoises a pure function of (kind, spec): each plan calls it for the same 30,000 specs.

    capacity  results per generation. There are two: a result that was not used while `capacity`
              others were computed is dropped
    """

    __slots__ = ("_capacity", "_left", "_old", "_young", "function")

    def __init__(self, function: Callable[[str, JsonObject], T], capacity: int = 200_000) -> None:
        self.function = function
        self._capacity = capacity
        self._left = capacity
        self._young: dict[str, dict[bytes, T]] = {}
        self._old: dict[str, dict[bytes, T]] = {}

    def __call__(self, kind: str, spec: Spec) -> T:
        """Return the result for a spec; exceptions are not memoised."""
        raw = spec.raw
        # By kind first, so that no tuple has to be made for each of 30,000 lookups.
        found = self._young.get(kind, _NOTHING).get(raw)
        if found is None:
            found = self._old.get(kind, _NOTHING).get(raw)
            if found is None:
                found = self.function(kind, spec.value)
            # The young generation becomes the old one; what is used again moves back.
            if self._left == 0:
                self._young, self._old, self._left = {}, self._young, self._capacity
            self._young.setdefault(kind, {})[raw] = found
            self._left -= 1
        return found


Project: TypeAlias = Callable[[str, Spec], Spec]
"""`project(kind, spec)`: a canonical spec in the form in which the gateway reports it."""


def projection(function: Callable[[str, JsonObject], JsonObject]) -> SpecMemo[Spec]:
    """Return a memoised Project of a function over trees."""
    return SpecMemo(lambda kind, tree: Spec.of(function(kind, tree)))


Losses: TypeAlias = Callable[[str, Spec], tuple[Loss, ...]]
"""`losses(kind, spec)`: what the gateway cannot express of a canonical spec; empty for most."""


CombinedLosses: TypeAlias = Callable[[Spec, Mapping[str, Spec]], tuple[Loss, ...]]
"""`combined(api, policies by type)`: what the gateway cannot express of them together."""


@dataclass(frozen=True, slots=True)
class GatewayPlanInput:
    """What the planner knows of the gateway that a plan is for.

    title         for people, beside the name: `kong 3.5 (document writes)`
    capabilities  by name: None if supported, else the reason. A missing name is unsupported.
                  None as a whole: everything is supported
    declared      what the gateway's document lists; it only restricts, empty is no restriction
    project       rule of the adapter; None is the identity
    losses        what of a spec the gateway cannot express, apart from capabilities; None: nothing
    refuse_adoption  why an observed foreign object cannot be adopted, empty where it can; None: all
                  can be
    router        how the gateway chooses among routes
    combined      what of an API with its policies it cannot express, beside `losses` of each
    has_one_name_space  it knows no tenants: APIs are called `<tenant>-<name>` there
    begins_empty  it is part of a process, and has nothing when that begins: no drift
    """

    name: str
    gateway_type: str
    title: str = ""
    policy: WritePolicy = WritePolicy.FULL
    prune: PruneBudget = field(default_factory=PruneBudget)
    capabilities: Mapping[str, str | None] | None = None
    declared: frozenset[str] = frozenset()
    project: Project | None = None
    losses: Losses | None = None
    refuse_adoption: Callable[[str, JsonObject], str] | None = None
    router: Router = SEGMENTS
    combined: CombinedLosses | None = None
    has_one_name_space: bool = False
    begins_empty: bool = False

    @classmethod
    def of(
        cls,
        instance: GatewayInstance,
        *,
        title: str = "",
        capabilities: Mapping[str, str | None] | None = None,
        project: Project | None = None,
        losses: Losses | None = None,
        refuse_adoption: Callable[[str, JsonObject], str] | None = None,
        router: Router = SEGMENTS,
        combined: CombinedLosses | None = None,
        has_one_name_space: bool = False,
    ) -> GatewayPlanInput:
        """Take name, type, policy, budget and declared capabilities from the gateway's document."""
        return cls(
            name=instance.name,
            gateway_type=instance.gateway_type,
            title=title,
            policy=instance.policy,
            prune=instance.prune,
            capabilities=capabilities,
            declared=frozen(instance.capabilities),
            project=project,
            losses=losses,
            refuse_adoption=refuse_adoption,
            router=router,
            combined=combined,
            has_one_name_space=has_one_name_space,
            begins_empty=instance.is_embedded,
        )


@dataclass(frozen=True, slots=True)
class PlanContext:
    """The circumstances of one plan.

    now          aware time of planning: what has expired by then is not applied
    secrets      reference as text -> HMAC of its value, None when it does not resolve; a reference
                 that is missing counts as not resolved; `secret_references` lists those needed
    broken       what of the catalog is broken
    quarantined  keys that the gateway refused as they are, with its messages
    shared       applications whose key another one has, with what is said about it
    unsuitable   objects whose secrets cannot be sent as they are, with what is wrong with them
    tenant       plan for this tenant alone; objects of others are ignored
    """

    now: datetime
    secrets: Mapping[str, str | None] = field(default_factory=dict)
    broken: BrokenScope = field(default_factory=BrokenScope)
    quarantined: Mapping[Key, str] = field(default_factory=dict)
    tenant: str | None = None
    shared: Mapping[Key, str] = field(default_factory=dict)
    unsuitable: Mapping[Key, str] = field(default_factory=dict)

    def is_in_scope(self, key: Key) -> bool:
        """Whether a plan for `tenant` may concern this key."""
        return self.tenant is None or key.tenant == self.tenant
