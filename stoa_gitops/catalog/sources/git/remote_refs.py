"""The names that a remote repository offers (`git ls-remote`), and what a revision means there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stoa_gitops.catalog.findings import suggest
from stoa_gitops.catalog.sources.base import Problem
from stoa_gitops.catalog.sources.git.revisions import is_full_id, shadowed, split_revision


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to fetch for a revision.

    object_id  of the commit, as far as the remote told it
    ref        its whole name, empty for a commit that is given by its id
    label      name for people, empty where the commit says it all
    suffix     what follows the name: `~1`
    """

    object_id: str
    ref: str = ""
    label: str = ""
    suffix: str = ""
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoteRefs:
    """Ids by name, of annotated tags that of their commit; `head` is the default branch."""

    ids: dict[str, str]
    head: str = ""

    @property
    def object_format(self) -> str:
        """The hash of the repository, by the length of its ids."""
        return object_format(next(iter(self.ids.values()), ""))

    def find(self, revision: str | None) -> Wanted | None:
        """Return what to fetch; None for a name that the remote lacks, such as `3f2a91c`."""
        if revision is not None and is_full_id(revision):
            return Wanted(revision)
        base, suffix = split_revision(revision or "HEAD")
        if base in ("HEAD", "@"):
            if "HEAD" not in self.ids:
                return None
            return Wanted(self.ids["HEAD"], self.head or "HEAD", _short(self.head) + suffix, suffix)
        for ref in candidates(base):
            if ref in self.ids:
                label = base.removeprefix("refs/heads/") + suffix
                return Wanted(self.ids[ref], ref, label, suffix, self._shadowed(base, ref))
        return Wanted(base, "", base + suffix, suffix) if suffix and is_full_id(base) else None

    def _shadowed(self, base: str, ref: str) -> tuple[Problem, ...]:
        """Return a warning where a name means a branch and a tag; the branch is read."""
        tag = self.ids.get(f"refs/tags/{base}")
        if ref != f"refs/heads/{base}" or tag is None or tag == self.ids[ref]:
            return ()
        return (shadowed(base, self.ids[ref], tag),)

    def suggestion(self, revision: str) -> str:
        """Return words with the nearest branch or tag."""
        names = [_short(name) for name in self.ids if name != "HEAD"]
        return suggest(revision, names, what="branch or tag")


def object_format(object_id: str) -> str:
    """Return the name of the hash that made an id, as `git init --object-format` takes it."""
    return "sha256" if len(object_id) == 64 else "sha1"


def candidates(base: str) -> list[str]:
    """Return the whole names that a name may stand for, a branch before a tag."""
    if base.startswith("refs/"):
        return [base]
    return [f"refs/heads/{base}", f"refs/tags/{base}", f"refs/{base}"]


def patterns(revision: str | None) -> list[str]:
    """Return what to ask `ls-remote` for, so that it need not list a million names."""
    base, _ = split_revision(revision or "HEAD")
    if revision is None or base in ("HEAD", "@") or is_full_id(base):
        return ["HEAD"]
    return ["HEAD", *(f"{ref}{end}" for ref in candidates(base) for end in ("", "^{}"))]


def parse_ls_remote(output: bytes) -> RemoteRefs:
    """Return the names of `ls-remote --symref`."""
    ids: dict[str, str] = {}
    head = ""
    for line in output.decode("utf-8", "replace").splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: "):
            head = value[5:] if name == "HEAD" else head
        else:
            # `refs/tags/v1^{}` is the commit of the annotated tag in the line before.
            ids[name.removesuffix("^{}")] = value
    return RemoteRefs(ids, head)


def generations(suffix: str) -> int | None:
    """Return how many commits before the named one a suffix may lead; None where nobody knows.

    `~2` leads two back, `^` and `^2` one, `^{commit}` none; `@{1}` is known in one clone only.
    """
    steps = re.findall(r"~\d*|\^\{\w*\}|\^\d*", suffix)
    if "".join(steps) != suffix:
        return None
    return sum(map(_generations, steps))


def _generations(step: str) -> int:
    if step.startswith("~"):
        return int(step[1:] or 1)
    return 0 if step.startswith("^{") or step == "^0" else 1


def _short(ref: str) -> str:
    return re.sub(r"^refs/(heads|tags)/", "", ref)
