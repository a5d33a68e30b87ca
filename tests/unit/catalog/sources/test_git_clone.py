"""What is fetched of a remote repository, from servers that can do more and less."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.base import Source, open_source
from stoa_gitops.catalog.sources.git import clone, command, remote_refs
from stoa_gitops.errors import CatalogError, CatalogNotFound, CatalogUnreachable
from tests.socks import serve_socks
from tests.unit.catalog.sources.git_http import GitServer, serve

Git = Callable[..., str]
API = "tenants/acme/apis/billing/api.yaml"
MEDIA = 200_000


@pytest.fixture
def server(repository: Path, git: Git) -> Iterator[GitServer]:
    """Serves the repository, which has history, another branch, and a file that is no catalog's."""
    git(repository, "config", "uploadpack.allowFilter", "true")
    for number in range(3):
        commit(repository, git, f"{number}\n", os.urandom(MEDIA))
    git(repository, "branch", "other")
    with serve(repository.parent) as server:
        yield server


def commit(repository: Path, git: Git, text: str, media: bytes | None = None) -> str:
    with (repository / API).open("a") as file:
        file.write(f"# {text}")
    if media is not None:
        (repository / "media").write_bytes(media)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", text)
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def at(server: GitServer, tmp_path: Path) -> Callable[..., Source]:
    def at(revision: str | None = None) -> Source:
        url = server.url("catalog/.git")
        return open_source(url, revision=revision, cache_dir=tmp_path / "cache")

    return at


def cache(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "cache").glob("*.git")
    return found


def kept(tmp_path: Path, git: Git) -> set[str]:
    options = ("--batch-all-objects", "--batch-check=%(objectname)")
    return set(git(cache(tmp_path), "cat-file", *options).split())


def left(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").rglob("*") if "tmp_" in path.name]


def test_only_the_files_of_the_catalog_in_one_commit_are_fetched(
    repository: Path, server: GitServer, at: Callable[..., Source], git: Git, tmp_path: Path
) -> None:
    tree = at().snapshot()
    assert Reader().read(tree).documents == 3
    assert server.sent < 10_000
    objects = kept(tmp_path, git)
    assert git(repository, "rev-parse", "main") in objects
    assert git(repository, "rev-parse", "main:media") not in objects
    assert git(repository, "rev-parse", "main~1") not in objects


def test_a_server_without_filters_sends_one_commit_whole(
    repository: Path, server: GitServer, at: Callable[..., Source], git: Git, tmp_path: Path
) -> None:
    git(repository, "config", "uploadpack.allowFilter", "false")
    assert Reader().read(at().snapshot()).documents == 3
    assert MEDIA < server.sent < 2 * MEDIA
    assert git(repository, "rev-parse", "main~1") not in kept(tmp_path, git)
    commit(repository, git, "more\n")
    server.sent = 0
    assert Reader().read(at().snapshot()).documents == 3
    assert server.sent < 10_000


@pytest.mark.parametrize("revision", [None, "main", "{sha}"])
def test_a_server_that_gives_nothing_by_its_id_is_asked_by_name(
    revision: str | None,
    repository: Path,
    server: GitServer,
    at: Callable[..., Source],
    git: Git,
    tmp_path: Path,
) -> None:
    server.is_old = True
    old = git(repository, "rev-parse", "main~1")
    source = at(revision and revision.format(sha=old))
    assert API in source.snapshot().files
    commit(repository, git, "more\n")
    expected = old if revision == "{sha}" else git(repository, "rev-parse", "main")
    tree = source.snapshot()
    assert tree.commit == expected
    assert Reader().read(tree).documents == 3


def test_a_fetch_that_breaks_off_leaves_nothing_and_goes_on_where_it_was(
    server: GitServer,
    at: Callable[..., Source],
    git: Git,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clone, "BATCH", 1)
    source = at()
    server.cut = 2
    with pytest.raises(CatalogUnreachable):
        source.snapshot()
    assert not left(tmp_path)
    server.requests.clear()
    assert Reader().read(source.snapshot()).documents == 3
    assert [body.count(b"want ") for body in server.requests] == [1, 1]
    assert not left(tmp_path)


def test_files_that_are_here_are_not_fetched_again(
    repository: Path,
    server: GitServer,
    at: Callable[..., Source],
    git: Git,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clone, "BATCH", 1)
    at().snapshot()
    assert len(server.requests) == 4  # the commit, and three files
    at().snapshot()
    assert len(server.requests) == 4
    commit(repository, git, "more\n")
    at().snapshot()
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("revision", "expected", "label"),
    [("other", "other", "other@{}"), ("v1", "main~2", "v1@{}"), ("light", "main~1", "light@{}"),
     ("main~1", "main~1", "main~1@{}"), ("v1^", "main~3", "v1^@{}"),
     ("v1^{commit}", "main~2", "v1^{{commit}}@{}"), ("{short}", "main~1", "{}"),
     ("{whole}", "main~1", "{}"), ("{whole}~1", "main~2", "{whole}~1@{}"),
     ("refs/heads/other", "other", "other@{}"), ("heads/other", "other", "heads/other@{}"),
     ("refs/pull/1/head", "main~3", "refs/pull/1/head@{}"), ("HEAD", "main", "main@{}")],
)  # fmt: skip
def test_any_revision_can_be_asked_for(
    revision: str,
    expected: str,
    label: str,
    repository: Path,
    server: GitServer,
    at: Callable[..., Source],
    git: Git,
    tmp_path: Path,
) -> None:
    git(repository, "tag", "-a", "-m", "x", "v1", "main~2")
    git(repository, "tag", "light", "main~1")
    git(repository, "update-ref", "refs/pull/1/head", "main~3")
    whole = git(repository, "rev-parse", "main~1")
    name = revision.replace("{short}", whole[:9]).replace("{whole}", whole)
    tree = at(name).snapshot()
    assert tree.commit == git(repository, "rev-parse", f"{expected}^{{commit}}")
    assert tree.revision == label.format(tree.commit[:7], whole=whole)
    assert Reader().read(tree).documents == 3
    assert server.sent < 20_000
    assert len(list((tmp_path / "cache").glob("*.git"))) == 1


