"""`gateways list|show|suspend|resume|forget|prune|export`."""

from __future__ import annotations

import asyncio
import importlib
import sys
from argparse import Namespace
from pathlib import Path
from urllib.parse import quote

from stoa_gitops.cli import catalog_options as reading
from stoa_gitops.cli import status_source as known
from stoa_gitops.cli import status_text as showing
from stoa_gitops.cli import terminal
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.remote import find
from stoa_gitops.errors import UsageError


def execute(options: Namespace) -> Exit:
    """Run one of them."""
    folder = reading.state_folder(options)
    match options.verb:
        case "list":
            return _list(folder, options)
        case "show":
            return _show(folder, options)
        case "suspend" | "resume":
            return _suspension(folder, options)
        case "forget":
            return asyncio.run(_forget(folder, options))
        case verb:
            module = importlib.import_module(f"stoa_gitops.cli.gateways_{verb}")
            code: Exit = module.execute(options)
            return code


def _list(folder: Path, options: Namespace) -> Exit:
    document = known.status(folder)
    chosen = reading.gateways_of(options)
    if chosen is not None:
        document["items"] = [item for item in document["items"] if item["name"] in chosen]
    if options.output == "json":
        page = {"items": document["items"], "next": document["next"]}
        sys.stdout.write(showing.json_text(page))
        return Exit.OK
    if document["source"] == "store":
        print(f"no process runs here; this is what {folder} remembers", file=sys.stderr)
    print("\n".join(showing.table_lines(document["items"], terminal.style())))
    return Exit.OK


def _show(folder: Path, options: Namespace) -> Exit:
    item = known.gateway(folder, options.name)
    if item["bound"]:  # no catalog has the document of an orphaned one
        _check_catalog(options)
    is_json = options.output == "json"
    text = showing.json_text(item) if is_json else showing.gateway_text(item, terminal.style())
    sys.stdout.write(text)
    return Exit.OK


def _check_catalog(options: Namespace) -> None:
    """Refuse a gateway that is not in the catalog that `--catalog` names."""
    names = reading.gateways_of(options)
    if names is not None and options.name not in names:
        there = ", ".join(sorted(names)) or "none"
        raise UsageError(f"the catalog has no gateway {options.name!r}; there is: {there}")


def _suspension(folder: Path, options: Namespace) -> Exit:
    """Suspend or resume through the running process, or in the store, where the next one finds it."""
    _check_catalog(options)
    is_stop = options.verb == "suspend"
    remote = find(folder)
    if remote is not None:
        reason = getattr(options, "reason", "") or ""
        body = {"reason": reason} if reason else None
        path = f"/v1/gateways/{quote(options.name, safe='')}/{options.verb}"
        remote.post(path, body if is_stop else None)
    else:
        asyncio.run(_stored_suspension(folder, options))
    print(f"{options.name} is {'suspended' if is_stop else 'resumed'}")
    return Exit.OK


async def _stored_suspension(folder: Path, options: Namespace) -> None:
    from stoa_gitops.operations import stored_gateways as remembered
    from stoa_gitops.operations.workspace import Workspace
    from stoa_gitops.reconcile import suspension

    known.check_store(folder)
    async with Workspace.open(folder) as workspace:
        context = workspace.context
        known.one_of(await remembered.everything(context.store), options.name)
        if options.verb == "suspend":
            reason = options.reason or ""
            await suspension.suspend(
                context.store, options.name, context.actor, context.clock(), reason
            )
        else:
            await suspension.resume(context.store, options.name, context.actor, context.clock())


async def _forget(folder: Path, options: Namespace) -> Exit:
    """Drop what is known of a gateway; its objects stay where they are."""
    from stoa_gitops.operations import stored_gateways as remembered
    from stoa_gitops.operations.workspace import Workspace
    from stoa_gitops.store import AuditEntry, Store

    known.check_store(folder)
    _check_not_worked(folder, options.name)
    async with Workspace.open(folder) as workspace:
        context = workspace.context
        found = known.one_of(await remembered.everything(context.store), options.name)
        owner = _owner(found.owners, options)
        question = f"Forget {found.objects} objects of {options.name}? They stay on the gateway."
        if not options.yes and not terminal.confirm(question):
            print("Nothing was forgotten.", file=sys.stderr)
            return Exit.FAILED
        count = await context.store.call(Store.forget, owner, options.name)
        message = f"{count} objects of catalog {owner}"
        entry = AuditEntry(
            context.clock(), context.actor, options.name, "", "forget", "applied", message
        )
        await context.store.call(Store.add_audit, [entry])
    print(f"{options.name}: {count} objects forgotten")
    return Exit.OK


def _check_not_worked(folder: Path, name: str) -> None:
    """Refuse to forget what a running process would find again at once."""
    remote = find(folder)
    items = remote.get("/v1/status")["items"] if remote else []
    if any(item["name"] == name and item["bound"] for item in items):
        raise UsageError(
            f"{name} is in the catalog of the running process, which would own its objects again at "
            "once: remove its document first"
        )


def _owner(owners: tuple[str, ...], options: Namespace) -> str:
    if options.owner:
        if options.owner not in owners:
            there = ", ".join(owners) or "none"
            raise UsageError(f"catalog {options.owner!r} owns nothing there; there is: {there}")
        return str(options.owner)
    if len(owners) > 1:
        raise UsageError(
            f"several catalogs own objects there ({', '.join(owners)}): name one by --owner"
        )
    if not owners:
        raise UsageError(f"nothing is owned on {options.name}: there is nothing to forget")
    return owners[0]
