from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources import base as sources
from stoa_gitops.catalog.sources import folder as folder_source
from stoa_gitops.catalog.sources.base import open_source
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.catalog.sources.folder_tree import blob_id
from stoa_gitops.errors import CatalogError, CatalogNotFound, UsageError

API = "tenants/acme/apis/billing/api.yaml"


def problems(source: FolderSource) -> dict[str, str]:
    return {problem.path: problem.code for problem in source.snapshot().problems}


def test_a_folder_is_read_as_it_is_on_disk(write: Callable[..., Path]) -> None:
    tree = FolderSource(write()).snapshot()
    assert (tree.revision, tree.commit, tree.prefix) == ("working tree", None, "")
    assert sorted(tree.files) == ["gateways/main.yaml", API, "tenants/acme/tenant.yaml"]
    assert tree.read(API).startswith(b"apiVersion")
    with pytest.raises(KeyError):
        tree.read("nowhere.yaml")


def test_blob_ids_are_those_of_git(write: Callable[..., Path], git: Callable[..., str]) -> None:
    root = write()
    assert FolderSource(root).snapshot().files[API] == git(root, "hash-object", API)
    assert blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_a_folder_inside_a_repository_knows_where_it_lies(
    write: Callable[..., Path], git: Callable[..., str]
) -> None:
    root = write(to="repo/ops/catalog")
    git(root.parents[1], "init", "-q")
    assert FolderSource(root).snapshot().prefix == "ops/catalog"
    assert FolderSource(root.parents[1] / "ops" / "catalog").snapshot().prefix == "ops/catalog"


def test_a_catalog_folder_that_is_not_there_says_what_to_give(tmp_path: Path) -> None:
    source = open_source(str(tmp_path / "nowhere"), cache_dir=tmp_path)
    with pytest.raises(CatalogNotFound, match=r"there is no folder .*nowhere; give .* --catalog"):
        source.snapshot()


def test_a_file_is_no_catalog(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CatalogNotFound, match="is a file"):
        FolderSource(tmp_path / "file").snapshot()


def test_a_folder_with_nothing_of_a_catalog_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(
        CatalogNotFound, match=r"holds no catalog: neither catalog\.yaml nor gateways/"
    ):
        FolderSource(tmp_path).snapshot()


@pytest.mark.parametrize(
    ("location", "revision"), [("", None), ("  ", None), (".", ""), (".", "--upload-pack=x")]
)
def test_a_location_that_cannot_be_one_is_a_usage_error(
    location: str, revision: str | None, tmp_path: Path
) -> None:
    with pytest.raises(UsageError):
        open_source(location, revision=revision, cache_dir=tmp_path)


def test_hidden_files_and_other_suffixes_are_left_alone(write: Callable[..., Path]) -> None:
    root = write({"gateways/.main.yaml.swp": "x", "gateways/README.md": "x",
                  "tenants/.git/x.yaml": "x",
                  "gateways/main.yaml~": "x", "node_modules/x.yaml": "x"})  # fmt: skip
    assert len(FolderSource(root).snapshot().files) == 3


