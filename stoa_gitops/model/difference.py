"""What differs between two states of a catalog: values for output, made by `operations.diff`."""

from __future__ import annotations

from dataclasses import dataclass

from stoa_gitops.model.changes import FieldChange
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import SourceRef


@dataclass(frozen=True, slots=True)
class ObjectDifference:
    """One object that differs; `before` and `after` say where it stands, None where it is not."""

    key: Key
    before: SourceRef | None
    after: SourceRef | None
    fields: tuple[FieldChange, ...]

    @property
    def change(self) -> str:
        """Which of `added`, `removed` and `changed` it is."""
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


@dataclass(frozen=True, slots=True)
class DifferenceGroup:
    """What differs on some gateways alike; `gateways` is empty where none were compared.

    unchanged  number of objects that are the same on both sides
    """

    gateways: tuple[str, ...]
    objects: tuple[ObjectDifference, ...]
    unchanged: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Two sides, by name, and what differs."""

    before: str
    after: str
    groups: tuple[DifferenceGroup, ...]

    @property
    def is_empty(self) -> bool:
        """Whether both sides are the same."""
        return not any(group.objects for group in self.groups)

    def count(self, change: str) -> int:
        """Return how many objects were `added`, `removed` or `changed`."""
        return sum(item.change == change for group in self.groups for item in group.objects)
