"""What is to be converted next, and what all of it shares.

A document is converted from the top by a list of jobs, not by recursion: each fills one place of
the new document, and adds a job for each object in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stoa_gitops.adapter_sdk.openapi.errors import ConversionRefused
from stoa_gitops.adapter_sdk.openapi.exactness import Exactness, Part
from stoa_gitops.adapter_sdk.openapi.losses import LossCollector, Place
from stoa_gitops.adapter_sdk.openapi.references import References

MAX_INLINED: Final = 300_000
"""Most objects that are written again for a path item that others refer to."""

REMOVED: Final = object()
"""Stands in a container until the end where nothing is left."""


@dataclass(slots=True)
class Job:
    """One object or schema, and where its conversion goes.

    base       URI that references in it are relative to; empty for the document itself
    part       the schema that it is a part of
    into, key  the container that gets the result, and its place there
    is_root    it is a component now, and not replaced by a reference to that
    inside     ids of the path items that it is written into, the inmost first
    """

    kind: str
    value: Any
    place: Place
    into: Any
    key: Any
    part: Part
    base: str = ""
    is_root: bool = False
    inside: tuple[int, Any] | None = None


class Context:
    """What the conversion of one document shares."""

    def __init__(self, document: Mapping[str, Any], references: References) -> None:
        self.document = document
        self.references = references
        self.losses = LossCollector()
        self.exactness = Exactness()
        self.jobs: list[Job] = []
        self.outer = Part()
        self._shortened: list[Any] = []
        self._inlined = 0

    def add(self, job: Job) -> None:
        """Reserve the place of a result, so that it keeps the order of the document."""
        if isinstance(job.into, list):
            job.key = len(job.into)
            job.into.append(REMOVED)
        else:
            job.into[job.key] = REMOVED
        if job.inside is not None:
            self._inlined += 1
            if self._inlined > MAX_INLINED:
                raise ConversionRefused(
                    "path items that others refer to would be written more than "
                    f"{MAX_INLINED} times over: write what they share as components"
                )
        self.jobs.append(job)

    def remove(self, job: Job) -> None:
        """Leave nothing at the place of a result."""
        self._shortened.append(job.into)

    def finish(self) -> None:
        """Carry out what follows from losses, and close the gaps."""
        self.exactness.settle()
        for container in self._shortened:
            if isinstance(container, list):
                container[:] = [item for item in container if item is not REMOVED]
            else:
                for key in [key for key, item in container.items() if item is REMOVED]:
                    del container[key]
