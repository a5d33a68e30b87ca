"""What the name of a revision says by itself, and the warning about a name with two meanings."""

from __future__ import annotations

import re

from stoa_gitops.catalog.sources.base import Problem
from stoa_gitops.model.diagnostics import Severity


def split_revision(revision: str) -> tuple[str, str]:
    """Return the name that a revision begins with, and the rest (`~1`, `^{commit}`, `@{1}`)."""
    found = re.match(r"[^~^:]*?(?=[~^:]|@\{|\Z)", revision)
    base = found[0] if found else revision
    return base, revision[len(base) :]


def is_full_id(text: str) -> bool:
    """Whether a text is the whole id of an object, which means that object always."""
    return re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) is not None


def is_abbreviated(text: str) -> bool:
    """Whether a text may be the beginning of a commit, with what follows it (`3f2a91c~1`)."""
    return re.fullmatch(r"[0-9a-f]{4,63}", split_revision(text)[0]) is not None


def shadowed(name: str, branch: str, other: str, kind: str = "a tag") -> Problem:
    """Return the warning about a name with two meanings, given the commits of both."""
    return Problem(
        ".",
        "revision.ambiguous",
        f"{name} is a branch ({branch[:7]}) and {kind} ({other[:7]}); the branch is read",
        f"write refs/heads/{name} or "
        + (f"refs/tags/{name}" if kind == "a tag" else f"the whole commit {other}"),
        Severity.WARNING,
    )
