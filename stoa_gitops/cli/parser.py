"""The grammar of the command line. Nothing heavy is imported here: `--help` must be quick."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from stoa_gitops import __version__
from stoa_gitops.cli.exits import Exit

_SUMMARIES = {
    "validate": "check the catalog and say everything that is wrong, with its place",
    "plan": "show what would change on each gateway; never writes",
    "apply": "show the plan, ask, and carry it out",
    "run": "keep the gateways as the catalog says, and serve the embedded one",
    "render": "write what each gateway would get, as files",
    "adopt": "take ownership of objects that exist on a gateway, or write them down",
    "schema": "print the JSON Schema of a kind",
}

_PLAN_FORMATS = ("text", "json", "jsonl", "markdown")
_FINDING_FORMATS = ("text", "json", "sarif", "junit", "github")


class Parser(argparse.ArgumentParser):
    """An argument parser that ends with our usage code and takes defaults from the environment."""

    environment: Mapping[str, str] = os.environ

    def error(self, message: str) -> NoReturn:
        """Print the usage and the reason, and exit 64."""
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: error: {message}\n")

    def flag(self, name: str, **keywords: Any) -> None:
        """Add `--name`, whose default may come from STOA_GITOPS_<NAME>."""
        variable = "STOA_GITOPS_" + name.upper().replace("-", "_")
        given = self.environment.get(variable)
        if given:
            action = keywords.get("action")
            if action == "store_true":
                keywords["default"] = given.lower() in {"1", "true", "yes", "on"}
            elif action == "append":
                keywords["default"] = given.split(",")
            else:
                keywords["default"] = given
        self.add_argument(f"--{name}", **keywords)


def build(environment: Mapping[str, str] | None = None) -> Parser:
    """Return the parser of all commands."""
    Parser.environment = os.environ if environment is None else environment
    parser = Parser(
        prog="stoa-gitops",
        description="One Git catalog as the truth for many API gateways.",
        epilog="Every flag can be set as STOA_GITOPS_<FLAG>. `stoa-gitops COMMAND --help` says more.",
    )
    parser.add_argument("--version", action="version", version=f"stoa-gitops {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in _SUMMARIES.items():
        command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        _ARGUMENTS[name](command)
        command.flag("debug", action="store_true", help="show tracebacks and debug logs")
    return parser


def _catalog(command: Parser, *, formats: Sequence[str], filters: bool = True) -> None:
    command.flag(
        "catalog",
        default=".",
        metavar="WHERE",
        help="a folder, a Git URL, or a folder inside a repository (default: this folder)",
    )
    command.flag("revision", metavar="REV", help="branch, tag or commit (default: what is there)")
    command.flag("env", metavar="NAME", help="only gateways of this environment")
    if filters:
        command.flag(
            "gateway", action="append", metavar="NAME", help="only this gateway; may be repeated"
        )
        command.flag("tenant", metavar="NAME", help="only this tenant; others are never pruned")
    command.flag("output", choices=formats, default="text", help="form of the result on stdout")


def _state(command: Parser) -> None:
    command.flag(
        "state",
        metavar="DIR",
        help="the store and where a running process listens (default: $XDG_STATE_HOME/stoa-gitops)",
    )


def _validate(command: Parser) -> None:
    _catalog(command, formats=_FINDING_FORMATS)
    command.flag("strict", action="store_true", help="warnings make the catalog invalid")


def _plan(command: Parser) -> None:
    _catalog(command, formats=_PLAN_FORMATS)
    _state(command)
    command.flag("base", metavar="REV", help="compare with this revision; asks no gateway")
    command.flag("detailed-exitcode", action="store_true", help="exit 2 when changes are pending")
    command.flag("keep-going", action="store_true", help="plan what is valid of a broken catalog")


def _apply(command: Parser) -> None:
    _catalog(command, formats=("text", "json"))
    _state(command)
    command.flag("yes", action="store_true", help="do not ask")
    command.flag("digest", metavar="HEX", help="apply exactly the plan with this digest")
    command.flag("force", action="store_true", help="apply what a guard holds back")
    command.flag("keep-going", action="store_true", help="apply what is valid of a broken catalog")


def _run(command: Parser) -> None:
    _catalog(command, formats=("text", "json"), filters=False)
    _state(command)
    command.flag("once", action="store_true", help="one cycle of every gateway, then end")
    command.flag("control-listen", default="127.0.0.1:8000", metavar="HOST:PORT", help="control")
    command.flag("gateway-listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="gateway")
    command.flag("interval", metavar="TIME", help="the look for drift (default: each gateway's)")
    command.flag("poll", default="30s", metavar="TIME", help="the look at a remote repository")


def _render(command: Parser) -> None:
    _catalog(command, formats=("text",))
    command.flag("out", required=True, metavar="DIR", help="folder to write into")


def _adopt(command: Parser) -> None:
    command.add_argument("name", metavar="GATEWAY", help="the gateway that has the objects")
    command.add_argument("keys", nargs="*", metavar="KEY", help="objects, as api/acme/billing")
    _catalog(command, formats=("text", "json"), filters=False)
    _state(command)
    command.flag(
        "write", metavar="DIR", help="write documents for foreign objects into this folder"
    )
    command.flag("yes", action="store_true", help="do not ask")


def _schema(command: Parser) -> None:
    command.add_argument("kind", nargs="?", metavar="KIND", help="a kind; without one: their list")


_ARGUMENTS = {
    "validate": _validate,
    "plan": _plan,
    "apply": _apply,
    "run": _run,
    "render": _render,
    "adopt": _adopt,
    "schema": _schema,
}
