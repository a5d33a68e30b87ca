"""Gateways that registered themselves: only the running process knows them, so it is asked."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any, Final
from urllib.parse import quote

from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.remote import Remote, find
from stoa_gitops.cli.status_text import json_text
from stoa_gitops.errors import UsageError
from stoa_gitops.model.catalog import Catalog

_SIGNS: Final = {"create": "+", "update": "~", "delete": "-", "adopt": ">"}


def is_for_registered(options: Namespace) -> bool:
    """Whether a command names a registered gateway, `<document>/<name>`; UsageError for a mixture.

    Documents have no slash in their names.
    """
    names = options.gateway or ()
    registered = [name for name in names if "/" in name]
    if registered and len(names) > 1:
        raise UsageError(
            f"{registered[0]} registered itself, and the running process is asked about it: name it"
            " alone"
        )
    return bool(registered)


def note_documents(catalog: Catalog, options: Namespace) -> None:
    """Say on stderr which documents a command without the process leaves out."""
    from stoa_gitops.cli.flags import selection

    for instance in selection(options).of(catalog):
        if instance.is_unbound:
            print(
                f"{instance.name}: its gateways register themselves, and the running process plans"
                " and applies what is for them; `stoa-gitops gateways list` shows them",
                file=sys.stderr,
            )


def plan(options: Namespace) -> Exit:
    """Print the plan of one registered gateway as the process makes it."""
    if options.output not in ("text", "json"):
        raise UsageError("of a registered gateway a plan is text or json")
    (name,) = options.gateway
    document = _process(options, name).get(f"{_path(name)}/plan")
    if options.output == "json":
        sys.stdout.write(json_text(document))
    else:
        print("\n".join(_lines(document)))
    if not document["complete"]:
        return Exit.FAILED
    is_empty = not document["gateways"][0]["changes"]
    return Exit.CHANGES if options.detailed_exitcode and not is_empty else Exit.OK


def apply(options: Namespace) -> Exit:
    """Have the process apply what guards hold of one registered gateway's plan."""
    (name,) = options.gateway
    if not (options.force and options.digest):
        raise UsageError(
            f"the running process applies what is for {name} by itself; what a guard holds it"
            " applies with --force and --digest of the plan (`plan --gateway` shows it)"
        )
    _process(options, name).post(f"{_path(name)}/reconcile", {"force": options.digest})
    print(f"{name}: the plan {options.digest} is being applied")
    return Exit.OK


def _process(options: Namespace, name: str) -> Remote:
    remote = find(state_folder(options))
    if remote is None:
        raise UsageError(
            f"{name} registered itself with a process, and none runs with the state folder"
            f" {state_folder(options)}: start `stoa-gitops run`, or name its folder by --state"
        )
    return remote


def _path(name: str) -> str:
    # Quoted whole: a name with a slash must stay one segment of the path.
    return f"/v1/gateways/{quote(name, safe='')}"


def _lines(document: dict[str, Any]) -> list[str]:
    """Return a plan of one gateway as text."""
    (gateway,) = document["gateways"]
    lines = [f"Plan of the running process for {document['revision']}", "", gateway["gateway"]]
    if not gateway["complete"]:
        return [*lines, f"  not observed: {gateway['error']}"]
    for change in gateway["changes"]:
        source = change["source"]
        place = f"   {source['path']}:{source['line']}" if source else ""
        held = " (held)" if change["held"] else ""
        lines.append(f"  {_SIGNS[change['action']]} {change['key']}{held}{place}")
    lines += [f"  ! {skip['key']}: {skip['message']}" for skip in gateway["skipped"]]
    lines += [f"  held: {hold['message']}" for hold in gateway["holds"]]
    lines += [f"  warning: {warning}" for warning in gateway["warnings"]]
    lines += [f"  {gateway['unchanged']} unchanged", "", f"Digest: {document['digest']}"]
    return lines
