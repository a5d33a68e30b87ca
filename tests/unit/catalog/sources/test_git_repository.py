from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources import base as sources
from stoa_gitops.catalog.sources.base import Source, open_source
from stoa_gitops.errors import CatalogError, CatalogNotFound

Git = Callable[..., str]
API = "tenants/acme/apis/billing/api.yaml"


@pytest.fixture
def at(tmp_path: Path) -> Callable[..., Source]:
    def at(location: object, revision: str | None = "main") -> Source:
        return open_source(str(location), revision=revision, cache_dir=tmp_path / "cache")

    return at


def test_a_revision_is_read_from_the_objects_and_not_from_disk(
    repository: Path, at: Callable[..., Source], git: Git
) -> None:
    (repository / API).unlink()
    tree = at(repository).snapshot()
    commit = git(repository, "rev-parse", "main")
    assert (tree.revision, tree.commit) == (f"main@{commit[:7]}", commit)
    assert tree.read(API).startswith(b"apiVersion")
    assert Reader().read(tree).documents == 3


def test_folder_and_revision_of_the_same_files_read_the_same(
    repository: Path, at: Callable[..., Source]
) -> None:
    disk, objects = at(repository, None).snapshot(), at(repository).snapshot()
    assert disk.files == objects.files
    one, two = Reader().read(disk), Reader().read(objects)
    assert one.desired["main"].resources == two.desired["main"].resources


@pytest.mark.parametrize(
    ("revision", "label"), [("main", "main@{}"), ("HEAD", "main@{}"), ("v1", "v1@{}"), ("{sha}",
                                                                                        "{}"),
                            ("refs/heads/main", "main@{}"), ("HEAD~0", "HEAD~0@{}")]
)  # fmt: skip
def test_the_label_says_what_was_asked_for(
    revision: str, label: str, repository: Path, at: Callable[..., Source], git: Git
) -> None:
    git(repository, "tag", "-a", "-m", "x", "v1")
    sha = git(repository, "rev-parse", "HEAD")
    tree = at(repository, revision.format(sha=sha)).snapshot()
    assert tree.revision == label.format(sha[:7])
    assert tree.commit == sha


@pytest.mark.parametrize("revision", ["main", "main~0", "main^{commit}", "main@{0}"])
@pytest.mark.parametrize("by_url", [False, True])
def test_a_tag_never_shadows_a_branch_without_a_word(
    revision: str, by_url: bool, repository: Path, at: Callable[..., Source], git: Git
) -> None:
    git(repository, "tag", "main")
    quiet = at(repository, "main").snapshot()
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    if by_url and revision == "main@{0}":
        return  # a reflog is that of one clone
    tree = at(f"file://{repository}" if by_url else repository, revision).snapshot()
    assert tree.commit == git(repository, "rev-parse", "refs/heads/main")
    (found,) = Reader().read(tree).diagnostics
    assert (found.code, found.severity.value) == ("revision.ambiguous", "warning")
    assert "refs/tags/main" in found.hint
    assert not quiet.problems
    assert not Reader().read(tree).is_all_broken
    for explicit in ("refs/heads/main", "refs/tags/main"):
        named = at(repository, explicit).snapshot()
        assert (named.commit, named.problems) == (git(repository, "rev-parse", explicit), ())


def test_a_branch_that_begins_a_commit_is_read_with_a_word(
    repository: Path, at: Callable[..., Source], git: Git
) -> None:
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    git(repository, "branch", first[:8])
    tree = at(repository, first[:8]).snapshot()
    assert tree.commit == git(repository, "rev-parse", "HEAD")
    assert [problem.code for problem in tree.problems] == ["revision.ambiguous"]
    whole = at(repository, first).snapshot()
    assert (whole.commit, whole.problems) == (first, ())


def test_a_tag_does_not_shadow_a_branch_that_only_the_remote_has(
    repository: Path, at: Callable[..., Source], git: Git, tmp_path: Path
) -> None:
    git(repository, "switch", "-q", "-c", "live")
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    git(repository, "switch", "-q", "main")
    git(tmp_path, "clone", "-q", str(repository), "clone")
    git(tmp_path / "clone", "tag", "live", "main")
    tree = at(tmp_path / "clone", "live").snapshot()
    assert tree.commit == git(repository, "rev-parse", "live")
    assert [problem.code for problem in tree.problems] == ["revision.ambiguous"]


