"""Decides what has to change on a gateway, in which order, and what must be left alone.

Pure functions of values: no clock, no I/O, no knowledge of any vendor. Reading gateways and
applying plans is done by `drivers` and `reconcile`. docs/how-a-plan-is-made.md has a table of all
cases.
"""

from __future__ import annotations

from stoa_gitops.planning.adoption import plan_adoption
from stoa_gitops.planning.broken_scope import BrokenScope
from stoa_gitops.planning.changed_keys import PlanInputs
from stoa_gitops.planning.consent import has_ended_rights
from stoa_gitops.planning.incremental import PlanState, replan
from stoa_gitops.planning.inputs import (
    GatewayPlanInput,
    Losses,
    PlanContext,
    Project,
    projection,
)
from stoa_gitops.planning.inventory_updates import (
    InventoryUpdates,
    applied_record,
    find_inventory_updates,
)
from stoa_gitops.planning.places import frees_places
from stoa_gitops.planning.planner import incomplete_plan, plan_gateway
from stoa_gitops.planning.revision_diff import compare_revisions
from stoa_gitops.planning.secret_comparison import secret_references
from stoa_gitops.planning.shared_credentials import find_shared
from stoa_gitops.planning.skips import NOT_SENT
from stoa_gitops.planning.subscriptions import next_expiry

__all__ = [
    "NOT_SENT",
    "BrokenScope",
    "GatewayPlanInput",
    "InventoryUpdates",
    "Losses",
    "PlanContext",
    "PlanInputs",
    "PlanState",
    "Project",
    "applied_record",
    "compare_revisions",
    "find_inventory_updates",
    "find_shared",
    "frees_places",
    "has_ended_rights",
    "incomplete_plan",
    "next_expiry",
    "plan_adoption",
    "plan_gateway",
    "projection",
    "replan",
    "secret_references",
]
