"""Pure planning: what has to change on a gateway, in which order, and what must not."""

from __future__ import annotations

from stoa_gitops.planning.adoption import plan_adoption
from stoa_gitops.planning.changed_keys import States
from stoa_gitops.planning.incremental import Drawn, redraw
from stoa_gitops.planning.inputs import Losses, Project, Situation, Target, Withheld, projection
from stoa_gitops.planning.inventory_updates import Upkeep, record_of, upkeep
from stoa_gitops.planning.planner import incomplete, plan_gateway
from stoa_gitops.planning.revision_diff import compare_revisions
from stoa_gitops.planning.secret_comparison import secret_references
from stoa_gitops.planning.subscriptions import next_look

__all__ = [
    "Drawn",
    "Losses",
    "Project",
    "Situation",
    "States",
    "Target",
    "Upkeep",
    "Withheld",
    "compare_revisions",
    "incomplete",
    "next_look",
    "plan_adoption",
    "plan_gateway",
    "projection",
    "record_of",
    "redraw",
    "secret_references",
    "upkeep",
]