@pytest.mark.parametrize("revision", ["f" * 40, "fffffff", "main~99", "mian", "v1", "main@{1}"])
def test_a_revision_that_is_not_there_is_not_searched_in_all_history(
    revision: str, server: GitServer, at: Callable[..., Source]
) -> None:
    with pytest.raises(CatalogNotFound, match=r"has no (revision|commit)"):
        at(revision).snapshot()
    assert server.sent < 20_000


@pytest.mark.parametrize("revision", [None, "main~1", "{short}"])
def test_a_repository_with_ids_of_sha_256_is_read(
    revision: str | None, write: Callable[..., Path], git: Git, tmp_path: Path
) -> None:
    root = write(to="sha256")
    git(root, "init", "-q", "-b", "main", "--object-format=sha256")
    commit(root, git, "first\n")
    commit(root, git, "second\n")
    short = git(root, "rev-parse", "main~1")[:12]
    source = open_source(
        f"file://{root}",
        revision=revision and revision.replace("{short}", short),
        cache_dir=tmp_path / "cache",
    )
    tree = source.snapshot()
    assert tree.commit == git(root, "rev-parse", "main~1" if revision else "main")
    assert Reader().read(tree).documents == 3


def test_a_branch_that_was_rewritten_and_a_default_branch_that_moved_are_followed(
    repository: Path, at: Callable[..., Source], git: Git
) -> None:
    default, main = at(), at("main")
    default.snapshot()
    git(repository, "reset", "-q", "--hard", "main~2")
    rewritten = commit(repository, git, "rewritten\n")
    assert default.snapshot().commit == main.snapshot().commit == rewritten
    git(repository, "checkout", "-q", "other")
    tree = default.snapshot()
    assert (tree.commit, tree.revision.split("@")[0]) == (
        git(repository, "rev-parse", "other"),
        "other",
    )
    assert main.snapshot().commit == rewritten


