"""Values of a plan or report as JSON objects."""

from __future__ import annotations

from typing import TypeAlias

from stoa_gitops.model.changes import Action, Change, FieldChange, Skip
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.plan import Hold
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.report.rows import created_fields
from stoa_gitops.report.values import mask_broken_references

Tree: TypeAlias = "dict[str, object]"


def key_tree(key: Key) -> Tree:
    """Return the key as the command line takes it, and its parts."""
    return {"key": str(key), "kind": key.kind, "tenant": key.tenant or None, "name": key.name}


def source_tree(source: SourceRef | None) -> Tree | None:
    """Return a position in the catalog."""
    if source is None:
        return None
    return {
        "path": source.path, "line": source.line, "column": source.column, "commit": source.commit,
    }  # fmt: skip


def change_tree(change: Change, *, is_held: bool, with_created: bool = False) -> Tree:
    """Return a change; specs and HMACs of secrets stay out.

    `with_created` lists the fields of an object that is created.
    """
    is_listed = with_created and change.action is Action.CREATE
    fields = created_fields(change) if is_listed else change.fields
    return {
        **key_tree(change.key),
        "action": change.action.value,
        "direction": change.direction.value,
        "reason": change.reason,
        "source": source_tree(change.source),
        "depends_on": [str(key) for key in change.depends_on],
        "held": is_held,
        "fields": [field_tree(field) for field in fields],
    }


def field_tree(field: FieldChange) -> Tree:
    """Return a field with its values, or `sensitive` instead of them."""
    path = list(field.path)
    if field.sensitive:
        return {"path": path, "sensitive": {"note": field.note}}
    return {
        "path": path,
        "before": mask_broken_references(field.before),
        "after": mask_broken_references(field.after),
    }


def skip_tree(skip: Skip) -> Tree:
    """Return a skip."""
    return {
        **key_tree(skip.key),
        "reason": skip.reason.value,
        "message": skip.explanation,
        "source": source_tree(skip.source),
        "failure": skip.is_failure,
    }


def hold_tree(hold: Hold) -> Tree:
    """Return a hold."""
    return {
        "reason": hold.reason,
        "message": hold.message,
        "keys": [str(key) for key in hold.keys],
    }


def outcome_tree(gateway: str, outcome: Outcome) -> Tree:
    """Return what happened to one change on one gateway."""
    return {
        **key_tree(outcome.change.key),
        "gateway": gateway,
        "action": outcome.change.action.value,
        "status": outcome.status.value,
        "reason": outcome.reason,
        "message": outcome.message,
        "attempts": outcome.attempts,
        "gateway_id": outcome.gateway_id or None,
        "warnings": list(outcome.warnings),
        "source": source_tree(outcome.change.source),
    }
