"""Finds the rigs of all adapters: `tests/adapters/<folder>/rig.py`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

from tests.contract.rig import RigBuilders

ADAPTERS: Final = Path(__file__).parents[1] / "adapters"


def rigs_of(folder: str) -> RigBuilders:
    """Return the rigs of one adapter by variant; none where it has no rig module."""
    if not (ADAPTERS / folder / "rig.py").is_file():
        return {}
    rigs: RigBuilders = importlib.import_module(f"tests.adapters.{folder}.rig").RIGS
    return rigs


FOLDERS: Final = {
    f"{path.parent.name}-{variant}": path.parent.name
    for path in sorted(ADAPTERS.glob("*/rig.py"))
    for variant in rigs_of(path.parent.name)
}
"""By the name of the rig, such as `kong-3.9-document`: the folder of its adapter."""

EARLIER: Final = frozenset(
    {
        "gravitee-4.1-classic", "gravitee-4.10", "gravitee-4.6-import",
        "kong-3.4-database", "kong-3.4-document", "webmethods-10.15", "webmethods-11-password",
    }
)  # fmt: skip
"""Rigs of versions before the latest, and of other logins: `make test-heavy` runs them."""

RIGS: Final = {
    name: rigs_of(folder)[name.removeprefix(f"{folder}-")] for name, folder in FOLDERS.items()
}
