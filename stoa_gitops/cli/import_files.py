"""`import kong|gravitee|apisix|stoa|gateway`, and `adopt --write`: one result, told in one way."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stoa_gitops.catalog.export.three_way.merge import shown_path
from stoa_gitops.catalog.export.three_way.outcomes import FileImport, Outcome
from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.import_words import kept_line, kept_view, not_expressed_view, variables
from stoa_gitops.cli.progress import shown
from stoa_gitops.errors import UsageError
from stoa_gitops.model.counts import counted
from stoa_gitops.operations.import_files import (
    FilesPlan,
    FilesRequest,
    differing_files,
    plan_files,
    plan_objects,
    results_of,
    target_of,
    write_files,
)
from stoa_gitops.report.style import printable
from stoa_gitops.report.unmapped import unmapped_lines

if TYPE_CHECKING:
    from stoa_gitops.catalog import Tree
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.model.keys import Key
    from stoa_gitops.operations.adopt_documents import GatewayObjects


def execute(options: Namespace) -> Exit:
    """Write the documents and say what they leave out; a person's own changes stay."""
    if options.form == "gateway":
        return _from_gateway(options)
    request = FilesRequest(
        options.form,
        options.catalog,
        options.files,
        getattr(options, "gateway", None) or "",
        getattr(options, "tenant", None) or "",
        variables(options),
    )
    with shown("Reading the files"):
        plan = plan_files(request, state_folder(options))
    return finish(plan, options)


def _from_gateway(options: Namespace) -> Exit:
    """Write documents for what a running gateway has and the catalog has not."""
    from stoa_gitops.catalog.sources.base import is_url
    from stoa_gitops.catalog.sources.folder import FolderSource
    from stoa_gitops.model.keys import Key
    from stoa_gitops.operations.validate import catalog_reader

    if is_url(options.catalog):
        raise UsageError(f"{options.catalog} is a repository: documents are written to a folder")
    folder = Path(options.catalog).expanduser()
    tree = FolderSource(folder).snapshot()
    catalog = catalog_reader(state_folder(options)).read(tree)
    instance = next((one for one in catalog.gateways if one.name == options.name), None)
    if instance is None:
        known = ", ".join(sorted(one.name for one in catalog.gateways)) or "none"
        raise UsageError(f"the catalog has no gateway {options.name}; it has {known}")
    try:
        keys = tuple(Key.parse(text) for text in options.keys)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return write_objects(catalog, tree, instance, keys, folder, options)


def write_objects(
    catalog: Catalog,
    tree: Tree,
    instance: GatewayInstance,
    keys: Sequence[Key],
    folder: Path,
    options: Namespace,
) -> Exit:
    """Write documents for foreign objects of a gateway, or of a file of its vendor, to a folder.

    `options.origin` is that file, where there is one.
    """
    from stoa_gitops.operations.adopt_documents import read_vendor_export

    origin = getattr(options, "origin", None)
    with shown("Reading the gateway"):
        if origin:
            objects = read_vendor_export(Path(origin), instance, catalog.owner)
        else:
            objects = asyncio.run(_observe(catalog, instance, options))
        target = target_of(tree, folder, "gateway", instance.name, state_folder(options))
        told = origin or instance.name
        plan = plan_objects("gateway", target, instance, objects, keys, told, is_owned=True)
    return finish(plan, options)


async def _observe(
    catalog: Catalog, instance: GatewayInstance, options: Namespace
) -> GatewayObjects:
    from stoa_gitops.operations.adopt_documents import observe_objects
    from stoa_gitops.operations.workspace import Workspace

    async with Workspace.open(state_folder(options)) as workspace:
        return await observe_objects(workspace, catalog, instance)


def finish(plan: FilesPlan, options: Namespace) -> Exit:
    """Write what is planned, unless it is only asked for, and say what became of it."""
    is_dry = bool(getattr(options, "dry_run", False))
    written = [] if is_dry else list(write_files(plan))
    if options.output == "json":
        from stoa_gitops.cli.status_text import json_text

        sys.stdout.write(json_text(_document(plan, written, is_dry=is_dry)))
    else:
        for path in differing_files(plan) if is_dry else written:
            print(printable(str(path)))
        _print_remarks(plan, is_dry=is_dry)
    return Exit.INVALID if plan.is_refused else Exit.OK


def _print_remarks(plan: FilesPlan, *, is_dry: bool) -> None:
    """Say what stays, what is not expressed, what a person sets, and what to do next."""
    style = terminal.error_style()
    results = list(results_of(plan))
    for one in plan.result.files:
        if one.outcome is Outcome.REFUSED:
            print(style.safe(f"not imported: {one.reason}"), file=sys.stderr)
        for kept in one.kept:
            line = kept_line(str(one.key or one.path), kept, plan.shown)
            print(style.safe(line), file=sys.stderr)
    for key, title in plan.titles.items():
        if any(one.key == key and one.outcome is Outcome.CREATED for one in results):
            print(style.safe(f"{key}: named after {title!r}"), file=sys.stderr)
    for path in plan.result.gone:
        line = f"{path}: {plan.shown} has it no longer; delete it if it is to go"
        print(style.safe(line), file=sys.stderr)
    for line in unmapped_lines(plan.unmapped):
        print(line, file=sys.stderr)
    if plan.note:
        print(style.safe(plan.note), file=sys.stderr)
    for key, names in plan.placeholders.items():
        print(f"{key}: set {', '.join(names)} before you apply it", file=sys.stderr)
    counts = ", ".join(
        f"{sum(one.outcome is outcome for one in results)} {outcome.value}"
        for outcome in Outcome
        if any(one.outcome is outcome for one in results)
    )
    ahead = " (nothing was written)" if is_dry else ""
    where = f" for {plan.gateway.name}" if plan.gateway is not None else ""
    says = f": {counts}" if counts else ""
    print(f"{counted(len(results), 'document')}{where}{says}{ahead}", file=sys.stderr)
    if any(one.outcome in (Outcome.CREATED, Outcome.UPDATED) for one in results):
        print("Look at the documents, and commit them with .imported/", file=sys.stderr)
    # Last, so that it can be copied from the end of the screen.
    if plan.keys and plan.gateway is not None:
        print("Where these objects are on the gateway already:", file=sys.stderr)
        keys = " ".join(map(str, plan.keys))
        print(f"stoa-gitops adopt {plan.gateway.name} {keys}", file=sys.stderr)


def _document(plan: FilesPlan, written: Sequence[Path], *, is_dry: bool) -> dict[str, Any]:
    results = list(results_of(plan))
    named = {one.key for one in results if one.key is not None}

    def is_of(one: FileImport, key: Key | None) -> bool:
        return key is not None and one.key is not None and (key.parent or key) == one.key

    return {
        "format_version": "1.0",
        "written": [printable(str(path)) for path in written],
        "dry_run": is_dry,
        "imports": [
            {
                "source": printable(plan.shown),
                "outcome": one.outcome.value,
                "api": None if one.key is None else str(one.key),
                "title": "" if one.key is None else plan.titles.get(one.key, one.key.name),
                "files": [one.path],
                "reason": one.reason,
                "kept": [kept_view(kept, shown_path(kept.path)) for kept in one.kept],
                "not_expressed": [
                    not_expressed_view(item) for item in plan.unmapped if is_of(one, item.key)
                ],
            }
            for one in results
        ],
        "not_expressed": [
            not_expressed_view(item)
            for item in plan.unmapped
            if item.key is None or (item.key.parent or item.key) not in named
        ],
        "gone": list(plan.result.gone),
    }
