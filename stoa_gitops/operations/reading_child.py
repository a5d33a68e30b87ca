"""The child process in which `run` reads large files: one file after the other."""

from __future__ import annotations

import sys

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog.documents.isolation import ChildIsolation, serve
from stoa_gitops.catalog.reader import large_file_work


def reading_child() -> ChildIsolation:
    """Return what reads large files in a child of this process."""
    return ChildIsolation((sys.executable, "-m", "stoa_gitops.operations.reading_child"))


if __name__ == "__main__":
    serve(large_file_work(gateway_types()))
