"""The folders of this process that decide which files a reference may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SETTING: Final = "STOA_SECRETS_DIR"


@dataclass(frozen=True, slots=True)
class SecretPlaces:
    """A catalog cannot decide any of these.

    base     where relative paths start; None: they do not resolve
    tenants  the folder with one folder for each tenant; None where the setting is not there
    state    the state folder, which holds this program's own tokens: no document names a file there
    """

    base: Path | None = None
    tenants: Path | None = None
    state: Path | None = None

    @classmethod
    def of_process(cls, environment: Mapping[str, str], state: Path | None) -> SecretPlaces:
        """Return the places of a process with these variables, started in the current folder."""
        given = environment.get(SETTING)
        base = Path.cwd()
        return cls(base, base / given if given else None, base / state if state else None)
