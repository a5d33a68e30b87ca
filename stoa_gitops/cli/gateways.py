"""`gateways list|show|suspend|resume|forget|prune|export|new-key`."""

from __future__ import annotations

import asyncio
import importlib
import secrets
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from stoa_gitops.cli import status_source, status_text, terminal
from stoa_gitops.cli.catalog_options import gateways_of, is_left, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.remote import find
from stoa_gitops.errors import UsageError
from stoa_gitops.fleet.keys import new_key
from stoa_gitops.model.counts import counted

_KEY_BYTES: Final = 24
"""Of randomness in a key: 192 bits."""

_KEY_USE: Final = "gateways of that environment send it as STOA_CONTROL_PLANE_API_KEY"


def execute(options: Namespace) -> Exit:
    """Run one verb."""
    if options.verb == "new-key":
        return _new_key(options.environment)
    folder = state_folder(options)
    match options.verb:
        case "list":
            return _list(folder, options)
        case "show":
            return _show(folder, options)
        case "suspend" | "resume":
            return _suspend_or_resume(folder, options)
        case "forget":
            return asyncio.run(_forget(folder, options))
        case verb:  # late: these two import adapters, the others need none
            module = importlib.import_module(f"stoa_gitops.cli.gateways_{verb}")
            code: Exit = module.execute(options)
            return code


def _new_key(environment: str) -> Exit:
    """Print a key alone on stdout, so that it can go into a file or a secret as it is."""
    try:
        key = new_key(environment, secrets.token_hex(_KEY_BYTES))
    except ValueError as error:
        raise UsageError(f"{environment!r}: {error}") from None
    print(key)
    print(f"Add it to GATEWAY_API_KEYS or its file: {_KEY_USE}", file=sys.stderr)
    return Exit.OK


def _list(folder: Path, options: Namespace) -> Exit:
    document = status_source.status(folder)
    chosen = gateways_of(options)
    document["items"] = [item for item in document["items"] if is_left(item["name"], chosen)]
    if options.output == "json":
        page = {"items": document["items"], "next": document["next"]}
        sys.stdout.write(status_text.json_text(page))
        return Exit.OK
    if document["source"] == "store":
        print(f"no process runs here; this is what {folder} remembers", file=sys.stderr)
    memories = status_source.memories(document, folder)
    print("\n".join(status_text.table_lines(document["items"], terminal.style(), memories)))
    return Exit.OK


def _show(folder: Path, options: Namespace) -> Exit:
    item = status_source.gateway(folder, options.name)
    if item["bound"]:  # no catalog has the document of an orphaned one
        _check_catalog(options)
    if options.output == "json":
        sys.stdout.write(status_text.json_text(item))
    else:
        sys.stdout.write(status_text.gateway_text(item, terminal.style()))
    return Exit.OK


def _check_catalog(options: Namespace) -> None:
    """Refuse a gateway that is not in the catalog that `--catalog` names."""
    names = gateways_of(options)
    if names is not None and not is_left(options.name, names):
        existing = ", ".join(sorted(names)) or "none"
        raise UsageError(f"the catalog has no gateway {options.name!r}; there is: {existing}")


def _suspend_or_resume(folder: Path, options: Namespace) -> Exit:
    """Ask the running process, or write into the store, where the next one finds it."""
    _check_catalog(options)
    is_suspend = options.verb == "suspend"
    remote = find(folder)
    if remote is not None:
        reason = getattr(options, "reason", "") or ""
        body = {"reason": reason} if reason else None
        # Quoted whole: a name with a slash must stay one segment of the path.
        path = f"/v1/gateways/{quote(options.name, safe='')}/{options.verb}"
        remote.post(path, body if is_suspend else None)
    else:
        asyncio.run(_suspend_or_resume_in_store(folder, options))
    print(f"{options.name} is {'suspended' if is_suspend else 'resumed'}")
    return Exit.OK


async def _suspend_or_resume_in_store(folder: Path, options: Namespace) -> None:
    from stoa_gitops.operations.gateways import resume_gateway, suspend_gateway
    from stoa_gitops.operations.status import require_gateway, require_store
    from stoa_gitops.operations.stored_gateways import load_gateways
    from stoa_gitops.operations.workspace import Workspace

    require_store(folder)
    async with Workspace.open(folder) as workspace:
        context = workspace.context
        require_gateway(await load_gateways(context.store), options.name)
        if options.verb == "suspend":
            await suspend_gateway(context, options.name, context.principal, options.reason or "")
        else:
            await resume_gateway(context, options.name, context.principal)


async def _forget(folder: Path, options: Namespace) -> Exit:
    """Drop what is known of a gateway; its objects stay where they are."""
    from stoa_gitops.operations.gateways import choose_owner, forget_gateway
    from stoa_gitops.operations.status import require_gateway, require_store
    from stoa_gitops.operations.stored_gateways import load_gateways
    from stoa_gitops.operations.workspace import Workspace

    require_store(folder)
    registered = _forget_registered(folder, options)
    if registered is not None:
        return registered
    async with Workspace.open(folder) as workspace:
        context = workspace.context
        stored = require_gateway(await load_gateways(context.store), options.name)
        owner = choose_owner(options.name, stored.owners, options.owner)
        known = counted(stored.objects, "object")
        question = f"Forget {known} of {options.name}? What is on the gateway stays."
        if not options.yes and not terminal.confirm(question):
            print("Nothing was forgotten.", file=sys.stderr)
            return Exit.FAILED
        count = await forget_gateway(context, options.name, owner, context.principal)
    print(f"{options.name}: {counted(count, 'object')} forgotten")
    return Exit.OK


def _own_name(item: Mapping[str, Any]) -> str:
    """Return the name of a registered gateway without its document's; empty for any other."""
    registration = item.get("registration")
    return str(registration["name"]) if registration else ""


def _forget_registered(folder: Path, options: Namespace) -> Exit | None:
    """Have a running process forget a gateway that registered itself; None where it is another.

    Raises UsageError for what the process would find again at once.
    """
    name, remote = options.name, find(folder)
    items = remote.get("/v1/status")["items"] if remote else []
    item = next((item for item in items if name in (item["name"], _own_name(item))), None)
    if remote is None or item is None:
        return None
    name = item["name"]
    if item.get("registration"):
        question = f"Forget {name}? It is back when it registers again; what it has stays."
        if not options.yes and not terminal.confirm(question):
            print("Nothing was forgotten.", file=sys.stderr)
            return Exit.FAILED
        remote.post(f"/v1/gateways/{quote(name, safe='')}/forget", None)
        print(f"{name} is forgotten")
        return Exit.OK
    if item["bound"]:
        raise UsageError(
            f"{name} is in the catalog of the running process, which would own its objects again "
            "at once: remove its document first"
        )
    return None
