from __future__ import annotations

import asyncio
import base64
import fcntl
import functools
import http.server
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.base import is_url, open_source
from stoa_gitops.catalog.sources.git import clone as git_clone
from stoa_gitops.catalog.sources.git import remote as git_remote
from stoa_gitops.catalog.sources.git.credentials import GitAccess
from stoa_gitops.catalog.sources.git.remote import RemoteSource, check_url
from stoa_gitops.errors import CatalogError, CatalogNotFound, CatalogUnreachable, UsageError

Git = Callable[..., str]
TOKEN = "s3cr3t-t0k3n"


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder to whoever knows the token; remembers what was sent to it."""

    seen: list[str]


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization", "")
        self.server.seen.append(sent)
        wanted = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        if sent == f"Basic {wanted}":
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def bare(repository: Path, git: Git, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "origin.git")
    git(tmp_path / "origin.git", "update-server-info")
    return tmp_path / "origin.git"


@pytest.fixture
def server(bare: Path) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(bare.parent))) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/origin.git"


def remote(
    location: str, tmp_path: Path, revision: str | None = None, **more: Path
) -> RemoteSource:
    source = open_source(location, revision=revision, cache_dir=tmp_path / "cache", **more)
    assert isinstance(source, RemoteSource)
    return source


def test_a_url_is_cloned_bare_and_fetched_before_each_look(
    repository: Path, bare: Path, git: Git, tmp_path: Path
) -> None:
    source = remote(f"file://{bare}", tmp_path)
    first = source.snapshot()
    assert first.revision == f"main@{git(bare, 'rev-parse', '--short=7', 'main')}"
    assert Reader().read(first).documents == 3
    (repository / "catalog.yaml").write_text("x: 1\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "second")
    git(repository, "push", "-q", str(bare), "main")
    second = source.snapshot()
    assert second.commit != first.commit
    assert "catalog.yaml" in second.files
    (cache,) = (tmp_path / "cache").glob("*.git")
    assert git(cache, "rev-parse", "--is-bare-repository") == "true"


@pytest.mark.slow
def test_a_clone_does_not_grow_by_a_pack_for_each_fetch_for_ever(
    repository: Path, bare: Path, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_clone, "PACKS", 4)
    source = remote(f"file://{bare}", tmp_path)
    packs = []
    for number in range(12):
        (repository / "note.txt").write_text(f"{number}\n")
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", "more")
        git(repository, "push", "-q", str(bare), "main")
        assert source.snapshot().commit == git(repository, "rev-parse", "HEAD")
        packs.append(len([*(tmp_path / "cache").glob("*.git/objects/pack/*.pack")]))
    assert max(packs) <= 5


@pytest.mark.parametrize(
    "lock", ["packed-refs.lock", "HEAD.lock", "config.lock", "refs/heads/main.lock", "shallow.lock"]
)
def test_what_a_git_that_was_killed_left_locked_keeps_no_commit_from_being_seen(
    repository: Path, bare: Path, git: Git, tmp_path: Path, lock: str
) -> None:
    git(bare, "branch", "gone", "main")
    source = remote(f"file://{bare}", tmp_path)
    source.snapshot()
    (cache,) = (tmp_path / "cache").glob("*.git")
    git(cache, "pack-refs", "--all")
    (cache / lock).parent.mkdir(parents=True, exist_ok=True)
    (cache / lock).touch()
    os.utime(cache / lock, (time.time() - 60,) * 2)
    git(bare, "branch", "-D", "gone")
    (repository / "catalog.yaml").write_text("x: 1\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "second")
    git(repository, "push", "-q", str(bare), "main")
    assert "catalog.yaml" in source.snapshot().files
    assert "gone" not in git(cache, "branch", "--list")


def test_a_lock_that_somebody_may_hold_is_left(bare: Path, tmp_path: Path) -> None:
    source = remote(f"file://{bare}", tmp_path)
    source.snapshot()
    (cache,) = (tmp_path / "cache").glob("*.git")
    (cache / "config.lock").touch()
    source.snapshot()
    assert (cache / "config.lock").exists()


def test_branch_tag_and_folder_of_a_remote(repository: Path, git: Git, tmp_path: Path) -> None:
    git(repository, "mv", "-k", "gateways", "tenants", ".")
    (repository / "ops").mkdir()
    git(repository, "mv", "gateways", "tenants", "ops/")
    git(repository, "checkout", "-q", "-b", "moved")
    git(repository, "commit", "-q", "-m", "moved")
    git(repository, "tag", "v1")
    for revision in ("moved", "v1"):
        tree = remote(f"file://{repository}#ops", tmp_path, revision).snapshot()
        assert tree.prefix == "ops"
        assert "gateways/main.yaml" in tree.files


def test_a_branch_that_was_rewritten_is_followed(
    repository: Path, git: Git, tmp_path: Path
) -> None:
    source = remote(f"file://{repository}", tmp_path, "main")
    source.snapshot()
    git(repository, "commit", "-q", "--amend", "-m", "other")
    assert source.snapshot().commit == git(repository, "rev-parse", "main")


def test_a_token_opens_a_private_repository_and_shows_nowhere(
    url: str, server: Server, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    source = remote(url, tmp_path, token_file=token_file)
    assert len(source.snapshot().files) == 3
    assert any(server.seen)
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in repr(vars(source))


@pytest.mark.parametrize("token", [None, "wrong-t0k3n"])
def test_without_the_right_token_the_error_says_what_to_set(
    token: str | None, url: str, tmp_path: Path
) -> None:
    more = {}
    if token is not None:
        (tmp_path / "token").write_text(token)
        more = {"token_file": tmp_path / "token"}
    with pytest.raises(CatalogUnreachable, match="STOA_GIT_TOKEN_FILE") as caught:
        remote(url, tmp_path, **more).snapshot()
    assert "t0k3n" not in str(caught.value)


def test_an_address_with_403_in_it_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    source = remote("http://127.0.0.1:1/team403/x.git", tmp_path)
    with pytest.raises(CatalogUnreachable, match="check the address, the network"):
        source.snapshot()


def test_a_server_that_says_403_is_told_a_token_next(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda handler: handler.send_error(403))
    with pytest.raises(CatalogUnreachable, match="STOA_GIT_TOKEN_FILE"):
        remote(url, tmp_path).snapshot()


def test_a_repository_of_another_user_behind_file_is_said_to_be_read_by_its_path(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(CatalogUnreachable, match="give its path without file://"):
        remote(f"file://{repository}", tmp_path).snapshot()
    source = open_source(str(repository), revision="main", cache_dir=tmp_path)
    assert source.snapshot().files


def test_a_token_is_not_sent_to_another_host(url: str, server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    source = remote("http://127.0.0.1:1/origin.git", tmp_path, token_file=tmp_path / "token")
    source.url = url
    with pytest.raises(CatalogUnreachable):
        source.snapshot()
    assert server.seen
    assert not any(server.seen)


def test_a_token_needs_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The interpreter of a checkout in a path with spaces is started by a shell, see below.
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    access = GitAccess("https://git.example/x.git", tmp_path / "token")
    # Git runs every credential helper through a shell, and what GIT_ASKPASS names directly.
    assert not any(name.endswith(".helper") for name in access.settings())
    program = Path(access.variables(tmp_path / "cache")["GIT_ASKPASS"])
    assert program.read_text().startswith(f"#!{sys.executable} ")
    assert stat.S_IMODE(program.stat().st_mode) == 0o700
    assert access.variables(tmp_path / "cache")["GIT_ASKPASS"] == str(program)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Password for 'https://x-access-token@git.example:8443': ", TOKEN),
        ("Password for 'https://git.example:8443': ", TOKEN),
        ("Password for 'https://x-access-token@git.example': ", None),
        ("Password for 'https://git.example:8443@evil.example': ", None),
        ("Password for 'http://git.example:8443': ", None),
        ("Username for 'https://git.example:8443': ", None),
        ("", None),
    ],
)
def test_the_token_is_told_to_its_own_address_only(
    prompt: str, expected: str | None, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    access = GitAccess("https://git.example:8443/x.git", tmp_path / "token")
    variables = access.variables(tmp_path)
    done = subprocess.run(
        [variables["GIT_ASKPASS"], prompt],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == ((1, "") if expected is None else (0, f"{expected}\n"))


def test_an_interpreter_that_no_first_line_can_name_still_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "a folder" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    (tmp_path / "token").write_text(TOKEN)
    access = GitAccess("https://git.example/x.git", tmp_path / "token")
    variables = access.variables(tmp_path)
    prompt = "Password for 'https://git.example': "
    done = subprocess.run(
        [variables["GIT_ASKPASS"], prompt],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{TOKEN}\n")


def test_another_process_that_hangs_with_the_cache_is_not_waited_for_for_ever(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_remote, "LOCK_TIMEOUT", 0.2)
    source = remote(url, tmp_path)
    lock = Path(f"{source._git_dir}.lock")
    lock.parent.mkdir(parents=True)
    with lock.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(
            CatalogUnreachable, match=r"another process has held .*\.lock for 0.2 s"
        ):
            source.snapshot()


def test_helpers_of_the_user_are_not_asked(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text(f"[credential]\n\thelper = !touch {tmp_path}/sprung\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_ASKPASS", f"{tmp_path}/ask")
    with pytest.raises(CatalogUnreachable):
        remote(url, tmp_path).snapshot()
    assert not (tmp_path / "sprung").exists()


def test_a_server_that_does_not_answer_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/x.git"
        with pytest.raises(CatalogUnreachable, match="check the address, the network and the"):
            remote(url, tmp_path).snapshot()


def test_a_server_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoa_gitops.catalog.sources.git.remote.ASK_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.git"
        with pytest.raises(CatalogUnreachable, match=r"did not finish within 0\.3 s"):
            remote(url, tmp_path).snapshot()


def test_a_repository_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(CatalogNotFound, match="check the address and the rights"):
        remote(f"file://{tmp_path}/nowhere.git", tmp_path).snapshot()


def test_a_branch_that_is_not_there_gets_near_names(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(CatalogNotFound, match=r"did you mean main\?"):
        remote(f"file://{bare}", tmp_path, "mian").snapshot()


def test_a_cache_folder_that_cannot_be_made_says_so(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(CatalogError, match="cannot be written"):
        remote(f"file://{bare}", tmp_path).snapshot()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://user:hunter2@git.example/x", "carries credentials"),
        ("https://hunter2@git.example/x", "carries credentials"),
        ("http://git.example/x", "http is fetched from this machine only"),
        ("ftp://git.example/x", "ftp is not fetched"),
        ("ext::sh -c true", "not a Git URL"),
    ],
)
def test_urls_that_are_not_fetched_are_refused_without_their_password(
    url: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises((UsageError, CatalogNotFound)) as caught:
        open_source(url, cache_dir=tmp_path).snapshot()
    assert words in str(caught.value) or url.startswith("ext")
    assert "hunter2" not in str(caught.value)


def test_a_token_is_for_https_only() -> None:
    with pytest.raises(UsageError, match="STOA_GIT_SSH_KEY_FILE"):
        check_url("ssh://git@git.example/x", has_token=True)


def test_ssh_asks_nobody_and_trusts_known_hosts_only(tmp_path: Path) -> None:
    source = remote("git@git.example:team/catalog.git", tmp_path, ssh_key_file=Path("/keys/id key"))
    command = source._access.variables(tmp_path)["GIT_SSH_COMMAND"]
    for word in (
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
        "'/keys/id key'",
    ):
        assert word in command


@pytest.mark.parametrize(
    ("location", "expected"),
    [("https://x.example/y", True), ("ssh://x/y", True), ("file:///x", True), ("git@x.example:y",
                                                                               True),
     ("x.example.com:team/y.git", True), (".", False), ("catalog", False), ("/a/b", False), ("a:b",
                                                                                             False),
     ("./x.y:z/w", False)],
)  # fmt: skip
def test_urls_and_folders_are_told_apart(location: str, expected: bool) -> None:
    assert is_url(location) is expected


async def reason(changes: AsyncIterator[str]) -> str:
    return await asyncio.wait_for(anext(changes), 30)


async def test_new_commits_of_a_remote_are_told(repository: Path, git: Git, tmp_path: Path) -> None:
    stop = asyncio.Event()
    url = f"file://{repository}"
    changes = remote(url, tmp_path).changes(stop, poll=0.02)
    assert await reason(changes) == "watching has begun"
    git(repository, "commit", "-q", "--allow-empty", "-m", "x")
    assert await reason(changes) == f"{url} has new commits"
    stop.set()
    with pytest.raises(StopAsyncIteration):
        await reason(changes)


async def test_an_outage_is_logged_and_ends_nothing(
    repository: Path, git: Git, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = remote(f"file://{repository}", tmp_path).changes(asyncio.Event(), poll=0.02)
    await reason(changes)
    os.rename(repository, tmp_path / "away")  # noqa: PTH104
    waiting = asyncio.ensure_future(anext(changes))
    async with asyncio.timeout(30):
        while "does not appear to be a git repository" not in caplog.text:
            await asyncio.wait([waiting], timeout=0.02)
    os.rename(tmp_path / "away", repository)  # noqa: PTH104
    git(repository, "commit", "-q", "--allow-empty", "-m", "x")
    assert "has new commits" in await asyncio.wait_for(waiting, 30)
    await changes.aclose()  # type: ignore[attr-defined]
