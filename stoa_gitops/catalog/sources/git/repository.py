"""A catalog in a Git repository on this disk."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from stoa_gitops.catalog.findings import suggest
from stoa_gitops.catalog.sources.base import (
    ROOTS,
    WATCHING,
    Problem,
    Tree,
    check_is_catalog,
    is_bare,
    misnamed_roots,
)
from stoa_gitops.catalog.sources.git.command import QUARANTINE, READ_TIMEOUT, run_git
from stoa_gitops.catalog.sources.git.objects import (
    Entry,
    Listing,
    classify_entries,
    parse_batch,
    parse_ls_tree,
)
from stoa_gitops.catalog.sources.git.revisions import is_full_id, shadowed, split_revision
from stoa_gitops.catalog.sources.git.tree_links import TreeLinks
from stoa_gitops.errors import CatalogError, CatalogNotFound

if TYPE_CHECKING:
    import asyncio

_BATCH_BYTES: Final = 16_000_000
"""Bytes of objects per `cat-file`: the output is held in memory as a whole."""


Provide: TypeAlias = "Callable[[set[str]], dict[str, int]]"
"""Makes blobs available that a partial clone may lack; returns their sizes by id."""


class Repository:
    """One repository on this disk, read from its objects."""

    def __init__(self, git_dir: Path, place: str) -> None:
        self.git_dir = git_dir
        self.place = place

    def git(self, *arguments: str, stdin: bytes | None = None) -> tuple[int, bytes, str]:
        """Run a command that only reads."""
        return run_git(
            [f"--git-dir={self.git_dir}", *arguments],
            timeout=READ_TIMEOUT,
            # Nothing of the repository is run, so it may belong to another user (CVE-2022-24765).
            settings={"safe.directory": "*"},
            extra={"GIT_ALLOW_PROTOCOL": "none", **self._quarantine()},
            stdin=stdin,
        )

    def _quarantine(self) -> dict[str, str]:
        """Return where the objects of a push are, in a hook that looks at them before they are
        accepted.
        """
        path = os.environ.get("GIT_QUARANTINE_PATH", "")
        objects = os.path.realpath(self.git_dir / "objects")
        if not path or os.path.dirname(os.path.realpath(path)) != objects:  # noqa: PTH120
            return {}
        return {name: os.environ[name] for name in QUARANTINE if name in os.environ}

    def read(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        """Run a command that only reads and must succeed; raises CatalogError."""
        status, output, complaint = self.git(*arguments, stdin=stdin)
        if status:
            reason = complaint.splitlines()[-1] if complaint else f"git ended with {status}"
            raise CatalogError(f"{self.place} cannot be read: {reason}; try `git fsck` there")
        return output

    def resolve(self, revision: str | None) -> tuple[str, str]:
        """Return (commit, label) of a revision, HEAD without one; raises CatalogNotFound."""
        name = revision or "HEAD"
        branch = self._branch(name)
        commit = self._commit(branch or name)
        if commit is None:
            raise self._unknown(revision)
        return commit, self._label(revision, commit)

    def _commit(self, name: str) -> str | None:
        status, output, _ = self.git(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )
        return output.decode().strip() if status == 0 else None

    def _branch(self, revision: str) -> str | None:
        """Return a revision with the whole name of its branch; None where it begins with none.

        Git takes a tag where a tag and a branch have one name (gitrevisions(7)): whoever may push
        tags could say what is live. A branch of a working clone may exist as a remote one only.
        """
        base, suffix = split_revision(revision)
        if not base or base in ("HEAD", "@") or base.startswith("refs/") or is_full_id(base):
            return None
        for name in (f"refs/heads/{base}", f"refs/remotes/origin/{base}"):
            if self._commit(name) is not None:
                return name + suffix
        return None

    def find_shadowed(self, revision: str | None) -> tuple[Problem, ...]:
        """Return a warning where a name means a branch and something else; the branch is read."""
        branch = self._branch(revision or "HEAD")
        if revision is None or branch is None:
            return ()
        base, suffix = split_revision(revision)
        commit = self._commit(branch.removesuffix(suffix) if suffix else branch)
        tag = self._commit(f"refs/tags/{base}")
        if tag is not None and tag != commit:
            return (shadowed(base, str(commit), tag),)
        if re.fullmatch(r"[0-9a-f]{4,40}", base):
            listed = self.git("rev-parse", f"--disambiguate={base}")[1].decode().split()
            others = [found for found in listed if found != commit and self._commit(found) == found]
            if others:
                return (shadowed(base, str(commit), others[0], kind="the beginning of a commit"),)
        return ()

    def _label(self, revision: str | None, commit: str) -> str:
        if revision in (None, "HEAD"):
            status, output, _ = self.git("symbolic-ref", "--quiet", "--short", "HEAD")
            revision = output.decode().strip() if status == 0 else ""
        # A commit is its own label; a branch or tag is shown with the commit it named.
        if not revision or re.fullmatch(r"[0-9a-f]{7,64}", revision):
            return commit[:7]
        return f"{revision.removeprefix('refs/heads/')}@{commit[:7]}"

    def _unknown(self, revision: str | None) -> CatalogNotFound:
        if revision is None:
            return CatalogNotFound(f"{self.place} has no commit yet; commit the catalog first")
        text = f"{self.place} has no revision {revision}"
        status, output, _ = self.git("rev-parse", "--is-shallow-repository")
        if status == 0 and output.strip() == b"true":
            return CatalogNotFound(
                f"{text}: it is a shallow clone; fetch the whole history "
                "(`fetch-depth: 0` of actions/checkout, or `git fetch --unshallow`)"
            )
        refs = self.read("for-each-ref", "--format=%(refname:lstrip=2)")
        names = {name.removeprefix("origin/") for name in refs.decode().split()} - {"HEAD"}
        if revision in names or revision == "HEAD":
            # A tag of a tree, a branch without a commit yet, or objects that are not here.
            return CatalogNotFound(
                f"{self.place}: {revision} leads to no commit; give a branch or a tag of one, or"
                " run `git fsck` there"
            )
        return CatalogNotFound(f"{text}; {suggest(revision, sorted(names), what='branch or tag')}")

    def tree(
        self,
        commit: str,
        label: str,
        prefix: str,
        warnings: tuple[Problem, ...] = (),
        provide: Provide | None = None,
    ) -> GitTree:
        """Return the catalog in one commit, with warnings about the repository itself.

        `provide` is given for a partial clone. Raises CatalogNotFound, CatalogError.
        """
        top = f"{commit}:{prefix}" if prefix else commit
        status, output, _ = self.git("ls-tree", "-z", "--name-only", top)
        if status:
            raise CatalogNotFound(
                f"{label} of {self.place} has no folder {prefix}; give the catalog's folder in it"
            )
        names = {name.decode("utf-8", "replace") for name in output.split(b"\0")}
        check_is_catalog(
            names, f"{label} of {self.place}" + (f", folder {prefix}," if prefix else "")
        )
        above = f"{prefix}/" if prefix else ""
        sizes = ["-l"] if provide is None else []  # Git would look for each blob

        def listed(*tops: str) -> bytes:
            paths = [f":(literal){above}{name}" for name in tops]
            return self.read("ls-tree", "-r", *sizes, "-z", "--full-tree", commit, "--", *paths)

        def texts(links: Iterable[Entry]) -> dict[str, bytes]:
            blobs = {link.blob for link in links}
            if provide is not None:
                provide(blobs)
            return dict(self.blobs(blobs, {}))

        output = listed(*(name for name in ROOTS if name in names))
        listing = classify_entries(parse_ls_tree(output, prefix), self.place)
        if listing.links:
            links = TreeLinks(lambda name: parse_ls_tree(listed(name), prefix), texts)
            links.add_linked(listing, parse_ls_tree(output, prefix))
        if provide is not None:
            listing.sizes.update(provide(set(listing.files.values())))
        listing.drop_large()
        listing.problems.extend((*misnamed_roots(names), *warnings))
        return GitTree(self, commit, label, prefix, listing)

    def blobs(self, ids: Iterable[str], sizes: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
        """Yield (blob id, bytes); objects are read in batches of some megabytes."""
        batch: list[str] = []
        weight = 0
        for blob in ids:
            batch.append(blob)
            weight += sizes.get(blob, 0)
            if weight > _BATCH_BYTES:
                yield from self._batch(batch)
                batch, weight = [], 0
        if batch:
            yield from self._batch(batch)

    def _batch(self, ids: list[str]) -> Iterator[tuple[str, bytes]]:
        return parse_batch(
            self.read("cat-file", "--batch", "--buffer", stdin="\n".join(ids).encode() + b"\n")
        )


class GitTree(Tree):
    """The catalog in one commit; bytes are fetched from the repository when asked for."""

    def __init__(
        self, repository: Repository, commit: str, label: str, prefix: str, listing: Listing
    ) -> None:
        self.revision = label
        self.commit = commit
        self.prefix = prefix
        self.files = listing.files
        self.problems = tuple(listing.problems)
        self.links = listing.real
        self._sizes = listing.sizes
        self._repository = repository

    def read_many(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (path, bytes); the same bytes at two paths are fetched once."""
        # Several paths may have one content; each blob is requested once.
        wanted: dict[str, list[str]] = {}
        for path in paths:
            wanted.setdefault(self.files[path], []).append(path)
        for blob, data in self._repository.blobs(wanted, self._sizes):
            for path in wanted[blob]:
                yield path, data


