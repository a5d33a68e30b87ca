"""A plan in a file: made by `plan --out`, and applied by `apply FILE` if nothing has moved since.

It has no time limit: what a plan depends on is compared, and not how old it is. The file holds no
secret, only what `plan --output json` shows, and is readable by its owner alone, because it says
where gateways are.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from stoa_gitops import __version__
from stoa_gitops.errors import DigestMismatch, StoreError, UsageError
from stoa_gitops.foundation.files import replace_private_file
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.operations.output_views import SavedPlanView

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.operations.plan import PreparedSet
    from stoa_gitops.reconcile.selection import Selection

MAX_BYTES: Final = 200_000_000
"""Largest file that is read: 100,000 changes with all their fields have about a tenth of it."""

_SHOWN: Final = 5
"""Objects of a gateway that are named where a plan is refused."""


def save_plan(
    path: Path,
    prepared: PreparedSet,
    catalog: Catalog,
    selection: Selection,
    plan_tree: dict[str, Any],
    *,
    location: str,
    revision: str | None,
    keep_going: bool,
) -> None:
    """Write a plan to a file; `plan_tree` is what `plan --output json` prints.

    Raises UsageError for a plan of a gateway that could not be observed, StoreError where the file
    cannot be written.
    """
    if not prepared.plans.is_complete:
        raise UsageError(f"{path} is not written: a gateway could not be observed")
    document = {
        "format_version": "1.0",
        "program": __version__,
        "catalog": {
            "location": location,
            "revision": revision,
            "commit": catalog.commit,
            "owner": catalog.owner,
        },
        "selection": {
            "gateways": sorted(selection.gateways),
            "environment": selection.environment,
            "tenant": selection.tenant,
        },
        "keep_going": keep_going,
        "gateways": _gateways(prepared),
        "plan": plan_tree,
    }
    text = json.dumps({**document, "checksum": _checksum(document)}, indent=2, sort_keys=True)
    try:
        replace_private_file(path, text.encode() + b"\n")
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None


def load_plan(path: Path) -> SavedPlanView:
    """Read a saved plan; raises UsageError for another file, DigestMismatch for an edited one."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES)
        document = json.loads(raw)
        saved = SavedPlanView.model_validate(document)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, ValidationError):
        raise UsageError(
            f"{path} is no saved plan: make one by `stoa-gitops plan --out FILE`"
        ) from None
    document.pop("checksum")
    if _checksum(document) != saved.checksum:
        raise DigestMismatch(f"{path} was changed since it was written; make the plan again")
    return saved


def check_program(saved: SavedPlanView) -> None:
    """Raise DigestMismatch for a plan of another version, which may plan in another way."""
    if saved.program != __version__:
        raise DigestMismatch(
            f"refused: the plan was made by stoa-gitops {saved.program}, and this is "
            f"{__version__}; make it again"
        )


def check_unmoved(saved: SavedPlanView, catalog: Catalog, prepared: PreparedSet) -> None:
    """Raise DigestMismatch, with everything that moved, where the plan is another one by now."""
    moved = [*_moved_catalog(saved, catalog), *_moved_gateways(saved, prepared)]
    if not moved and prepared.plans.digest != saved.plan.digest:
        moved = ["what would change is something else"]
    if moved:
        raise DigestMismatch(
            f"refused: {'; '.join(moved)}. Nothing was applied; look at a new plan"
        )


def _moved_catalog(saved: SavedPlanView, catalog: Catalog) -> list[str]:
    before = saved.catalog
    moved = []
    if before.owner != catalog.owner:
        moved.append(f"the catalog is {catalog.owner}, and was {before.owner}")
    if before.commit != catalog.commit:
        moved.append(f"the revision is {catalog.revision}, and was {saved.plan.revision}")
    return moved


def _moved_gateways(saved: SavedPlanView, prepared: PreparedSet) -> list[str]:
    before = {gateway.name: gateway for gateway in saved.gateways}
    now = {gateway["name"]: gateway for gateway in _gateways(prepared)}
    errors = {plan.gateway: plan.error for plan in prepared.plans.plans if not plan.complete}
    moved = [f"{name} is in the catalog, and was not" for name in sorted(now.keys() - before)]
    for name, gateway in before.items():
        found = now.get(name)
        if found is None:
            moved.append(f"{name} is no longer in the catalog")
        elif name in errors:
            moved.append(f"{name} could not be observed: {errors[name]}")
        elif found["address"] != gateway.address:
            moved.append(f"{name} is at {found['address']}, and was at {gateway.address}")
        elif found["gateway_type"] != gateway.gateway_type:
            moved.append(f"{name} is a {found['gateway_type']}, and was a {gateway.gateway_type}")
        elif found["digest"] != gateway.digest:
            objects = _moved_objects(saved, prepared, name)
            moved.append(f"{name}, or what the catalog says of it, is not as it was{objects}")
    return moved


def _moved_objects(saved: SavedPlanView, prepared: PreparedSet, gateway: str) -> str:
    """Return which objects of a gateway are to be changed in another way; empty where none is."""
    before = {
        f"{change.action} {change.key}"
        for plan in saved.plan.gateways
        if plan.gateway == gateway and plan.complete
        for change in plan.changes
    }
    now = {
        f"{change.action.value} {change.key}"
        for plan in prepared.plans.plans
        if plan.gateway == gateway
        for change in plan.changes
    }
    found = [
        *(f"no more {change}" for change in sorted(before - now)),
        *(f"now {change}" for change in sorted(now - before)),
    ]
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return f" ({', '.join([*found[:_SHOWN], *more])})" if found else ""


def _gateways(prepared: PreparedSet) -> list[dict[str, str]]:
    return [
        {
            "name": item.plan.gateway,
            "gateway_type": item.plan.gateway_type,
            "address": item.assignment.instance.inventory_url,
            "digest": PlanSet(item.plan.revision, (item.plan,)).digest,
        }
        for item in prepared.prepared
    ]


def _checksum(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
