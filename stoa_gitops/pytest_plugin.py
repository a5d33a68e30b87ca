"""The pytest plugin of this distribution: renders a catalog, and compares payloads with snapshots.

It is there wherever `stoa-gitops` and pytest are installed, and costs nothing until it is asked::

    def test_payloads(stoa_catalog):
        assert stoa_catalog.errors == []
        orders = stoa_catalog.payloads["kong-prod/api/acme/orders.json"]
        assert orders["host"] == "orders.example"
        stoa_catalog.check_snapshots()

`pytest --stoa-update` writes the snapshots. Secrets are in no payload: references stand there.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog

SNAPSHOTS: Final = "__stoa_snapshots__"
"""Folder of the snapshots, beside the test."""

_MAX_DIFF_LINES: Final = 200


class RenderedCatalog:
    """A catalog, and what each of its gateways would be sent.

    folder     of the catalog
    snapshots  folder of the snapshots
    """

    def __init__(self, folder: Path, snapshots: Path, *, update: bool) -> None:
        self.folder = folder
        self.snapshots = snapshots
        self._update = update

    @cached_property
    def _catalog(self) -> Catalog:
        from stoa_gitops.catalog.sources.folder import FolderSource
        from stoa_gitops.operations.validate import read_catalog

        return read_catalog(FolderSource(self.folder)).catalog

    @property
    def errors(self) -> list[str]:
        """What is wrong with the catalog, each as `file:line:column: error[code] message`."""
        return self._found("error")

    @property
    def warnings(self) -> list[str]:
        """What the catalog is warned of, in the same form."""
        return self._found("warning")

    def _found(self, severity: str) -> list[str]:
        return [
            f"{one.source.path}:{one.source.line}:{one.source.column}: "
            f"{severity}[{one.code}] {one.message}"
            for one in self._catalog.diagnostics
            if one.severity.value == severity
        ]

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """The payloads as `stoa-gitops render` writes them, by `<gateway>/<kind>/<tenant>/<name>`.

        Fails the test where the catalog is invalid: half of it would look like deletions.
        """
        from stoa_gitops.operations.render import render_files
        from stoa_gitops.reconcile.selection import Selection

        if self.errors:
            pytest.fail("the catalog is invalid:\n" + "\n".join(self.errors), pytrace=False)
        rendered = render_files(self._catalog, Selection())
        return {path.as_posix(): text for path, text in rendered}

    @cached_property
    def payloads(self) -> Mapping[str, Any]:
        """The payloads as JSON values, by the same paths."""
        return {path: json.loads(text) for path, text in self.texts.items()}

    def check_snapshots(self) -> None:
        """Compare all payloads with the snapshots; with `--stoa-update` write them.

        Fails the test with what differs, what is new, and what is gone.
        """
        held = {
            file.relative_to(self.snapshots).as_posix(): file
            for file in sorted(self.snapshots.rglob("*.json"))
        }
        # A link that somebody committed would show a file of the machine in the differences.
        for path, file in held.items():
            if file.is_symlink():
                pytest.fail(f"the snapshot {path} is a symbolic link", pytrace=False)
        if self._update:
            self._write(held)
            return
        lines: list[str] = []
        for path in sorted({*held, *self.texts}):
            before = held[path].read_text("utf-8") if path in held else ""
            after = self.texts.get(path, "")
            if before != after:
                lines += difflib.unified_diff(
                    before.splitlines(),
                    after.splitlines(),
                    f"snapshot {path}" if before else "no snapshot",
                    f"payload {path}" if after else "no payload",
                    lineterm="",
                )
        if lines:
            shown = lines[:_MAX_DIFF_LINES]
            more = len(lines) - len(shown)
            rest = [f"… and {more} more lines"] if more else []
            hint = "look at them, and run pytest with --stoa-update where they are meant"
            text = "\n".join([f"payloads differ from {self.snapshots}; {hint}", *shown, *rest])
            pytest.fail(text, pytrace=False)

    def _write(self, held: Mapping[str, Path]) -> None:
        from stoa_gitops.foundation.files import replace_inside

        for path, text in self.texts.items():
            if path not in held or held[path].read_text("utf-8") != text:
                try:
                    replace_inside(self.snapshots, path, text.encode(), mode=0o644)
                except OSError as error:
                    pytest.fail(f"{path} cannot be written: {error.strerror}", pytrace=False)
        for path, file in held.items():
            if path not in self.texts:
                file.unlink()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("stoa-gitops")
    group.addoption(
        "--stoa-catalog", metavar="DIR", help="folder of the catalog (default: ini stoa_catalog)"
    )
    group.addoption("--stoa-update", action="store_true", help="write the snapshots of payloads")
    parser.addini("stoa_catalog", "folder of the catalog, from the root of the tests", default=".")


@pytest.fixture
def stoa_catalog(request: pytest.FixtureRequest) -> RenderedCatalog:
    """The catalog of `--stoa-catalog` or of the ini value `stoa_catalog`, rendered when asked."""
    config = request.config
    given = config.getoption("--stoa-catalog")
    folder = Path(given) if given else config.rootpath / str(config.getini("stoa_catalog"))
    snapshots = request.path.parent / SNAPSHOTS / request.path.stem
    return RenderedCatalog(folder, snapshots, update=bool(config.getoption("--stoa-update")))
