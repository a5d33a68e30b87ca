"""The file in which the table outlives the process (`admin.saved_table` is its form)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from stoa_proxy.admin.batch import Parse
from stoa_proxy.admin.saved_table import parse, restore, serialise
from stoa_proxy.admin.store import Store
from stoa_proxy.errors import ObjectRefused, TableUnusable

_log = logging.getLogger("stoa_proxy.table")

FILE_NAME = "gateway-table.jsonl"
# After a change, so that a burst of changes is one writing; what a crash within it loses the next
# reconciliation brings back.
_PAUSE_SECONDS = 1.0
# A table of 10,000 APIs takes half a second of work: a twentieth of the time at most.
_SHARE = 20
_PART_BYTES = 32 * 1024
# A table of 10,000 APIs has some 15 MB.
_MAX_BYTES = 1 << 30
_MAX_NAMED = 5


class TableFile:
    """Keeps a store's table in a folder of one gateway, private and replaced as a whole.

    `load` it before the first request, then `start`; `stop` writes what is not written yet.
    """

    def __init__(self, store: Store, folder: Path, parsers: Mapping[str, Parse]) -> None:
        self._store = store
        self._path = folder / FILE_NAME
        self._parsers = parsers
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_usable = True

    def load(self) -> None:
        """Take the table over from the file; say what is wrong with one that cannot be used."""
        try:
            content = self._read()
            if content is None:
                return
            lines = parse(content)
            problems = restore(self._store, lines, self._parsers)
        except (TableUnusable, ObjectRefused, OSError) as error:
            self._is_usable = not isinstance(error, TableUnusable) or error.is_ours
            kept = "" if self._is_usable else "; it is left as it is, and no other is written"
            _log.warning("the saved table is not used path=%s: %s%s", self._path, error, kept)
            return
        if problems:
            shown = "; ".join(problems[:_MAX_NAMED])
            _log.warning("%d objects of the saved table are not restored: %s", len(problems), shown)
        age = time.time() - self._path.stat().st_mtime
        _log.info(
            "the table is restored routes=%d policies=%d consumers=%d age_seconds=%d",
            len(self._store.routes), len(self._store.policies), len(self._store.consumers), age,
        )  # fmt: skip

    def start(self) -> None:
        """Write the file after changes from now on."""
        if not self._is_usable:
            return
        self._changed = asyncio.Event()
        self._store.on_change["table file"] = self._changed.set
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """Stop, and write what has changed since the last time."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        if self._changed.is_set():
            await self._write()

    async def _keep(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(_PAUSE_SECONDS)
            began = time.monotonic()
            await self._write()
            await asyncio.sleep((time.monotonic() - began) * _SHARE)

    def _read(self) -> bytes | None:
        """Return the file's content, None without a file. Raises TableUnusable, OSError."""
        try:
            # A link could lead to whatever this process may read, or may write.
            number = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(number, "rb") as file:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_BYTES:
                raise TableUnusable("it is no table of this gateway", is_ours=False)
            if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise TableUnusable("others may have written it", is_ours=False)
            return file.read()

    async def _write(self) -> None:
        """Replace the file; a failure is said, and tried again with the next change."""
        self._changed.clear()
        partial = self._path.with_name(f".{FILE_NAME}.partial")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = os.open(
                partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode=0o600
            )
            with os.fdopen(number, "wb") as file:
                await self._write_lines(file)
                await asyncio.to_thread(os.fsync, number)
            partial.replace(self._path)
        except OSError as error:
            _log.warning("the table is not saved path=%s: %s", self._path, error.strerror or error)
        except asyncio.CancelledError:
            self._changed.set()
            raise
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    async def _write_lines(self, file: BinaryIO) -> None:
        """Write all lines; requests have their turn between two parts."""
        size = 0
        for line in serialise(self._store):
            file.write(line)
            size += len(line)
            if size >= _PART_BYTES:
                size = 0
                await asyncio.sleep(0)
