"""`completion bash|zsh|fish`: a script for the shell, which completes names of the catalog."""

from __future__ import annotations

import os
import sys
from argparse import Action, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from stoa_gitops.catalog.documents.kind_files import kind_schemas
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.parser import build, subcommands

SHELLS: Final = ("bash", "zsh", "fish")
_FOLDERS: Final = {"catalog", "state", "write"}
_NAMES: Final = {"gateway": "gateways", "tenant": "tenants", "topics": "topics"}


def execute(options: Namespace) -> Exit:
    """Print the script, or names for it."""
    if options.names:
        # The shell calls this while a command line is being typed, so --catalog is not known.
        catalog = os.environ.get("STOA_GITOPS_CATALOG", ".")
        print("\n".join(sorted(names(Path(catalog), options.names))))
        return Exit.OK
    sys.stdout.write(script(options.shell) + "\n")
    return Exit.OK


def names(catalog: Path, kind: str) -> Iterator[str]:
    """Yield names of gateways or tenants by file names, or topics of `explain`.

    No file of the catalog is read: a person waits.
    """
    if kind == "topics":
        from stoa_gitops.operations.explain.topics import topic_names

        yield from topic_names()
        return
    if kind == "gateways":
        for path in (catalog / "gateways").glob("*.y*ml"):
            yield path.stem
        return
    for path in (catalog / "tenants").glob("*"):
        if path.is_dir():
            yield path.name


def script(shell: str) -> str:
    """Return the completion script of one of SHELLS."""
    import shtab

    parser = build({})
    for command in (parser, *subcommands(parser)):
        for action in command._actions:  # noqa: SLF001 - shtab reads them the same way
            _complete(action)
    text: str = shtab.complete(parser, shell=shell)
    return text


def _complete(action: Action) -> None:
    """Set what completes the value of a flag or an argument, where shtab looks for it."""
    import shtab

    marked: Any = action  # shtab reads an attribute that argparse does not have
    is_name = action.dest == "name" and action.metavar == "GATEWAY"
    if action.dest in _FOLDERS or action.metavar == "DIR":
        marked.complete = shtab.DIRECTORY
    elif action.dest in _NAMES or is_name:
        marked.complete = _dynamic("gateways" if is_name else _NAMES[action.dest])
    elif action.metavar == "METHOD":
        # The command itself takes any method.
        action.choices = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    elif action.metavar == "FILE" or action.dest == "paths":
        marked.complete = shtab.FILE
    elif action.metavar == "KIND":
        # Only for completion: the command itself takes kinds in any case.
        action.choices = tuple(kind_schemas())


def _dynamic(kind: str) -> dict[str, Any]:
    command = f"stoa-gitops completion --names {kind} 2>/dev/null"
    function = f"_stoa_gitops_{kind}"
    return {
        "bash": function,
        "zsh": function,
        "fish": f"({command})",
        "preamble": {
            "bash": f'{function}() {{ compgen -W "$({command})" -- "$1"; }}',
            "zsh": f"{function}() {{ local -a found; "
            f'found=("${{(@f)$({command})}}"); compadd -a found; }}',
        },
    }
