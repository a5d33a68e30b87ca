"""Finds commits that a remote does not name: `main~2`, `3f2a91c`. Fetches commits without files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from stoa_gitops.catalog.sources.git.command import READ_TIMEOUT, run_git
from stoa_gitops.catalog.sources.git.credentials import GitAccess
from stoa_gitops.catalog.sources.git.failures import failure, is_unable
from stoa_gitops.catalog.sources.git.remote_refs import Wanted, generations

FETCH_TIMEOUT: Final = 300.0
"""Seconds for the commits of a repository; where the server does not filter, for all of it."""

_NAME: Final = "refs/catalogs/wanted"


class History:
    """The commits of a remote, in a folder that is removed when the answer is known."""

    def __init__(self, clone: Path, access: GitAccess, object_format: str) -> None:
        self._git_dir = clone.with_name(f"{clone.stem}-history.git")
        self._access = access
        self._object_format = object_format

    def find(self, named: Wanted | None, revision: str | None) -> str | None:
        """Return the commit of a revision, None where there is none.

        `named` is the branch, tag or commit that it begins with; without one, every branch and tag
        is searched. Raises CatalogUnreachable, CatalogNotFound.
        """
        shutil.rmtree(self._git_dir, ignore_errors=True)
        try:
            options = ["--quiet", "--bare", f"--object-format={self._object_format}"]
            run_git(["init", *options, str(self._git_dir)], timeout=READ_TIMEOUT)
            if named is None:
                self._fetch([], ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"])
                return self._resolve(revision or "HEAD")
            back = generations(named.suffix)
            depth = [] if back is None else [f"--depth={back + 1}"]
            self._fetch(depth, [f"+{named.ref or named.object_id}:{_NAME}"])
            return self._resolve(_NAME + named.suffix)
        finally:
            shutil.rmtree(self._git_dir, ignore_errors=True)

    def _fetch(self, depth: list[str], refspecs: list[str]) -> None:
        complaint = ""
        for options in (["--filter=tree:0", *depth], []):
            status, _, complaint = run_git(
                [f"--git-dir={self._git_dir}", "fetch", "--quiet", "--no-tags",
                 "--no-write-fetch-head", "--no-recurse-submodules", *options, "origin",
                 *refspecs],
                timeout=FETCH_TIMEOUT,
                # The commits are asked for their parents only; the one that is read is checked.
                settings={**self._access.settings(), "remote.origin.url": self._access.url,
                          "transfer.fsckObjects": "false"},
                extra=self._access.variables(self._git_dir.parent),
            )  # fmt: skip
            if status == 0:
                return
            if not is_unable(complaint):
                break
        raise failure(self._access.url, complaint)

    def _resolve(self, revision: str) -> str | None:
        status, output, _ = run_git(
            [f"--git-dir={self._git_dir}", "rev-parse", "--verify", "--quiet", "--end-of-options",
             f"{revision}^{{commit}}"],
            timeout=READ_TIMEOUT,
            extra={"GIT_ALLOW_PROTOCOL": "none"},
        )  # fmt: skip
        return output.decode().strip() if status == 0 else None