class RepositorySource:
    """A revision of a catalog in a repository on this disk, bare or not."""

    def __init__(self, location: Path, revision: str | None) -> None:
        self.location = location
        self.revision = revision

    def _open(self) -> tuple[Repository, str]:
        """Return the repository and the catalog's folder in it; raises CatalogNotFound."""
        path = Path(os.path.realpath(self.location))
        for above in (path, *path.parents):
            git_dir = above if is_bare(above) else above / ".git"
            try:
                is_there = git_dir.exists()
            except OSError as error:
                raise CatalogNotFound(
                    f"{self.location} cannot be read: {error.strerror}; check its permissions"
                ) from None
            if is_there:
                inside = path.relative_to(above).as_posix()
                return self._checked(git_dir), "" if inside == "." else inside
        raise CatalogNotFound(
            f"{self.location} is in no Git repository; give a folder inside one, or leave "
            "out --revision to read the folder as it is"
        )

    def _checked(self, git_dir: Path) -> Repository:
        repository = Repository(git_dir, str(self.location))
        status, _, complaint = repository.git("rev-parse", "--git-dir")
        if status:
            reason = complaint.splitlines()[-1] if complaint else "it is damaged"
            raise CatalogNotFound(f"the repository {git_dir} cannot be opened: {reason}")
        return repository

    def snapshot(self) -> Tree:
        """Return the tree of the commit that the revision names now."""
        repository, prefix = self._open()
        commit, label = repository.resolve(self.revision)
        return repository.tree(commit, label, prefix, repository.find_shadowed(self.revision))

    def _state(self) -> tuple[str, str]:
        try:
            repository, _ = self._open()
            return repository.resolve(self.revision)
        except CatalogError as error:
            return "", str(error)

    async def changes(self, stop: asyncio.Event, *, poll: float) -> AsyncIterator[str]:
        """Yield a reason when the revision names another commit; refs are watched like a folder."""
        from stoa_gitops.catalog.sources.file_events import pause, watch
        from stoa_gitops.foundation.daemon_thread import on_a_thread

        known: tuple[str, str] | None = None
        while not stop.is_set():
            async for events in watch(await self._folders(), stop, tick=poll):
                if events and not any(_is_ref(path) for path in events):
                    continue
                now = await on_a_thread(self._state)
                if known is None:
                    known = now
                    yield WATCHING
                elif now != known:
                    known = now
                    yield f"{now[1]} is new" if now[0] else now[1]
            await pause(stop, poll)

    def _git_folders(self) -> bytes:
        repository, _ = self._open()
        return repository.read(
            "rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir"
        )

    async def _folders(self) -> list[tuple[Path, bool]]:
        from stoa_gitops.foundation.daemon_thread import on_a_thread

        try:
            answer = await on_a_thread(self._git_folders)
        except CatalogError:
            return []
        own, top = (Path(line) for line in answer.decode().splitlines())
        folders = [(top, False), (top / "refs", True)]
        return folders if own == top else [*folders, (own, False)]


def _is_ref(path: str) -> bool:
    parts = Path(path).parts
    return not path.endswith(".lock") and ("refs" in parts or parts[-1] in ("HEAD", "packed-refs"))
