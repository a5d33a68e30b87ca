"""The files of mode `shadow`: what was learned, and the proposals for a person to accept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stoa_proxy.foundation.periodic import Periodic
from stoa_proxy.foundation.private_files import read_private, write_private
from stoa_proxy.shadow.learner import Learner
from stoa_proxy.shadow.proposals import Proposal
from stoa_proxy.shadow.saved import dump, load

_log = logging.getLogger("stoa_proxy.shadow")

FILE_NAME: Final = "shadow-learned.json"
FOLDER: Final = "proposals"
_PAUSE_SECONDS: Final = 30.0
_MAX_BYTES: Final = 64 * 1024 * 1024


class ShadowFile:
    """Keeps what a learner knows in a folder; `load` first, then `start`, and `stop` at the end.

    A process that is killed loses what it learned in half a minute at most.
    """

    def __init__(self, learner: Learner, folder: Path, tenant: str) -> None:
        self._learner = learner
        self._path = folder / FILE_NAME
        self._proposals = folder / FOLDER / "tenants" / tenant / "apis"
        self._periodic = Periodic(self._write, _PAUSE_SECONDS)
        self._saved = 0
        self._is_usable = True
        self._has_failed = False

    def load(self) -> None:
        """Go on with what was learned before; say what is wrong with a file that is not used."""
        try:
            content = read_private(self._path, _MAX_BYTES)
            if content:
                load(self._learner, content)
        except (OSError, ValueError) as error:
            self._is_usable = False
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            _log.warning(
                "what was learned before is not used path=%s: %s; it is left as it is, and nothing"
                " that is learned is kept",
                self._path,
                reason,
            )
        self._saved = self._learner.observed

    def save_proposals(self, proposals: Iterable[Proposal]) -> None:
        """Write each proposal as the folder of an API. Raises OSError."""
        for one in proposals:
            folder = self._proposals / one.name
            write_private(folder / "openapi.json", one.openapi.encode())
            write_private(folder / "api.yaml", one.document.encode())
            _log.info("proposed an API name=%s host=%s path=%s", one.name, one.host, folder)

    def start(self) -> None:
        """Write what is learned from now on."""
        if self._is_usable:
            self._periodic.start()

    async def stop(self) -> None:
        """Stop, and write what was learned since the last time."""
        await self._periodic.stop()

    async def _write(self) -> None:
        observed = self._learner.observed
        if observed == self._saved:
            return
        content = dump(self._learner)
        try:
            await asyncio.to_thread(write_private, self._path, content)
        except OSError as error:
            if not self._has_failed:
                _log.warning(
                    "what is learned is not saved path=%s: %s", self._path, error.strerror or error
                )
            self._has_failed = True
        else:
            self._saved, self._has_failed = observed, False
