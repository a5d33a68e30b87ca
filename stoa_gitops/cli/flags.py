"""Flags that several commands share; their defaults come from the environment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from stoa_gitops.cli.exits import Exit

if TYPE_CHECKING:
    from stoa_gitops.reconcile.selection import Selection


class Parser(argparse.ArgumentParser):
    """An argument parser that ends with our usage code and takes defaults from the environment."""

    environment: Mapping[str, str] = os.environ

    def error(self, message: str) -> NoReturn:
        """Print the usage and the reason, and exit 64 (EX_USAGE of sysexits.h)."""
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: error: {message}\n")

    def flag(self, name: str, **keywords: Any) -> None:
        """Add `--name`, whose default may come from STOA_GITOPS_<NAME>."""
        variable = "STOA_GITOPS_" + name.upper().replace("-", "_")
        given = self.environment.get(variable)
        if given:
            # argparse would still ask for the flag itself.
            keywords.pop("required", None)
            action = keywords.get("action")
            # argparse converts no default, so each kind of flag is parsed here.
            if action == "store_true":
                keywords["default"] = given.lower() in {"1", "true", "yes", "on"}
            elif action == "append":
                keywords["default"] = given.split(",")
            else:
                keywords["default"] = given
        self.add_argument(f"--{name}", **keywords)


def catalog(command: Parser, *, formats: Sequence[str], filters: bool = True) -> None:
    """Add where the catalog is and which part of it is meant.

    `filters` adds `--gateway` and `--tenant`; `formats` are the choices of `--output`.
    """
    command.flag(
        "catalog",
        default=".",
        metavar="WHERE",
        help="a folder, a Git URL, or a folder in a repository (default: current folder)",
    )
    command.flag(
        "revision",
        metavar="REV",
        help="branch, tag or commit (default: the files of a folder, the default branch of a URL)",
    )
    command.flag("env", metavar="NAME", help="only gateways of this environment")
    if filters:
        command.flag(
            "gateway", action="append", metavar="NAME", help="only this gateway; may be repeated"
        )
        command.flag("tenant", metavar="NAME", help="limit to one tenant; others are never pruned")
    # A choice of one is accepted, so that scripts may always say it, and not worth a line of help.
    about = "form of the result on stdout" if len(formats) > 1 else argparse.SUPPRESS
    command.flag("output", choices=formats, default="text", help=about)


def state(command: Parser) -> None:
    """Add `--state`."""
    command.flag(
        "state",
        metavar="DIR",
        help="the store and where a running process listens (default: $XDG_STATE_HOME/stoa-gitops)",
    )


def text_or_json(command: Parser) -> None:
    """Add `--output` with the choices text and json."""
    command.flag("output", choices=("text", "json"), default="text", help="form of the result")


def catalog_filter(command: Parser) -> None:
    """Add `--catalog` and `--revision` to a command that shows a process or the store."""
    command.flag("catalog", metavar="WHERE", help="only gateways of this catalog (default: any)")
    command.flag("revision", metavar="REV", help="branch, tag or commit of that catalog")


def selection(options: argparse.Namespace) -> Selection:
    """Return what `--gateway`, `--env` and `--tenant` of a command select."""
    from stoa_gitops.reconcile.selection import Selection

    return Selection(
        gateways=frozenset(getattr(options, "gateway", None) or ()),
        environment=options.env or None,
        tenant=getattr(options, "tenant", None) or None,
    )
