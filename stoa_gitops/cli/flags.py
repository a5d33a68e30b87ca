"""Flags that several commands share; their defaults come from the environment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from stoa_gitops.cli.exits import Exit

if TYPE_CHECKING:
    from stoa_gitops.reconcile.selection import Selection


DEFAULT_CATALOG: Final = "."
"""The current folder."""

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class _Variable:
    """The value of a flag as the environment has it: checked only where it is used."""

    name: str
    text: str
    action: argparse.Action
    command: Parser

    def value(self) -> object:
        """Return what the flag would hold; end with our usage code where it would refuse."""
        if isinstance(self.action, argparse._StoreTrueAction):  # noqa: SLF001 - has no other mark
            if self.text.lower() in _TRUE | _FALSE:
                return self.text.lower() in _TRUE
            self.command.error(f"{self.name}: {self.text!r} is neither true nor false")
        choices = self.action.choices
        if choices is not None and self.text not in choices:
            self.command.error(f"{self.name}: {_invalid_choice(self.text, choices)}")
        if isinstance(self.action, _Append):
            return [part.strip() for part in self.text.split(",") if part.strip()]
        return self.text


class _Append(argparse.Action):
    """Collect the values of a repeated flag; the first replaces what the environment says."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add one value."""
        held = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*(held if isinstance(held, list) else ()), values])


class Parser(argparse.ArgumentParser):
    """An argument parser that ends with our usage code and takes defaults from the environment.

    Flags are never abbreviated: a script that uses a part of a name would break when a flag that
    begins alike is added.
    """

    environment: Mapping[str, str] = os.environ

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **keywords})

    def error(self, message: str) -> NoReturn:
        """Print the usage and the reason, and exit 64 (EX_USAGE of sysexits.h)."""
        from stoa_gitops.report.style import printable

        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: error: {printable(message)}\n")

    def flag(self, name: str, *, about_default: str = "", **keywords: Any) -> None:
        """Add `--name`, whose default may come from STOA_GITOPS_<NAME>; help says the default.

        `about_default` says in words what holds without the flag, where that is no value.
        """
        variable = "STOA_GITOPS_" + name.upper().replace("-", "_")
        given = self.environment.get(variable)
        if given:
            # argparse would still ask for the flag itself.
            keywords.pop("required", None)
            # Not its value: a URL may hold a password.
            about_default = f"of {variable}"
        elif isinstance(keywords.get("default"), str):
            about_default = about_default or keywords["default"]
        if about_default and keywords.get("help") != argparse.SUPPRESS:
            about_default = about_default.replace("%", "%%")
            keywords["help"] = f"{keywords.get('help', '')} (default: {about_default})".strip()
        if keywords.get("action") == "append":
            keywords["action"] = _Append
        action = self.add_argument(f"--{name}", **keywords)
        if given:
            action.default = _Variable(variable, given, action, self)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse a command line; what it leaves open comes from the environment.

        `options.variables` has the name of the variable for each value that came from there.
        """
        options = super().parse_args(args, namespace)
        found = {n: v for n, v in vars(options).items() if isinstance(v, _Variable)}
        for name, variable in found.items():
            setattr(options, name, variable.value())
        options.variables = {name: variable.name for name, variable in found.items()}
        return options

    # argparse parses the rest of the line by this method of each command's parser.
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what this command knows, and end at the first flag that it does not know.

        argparse says first what is missing, which is wrong where a flag is only misspelled.
        """
        texts = sys.argv[1:] if args is None else list(args)
        for text in texts:
            if text == "--" or (self.children and not text.startswith("-")):
                break
            name = text.partition("=")[0]
            is_flag = name.startswith("--") and " " not in name
            if is_flag and name not in self._option_string_actions:
                self.error(f"unknown flag {name}{self._hint(name)}")
        return super().parse_known_args(texts, namespace)

    @property
    def children(self) -> dict[str, Parser]:
        """The parsers of commands or verbs by name; empty for a command without verbs."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - has no other mark
                return dict(action.choices)
        return {}

    def _hint(self, flag: str) -> str:
        """Return what was probably meant by an unknown flag, empty where nothing is like it."""
        known = [name for name in self._option_string_actions if name.startswith("--")]
        if self.children:
            below = [n for c in self.children.values() for n in c._option_string_actions]  # noqa: SLF001 - of this very class
            if flag in below:
                noun = "VERB" if " " in self.prog else "COMMAND"
                return f"; it goes behind the {noun.lower()}: {self.prog} {noun} {flag}"
            known += below
        return did_you_mean(flag, known)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # Overridden for its words: argparse lists the choices and leaves the search to the reader.
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, _invalid_choice(value, action.choices))


def _invalid_choice(value: str, choices: Iterable[str]) -> str:
    names = list(choices)
    hint = did_you_mean(value, names)
    return f"invalid choice: {value!r}{hint} (choose from {', '.join(names)})"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?`, empty where no name is like the word."""
    # Late: most command lines are right.
    from difflib import get_close_matches

    by_lower = {name.lower(): name for name in sorted(set(known))}
    # 0.6 is difflib's own default: below it, suggestions are mostly unrelated.
    close = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def name_of(options: argparse.Namespace, dest: str) -> str:
    """Return `--flag`, or the variable where the value came from the environment."""
    # Options that a test or another program made have no variables.
    variables: dict[str, str] = getattr(options, "variables", {})
    return variables.get(dest) or "--" + dest.replace("_", "-")