def test_symlinks_that_leave_the_catalog_are_not_followed(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    root = write()
    outside = tmp_path / "outside.yaml"
    outside.write_text("secret: x\n")
    (root / "gateways/out.yaml").symlink_to(outside)
    (root / "gateways/up.yaml").symlink_to("../../outside.yaml")
    (root / "tenants/folder").symlink_to(tmp_path)
    (root / "gateways/gone.yaml").symlink_to("nowhere.yaml")
    (root / "tenants/acme/loop").symlink_to("../acme")
    source = FolderSource(root)
    assert problems(source) == dict.fromkeys(
        [
            "gateways/out.yaml",
            "gateways/up.yaml",
            "tenants/folder",
            "gateways/gone.yaml",
            "tenants/acme/loop",
        ],
        "file.symlink",
    )
    catalog = Reader().read(source.snapshot())
    assert {d.code for d in catalog.diagnostics} == {"file.symlink"}
    assert catalog.is_all_broken
    assert catalog.broken_tenants == {"acme", "folder"}


def test_symlinks_inside_of_the_catalog_are_followed(write: Callable[..., Path]) -> None:
    root = write()
    shutil.move(root / "gateways/main.yaml", root / "tenants/acme/../real.txt")
    (root / "gateways/main.yaml").symlink_to("../tenants/real.txt")
    (root / "tenants/acme/apis/copy").symlink_to("billing")
    tree = FolderSource(root).snapshot()
    assert not tree.problems
    assert tree.read("tenants/acme/apis/copy/api.yaml") == tree.read(API)
    assert tree.read("gateways/main.yaml")


def test_a_mounted_config_map_is_read_and_its_swap_is_seen_in_the_next_look(tmp_path: Path) -> None:
    root = tmp_path / "mount"
    for name, text in (("..1", "kind: old\n"), ("..2", "kind: new\n")):
        (root / name).mkdir(parents=True)
        (root / name / "catalog.yaml").write_text(text)
    (root / "..data").symlink_to("..1")
    (root / "catalog.yaml").symlink_to("..data/catalog.yaml")
    source = FolderSource(root)
    assert source.snapshot().read("catalog.yaml") == b"kind: old\n"
    (root / "..next").symlink_to("..2")
    os.replace(root / "..next", root / "..data")  # noqa: PTH105
    assert source.snapshot().read("catalog.yaml") == b"kind: new\n"


def test_a_swapped_root_is_followed(write: Callable[..., Path], tmp_path: Path) -> None:
    old, new = write(to="old"), write({"gateways/other.yaml": "x: 1\n"}, to="new")
    link = tmp_path / "link"
    link.symlink_to(old)
    source = FolderSource(link)
    assert "gateways/other.yaml" not in source.snapshot().files
    link.unlink()
    link.symlink_to(new)
    assert "gateways/other.yaml" in source.snapshot().files


def test_a_file_over_the_limit_is_a_finding_and_is_not_read(write: Callable[..., Path]) -> None:
    root = write({"tenants/acme/policies/big.yaml": b"#" * (sources.MAX_FILE_BYTES + 1)})
    tree = FolderSource(root).snapshot()
    assert [(p.path, p.code) for p in tree.problems] == [
        ("tenants/acme/policies/big.yaml", "file.size")
    ]
    catalog = Reader().read(tree)
    assert [d.source.full for d in catalog.diagnostics] == ["tenants/acme/policies/big.yaml:1:1"]
    assert catalog.broken_tenants == {"acme"}


def test_too_many_files_are_refused(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_FILES", 2)
    with pytest.raises(CatalogError, match="more than 2 files"):
        FolderSource(write()).snapshot()


def test_what_is_no_regular_file_is_left_alone(write: Callable[..., Path]) -> None:
    root = write()
    os.mkfifo(root / "gateways/pipe.yaml")
    assert "gateways/pipe.yaml" not in FolderSource(root).snapshot().files


def test_odd_file_names_are_written_as_escapes(write: Callable[..., Path]) -> None:
    root = write()
    (root / "gateways" / os.fsdecode(b"bad\xff\n.yaml")).write_text("a: 1\n")
    (path,) = [path for path in FolderSource(root).snapshot().files if "bad" in path]
    assert path.isprintable()
    assert path.isascii()


def test_an_unchanged_file_is_not_read_again(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write()
    for path in root.rglob("*.yaml"):
        os.utime(path, ns=(1, 1))
    monkeypatch.setattr(folder_source, "is_settled", lambda found, looked: True)
    source = FolderSource(root)
    first = source.snapshot()
    read = []
    monkeypatch.setattr(folder_source, "read_file", lambda path: read.append(path) or (None, b""))
    assert source.snapshot().files == first.files
    assert not read


def test_a_file_that_changed_within_one_tick_of_the_clock_is_read_again(
    write: Callable[..., Path],
) -> None:
    root = write()
    source = FolderSource(root)
    before = source.snapshot().files[API]
    found = (root / API).stat()
    (root / API).write_bytes((root / API).read_bytes().replace(b"'1'", b"'2'"))
    os.utime(root / API, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert source.snapshot().files[API] != before


def test_a_file_that_changes_while_it_is_read_is_read_again(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    really, tries = folder_source.read_file, []

    def restless(path: str) -> Any:
        tries.append(path)
        return (None, b"half") if len(tries) < 3 else really(path)

    monkeypatch.setattr(folder_source, "read_file", restless)
    tree = FolderSource(write()).snapshot()
    assert not tree.problems
    assert b"half" not in tree.read("gateways/main.yaml")


def test_a_file_that_never_rests_is_a_finding(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_source, "read_file", lambda path: (None, b""))
    assert set(problems(FolderSource(write())).values()) == {"file.changing"}


def as_nobody(action: Callable[[], Any]) -> Any:
    """Run in a child process without rights, also where the tests run as root."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            try:
                result = action()
            except BaseException as error:
                result = (type(error).__name__, str(error))
            os.write(writing, pickle.dumps(result))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(data)


@pytest.fixture
def open_folder(write: Callable[..., Path]) -> Iterator[Path]:
    """The small catalog where everybody may look."""
    folder = Path(tempfile.mkdtemp(prefix="catalog-"))
    root = folder / "catalog"
    shutil.copytree(write(), root)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield root
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


def test_files_without_permission_are_findings_and_hide_nothing_else(open_folder: Path) -> None:
    (open_folder / API).chmod(0)
    (open_folder / "gateways").chmod(0)
    found = as_nobody(lambda: problems(FolderSource(open_folder)))
    assert found == {API: "file.unreadable", "gateways": "file.unreadable"}


def test_a_folder_without_permission_says_so(open_folder: Path) -> None:
    open_folder.chmod(0)
    name, text = as_nobody(lambda: FolderSource(open_folder).snapshot())
    assert name == "CatalogNotFound"
    assert "Permission denied; check its permissions" in text


async def reason(changes: AsyncIterator[str]) -> str:
    return await asyncio.wait_for(anext(changes), 30)


async def test_a_changed_file_is_told_and_other_files_are_not(write: Callable[..., Path]) -> None:
    root = write()
    stop = asyncio.Event()
    changes = FolderSource(root).changes(stop, poll=30)
    assert await reason(changes) == "watching has begun"
    (root / "unrelated.txt").write_text("x")
    (root / "gateways/main.yaml").write_text("# changed\n")
    assert await reason(changes) == "gateways/main.yaml changed"
    stop.set()
    with pytest.raises(StopAsyncIteration):
        await reason(changes)


async def test_many_changed_files_are_one_reason(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write()

    async def watch(*_: object, **__: object) -> AsyncIterator[frozenset[str]]:
        yield frozenset()
        yield frozenset(str(root / f"gateways/{name}.yaml") for name in "abc")

    # Files that a busy machine writes 50 ms apart are several batches.
    monkeypatch.setattr("stoa_gitops.catalog.sources.folder.watch", watch)
    changes = FolderSource(root).changes(asyncio.Event(), poll=30)
    await reason(changes)
    assert await reason(changes) == "gateways/a.yaml and 2 more changed"
    await changes.aclose()  # type: ignore[attr-defined]


async def test_a_swapped_root_is_told_and_watched_from_then_on(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    folders = [write(to="one"), write(to="two")]
    link = tmp_path / "link"
    link.symlink_to(folders[0])
    stop = asyncio.Event()
    changes = FolderSource(link).changes(stop, poll=0.05)
    await reason(changes)
    link.unlink()
    link.symlink_to(folders[1])
    assert await reason(changes) == "the catalog's folder was swapped"
    assert not stop.is_set()
    (folders[1] / "catalog.yaml").write_text("x: 1\n")
    assert await reason(changes) == "catalog.yaml changed"
    await changes.aclose()  # type: ignore[attr-defined]


async def test_a_folder_that_appears_is_told(write: Callable[..., Path], tmp_path: Path) -> None:
    changes = FolderSource(tmp_path / "later").changes(asyncio.Event(), poll=0.05)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.wait([waiting], timeout=0.1)
    write(to="later")
    assert await asyncio.wait_for(waiting, 30) == "the catalog's folder is there"
    await changes.aclose()  # type: ignore[attr-defined]


async def test_a_folder_that_goes_away_ends_nothing(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    root = write()
    changes = FolderSource(root).changes(asyncio.Event(), poll=0.05)
    await reason(changes)
    shutil.rmtree(root)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.wait([waiting], timeout=1.5)
    write()
    assert await asyncio.wait_for(waiting, 30)
    await changes.aclose()  # type: ignore[attr-defined]


async def test_waiting_for_changes_can_be_cancelled(write: Callable[..., Path]) -> None:
    stop = asyncio.Event()
    changes = FolderSource(write()).changes(stop, poll=30)
    await reason(changes)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.wait([waiting], timeout=0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 30)
    assert not stop.is_set()
