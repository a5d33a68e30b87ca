"""Builders for plans' inputs, and a model of a gateway that carries plans out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import (
    ActualState,
    AppliedRecord,
    DesiredState,
    Observed,
    PlanHints,
    Resource,
    SourceRef,
)
from stoa_gitops.planning import (
    GatewayPlanInput,
    PlanContext,
    applied_record,
    find_inventory_updates,
    plan_gateway,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)
GATEWAY = "kong-prod"
TARGET = GatewayPlanInput(GATEWAY, "kong")
QUIET = PlanContext(NOW)

BILLING = Key("api", "acme", "billing")
LIMIT = Key("policy", "acme", "billing.rate_limit")
MOBILE = Key("application", "acme", "mobile")


def resource(key: Key, value: JsonObject | None = None, **hints: Any) -> Resource:
    return Resource(
        key, Spec.of(value or {"name": key.name}), SourceRef("a.yaml"), PlanHints(**hints)
    )


def observed(
    key: Key, value: JsonObject | None = None, *, managed: bool = True, gateway_id: str = ""
) -> Observed:
    return Observed(
        key, Spec.of(value or {"name": key.name}), gateway_id or f"id:{key}", managed=managed
    )


def record(key: Key, value: JsonObject | None = None, **more: Any) -> AppliedRecord:
    return AppliedRecord(key, Spec.of(value or {"name": key.name}), f"id:{key}", "main@old", **more)


def desired(*resources: Resource) -> DesiredState:
    return DesiredState(GATEWAY, "default", "main@3f2a91c", {r.key: r for r in resources})


def actual(*objects: Observed, error: str | None = None) -> ActualState:
    return ActualState(GATEWAY, NOW, objects, error)


def plan(
    wanted: Iterable[Resource] = (),
    there: Iterable[Observed] = (),
    last: Iterable[AppliedRecord] = (),
    *,
    gateway: GatewayPlanInput = TARGET,
    context: PlanContext = QUIET,
) -> Plan:
    records = {one.key: one for one in last}
    return plan_gateway(gateway, desired(*wanted), actual(*there), records, context)


def actions(made: Plan) -> dict[Key, Action]:
    return {change.key: change.action for change in made.changes}


def change_of(made: Plan, key: Key) -> Change:
    return next(change for change in made.changes if change.key == key)


@dataclass
class Gateway:
    """Objects by key, foreign ones apart, and the records of what was applied."""

    objects: dict[Key, Spec] = field(default_factory=dict)
    foreign: dict[Key, Spec] = field(default_factory=dict)
    records: dict[Key, AppliedRecord] = field(default_factory=dict)
    hold: Callable[[JsonObject], JsonObject] = lambda spec: spec

    def observe(self) -> ActualState:
        mine = (Observed(key, spec, f"id:{key}") for key, spec in self.objects.items())
        others = (Observed(k, s, f"f:{k}", managed=False) for k, s in self.foreign.items())
        return ActualState(GATEWAY, NOW, (*mine, *others))

    def apply_plan(self, made: Plan, *, force: bool = False) -> None:
        held = frozenset() if force else made.held_keys
        for change in made.changes:
            if change.key in held:
                continue
            if change.action is Action.DELETE:
                del self.objects[change.key]
                self.records.pop(change.key, None)
                continue
            assert change.resource is not None
            if change.action is Action.CREATE:
                assert change.key not in self.objects
                assert change.key not in self.foreign
            if change.action is Action.ADOPT:
                del self.foreign[change.key]
            self.objects[change.key] = Spec.of(self.hold(change.resource.spec.value))
            made_record = applied_record(
                change, f"id:{change.key}", made.revision, self.records.get(change.key)
            )
            assert made_record is not None
            self.records[change.key] = made_record

    def cycle(
        self,
        wanted: DesiredState,
        context: PlanContext = QUIET,
        *,
        gateway: GatewayPlanInput = TARGET,
        force: bool = False,
    ) -> Plan:
        seen = self.observe()
        made = plan_gateway(gateway, wanted, seen, self.records, context)
        kept = find_inventory_updates(gateway, wanted, seen, self.records, context)
        self.apply_plan(made, force=force)
        self.records.update({one.key: one for one in kept.records})
        for key in kept.removed:
            self.records.pop(key, None)
        return made


def with_secrets(context: PlanContext, secrets: Mapping[str, str | None]) -> PlanContext:
    return replace(context, secrets=secrets)
