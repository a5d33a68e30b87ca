"""Keys that gateways register with: read at the start, and again whenever their file changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stoa_gitops.control.auth import Credentials
from stoa_gitops.fleet.keys import GatewayKeys
from stoa_gitops.foundation.daemon_thread import on_a_thread
from stoa_gitops.model.counts import counted
from stoa_gitops.model.secret import Secret
from stoa_gitops.reconcile.metrics import Metric, Sample, gauge

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Between two looks at the file. It is read whole each time: a new file may have the size and the
time of the one before."""

MAX_BYTES: Final = 1 << 20
"""Of the file, which has room for ten thousand keys: a larger one is a wrong path."""

FILE: Final = "GATEWAY_API_KEYS_FILE"
VARIABLE: Final = "GATEWAY_API_KEYS"

# For whoever calls: anybody may, and where the file lies is for people of this machine.
_SEE: Final = "`stoa-gitops status` says why"
UNKNOWN: Final = f"the key is not known, and may stand in {FILE}, which cannot be used: {_SEE}"
NONE: Final = f"no gateway can register, for {FILE} cannot be used: {_SEE}"


class Unusable(Exception):
    """The file cannot be read or holds no key; the message says which."""


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Where keys come from; `file` wins where both are given, and without either there are none."""

    text: Secret | None = None
    file: Path | None = None


_NOWHERE: Final = KeySettings()
_MISSING: Final = (
    f"no gateway can register, for neither {VARIABLE} nor {FILE} is set, and documents are for some"
)


class LiveKeys:
    """Keeps the gateway keys of `credentials` as their file has them.

    A new content counts once it was read twice alike, because a file that is being written has a
    part of its keys, and a gateway that is refused once stops for good. One without a usable key
    leaves the last good keys in force, and is a trouble: then, and until a new content counts, a
    key that is none of them is in doubt and not wrong.
    """

    def __init__(
        self,
        settings: KeySettings,
        credentials: Credentials,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._pause = pause
        self._seen: bytes | str = b""
        self._in_force: bytes | str | None = None
        self.trouble: str | None = None
        """What is wrong with the file, for people; None while nothing is."""
        self._missing: str | None = None

    def load(self) -> None:
        """Read the keys for the first time."""
        text, file = self._settings.text, self._settings.file
        if file is not None:
            if text is not None:
                log.warning("%s is set, too: %s is not used", FILE, VARIABLE)
            self._take(_read(file))
        elif text is not None:
            keys = GatewayKeys.parse(text.reveal())
            _log_problems(VARIABLE, keys)
            if keys:
                self._credentials.gateway_keys = keys
                _log_keys(keys)
            else:
                self._credentials.no_keys = f"{VARIABLE} has no key that a header can carry"

    def expect(self, documents: Collection[str]) -> None:
        """Learn of documents for gateways that register, which none can do without a key."""
        is_missing = bool(documents) and self._settings == _NOWHERE
        missing = f"{_MISSING}: {', '.join(sorted(documents))}" if is_missing else None
        if missing is not None and missing != self._missing:
            log.warning("%s", missing)
        self._missing = missing

    def troubles(self) -> list[str]:
        """Return what is wrong with the file, or missing, for the status of the process."""
        return [one for one in (self.trouble, self._missing) if one is not None]

    def metrics(self) -> Iterator[Metric]:
        """Yield how many keys are live, and whether their file is in order."""
        keys = self._credentials.gateway_keys
        yield gauge(
            "stoa_gitops_gateway_keys",
            "Keys that gateways may register with.",
            [Sample(len(keys) if keys is not None else 0)],
        )
        yield gauge(
            "stoa_gitops_gateway_keys_file_unusable",
            "1 while the file of gateway keys cannot be used; the last good keys stay in force.",
            [Sample(float(self.trouble is not None))],
        )

    async def follow(self) -> None:
        """Look at the file until cancelled."""
        while True:
            await self._pause(LOOK_SECONDS)
            if self._settings.file is not None:
                await self.look()

    async def look(self) -> None:
        """Look at the file once, and put what it holds into force if it was that before, too."""
        file = self._settings.file
        assert file is not None
        found = await on_a_thread(lambda: _read(file))
        if found == self._in_force:
            self._credentials.keys_in_doubt = UNKNOWN if self.trouble else ""
        elif found == self._seen:
            self._take(found)
        else:
            self._credentials.keys_in_doubt = f"{FILE} has changed, and is read once more"
        self._seen = found

    def _take(self, found: bytes | str) -> None:
        """Put a content into force, or why there is none."""
        self._seen = self._in_force = found
        where = f"{FILE} {self._settings.file}"
        try:
            keys = _parse(found)
        except Unusable as error:
            self._report(f"{where} {error}")
            return
        _log_problems(where, keys)
        self._credentials.gateway_keys, self.trouble = keys, None
        self._credentials.keys_in_doubt = ""
        _log_keys(keys)

    def _report(self, why: str) -> None:
        if self._credentials.gateway_keys is None:
            self._credentials.no_keys = NONE
            self.trouble = f"no gateway can register: {why}"
        else:
            self.trouble = f"the last good gateway keys stay in force: {why}"
        self._credentials.keys_in_doubt = UNKNOWN
        log.warning("%s", self.trouble)


def _read(file: Path) -> bytes | str:
    """Return the content of the file, or why it cannot be read."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)  # bounded: it may be a device
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return raw if len(raw) <= MAX_BYTES else f"has over {MAX_BYTES} bytes, which are no keys"


def _parse(found: bytes | str) -> GatewayKeys:
    if isinstance(found, str):
        raise Unusable(found)
    try:
        keys = GatewayKeys.parse(found.decode("utf-8"))
    except UnicodeDecodeError:
        raise Unusable("is no text in UTF-8") from None
    if not keys:
        raise Unusable("is empty" if not found.strip() else "has no key that a header can carry")
    return keys


def _log_keys(keys: GatewayKeys) -> None:
    fingerprints = ", ".join(key.fingerprint for key in keys)
    log.info("gateways may register with %s: %s", counted(len(keys), "key"), fingerprints)


def _log_problems(where: str, keys: GatewayKeys) -> None:
    for problem in keys.problems:
        log.warning("%s: %s", where, problem)
