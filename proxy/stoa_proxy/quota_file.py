"""The file in which counts of quotas outlive the process: lines of JSON, the last of a key counts.

What changed is appended every second, so a process that is killed loses the counts of one second
at most; one that ends in order loses none. At each start, and when it has grown, the file is
written anew with what still counts.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from stoa_proxy.core.quotas import PERIODS, QuotaCounters, QuotaKey, SavedCount
from stoa_proxy.foundation.periodic import Periodic
from stoa_proxy.foundation.private_files import read_private, write_private

_log = logging.getLogger("stoa_proxy.quotas")

FILE_NAME: Final = "gateway-quotas.jsonl"
_PAUSE_SECONDS: Final = 1.0
_MAX_BYTES: Final = 256 * 1024 * 1024
# Lines for each count before the file is written anew.
_GROWTH: Final = 4
_LEAST_LINES: Final = 10_000


class QuotaFile:
    """Keeps the counts of a gateway in a folder of its own.

    `load` before the first request, then `start`; `stop` writes what is not written yet.
    """

    def __init__(self, counters: QuotaCounters, folder: Path) -> None:
        self._counters = counters
        self._path = folder / FILE_NAME
        self._periodic = Periodic(self._write_round, _PAUSE_SECONDS)
        self._lines = self._resets = 0
        self._is_usable = True
        self._has_failed = False

    def load(self) -> None:
        """Take counts over from the file; say what is wrong with one that cannot be used."""
        try:
            content = read_private(self._path, _MAX_BYTES)
        except OSError as error:
            self._is_usable = False
            _log.warning(
                "the counts of quotas are not used path=%s: %s; it is left as it is, and counts are"
                " not kept",
                self._path,
                error.strerror or error,
            )
            return
        self._counters.restore(_parse(content))

    def start(self) -> None:
        """Write what changes from now on."""
        if self._is_usable:
            self._counters.watch()
            self._periodic.start(self._rewrite_old)

    async def stop(self) -> None:
        """Stop, and write what changed since the last time."""
        await self._periodic.stop()

    async def _rewrite_old(self) -> None:
        """Leave out what counts no more of a file of before."""
        if len(self._counters) or self._path.exists():
            await self._rewrite()

    async def _write_round(self) -> None:
        await self._write()
        # A count never goes back by a line: one that was reset needs a file without its old lines.
        is_old = self._lines > max(_LEAST_LINES, _GROWTH * len(self._counters))
        if is_old or self._counters.resets != self._resets:
            await self._rewrite()

    async def _write(self) -> None:
        """Append what changed; what could not be written is tried again."""
        changed = self._counters.take_changed()
        if not changed:
            return
        try:
            await asyncio.to_thread(self._append, b"".join(_serialise(changed)))
        except OSError as error:
            self._counters.put_back(changed)
            self._report(error)
        else:
            self._lines += len(changed)
            self._has_failed = False

    async def _rewrite(self) -> None:
        """Replace the file by one with what counts now."""
        counts, resets = self._counters.snapshot(), self._counters.resets
        try:
            await asyncio.to_thread(write_private, self._path, b"".join(_serialise(counts)))
        except OSError as error:
            self._report(error)
        else:
            self._lines, self._resets = len(counts), resets

    def _report(self, error: OSError) -> None:
        """Say once that counts are not kept, until they are again."""
        if not self._has_failed:
            _log.warning(
                "the counts of quotas are not saved path=%s: %s",
                self._path,
                error.strerror or error,
            )
        self._has_failed = True

    def _append(self, content: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with os.fdopen(os.open(self._path, flags, mode=0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _serialise(counts: Iterable[SavedCount]) -> Iterator[bytes]:
    for key, start, used in counts:
        yield json.dumps([*key, start, used], separators=(",", ":")).encode() + b"\n"


def _parse(content: bytes) -> Iterator[SavedCount]:
    """Yield the counts of a file; a line that is none, as after a crash, is passed over."""
    for line in content.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, list) or len(value) != len(QuotaKey._fields) + 2:
            continue
        *parts, start, used = value
        if not all(isinstance(part, str) for part in parts) or parts[3] not in PERIODS:
            continue
        if type(start) is int and type(used) is int and 0 <= start < 2**40 and used >= 0:
            yield SavedCount(QuotaKey(*parts), start, used)
