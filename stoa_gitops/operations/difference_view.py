"""What `diff` prints as JSON, as pydantic models: the source of its schema."""

from __future__ import annotations

from typing import Literal

from stoa_gitops.operations.output_views import (
    Count,
    Document,
    ObjectName,
    SensitiveFieldView,
    ShownFieldView,
    SourceView,
    Text,
)


class ObjectDifferenceView(ObjectName):
    """One object that differs."""

    change: Literal["added", "removed", "changed"]
    before: SourceView | None
    """Where it stands on the first side; null where it is not."""
    after: SourceView | None
    """Where it stands on the second side; null where it is not."""
    fields: list[ShownFieldView | SensitiveFieldView]
    """What changed; empty for an object of one side."""


class DifferenceGroupView(Document):
    """What differs on some gateways alike."""

    gateways: list[Text]
    """Empty where environments or gateways were compared with each other."""
    unchanged: Count
    """Objects that are the same on both sides."""
    objects: list[ObjectDifferenceView]


class DifferenceSummaryView(Document):
    """Numbers of objects, over all groups."""

    added: Count
    removed: Count
    changed: Count


class DifferenceView(Document):
    """What differs between two revisions, environments or gateways."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    before: Text
    """The first side: a revision, `environment dev`, `gateway kong-prod`."""
    after: Text
    """The second side."""
    summary: DifferenceSummaryView
    groups: list[DifferenceGroupView]
