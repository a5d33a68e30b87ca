"""Gateways that registered themselves: only the running process knows them, so it is asked."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any, Final
from urllib.parse import quote

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of
from stoa_gitops.cli.remote import Remote, find
from stoa_gitops.cli.status_text import json_text
from stoa_gitops.errors import UsageError
from stoa_gitops.model.catalog import Catalog

_PLAN_SECONDS: Final = 190.0
"""For a plan: the process may read the gateway for it, and gives it 180 s."""

_SIGNS: Final = {"create": "+", "update": "~", "delete": "-", "adopt": ">"}


def is_for_registered(options: Namespace) -> bool:
    """Whether a command names a registered gateway, `<document>/<name>`; UsageError for a mixture.

    Documents have no slash in their names. The process plans all tenants of one, so a part of them
    is a UsageError, too.
    """
    names = options.gateway or ()
    registered = [name for name in names if "/" in name]
    if registered and len(names) > 1:
        raise UsageError(
            f"{registered[0]} registered itself, and the running process is asked about it: name it"
            " alone"
        )
    if registered and options.tenant:
        raise UsageError(
            f"the running process plans all that is for {registered[0]}: leave out"
            f" {name_of(options, 'tenant')}"
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
    document = _plan_of(_process(options, name), name)
    if options.output == "json":
        sys.stdout.write(json_text(document))
    else:
        print(_text(document))
    if not document["complete"]:
        return Exit.FAILED
    is_empty = not document["gateways"][0]["changes"]
    return Exit.CHANGES if options.detailed_exitcode and not is_empty else Exit.OK


def apply(options: Namespace) -> Exit:
    """Have the process apply what guards hold of one registered gateway's plan.

    Without a digest the plan is shown and consent asked for; what a person consents to is applied
    by the digest of it, so a plan that has moved since is refused.
    """
    (name,) = options.gateway
    if not options.force:
        raise UsageError(
            f"the running process applies what is for {name} by itself; what a guard holds it"
            " applies with --force, and --digest of the plan where nobody is asked"
        )
    process, digest = _process(options, name), options.digest
    if not digest:
        document = _plan_of(process, name)
        print(_text(document))
        if not document["complete"]:
            return Exit.FAILED
        if not document["gateways"][0]["holds"]:
            print("No guard holds anything: nothing to force.", file=sys.stderr)
            return Exit.OK
        if not (options.yes or terminal.confirm("Apply this plan?")):
            print("Nothing was applied.", file=sys.stderr)
            return Exit.FAILED
        digest = document["digest"]
    process.post(f"{_path(name)}/reconcile", {"force": digest})
    print(f"{name}: the plan {digest} is being applied")
    return Exit.OK


def _plan_of(process: Remote, name: str) -> dict[str, Any]:
    return process.get(f"{_path(name)}/plan", _PLAN_SECONDS)


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


def _text(document: dict[str, Any]) -> str:
    """Return a plan of one gateway; what the gateway chose of it moves no cursor."""
    style = terminal.style()
    return "\n".join(style.safe(line) for line in _lines(document))


def _lines(document: dict[str, Any]) -> list[str]:
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
