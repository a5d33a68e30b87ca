"""`adopt GATEWAY --write DIR`: what `import gateway` does, with any folder to write to."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from stoa_gitops.cli.catalog_options import source_of
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.import_files import write_objects

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.model.keys import Key


def execute(
    catalog: Catalog, instance: GatewayInstance, keys: tuple[Key, ...], options: Namespace
) -> Exit:
    """Write the documents and say what they leave out; a person's own changes stay."""
    tree = source_of(options).snapshot()
    return write_objects(catalog, tree, instance, keys, Path(options.write).expanduser(), options)
