"""A plan as rows, which text and Markdown share. Nothing in a row is escaped yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from stoa_gitops.model.canonical import Json, Path
from stoa_gitops.model.changes import Action, Change, Direction, FieldChange
from stoa_gitops.model.plan import Hold, Plan
from stoa_gitops.planning.differ import is_reference, is_sensitive, mask_sensitive
from stoa_gitops.report.values import SET

SYMBOLS: Final = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.DELETE: "-",
    Action.ADOPT: ">",
}
SKIP_SYMBOL: Final = "!"

COLOURS: Final = {"+": "green", "~": "yellow", "-": "red", ">": "cyan", "!": "magenta"}

_DRIFT: Final = {
    Action.CREATE: "(drift: removed on the gateway)",
    Action.UPDATE: "(drift: changed on the gateway)",
    Action.DELETE: "(drift: appeared on the gateway)",
    Action.ADOPT: "(drift: changed on the gateway)",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a plan: symbol, kind, `tenant/name`, remark, changed fields."""

    symbol: str
    kind: str
    name: str
    remark: str
    fields: tuple[FieldChange, ...] = ()
    is_failure: bool = False

    @property
    def colour(self) -> str:
        """Name of the colour: the symbol's, and red for what is desired and will not be there."""
        return "red" if self.is_failure else COLOURS[self.symbol]


def plan_rows(plan: Plan, *, with_created: bool = False) -> Iterator[Row]:
    """Yield the changes in the order in which they are applied, then what is skipped.

    `with_created` lists the fields of objects that are created, too.
    """
    held = plan.held_keys
    for change in plan.changes:
        row = change_row(change, is_held=change.key in held)
        if with_created and change.action is Action.CREATE:
            row = replace(row, fields=created_fields(change))
        yield row
    for skip in plan.skipped:
        remark = f"skipped: {skip.explanation}"
        yield Row(SKIP_SYMBOL, skip.key.kind, skip.key.short, remark, (), skip.is_failure)


def change_row(change: Change, *, is_held: bool = False) -> Row:
    """Return the row of one change; fields are listed for updates and adoptions only."""
    listed = change.action in (Action.UPDATE, Action.ADOPT)
    return Row(
        SYMBOLS[change.action],
        change.key.kind,
        change.key.short,
        _change_remark(change) + (" (held)" if is_held else ""),
        change.fields if listed else (),
    )


def created_fields(change: Change) -> tuple[FieldChange, ...]:
    """Return every field of an object that is created; secrets as the references that they are."""
    if change.resource is None:
        return ()
    return tuple(_leaves(change.resource.spec.value, ()))


def _leaves(value: Json, path: Path) -> Iterator[FieldChange]:
    if isinstance(value, Mapping) and value and not is_reference(value):
        for name in sorted(value):
            yield from _leaves(value[name], (*path, name))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    # A switch is no secret, whatever its name: `credentials: false` of CORS.
    elif is_sensitive(path) and isinstance(value, str | int) and not isinstance(value, bool):
        yield FieldChange(path, None, None, sensitive=True)
    else:
        yield FieldChange(path, None, mask_sensitive(value, path), note=SET)


def _change_remark(change: Change) -> str:
    reason = change.reason
    if change.action is Action.DELETE:
        return f"{reason or 'no longer in the catalog'} {_direction(change)}".rstrip()
    label = _direction(change)
    if change.action is Action.CREATE and change.direction is Direction.GATEWAY and reason:
        label, reason = f"(drift: {reason})", ""
    position = f"{change.source or ''} {label}".strip()
    return "; ".join(part for part in (position, reason) if part)


def _direction(change: Change) -> str:
    if change.direction is Direction.GATEWAY:
        return _DRIFT[change.action]
    if change.direction is Direction.BOTH:
        return "(both)"
    if change.direction is Direction.SECRET:
        return "(secret changed)"
    if change.direction is Direction.GIT and change.action is Action.UPDATE:
        return "(changed in Git)"
    return ""  # a new or removed document is a change in Git by itself


def hold_meanwhile(hold: Hold) -> str:
    """Return what is live while changes are held."""
    count = len(hold.keys)
    if count == 1:
        return f"Meanwhile {hold.keys[0]} stays as it is on the gateway."
    what = f"these {count} objects stay as they are" if count else "everything stays as it is"
    return f"Meanwhile {what} on the gateway."


def hold_advice(hold: Hold, plan: Plan) -> str:
    """Return what a person can do about a hold; empty where its message says so already."""
    if "--force" in hold.message:
        return ""
    count = len(hold.keys)
    what = f"with {count} changes" if count > 1 else "with this change" if count else "nevertheless"
    return f"To go on {what}: stoa-gitops apply --gateway {plan.gateway} --force"
