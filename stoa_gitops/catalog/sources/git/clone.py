"""A bare clone that holds one commit of each revision asked for, and the catalog's files in it.

A commit comes without its history (`--depth=1`) and first without files (`--filter=blob:none`); the
files of the catalog follow by their ids, some thousand at a time: a fetch that was interrupted goes
on where it stopped. Servers that cannot do that are asked for more: without a filter, by the name
instead of the id, with the whole history of one name, and last for everything.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from stoa_gitops.catalog.sources.base import Problem
from stoa_gitops.catalog.sources.git import fsck
from stoa_gitops.catalog.sources.git.command import READ_TIMEOUT, run_git
from stoa_gitops.catalog.sources.git.credentials import GitAccess
from stoa_gitops.catalog.sources.git.failures import failure, is_missing, is_unable
from stoa_gitops.catalog.sources.git.remote_refs import Wanted, object_format
from stoa_gitops.errors import CatalogError, CatalogNotFound, CatalogUnreachable

log = logging.getLogger(__name__)

FETCH_TIMEOUT: Final = 300.0
"""Seconds for one fetch: a commit with its folders, or BATCH files."""

BATCH: Final = 2_000
"""Files of one fetch: what an interrupted one has to fetch again."""

PACKS: Final = 50
"""Most packs of a clone: each fetch with news adds one or two, and Git searches all of them."""

LOOSE: Final = 2_000
"""Most objects outside of packs; only a server of plain files (dumb HTTP) sends them so."""

KEPT_SECONDS: Final = 7 * 86_400.0
"""How long a revision that nobody reads keeps its objects."""

STALE_SECONDS: Final = 30.0
"""Age from which a file of a running Git (`*.lock`, `tmp_*`) was left by one that was killed."""

_LEFT = ("*.lock", "refs/**/*.lock", "objects/pack/*.keep", "objects/pack/tmp_*", "objects/tmp_*",
         "objects/??/tmp_*")  # fmt: skip
_UNCHECKED: Final = "unchecked"
"""Name of an empty file in a clone whose objects `git fsck` checks instead of `git fetch`."""


class Clone:
    """The clone of one URL; whoever calls it holds its lock."""

    def __init__(self, git_dir: Path, access: GitAccess) -> None:
        self.git_dir = git_dir
        self._access = access
        self._asked: tuple[Wanted, str] | None = None

    def obtain(self, wanted: Wanted, name: str) -> str:
        """Fetch a commit with its folders, and return its id; `name` is the revision as asked.

        Raises CatalogNotFound, CatalogUnreachable, CatalogError.
        """
        ref = f"refs/catalogs/{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        self._asked = wanted, ref
        self._open(is_filtered=True)
        remove_left_files(self.git_dir)
        if self._commit(ref) != wanted.object_id:
            self._fetch_commit()
        commit = self._commit(ref)
        if commit is None:
            raise CatalogNotFound(f"{self._access.url} has no commit {wanted.object_id}")
        with contextlib.suppress(OSError):
            os.utime(self.git_dir / ref)  # when it was last read: see `tidy`
        return commit

    def provide(self, blobs: set[str]) -> dict[str, int]:
        """Fetch the blobs that are missing; return the size of each by its id."""
        sizes = self._sizes()
        missing = sorted(blobs - sizes.keys())
        for first in range(0, len(missing), BATCH):
            ids = missing[first : first + BATCH]
            status, complaint = self._fetch([], ["--stdin"], stdin="\n".join(ids).encode())
            if status and not is_unable(complaint):
                raise failure(self._access.url, complaint)
            if status:
                # It filters, and gives no object by its id.
                self._open(is_filtered=False)
                self._fetch_commit()
                break
        if missing:
            sizes = self._sizes()
        return {blob: sizes[blob] for blob in blobs if blob in sizes}

    def check(self, commit: str) -> tuple[Problem, ...]:
        """Return what `git fsck` says where a fetch could not check; raises CatalogError."""
        if not (self.git_dir / _UNCHECKED).exists():
            return ()
        arguments = ("fsck", "--no-dangling", "--no-progress", "--no-reflogs", commit)
        _, output, complaint = self._git(*arguments, settings=fsck.SETTINGS)
        try:
            return fsck.warnings_of(output.decode("utf-8", "replace") + complaint, self._access.url)
        except CatalogError:
            shutil.rmtree(self.git_dir)
            raise

    def tidy(self) -> None:
        """Write what is in use into one pack once there are many; remove the rest."""
        packs = list(self.git_dir.glob("objects/pack/*.pack"))
        if len(packs) <= PACKS and self._count_loose() <= LOOSE:
            return
        for path in self.git_dir.glob("refs/catalogs/*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                    path.unlink()
        # The clone can be read as it is, and the next fetch tries again.
        with contextlib.suppress(CatalogError):
            self._repack(packs)

    def _repack(self, packs: list[Path]) -> None:
        """Pack what the refs reach; `git gc` would keep all that a promisor ever sent."""
        listed = self._must(
            "rev-list", "--objects", "--no-object-names", "--missing=allow-any", "--all"
        )
        target = self.git_dir / "objects/pack/pack"
        name = self._must("pack-objects", "--quiet", str(target), stdin=listed).decode().strip()
        # Its objects may name blobs that are left out on purpose.
        target.with_name(f"pack-{name}.promisor").touch()
        for pack in packs:
            if pack.stem != f"pack-{name}":
                for path in pack.parent.glob(f"{pack.stem}.*"):
                    path.unlink(missing_ok=True)
        self._git("prune", "--expire=now")

    def _fetch_commit(self) -> None:
        assert self._asked is not None
        wanted, ref = self._asked
        status, complaint = 1, ""
        for options, refspecs in _questions(wanted, ref):
            status, complaint = self._fetch(options, ["origin", *refspecs])
            if status and fsck.is_complaint(complaint):
                self._open(is_filtered=self._is_filtered(), is_checked=False)
                status, complaint = self._fetch(options, ["origin", *refspecs])
            if status == 0:
                if len(refspecs) > 1:
                    self._git("update-ref", ref, wanted.object_id)
                return
            if not is_unable(complaint):
                break
            if is_missing(complaint) and not wanted.ref:
                raise CatalogNotFound(f"{self._access.url} has no commit {wanted.object_id}")
            if "dumb http" in complaint:
                # A clone with a filter would ask for each missing object by itself.
                self._open(is_filtered=False)
        raise failure(self._access.url, complaint)

    def _fetch(
        self, options: list[str], arguments: list[str], *, stdin: bytes | None = None
    ) -> tuple[int, str]:
        is_filtered = self._is_filtered()
        settings = {"transfer.fsckObjects": str(not (self.git_dir / _UNCHECKED).exists()).lower()}
        if stdin is not None:
            # A server that is told of the commit takes its files for known.
            settings["fetch.negotiationAlgorithm"] = "noop"
        common = ["--quiet", "--force", "--no-tags", "--no-write-fetch-head",
                  "--no-recurse-submodules"]  # fmt: skip
        if is_filtered:
            common.append("--filter=blob:none")
        if stdin is not None:
            arguments = [*arguments, "origin"]
        try:
            status, _, complaint = self._git(
                "fetch",
                *common,
                *options,
                *arguments,
                settings=settings,
                stdin=stdin,
                is_remote=True,
            )
        except CatalogUnreachable:
            remove_left_files(self.git_dir, age=0.0)
            raise
        if status:
            remove_left_files(self.git_dir, age=0.0)
        return status, complaint

    def _open(self, *, is_filtered: bool, is_checked: bool = True) -> None:
        """Create the clone where there is none; make a new one where it has to be of another
        sort.
        """
        if (self.git_dir / "HEAD").exists():
            is_same = self._is_filtered() == is_filtered or is_filtered
            if is_same and is_checked:
                return
            shutil.rmtree(self.git_dir)
        assert self._asked is not None
        options = [f"--object-format={object_format(self._asked[0].object_id)}"]
        run_git(["init", "--quiet", "--bare", *options, str(self.git_dir)], timeout=READ_TIMEOUT)
        if is_filtered:
            self._git("config", "remote.origin.promisor", "true")
        if not is_checked:
            (self.git_dir / _UNCHECKED).touch()

    def _is_filtered(self) -> bool:
        with contextlib.suppress(OSError):
            return "promisor" in (self.git_dir / "config").read_text("utf-8")
        return False

    def _commit(self, name: str) -> str | None:
        status, output, _ = self._git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return output.decode().strip() if status == 0 else None

    def _sizes(self) -> dict[str, int]:
        """Return the size of each object that is here: asking for one would fetch it."""
        output = self._must(
            "cat-file", "--batch-all-objects", "--unordered",
            "--batch-check=%(objectname) %(objectsize)",
        )  # fmt: skip
        pairs = (line.split() for line in output.decode().splitlines())
        return {name: int(size) for name, size in pairs}

    def _count_loose(self) -> int:
        return int(self._must("count-objects").split(maxsplit=1)[0])

    def _must(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        status, output, complaint = self._git(*arguments, stdin=stdin)
        if status:
            raise CatalogError(f"{self.git_dir} cannot be read: {complaint}; remove it")
        return output

    def _git(
        self,
        *arguments: str,
        settings: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        is_remote: bool = False,
    ) -> tuple[int, bytes, str]:
        access: Mapping[str, str] = {}
        extra: Mapping[str, str] = {"GIT_ALLOW_PROTOCOL": "none"}
        if is_remote:
            access = {**self._access.settings(), "remote.origin.url": self._access.url}
            extra = self._access.variables(self.git_dir.parent)
        return run_git(
            [f"--git-dir={self.git_dir}", *arguments],
            timeout=FETCH_TIMEOUT,
            settings={**access, **(settings or {})},
            extra=extra,
            stdin=stdin,
        )


def _questions(wanted: Wanted, ref: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield options and refspecs of fetches for a commit, each asking less of the server."""
    yield ["--depth=1"], [f"+{wanted.object_id}:{ref}"]
    if wanted.ref:
        yield ["--depth=1"], [f"+{wanted.ref}:{ref}"]
        yield [], [f"+{wanted.ref}:{ref}"]
    else:
        yield [], ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]


def remove_left_files(git_dir: Path, age: float = STALE_SECONDS) -> None:
    """Remove locks and temporary files of a `git` that was killed: Git does not, and no fetch
    could write.

    A running one writes such a file all the time, and no other program uses the clone.
    """
    for pattern in _LEFT:
        for path in git_dir.glob(pattern):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime >= age:
                    path.unlink()
                    log.info("removed %s, left by a git process that was killed", path)
