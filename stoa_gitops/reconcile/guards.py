"""Guards over a whole plan: what may be a mistake waits until a person forces it. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stoa_gitops.model.catalog import DEFAULT_OWNER
from stoa_gitops.model.plan import Hold

if TYPE_CHECKING:
    from stoa_gitops.reconcile.session import Prepared

BASE_URL_CHANGED: Final = "BaseUrlChanged"
OWNER_CHANGED: Final = "OwnerChanged"


def hold_doubtful(prepared: Prepared) -> Prepared:
    """Hold everything where the gateway may be another one than the catalog means.

    The prune budget is part of the plan (`planning.prune_budget`). Here everything is held
    where the base URL is not the one that was applied to: that may be another gateway; and
    where a catalog without a name meets a gateway of one with a name, which it may be itself.
    """
    plan, stored = prepared.plan, prepared.stored
    if stored is None or not plan.complete:
        return prepared
    before, now = stored.base_url, stored.scope.base_url
    if before is not None and before != now:
        message = (
            f"baseUrl was {before} when this gateway was last applied and is {now} now; "
            "if that is the gateway you mean, repeat with --force"
        )
        return _held(prepared, BASE_URL_CHANGED, message)
    is_lasting = not prepared.assignment.instance.is_embedded
    if stored.scope.owner == DEFAULT_OWNER and stored.others and is_lasting:
        message = (
            "this catalog has no name, and this state folder applied the catalog "
            f"{' and '.join(stored.others)} to the gateway: is catalog.yaml missing? All its "
            "objects are those of another catalog then; if that is meant, repeat with --force"
        )
        return _held(prepared, OWNER_CHANGED, message)
    return prepared


def _held(prepared: Prepared, reason: str, message: str) -> Prepared:
    """Return a plan of which every change is held."""
    hold = Hold(reason, message, tuple(change.key for change in prepared.plan.changes))
    return replace(prepared, plan=replace(prepared.plan, holds=(*prepared.plan.holds, hold)))