def test_a_folder_inside_a_repository_is_found_in_the_revision(
    write: Callable[..., Path], at: Callable[..., Source], git: Git
) -> None:
    root = write(to="repo/ops/catalog")
    repo = root.parents[1]
    git(repo, "init", "-q", "-b", "main")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "x")
    tree = at(root).snapshot()
    assert tree.prefix == "ops/catalog"
    assert API in tree.files
    with pytest.raises(CatalogNotFound, match="holds no catalog"):
        at(repo).snapshot()
    with pytest.raises(CatalogNotFound, match="has no folder nowhere"):
        at(repo / "nowhere").snapshot()


def test_a_bare_repository_is_read_at_its_head(
    repository: Path, at: Callable[..., Source], git: Git, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    for revision in (None, "main"):
        assert API in at(tmp_path / "bare.git", revision).snapshot().files


def test_a_path_in_no_repository_says_so(
    write: Callable[..., Path], at: Callable[..., Source]
) -> None:
    with pytest.raises(CatalogNotFound, match=r"is in no Git repository; .* leave out --revision"):
        at(write()).snapshot()


def test_a_branch_that_is_not_there_gets_near_names(
    repository: Path, at: Callable[..., Source], git: Git
) -> None:
    git(repository, "branch", "release-1")
    with pytest.raises(CatalogNotFound, match=r"no revision relase-1; did you mean release-1\?"):
        at(repository, "relase-1").snapshot()


def test_a_repository_without_a_commit_says_so(
    write: Callable[..., Path], at: Callable[..., Source], git: Git
) -> None:
    root = write()
    git(root, "init", "-q", "-b", "main")
    with pytest.raises(CatalogNotFound, match="no revision main"):
        at(root).snapshot()


def test_a_name_that_leads_to_no_commit_is_not_its_own_correction(
    repository: Path, at: Callable[..., Source], git: Git
) -> None:
    git(repository, "tag", "files", "HEAD^{tree}")
    git(repository, "symbolic-ref", "HEAD", "refs/heads/nobody")
    for revision in ("files", "HEAD"):
        with pytest.raises(CatalogNotFound, match=f"{revision} leads to no commit; give a branch"):
            at(repository, revision).snapshot()


def test_a_branch_known_only_from_the_remote_is_found(
    repository: Path, at: Callable[..., Source], git: Git, tmp_path: Path
) -> None:
    git(repository, "branch", "feature")
    git(tmp_path, "clone", "-q", str(repository), "clone")
    assert at(tmp_path / "clone", "feature").snapshot().revision.startswith("feature@")


def test_a_shallow_clone_that_lacks_a_revision_says_what_to_set(
    repository: Path, at: Callable[..., Source], git: Git, tmp_path: Path
) -> None:
    first = git(repository, "rev-parse", "HEAD")
    (repository / "x").write_text("x")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "second")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    for revision in ("main~1", first):
        with pytest.raises(CatalogNotFound, match="fetch-depth: 0"):
            at(tmp_path / "shallow", revision).snapshot()


def test_submodules_links_out_and_large_files_are_findings(
    repository: Path, at: Callable[..., Source], git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stoa_gitops.catalog.sources.git import objects as git_objects

    monkeypatch.setattr(git_objects, "MAX_FILE_BYTES", 1000)
    (repository / "gateways/big.yaml").write_text("#" * 1001)
    (repository / "gateways/out.yaml").symlink_to("/etc/passwd")
    (repository / "gateways/up.yaml").symlink_to("../../x.yaml")
    (repository / "gateways/gone.yaml").symlink_to("none.yaml")
    (repository / "tenants/acme/loop").symlink_to("../acme")
    git(repository, "add", "-A")
    sha = git(repository, "rev-parse", "HEAD")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{sha},tenants/sub")
    git(repository, "commit", "-q", "-m", "x")
    tree = at(repository).snapshot()
    assert {problem.path: problem.code for problem in tree.problems} == {
        "gateways/big.yaml": "file.size",
        "gateways/out.yaml": "file.symlink",
        "gateways/up.yaml": "file.symlink",
        "gateways/gone.yaml": "file.symlink",
        "tenants/acme/loop": "file.symlink",
        "tenants/sub": "file.submodule",
    }
    catalog = Reader().read(tree)
    assert catalog.is_all_broken
    assert catalog.broken_tenants == {"acme", "sub"}


def test_links_inside_of_the_catalog_are_followed(
    repository: Path, at: Callable[..., Source], git: Git
) -> None:
    (repository / "tenants/acme/apis/copy").symlink_to("billing")
    (repository / "gateways/copy.yaml").symlink_to("main.yaml")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "x")
    tree = at(repository).snapshot()
    assert not tree.problems
    assert tree.read("tenants/acme/apis/copy/api.yaml") == tree.read(API)
    assert tree.read("gateways/copy.yaml") == tree.read("gateways/main.yaml")


