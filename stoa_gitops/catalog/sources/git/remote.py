"""A catalog in a remote repository: cloned bare into a cache folder, fetched for each snapshot."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import random
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from stoa_gitops.catalog.sources.base import WATCHING, Tree
from stoa_gitops.catalog.sources.file_events import pause
from stoa_gitops.catalog.sources.git.credentials import GitAccess
from stoa_gitops.catalog.sources.git.repository import READ_TIMEOUT, Repository, run_git
from stoa_gitops.errors import CatalogError, CatalogNotFound, CatalogUnreachable, UsageError
from stoa_gitops.foundation.daemon_thread import on_a_thread

log = logging.getLogger(__name__)

ASK_TIMEOUT: Final = 30.0
"""Seconds for `ls-remote`, a small answer even of a large repository."""

FETCH_TIMEOUT: Final = 300.0
"""Seconds for a fetch; the first one transfers the whole history."""

PACKS: Final = 50
"""Most packs of a clone: each fetch with news adds one, and Git searches all of them per object."""

STALE_SECONDS: Final = 30.0
"""Age from which a lock file of Git (`*.lock`) was left by a process that was killed."""

LOCK_TIMEOUT: Final = 360.0
"""Seconds to wait for another process with the same cache: a fetch, `ls-remote` and `gc`."""


class RemoteSource:
    """A remote repository, cloned bare into a cache folder and fetched before each snapshot."""

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
        self._git_dir = cache_dir.absolute() / f"{name}.git"
        self._access = GitAccess(self.url, token_file, ssh_key_file)

    def _remote(self, *arguments: str, timeout: float) -> bytes:
        extra = self._access.variables(self._git_dir.parent)
        status, output, complaint = run_git(
            arguments, timeout=timeout, settings=self._access.settings(), extra=extra
        )
        if status:
            raise self._failure(complaint)
        return output

    def _failure(self, complaint: str) -> CatalogError:
        lines = [line for line in complaint.splitlines() if line.startswith(("fatal:", "error:"))]
        reason = _without_userinfo((lines or complaint.splitlines() or ["no reason given"])[0])
        # The exit status of Git is 128 for all of these; only the text tells them apart.
        low = complaint.lower()
        if (
            "authentication failed" in low
            or "could not read username" in low
            or "error: 403" in low
        ):
            hint = "set STOA_GIT_TOKEN_FILE to a file with a token that may read it"
        elif "permission denied (" in low:
            hint = "set STOA_GIT_SSH_KEY_FILE to a key that may read it"
        elif "host key verification failed" in low:
            hint = "add the host to known_hosts"
        elif "dubious ownership" in low:
            # safe.directory does not reach the upload-pack that Git starts for a file:// URL.
            hint = "it belongs to another user: give its path without file://"
        elif "not found" in low or "does not exist" in low or "does not appear to be" in low:
            return CatalogNotFound(f"{self.url}: {reason}; check the address and the rights")
        else:
            hint = "check the address, the network and the proxy"
        return CatalogUnreachable(f"{self.url}: {reason}; {hint}")

    def snapshot(self) -> Tree:
        """Fetch, and return the tree of the revision.

        Raises CatalogUnreachable when the remote does not answer.
        """
        repository = Repository(self._git_dir, self.url)
        with _locked(self._git_dir):
            self._fetch()
            commit, label = repository.resolve(self.revision)
            warnings = repository.find_shadowed(self.revision)
            return repository.tree(commit, label, self.prefix, warnings)

    def _fetch(self) -> None:
        git_dir = str(self._git_dir)
        if not (self._git_dir / "HEAD").exists():
            run_git(["init", "--quiet", "--bare", git_dir], timeout=READ_TIMEOUT)
        remove_stale_locks(self._git_dir)
        heads = self._remote("ls-remote", "--symref", "--", self.url, "HEAD", timeout=ASK_TIMEOUT)
        self._remote(
            f"--git-dir={git_dir}",
            "fetch",
            "--quiet",
            "--prune",
            "--force",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--",
            self.url,
            "+refs/heads/*:refs/heads/*",
            "+refs/tags/*:refs/tags/*",
            timeout=FETCH_TIMEOUT,
        )
        # A bare clone keeps the HEAD that it was created with, so it follows the remote's here.
        default = re.match(rb"ref: (refs/heads/[^\s]+)\tHEAD", heads)
        if default:
            target = default[1].decode("utf-8", "replace")
            run_git([f"--git-dir={git_dir}", "symbolic-ref", "HEAD", target], timeout=READ_TIMEOUT)
        self._pack()

    def _pack(self) -> None:
        """Repack the clone once it has many packs; a process that runs for years fetches often."""
        settings = {"gc.auto": "6700", "gc.autoPackLimit": str(PACKS), "gc.autoDetach": "false"}
        # The clone can be read as it is, and the next fetch tries again.
        with contextlib.suppress(CatalogError):
            run_git(
                [f"--git-dir={self._git_dir}", "gc", "--auto", "--quiet"],
                timeout=FETCH_TIMEOUT,
                settings=settings,
            )

    def _state(self) -> bytes:
        return self._remote("ls-remote", "--", self.url, timeout=ASK_TIMEOUT)

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


def remove_stale_locks(git_dir: Path) -> None:
    """Remove lock files of a `git` that was killed: Git does not, and no fetch could write.

    A running one holds such a file only while it writes refs, and no other program uses the clone.
    """
    for path in (*git_dir.glob("*.lock"), *git_dir.glob("refs/**/*.lock")):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()
                log.info("removed %s, left by a git process that was killed", path)


def check_url(url: str, *, has_token: bool) -> None:
    """Raise UsageError for a URL that is not fetched from; a password is never shown."""
    shown = _without_userinfo(url)
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


def _without_userinfo(text: str) -> str:
    return re.sub(r"://[^/\s@]+@", "://***@", text)


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
