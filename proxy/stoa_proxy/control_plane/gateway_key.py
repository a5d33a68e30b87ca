"""The key that this gateway shows to its control plane, from a variable or from a file."""

from __future__ import annotations

from pathlib import Path

from stoa_proxy.control_plane_config import KEY, KEY_FILE, ControlPlaneConfig, check_key
from stoa_proxy.errors import ConfigInvalid

# No key is longer; what is, is another file.
_MAX_BYTES = 4096


class GatewayKey:
    """A key; that of a file is read anew by `reload`, so that it can be rotated without a restart.

    Raises ConfigInvalid for a file that cannot be read or holds no key.
    """

    def __init__(self, config: ControlPlaneConfig) -> None:
        self._file = None if config.key_file is None else Path(config.key_file)
        self.value = config.key or ""
        if self._file is not None:
            self.value = _read(self._file)

    @property
    def where(self) -> str:
        """The variable that it comes from."""
        return KEY if self._file is None else KEY_FILE

    @property
    def is_in_file(self) -> bool:
        """Whether it can change while this process runs."""
        return self._file is not None

    def reload(self) -> bool:
        """Read the file again; True for another key. A file without a key changes nothing."""
        if self._file is None:
            return False
        try:
            value = _read(self._file)
        except ConfigInvalid:
            return False
        is_other = value != self.value
        self.value = value
        return is_other


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigInvalid(f"{KEY_FILE} {file}: {error.strerror or 'cannot be read'}") from None
    text = raw.decode("utf-8", "replace").strip()
    if not text or len(raw) > _MAX_BYTES:
        raise ConfigInvalid(f"{KEY_FILE} {file}: holds no key")
    check_key(f"{KEY_FILE} {file}:", text)
    return text