def positive(options: argparse.Namespace, dest: str, *, least: int = 1, most: int = 100_000) -> int:
    """Return the number that a flag holds as text; raises UsageError for another text."""
    from stoa_gitops.errors import UsageError

    text = getattr(options, dest)
    if text.isdecimal() and len(text) < 10 and least <= int(text) <= most:
        return int(text)
    raise UsageError(f"{name_of(options, dest)}: {text!r} is no number from {least} to {most:,}")


def catalog(command: Parser, *, formats: Sequence[str], filters: bool = True) -> None:
    """Add where the catalog is and which part of it is meant.

    `filters` adds `--gateway` and `--tenant`; `formats` are the choices of `--output`.
    """
    command.flag(
        "catalog",
        default=DEFAULT_CATALOG,
        metavar="WHERE",
        about_default="current folder",
        help="a folder, a Git URL, or a folder in a repository",
    )
    command.flag(
        "revision",
        metavar="REV",
        about_default="the files of a folder, the default branch of a URL",
        help="branch, tag or commit",
    )
    command.flag(
        "env", metavar="NAME", about_default="all", help="only gateways of this environment"
    )
    if filters:
        command.flag(
            "gateway",
            action="append",
            metavar="NAME",
            about_default="all",
            help="only this gateway; may be repeated",
        )
        command.flag(
            "tenant",
            metavar="NAME",
            about_default="all",
            help="limit to one tenant; others are never pruned",
        )
    # A choice of one is accepted, so that scripts may always say it, and not worth a line of help.
    about = "form of the result on stdout" if len(formats) > 1 else argparse.SUPPRESS
    command.flag("output", choices=formats, default="text", help=about)


def state(command: Parser) -> None:
    """Add `--state`."""
    command.flag(
        "state",
        metavar="DIR",
        about_default="$XDG_STATE_HOME/stoa-gitops",
        help="the store and where a running process listens",
    )


def text_or_json(command: Parser) -> None:
    """Add `--output` with the choices text and json."""
    command.flag("output", choices=("text", "json"), default="text", help="form of the result")


def catalog_filter(command: Parser) -> None:
    """Add `--catalog` and `--revision` to a command that shows a process or the store."""
    command.flag(
        "catalog", metavar="WHERE", about_default="any", help="only gateways of this catalog"
    )
    command.flag(
        "revision",
        metavar="REV",
        about_default="the files of a folder, the default branch of a URL",
        help="branch, tag or commit of that catalog",
    )


def selection(options: argparse.Namespace) -> Selection:
    """Return what `--gateway`, `--env` and `--tenant` of a command select."""
    from stoa_gitops.reconcile.selection import Selection

    return Selection(
        gateways=frozenset(getattr(options, "gateway", None) or ()),
        environment=options.env or None,
        tenant=getattr(options, "tenant", None) or None,
    )
