"""`completion bash|zsh|fish`: a script for the shell; names of gateways and tenants are looked up when asked for."""

from __future__ import annotations

import os
import sys
from argparse import Action, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from stoa_gitops.catalog import kind_names
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.parser import build, subcommands

SHELLS: Final = ("bash", "zsh", "fish")
_FOLDERS: Final = {"catalog", "state", "out", "write"}
_NAMES: Final = {"gateway": "gateways", "tenant": "tenants"}


def execute(options: Namespace) -> Exit:
    """Print the script, or names for it."""
    if options.names:
        catalog = os.environ.get("STOA_GITOPS_CATALOG", ".")
        print("\n".join(sorted(names(Path(catalog), options.names))))
        return Exit.OK
    sys.stdout.write(script(options.shell) + "\n")
    return Exit.OK


def names(catalog: Path, kind: str) -> Iterator[str]:
    """Yield names by the files of a catalog in a folder: nothing is read, because somebody waits for a key press."""
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
        for action in command._actions:  # noqa: SLF001 - the library that reads them does the same
            _complete(action)
    text: str = shtab.complete(parser, shell=shell)
    return text


def _complete(action: Action) -> None:
    """Say what completes the value of a flag or an argument."""
    import shtab

    marked: Any = action
    is_name = action.dest == "name" and action.metavar == "GATEWAY"
    if action.dest in _FOLDERS:
        marked.complete = shtab.DIRECTORY
    elif action.dest in _NAMES or is_name:
        marked.complete = _dynamic("gateways" if is_name else _NAMES[action.dest])
    elif action.metavar == "KIND":
        action.choices = kind_names()


def _dynamic(kind: str) -> dict[str, Any]:
    ask = f"stoa-gitops completion --names {kind} 2>/dev/null"
    function = f"_stoa_gitops_{kind}"
    return {
        "bash": function,
        "zsh": function,
        "fish": f"({ask})",
        "preamble": {
            "bash": f'{function}() {{ compgen -W "$({ask})" -- "$1"; }}',
            "zsh": f'{function}() {{ local -a found; found=("${{(@f)$({ask})}}"); compadd -a found; }}',
        },
    }
