"""What `git fsck` says about the objects of a clone: which findings are taken, which refused.

Nothing is ever checked out: trees are listed, blobs are read by their id. So what is wrong with the
people, times and texts of a commit harms nobody, and `git clone` takes it too. What may hide a
file, show it under another path, or harm whoever checks the repository out is refused: trees out of
order or with a name twice, names such as `.git`, `..` or `a/b`, and an odd `.gitmodules`.
Ids and meanings: git-fsck(1) "FSCK MESSAGES".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from stoa_gitops.catalog.sources.base import Problem, shown_path
from stoa_gitops.errors import CatalogError
from stoa_gitops.model.diagnostics import Severity

TAKEN: Final = (
    "badDate", "badDateOverflow", "badEmail", "badFilemode", "badName", "badTagName",
    "badTimezone", "gitattributesBlob", "gitattributesLarge", "gitattributesLineLength",
    "gitattributesMissing", "missingEmail", "missingNameBeforeEmail",
    "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "missingTaggerEntry", "multipleAuthors",
    "nulInCommit", "zeroPaddedDate", "zeroPaddedFilemode",
)  # fmt: skip
REFUSED: Final = (
    "duplicateEntries", "emptyName", "fullPathname", "hasDot", "hasDotdot", "hasDotgit",
    "nullSha1", "treeNotSorted",
)  # fmt: skip
"""Errors by default are refused too; these are only warnings in some versions of Git."""

SETTINGS: Final = {
    **{f"fsck.{name}": "warn" for name in TAKEN},
    **{f"fsck.{name}": "error" for name in REFUSED},
}
"""Configuration of `git fsck`; it skips ids that it does not know."""

MAX_SHOWN: Final = 20
"""Most findings that are shown."""


class Finding(NamedTuple):
    """One line of `git fsck`."""

    severity: str
    text: str


def is_complaint(text: str) -> bool:
    """Whether a fetch failed because of the objects and not of the way to them."""
    return "fsck error" in text


def warnings_of(output: str, url: str) -> tuple[Problem, ...]:
    """Return what `git fsck` found as warnings; raises CatalogError for what is refused."""
    found = list(_parse(output))
    errors = [finding.text for finding in found if finding.severity == "error"]
    if errors:
        raise CatalogError(
            f"{url}: {'; '.join(errors[:MAX_SHOWN])}; objects like this are refused: "
            "run `git fsck` there and commit without them"
        )
    return tuple(
        Problem(
            ".",
            "repository.fsck",
            f"{finding.text} (git fsck); it is read all the same",
            "rewrite the commit, or leave it: later commits do not bring it back",
            Severity.WARNING,
        )
        for finding in found[:MAX_SHOWN]
    )


def _parse(output: str) -> Iterator[Finding]:
    for line in output.splitlines():
        # `warning in commit 3f2a…: badTimezone: invalid author/committer line - bad time zone`
        match = re.match(r"(error|warning) in (\w+) ([0-9a-f]{7})[0-9a-f]*: (.*)", line)
        if match is not None:
            text = shown_path(match[4].encode())
            yield Finding(match[1], f"{match[2]} {match[3]}: {text}")
        elif line.startswith(("error:", "fatal:", "missing ", "broken link")):
            yield Finding("error", shown_path(line.encode()))
