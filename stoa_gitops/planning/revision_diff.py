"""Plans from one catalog revision to another: the base takes the place of the gateways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.plan import Plan, PlanSet
from stoa_gitops.model.resources import (
    ActualState,
    AppliedRecord,
    DesiredState,
    Observed,
    Resource,
)
from stoa_gitops.planning.broken_scope import BrokenScope
from stoa_gitops.planning.classification import classify
from stoa_gitops.planning.comparison import SpecComparer
from stoa_gitops.planning.decisions import assemble_plan
from stoa_gitops.planning.inputs import GatewayPlanInput, PlanContext
from stoa_gitops.planning.planner import decide_places
from stoa_gitops.planning.subscriptions import without_expired

_NO_INPUTS: Mapping[str, GatewayPlanInput] = {}
_RENAMED: Final = (
    "the catalog was {} and is {} now (catalog.yaml): all that is live becomes another catalog's, "
    "so none of these changes would be made"
)


def compare_revisions(
    base: Catalog,
    head: Catalog,
    *,
    now: datetime,
    inputs_by_name: Mapping[str, GatewayPlanInput] = _NO_INPUTS,
    tenant: str | None = None,
) -> PlanSet:
    """Plan from `base` to `head` for each gateway of either, in the order of `head`.

    `inputs_by_name` brings titles, capabilities and projections by gateway; a gateway without an
    entry can hold everything. Secrets are compared by reference and never resolved. A gateway whose
    document is gone has no changes and a warning: it is never pruned for that.
    """
    plans = [
        _plan(
            base,
            head,
            inputs_by_name.get(gateway.name) or GatewayPlanInput.of(gateway),
            now,
            tenant,
        )
        for gateway in head.gateways
    ]
    plans += [
        _orphaned(gateway, head) for gateway in base.gateways if not head.gateway(gateway.name)
    ]
    return PlanSet(
        revision=head.revision, plans=tuple(plans), tenants=len(head.tenants), base=base.revision
    )


def _plan(
    base: Catalog, head: Catalog, gateway: GatewayPlanInput, now: datetime, tenant: str | None
) -> Plan:
    before = _desired(base, gateway.name)
    # Broken on either side: what one revision does not show is no deletion.
    broken = BrokenScope(
        head.broken_tenants | base.broken_tenants, head.is_all_broken or base.is_all_broken
    )
    context = PlanContext(now=now, broken=broken, tenant=tenant)
    last = {key: _record(resource, before) for key, resource in before.resources.items()}
    objects = tuple(_observed(resource, gateway, now) for resource in before.resources.values())
    actual = ActualState(gateway.name, now, objects)
    after = _desired(head, gateway.name)
    view = classify(gateway, after, actual, last, context)
    comparer = SpecComparer(gateway.project, {}, with_references=True)
    plan = assemble_plan(*decide_places(view, comparer, after, actual)[:2])
    if base.owner == head.owner:
        return plan
    return replace(plan, warnings=(_RENAMED.format(base.owner, head.owner), *plan.warnings))


def _desired(catalog: Catalog, gateway: str) -> DesiredState:
    return catalog.desired.get(gateway) or DesiredState(
        gateway, catalog.owner, catalog.revision, rights=catalog.secret_rights
    )


def _record(resource: Resource, desired: DesiredState) -> AppliedRecord:
    return AppliedRecord(
        key=resource.key,
        spec=resource.spec,
        gateway_id="",
        revision=desired.revision,
        protected=resource.hints.protected,
    )


def _observed(resource: Resource, gateway: GatewayPlanInput, now: datetime) -> Observed:
    spec = without_expired(resource, now).spec
    if gateway.project is not None:
        spec = gateway.project(resource.key.kind, spec)
    return Observed(resource.key, spec, gateway_id="")  # as if the base had been applied


def _orphaned(gateway: GatewayInstance, head: Catalog) -> Plan:
    warning = (
        f"{gateway.name} is no longer in the catalog; its objects are kept until "
        f"`stoa-gitops gateways prune {gateway.name}`"
    )
    return Plan(
        gateway=gateway.name,
        gateway_type=gateway.gateway_type,
        revision=head.revision,
        warnings=(warning,),
    )
