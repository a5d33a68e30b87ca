"""What commands for those who write a catalog print as JSON, as pydantic models.

They are the source of schemas; the commands write these documents without them, because pydantic
costs about 0.1 s of start.
"""

from __future__ import annotations

from typing import Literal

from stoa_gitops.operations.output_views import Document, Text


class InitView(Document):
    """A new catalog."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    folder: Text
    """The folder of the catalog, as it was given."""
    name: Text
    """Name of the catalog."""
    tenant: Text
    """Name of the first tenant."""
    api: Text
    """Name of its first API."""
    repository: bool
    """Whether the folder was made a Git repository."""
    written: list[Text]
    """Files that were written."""
    kept: list[Text]
    """Files that were there already, and are as they were."""
    serve: list[Text]
    """Commands that serve the catalog."""
    call: list[Text]
    """Commands that call its first API while it is served."""