def test_a_clone_keeps_what_is_in_use_and_does_not_grow(
    repository: Path, at: Callable[..., Source], git: Git, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(clone, "PACKS", 4)
    source, other = at(), at("other")
    other.snapshot()
    sizes = []
    for number in range(8):
        newest = commit(repository, git, os.urandom(3_000).hex() * (number == 0) + f"{number}\n")
        assert source.snapshot().commit == newest
        packs = list(cache(tmp_path).glob("objects/pack/*.pack"))
        sizes.append(sum(pack.stat().st_size for pack in packs))
        assert len(packs) <= 5
    assert git(repository, "rev-parse", "main~4") not in kept(tmp_path, git)
    assert Reader().read(other.snapshot()).documents == 3
    assert Reader().read(source.snapshot()).documents == 3
    assert sizes[-1] < 2 * sizes[0]
    for ref in cache(tmp_path).glob("refs/catalogs/*"):
        os.utime(ref, (1, 1))
    monkeypatch.setattr(clone, "PACKS", 0)
    source.snapshot()
    assert git(repository, "rev-parse", "other") not in kept(tmp_path, git)
    assert Reader().read(other.snapshot()).documents == 3


def test_the_mirror_of_an_older_version_is_removed(
    at: Callable[..., Source], tmp_path: Path
) -> None:
    source = at()
    source.snapshot()
    mirror = cache(tmp_path).with_name(cache(tmp_path).name.replace("-shallow", ""))
    (mirror / "objects/pack").mkdir(parents=True)
    source.snapshot()
    assert not mirror.exists()


def forged(repository: Path, git: Git, body: bytes, kind: str = "commit") -> str:
    """Write an object that `git commit` would not make."""
    done = subprocess.run(
        ["git", "-C", repository, "hash-object", "-t", kind, "-w", "--stdin", "--literally"],
        input=body, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.decode().strip()


def test_what_git_clones_is_read_and_odd_objects_are_warnings_with_names(
    repository: Path, at: Callable[..., Source], git: Git
) -> None:
    tree = git(repository, "rev-parse", "main^{tree}")
    people = "author a <a@x.example> 1700000000 +051800\ncommitter a <a@x.example> 1 +0000\n"
    odd = forged(repository, git, f"tree {tree}\n{people}\nold\n".encode())
    git(repository, "update-ref", "refs/heads/main", odd)
    for _ in range(2):  # also where nothing is fetched any more
        read = Reader().read(at().snapshot())
        (found,) = read.diagnostics
        assert (found.code, found.severity.value) == ("repository.fsck", "warning")
        assert f"commit {odd[:7]}: badTimezone" in found.message
        assert read.documents == 3
    git(repository, "update-ref", "refs/heads/main", git(repository, "commit-tree", tree, "-p", odd,
                                                         "-m", "later"))  # fmt: skip
    # The odd one is history by now, and history is not fetched.
    assert Reader().read(at().snapshot()).documents == 3


@pytest.mark.parametrize(
    ("name", "mode", "words"),
    [(".git", "40000", "hasDotgit"), ("..", "40000", "hasDotdot"), ("catalog.yaml", "100644",
                                                                 "duplicateEntries"),
     ("tenants/acme/apis/x", "40000", "fullPathname"), ("git~1", "40000", "hasDotgit"),
     (".gitmodules", "120000", "gitmodules")],
)  # fmt: skip
@pytest.mark.parametrize("has_filter", ["true", "false"])
def test_objects_that_may_hide_or_move_files_are_refused_with_their_names(
    name: str,
    mode: str,
    words: str,
    has_filter: str,
    repository: Path,
    at: Callable[..., Source],
    git: Git,
    tmp_path: Path,
) -> None:
    git(repository, "config", "uploadpack.allowFilter", has_filter)
    folder, file = git(repository, "rev-parse", "main:gateways", f"main:{API}").split()
    entry = f"{mode} {name}\0".encode() + bytes.fromhex(folder if mode == "40000" else file)
    twice = entry if name == "catalog.yaml" else b""
    rest = b"40000 gateways\0" + bytes.fromhex(folder)
    tree = forged(repository, git, entry + twice + rest, "tree")
    git(
        repository, "update-ref", "refs/heads/main", git(repository, "commit-tree", tree, "-m", "x")
    )
    with pytest.raises(CatalogError, match=words):
        at().snapshot()
    assert not left(tmp_path)


def test_variables_that_a_hook_inherits_do_not_reach_git(
    repository: Path, at: Callable[..., Source], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY",
                 "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_NAMESPACE",
                 "GIT_QUARANTINE_PATH", "GIT_SHALLOW_FILE", "GIT_TEMPLATE_DIR",
                 "GIT_LITERAL_PATHSPECS"):  # fmt: skip
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    for name in ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_PROXY_COMMAND", "GIT_EXTERNAL_DIFF",
                 "GIT_PAGER", "GIT_EDITOR"):  # fmt: skip
        monkeypatch.setenv(name, str(trap))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(trap))
    assert Reader().read(at().snapshot()).documents == 3
    local = open_source(str(repository), revision="main", cache_dir=tmp_path)
    assert Reader().read(local.snapshot()).documents == 3
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "catalog", "trap"}