def test_too_many_files_are_refused(
    repository: Path, at: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_FILES", 2)
    with pytest.raises(CatalogError, match="more than 2 files"):
        at(repository).snapshot()


def test_settings_of_a_repository_run_nothing(
    repository: Path, at: Callable[..., Source], git: Git, tmp_path: Path
) -> None:
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\nexit 1\n")
    trap.chmod(0o755)
    for name in (
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.askPass",
        "credential.helper",
        "core.gitProxy",
        "uploadpack.packObjectsHook",
        "alias.cat-file",
        "alias.ls-tree",
    ):
        git(repository, "config", name, f"!{trap}" if name.startswith("alias") else str(trap))
    git(repository, "config", "core.hooksPath", str(tmp_path))
    assert Reader().read(at(repository).snapshot()).documents == 3
    assert not (tmp_path / "sprung").exists()


def test_settings_of_the_user_and_of_a_git_hook_do_not_matter(
    repository: Path, at: Callable[..., Source], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken").write_text("[this is no config")
    for name, value in {
        "GIT_CONFIG_GLOBAL": str(tmp_path / "broken"),
        "GIT_DIR": "/nowhere",
        "GIT_WORK_TREE": "/nowhere",
        "GIT_INDEX_FILE": "/nowhere",
        "GIT_CONFIG_PARAMETERS": "'core.bare=maybe'",
    }.items():
        monkeypatch.setenv(name, value)
    assert API in at(repository).snapshot().files


def test_without_git_the_error_says_so(
    repository: Path, at: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    import git  # noqa: F401 - it looks for git when it is imported

    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CatalogError, match="git is not installed"):
        at(repository).snapshot()


def test_a_missing_object_says_what_to_do(
    repository: Path, at: Callable[..., Source], git: Git
) -> None:
    blob = git(repository, "rev-parse", f"main:{API}")
    tree = at(repository).snapshot()
    os.unlink(repository / ".git/objects" / blob[:2] / blob[2:])  # noqa: PTH108
    with pytest.raises(CatalogError, match="lacks the object"):
        tree.read(API)


async def reason(changes: AsyncIterator[str]) -> str:
    return await asyncio.wait_for(anext(changes), 30)


async def test_a_commit_is_told_at_once_and_files_on_disk_are_not(
    repository: Path, at: Callable[..., Source], git: Git
) -> None:
    stop = asyncio.Event()
    changes = at(repository).changes(stop, poll=600)
    assert await reason(changes) == "watching has begun"
    (repository / "gateways/main.yaml").write_text("# changed\n")
    git(repository, "commit", "-q", "-a", "-m", "x")
    commit = git(repository, "rev-parse", "HEAD")
    assert await reason(changes) == f"main@{commit[:7]} is new"
    git(repository, "commit", "-q", "--allow-empty", "-m", "x")
    git(repository, "pack-refs", "--all")
    commit = git(repository, "rev-parse", "HEAD")
    assert await reason(changes) == f"main@{commit[:7]} is new"
    stop.set()
    with pytest.raises(StopAsyncIteration):
        await reason(changes)


async def test_a_branch_that_goes_away_is_told_in_words(
    repository: Path, at: Callable[..., Source], git: Git
) -> None:
    git(repository, "branch", "feature")
    changes = at(repository, "feature").changes(asyncio.Event(), poll=600)
    await reason(changes)
    git(repository, "branch", "-D", "feature")
    assert "has no revision feature" in await reason(changes)
    await changes.aclose()  # type: ignore[attr-defined]
