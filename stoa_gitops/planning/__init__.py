"""Pure planning: what has to change on a gateway, in which order, and what must not."""

from __future__ import annotations

from stoa_gitops.planning.adoption import plan_adoption
from stoa_gitops.planning.changed_keys import PlanInputs
from stoa_gitops.planning.incremental import PlanState, replan
from stoa_gitops.planning.inputs import (
    BrokenScope,
    GatewayPlanInput,
    Losses,
    PlanContext,
    Project,
    projection,
)
from stoa_gitops.planning.inventory_updates import InventoryUpdates, record_of, upkeep
from stoa_gitops.planning.planner import incomplete, plan_gateway
from stoa_gitops.planning.revision_diff import compare_revisions
from stoa_gitops.planning.secret_comparison import secret_references
from stoa_gitops.planning.subscriptions import next_look

__all__ = [
    "BrokenScope",
    "GatewayPlanInput",
    "InventoryUpdates",
    "Losses",
    "PlanContext",
    "PlanInputs",
    "PlanState",
    "Project",
    "compare_revisions",
    "incomplete",
    "next_look",
    "plan_adoption",
    "plan_gateway",
    "projection",
    "record_of",
    "replan",
    "secret_references",
    "upkeep",
]