def test_a_hostile_repository_runs_nothing_by_path_and_by_url(
    repository: Path, git: Git, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for name, value in {
        "core.fsmonitor": trap, "core.sshCommand": trap, "core.hooksPath": tmp_path,
        "uploadpack.packObjectsHook": trap, "gc.auto": 1, "core.alternateRefsCommand": trap,
        "protocol.ext.allow": "always", "remote.origin.url": f"ext::{trap}",
        "remote.origin.promisor": "true", "remote.origin.uploadpack": trap,
        "extensions.partialClone": "origin", "core.repositoryFormatVersion": 1,
    }.items():  # fmt: skip
        git(repository, "config", name, str(value))
    url = f"file://{repository}"
    for location, revision in ((str(repository), "main"), (url, None), (url, "main~0")):
        source = open_source(location, revision=revision, cache_dir=tmp_path / "cache")
        assert Reader().read(source.snapshot()).documents == 3
    blob = git(repository, "rev-parse", f"main:{API}")
    (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for location, revision in ((str(repository), "main"), (url, "refs/heads/main")):
        with pytest.raises(CatalogError):
            Reader().read(
                open_source(location, revision=revision, cache_dir=tmp_path / "other").snapshot()
            )
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("exempt", ["", "127.0.0.1"])
def test_a_catalog_is_fetched_through_a_socks_proxy_of_the_environment(
    exempt: str, server: GitServer, at: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_socks() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", exempt)
        monkeypatch.delenv("no_proxy", raising=False)
        assert Reader().read(at().snapshot()).documents == 3
    address = ("127.0.0.1", server.server_address[1])
    assert set(proxy.asked) == (set() if exempt else {address})


def test_a_push_can_be_validated_before_it_is_accepted(
    repository: Path, git: Git, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "hub.git")
    hook = tmp_path / "hub.git/hooks/pre-receive"
    hook.write_text(
        "#!/bin/sh\nread old new ref\n"
        f'exec "{sys.executable}" -m stoa_gitops validate --catalog . --revision "$new" >&2\n'
    )
    hook.chmod(0o755)
    commit(repository, git, "good\n")
    git(repository, "push", "-q", str(tmp_path / "hub.git"), "main")
    (repository / API).write_text("kind: [\n")
    commit(repository, git, "broken\n")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        git(repository, "push", "-q", str(tmp_path / "hub.git"), "main")
    assert f"{API}:" in refused.value.stderr
    assert "error[yaml" in refused.value.stderr


@pytest.mark.parametrize(("version", "is_taken"), [("2.30.2", False), ("1.8.3", False),
                                                   ("2.32.0", True)])  # fmt: skip
def test_a_git_that_would_ignore_what_keeps_us_safe_is_refused_in_words(
    version: str, is_taken: bool, repository: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import git  # noqa: F401 - it looks for git when it is imported

    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$1" = version ] && echo "git version {version}" && exit\n'
        f'exec {real.strip()} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    source = open_source(str(repository), revision="main", cache_dir=tmp_path)
    if is_taken:
        assert source.snapshot().files
        return
    with pytest.raises(CatalogError, match=rf"{version} is too old: install git 2\.32 or newer"):
        source.snapshot()
    assert command.OLDEST == (2, 32)


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [("", 0), ("~", 1), ("~3", 3), ("^", 1), ("^2~2", 3), ("^0", 0), ("^{commit}~1", 1),
     ("^{/words}", None), ("@{1}", None)],
)  # fmt: skip
def test_the_depth_that_a_suffix_needs(suffix: str, expected: int | None) -> None:
    assert remote_refs.generations(suffix) == expected
