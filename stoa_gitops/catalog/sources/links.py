"""Where a symbolic link of a catalog leads: the same for a folder on disk and for a Git revision.

A link is text, resolved by names within the catalog, one part after the other. It may lead to any
file or folder of the catalog that its owner may write: `tenants/<tenant>/` belongs to the tenant,
the other folders of the catalog to the operator, and what lies beside them to all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from stoa_gitops.catalog.sources.base import ROOTS, Problem, is_wanted

MAX_HOPS: Final = 40
"""Most links behind one another, as Linux has it (path_resolution(7))."""

MAX_LINKED: Final = 10_000
"""Most links that one owner has and files that they reach: a few links to folders of links reach
any number of files."""

ReadLink = Callable[[str], "str | None"]
"""Returns the text of the link at a path relative to the catalog, None where no link is."""


class LinkRefused(Exception):
    """A link that is not followed; says why."""


@dataclass(slots=True)
class Links:
    """Follows the links of one state of a catalog.

    aliases  names by path, of folders at the top that are links themselves: Kubernetes mounts a
             ConfigMap as `tenants -> ..data/tenants`
    """

    read_link: ReadLink
    aliases: dict[str, str] = field(default_factory=dict)
    _linked: dict[str, int] = field(default_factory=dict)

    def follow(self, place: str, shown: str) -> str:
        """Return the path that the link at `place` leads to; raises LinkRefused.

        `shown` is the path by which the link was reached; another than `place` if that was through
        a link to a folder.
        """
        self.count(shown)
        goal, passed = self._resolve(place)
        if f"{place}/".startswith(f"{goal}/" if goal else ""):
            raise LinkRefused(LOOPS)
        owner = owner_of(shown)
        if "/" not in shown:
            self.aliases[goal] = shown
            return goal
        for path in (*passed, goal):
            other = owner_of(self._named(path))
            if owner.startswith("tenant") and other not in ("", owner):
                raise LinkRefused(f"the symlink leads to what belongs to {other}, not to {owner}")
        return goal

    def count(self, shown: str) -> None:
        """Count a link, or a file that was reached through one; raises LinkRefused for too many."""
        owner = owner_of(shown)
        self._linked[owner] = self._linked.get(owner, 0) + 1
        if self._linked[owner] > MAX_LINKED:
            raise LinkRefused(
                f"more than {MAX_LINKED} files are reached through symlinks of {owner}"
            )

    def _named(self, path: str) -> str:
        """Return a path by its names at the top of the catalog."""
        for real, shown in self.aliases.items():
            if path == real or path.startswith(f"{real}/"):
                return shown + path[len(real) :]
        return path

    def _resolve(self, place: str) -> tuple[str, list[str]]:
        """Return where a link leads, and the places of the links between."""
        todo = place.split("/")[::-1]
        done: list[str] = []
        links: list[str] = []
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    raise LinkRefused(LEAVES)
                done.pop()
                continue
            here = "/".join([*done, part])
            text = self.read_link(here)
            if text is None:
                done.append(part)
                continue
            links.append(here)
            if len(links) > MAX_HOPS:
                raise LinkRefused(LOOPS)
            if text.startswith("/"):
                raise LinkRefused(LEAVES)
            todo.extend(text.split("/")[::-1])
        if ".git" in done:
            raise LinkRefused(LEAVES)
        return "/".join(done), links[1:]


LEAVES: Final = "the symlink leads out of the catalog and is not followed"
LOOPS: Final = "the symlink leads into itself"
NOWHERE: Final = "the symlink leads nowhere"

_HINTS: Final[Mapping[str, str]] = {LOOPS: "remove it", NOWHERE: "remove it"}


def link_problem(path: str, message: str) -> Problem:
    """Return the problem of a link that is not followed."""
    return Problem(path, "file.symlink", message, _HINTS.get(message, "put the file itself here"))


def owner_of(path: str) -> str:
    """Return who may write a path, in words; empty for what lies beside the catalog's folders."""
    parts = path.split("/", 2)
    if parts[0] not in ROOTS:
        return ""
    # `tenants/x.yaml` is a stray file and no folder of a tenant.
    if parts[0] != "tenants" or len(parts) < 2 or (len(parts) == 2 and is_wanted(parts[1])):
        return "the operator"
    return f"tenant {parts[1]}"
