"""Reads a Dockerfile far enough to check its rules and to carry out its steps without an engine."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

_CONTINUED = re.compile(r"\\\n\s*")


@dataclass
class Instruction:
    """`word` in capitals, and what stands behind it."""

    word: str
    text: str

    @property
    def flags(self) -> dict[str, str]:
        """The `--name=value` words in front."""
        names = (word for word in self.text.split() if word.startswith("--"))
        return dict(name.removeprefix("--").split("=", 1) for name in names)

    @property
    def exec_form(self) -> list[str] | None:
        """The command, where it is a JSON list; None for one that needs a shell."""
        start = self.text.find("[")
        if start < 0:
            return None
        try:
            found = json.loads(self.text[start:])
        except ValueError:
            return None
        return found if all(isinstance(word, str) for word in found) else None


@dataclass
class Stage:
    """One `FROM … AS name` with everything that it inherits from stages above."""

    name: str
    image: str
    parent: Stage | None
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        """Every instruction of that word, inherited ones first."""
        inherited = self.parent.all(word) if self.parent else []
        return inherited + [item for item in self.instructions if item.word == word]

    def last(self, word: str) -> Instruction | None:
        """The instruction that is in force."""
        found = self.all(word)
        return found[-1] if found else None

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        words = [word for item in self.all("ENV") for word in shlex.split(item.text)]
        return dict(word.split("=", 1) for word in words)

    def command(self, word: str) -> list[str]:
        """The exec form of ENTRYPOINT, CMD or HEALTHCHECK; empty where there is none."""
        item = self.last(word)
        return (item.exec_form or []) if item else []


def read(path: Path) -> dict[str, Stage]:
    """Return the stages by name, in their order."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for line in _CONTINUED.sub(" ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        word, _, text = line.strip().partition(" ")
        word = word.upper()
        if word == "FROM":
            image, _, name = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], text).partition(
                " AS "
            )
            current = stages[name] = Stage(name, image, stages.get(image))
        elif current is None:
            assert word == "ARG", f"{word} stands before FROM"
            arguments.update([text.split("=", 1)])
        else:
            current.instructions.append(Instruction(word, text))
    return stages


def is_ignored(path: str, patterns: list[str]) -> bool:
    """Whether `.dockerignore` keeps a path out of the context; the last pattern that fits
    decides.
    """
    ignored = False
    for pattern in patterns:
        bare = pattern.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        prefixes = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        names = parts if pattern.startswith("**/") else prefixes
        if any(fnmatch(name, bare) for name in names):
            ignored = not pattern.startswith("!")
    return ignored


def ignore_patterns(path: Path) -> list[str]:
    """Return the patterns of a `.dockerignore`."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]
