"""Writes the pages of the site that are made from the program itself."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Iterator

from stoa_gitops.cli.parser import build, subcommands
from stoa_gitops.operations.explain.findings import FOLDER

_BLOCK = re.compile(r"^```(\w+) ([^\n]+)\n", re.MULTILINE)


def commands_page() -> str:
    """Return the help of every command, as the program prints it."""
    parts = [
        "# Commands",
        "What `stoa-gitops COMMAND --help` prints. [The command line](../cli.md) says more.",
        *(_command(parser) for parser in subcommands(build({}))),
    ]
    return "\n\n".join(parts) + "\n"


def _command(parser: ArgumentParser) -> str:
    name = parser.prog.removeprefix("stoa-gitops ")
    return f"## `{name}`\n\n```text\n{parser.format_help().rstrip()}\n```"


def findings_page() -> str:
    """Return the explanation of every code of a finding, by families."""
    parts = [
        "# Findings",
        "What `stoa-gitops explain CODE` prints. Whatever else a catalog holds is valid here.",
        *_families(),
    ]
    return "\n\n".join(parts) + "\n"


def _families() -> Iterator[str]:
    for path in sorted(FOLDER.glob("*.md")):
        text = path.read_text("utf-8")
        yield _BLOCK.sub(r'```\1 title="\2"\n', text[text.index("## ") :].strip())
