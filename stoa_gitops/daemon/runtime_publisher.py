"""Tells other processes, by a file in the state folder, how this one is reached."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stoa_gitops.errors import StoreError
from stoa_gitops.state_folder import runtime_file as runtime

log = logging.getLogger(__name__)


@dataclass
class RuntimePublisher:
    """Keeps the file of `state_folder.runtime_file`; `current` returns what it is to say."""

    folder: Path
    current: Callable[[], runtime.Runtime]
    _written: runtime.Runtime | None = None

    def write(self) -> None:
        """Write the file, unless it says so already; raises StoreError."""
        current = self.current()
        if current != self._written:
            runtime.write_runtime(self.folder, current)
            self._written = current

    def publish(self) -> None:
        """Write the file; a failure is logged, and retried by the next call."""
        try:
            self.write()
        except StoreError as error:
            log.warning("other commands may not reach this process: %s", error)

    def remove(self) -> None:
        """Remove the file: nobody is reached any more."""
        runtime.remove_runtime(self.folder)
