"""A catalog in a remote repository: each snapshot fetches what it lacks into a cache folder."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import random
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from stoa_gitops.catalog.sources.base import WATCHING, Tree
from stoa_gitops.catalog.sources.file_events import pause
from stoa_gitops.catalog.sources.git.clone import Clone
from stoa_gitops.catalog.sources.git.command import run_git
from stoa_gitops.catalog.sources.git.credentials import GitAccess
from stoa_gitops.catalog.sources.git.failures import failure, without_userinfo
from stoa_gitops.catalog.sources.git.history import History
from stoa_gitops.catalog.sources.git.remote_refs import Wanted, parse_ls_remote, patterns
from stoa_gitops.catalog.sources.git.repository import Repository
from stoa_gitops.catalog.sources.git.revisions import is_abbreviated
from stoa_gitops.errors import CatalogError, CatalogNotFound, CatalogUnreachable, UsageError
from stoa_gitops.foundation.daemon_thread import on_a_thread

log = logging.getLogger(__name__)

ASK_TIMEOUT: Final = 30.0
"""Seconds for `ls-remote`, a small answer even of a large repository."""

LOCK_TIMEOUT: Final = 360.0
"""Seconds to wait for another process with the same cache: `ls-remote` and a fetch."""


class RemoteSource:
    """A revision of a remote repository; only its commit and the catalog's files are fetched."""

    def __init__(
        self,
        url: str,
        revision: str | None,
        *,
        cache_dir: Path,
        token_file: Path | None = None,
        ssh_key_file: Path | None = None,
    ) -> None:
        self.url, _, self.prefix = url.partition("#")
        self.prefix = self.prefix.strip("/")
        self.revision = revision
        check_url(self.url, has_token=token_file is not None)
        # By URL: catalogs of one repository share a clone, whatever their revision or folder.
        name = hashlib.sha256(self.url.encode()).hexdigest()[:24]
        self._mirror = cache_dir.absolute() / f"{name}.git"
        self._git_dir = cache_dir.absolute() / f"{name}-shallow.git"
        self._access = GitAccess(self.url, token_file, ssh_key_file)
        self._clone = Clone(self._git_dir, self._access)
        self._repository = Repository(self._git_dir, self.url)
        self._resolved: dict[str, str | None] = {}

    def snapshot(self) -> Tree:
        """Fetch, and return the tree of the revision.

        Raises CatalogUnreachable when the remote does not answer.
        """
        with _locked(self._git_dir):
            shutil.rmtree(self._mirror, ignore_errors=True)
            wanted = self._wanted()
            commit = self._clone.obtain(wanted, self.revision or "HEAD")
            label = f"{wanted.label}@{commit[:7]}" if wanted.label else commit[:7]
            warnings = (*wanted.warnings, *self._clone.check(commit))
            tree = self._repository.tree(commit, label, self.prefix, warnings, self._clone.provide)
            self._clone.tidy()
            return tree

    def _wanted(self) -> Wanted:
        """Ask the remote what the revision means now; raises CatalogNotFound."""
        refs = parse_ls_remote(self._list(*patterns(self.revision)))
        found = refs.find(self.revision)
        if found is not None and not found.suffix:
            return found
        if found is None and not is_abbreviated(self.revision or ""):
            raise self._unknown()
        key = found.object_id if found else ""
        if self._resolved.get(key) is None:
            history = History(self._git_dir, self._access, refs.object_format)
            self._resolved = {key: history.find(found, self.revision)}
        commit = self._resolved[key]
        if commit is None:
            raise self._unknown()
        label = found.label if found else ""
        return Wanted(commit, "", label, "", found.warnings if found else ())

    def _unknown(self) -> CatalogNotFound:
        refs = parse_ls_remote(self._list("--heads", "--tags"))
        if not refs.ids:
            return CatalogNotFound(f"{self.url} has no commit yet; commit the catalog first")
        revision = self.revision or "HEAD"
        return CatalogNotFound(
            f"{self.url} has no revision {revision}; {refs.suggestion(revision)}"
        )

    def _list(self, *what: str) -> bytes:
        options = [word for word in what if word.startswith("--")]
        names = [word for word in what if not word.startswith("--")]
        status, output, complaint = run_git(
            ["ls-remote", "--symref", *options, "--", self.url, *names],
            timeout=ASK_TIMEOUT,
            settings=self._access.settings(),
            extra=self._access.variables(self._git_dir.parent),
        )
        if status:
            raise failure(self.url, complaint)
        return output

    def _state(self) -> bytes:
        return self._list(*patterns(self.revision))

    async def _list_remote(self) -> bytes | None:
        """Return the remote's branches and tags; None, and a warning in the log, if it fails."""
        try:
            return await on_a_thread(self._state)
        except CatalogError as error:
            log.warning("%s", error)
            return None

    async def changes(self, stop: asyncio.Event, *, poll: float) -> AsyncIterator[str]:
        """Yield a reason when a branch or tag of the remote changed; asks about every `poll` s."""
        known = await self._list_remote()
        if not stop.is_set():
            yield WATCHING
        while not stop.is_set():
            # Jittered by 10 %, so that many processes do not ask one server at the same time.
            await pause(stop, poll * random.uniform(0.9, 1.1))  # noqa: S311 - not for secrecy
            if stop.is_set():
                return
            now = await self._list_remote()
            if now is not None and now != known:
                known = now
                yield f"{self.url} has new commits"


def check_url(url: str, *, has_token: bool) -> None:
    """Raise UsageError for a URL that is not fetched from; a password is never shown."""
    shown = without_userinfo(url)
    if "://" not in url:
        if url.startswith("-"):
            raise UsageError(f"{shown} is not a Git URL")
        return
    parts = urlsplit(url)
    if parts.password is not None or (parts.username and parts.scheme.startswith("http")):
        raise UsageError(
            f"{shown} carries credentials; put the token into a file and name it in "
            "STOA_GIT_TOKEN_FILE"
        )
    if parts.scheme not in ("https", "ssh", "file", "http"):
        raise UsageError(f"{shown}: {parts.scheme} is not fetched; use https, ssh or file")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise UsageError(f"{shown}: http is fetched from this machine only; use https")
    if has_token and parts.scheme not in ("https", "http"):
        raise UsageError(f"{shown}: a token is for https; for ssh set STOA_GIT_SSH_KEY_FILE")


@contextlib.contextmanager
def _locked(git_dir: Path) -> Iterator[None]:
    """Hold the lock of a cache, so that no other process fetches into it.

    Raises CatalogUnreachable where another one holds it for longer than a fetch can take.
    """
    try:
        git_dir.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(f"{git_dir}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CatalogError(
            f"the cache folder {git_dir.parent} cannot be written: {error.strerror}"
        ) from None
    try:
        _take(lock, f"{git_dir}.lock")
        yield
    finally:
        os.close(lock)


def _take(lock: int, path: str) -> None:
    end = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise CatalogUnreachable(
                    f"another process has held {path} for {LOCK_TIMEOUT:g} s: "
                    "look for a `git fetch` that hangs"
                ) from None
            time.sleep(0.05)
        else:
            return
