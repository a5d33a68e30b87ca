"""A catalog that is rewritten, flooded, gone, swapped or half-written during a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from benchmarks.gen_catalog import change, generate
from stoa_gitops.catalog import Reader, open_source
from stoa_gitops.errors import CatalogError, CatalogNotFound, StoaGitopsError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.keys import Key
from stoa_gitops.reconcile.catalog_watcher import CatalogWatcher
from tests.e2e.catalogs import CatalogFolder
from tests.e2e.running import until

BACKEND = "http://backend.example.org/%s"


class Following:
    """A keeper at work, and what it published."""

    def __init__(self, location: Path, revision: str | None) -> None:
        self.published: list[Catalog] = []
        self.failures: list[CatalogError] = []
        self.source = open_source(str(location), revision=revision, cache_dir=location.parent)
        self.watcher = CatalogWatcher(
            self.source,
            Reader(),
            self.published.append,
            poll=0.1,
            interval=0.5,
            failed=self.failures.append,
        )

    def backend(self, name: str = "demo") -> object:
        """The backend of an API in the catalog in force; None where there is no such API."""
        assert self.watcher.catalog is not None
        resource = self.watcher.catalog.desired["local"].resources.get(Key("api", "acme", name))
        return None if resource is None else resource.spec.value["backend"]["url"]  # type: ignore[index,call-overload]

    async def reaches(self, check: Callable[[], object], what: str) -> None:
        async def look() -> bool | None:
            return True if check() else None

        await until(look, what)


@contextlib.asynccontextmanager
async def following(location: Path, revision: str | None = None) -> AsyncIterator[Following]:
    made, stop = Following(location, revision), asyncio.Event()
    await made.watcher.load()
    task = asyncio.create_task(made.watcher.watch(stop))
    try:
        yield made
    finally:
        stop.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def repository(root: Path) -> CatalogFolder:
    catalog = CatalogFolder(root)
    catalog.api("demo", BACKEND % "first")
    catalog.commit("first")
    return catalog


async def test_a_force_push_is_followed(tmp_path: Path) -> None:
    catalog = repository(tmp_path / "c")
    async with following(catalog.root, "main") as one:
        catalog.git("checkout", "-q", "--orphan", "another")
        catalog.api("demo", BACKEND % "rewritten")
        catalog.commit("another history")
        catalog.git("branch", "-f", "main", "another")
        await one.reaches(lambda: one.backend() == BACKEND % "rewritten", "the new history")


async def test_a_branch_that_is_gone_and_collected_leaves_the_last_catalog_in_force(
    tmp_path: Path,
) -> None:
    catalog = repository(tmp_path / "c")
    catalog.git("checkout", "-q", "-b", "live")
    catalog.api("demo", BACKEND % "live")
    catalog.commit("live")
    async with following(catalog.root, "live") as one:
        catalog.git("checkout", "-q", "main")
        catalog.git("branch", "-q", "-D", "live")
        catalog.git("reflog", "expire", "--expire=now", "--all")
        catalog.git("gc", "-q", "--prune=now")
        await one.reaches(lambda: one.failures, "the failure")
        assert isinstance(one.failures[0], CatalogNotFound)
        assert one.backend() == BACKEND % "live"
        catalog.git("branch", "live", "main")
        await one.reaches(lambda: one.backend() == BACKEND % "first", "the branch again")
        assert one.watcher.unreadable is None


@pytest.mark.parametrize("revision", ["main", None])
async def test_a_catalog_that_vanishes_and_comes_back(tmp_path: Path, revision: str | None) -> None:
    catalog = repository(tmp_path / "c")
    async with following(catalog.root, revision) as one:
        aside = tmp_path / "aside"
        catalog.root.rename(aside)
        await one.reaches(lambda: one.watcher.unreadable, "the failure")
        assert one.backend() == BACKEND % "first"
        shutil.copytree(aside, catalog.root)
        catalog.api("demo", BACKEND % "back")
        catalog.commit("back")
        await one.reaches(lambda: one.backend() == BACKEND % "back", "the catalog again")
        assert one.watcher.unreadable is None


async def test_a_thousand_commits_in_a_moment_end_with_the_last_one(tmp_path: Path) -> None:
    catalog = repository(tmp_path / "c")
    path = "tenants/acme/apis/demo/api.yaml"
    text = (catalog.root / path).read_text()
    lines = []
    for number in range(1000):
        data = text.replace("/first", f"/{number}")
        parent = "from refs/heads/main^0\n" if number == 0 else ""
        lines.append(
            f"commit refs/heads/main\ncommitter t <t@example.org> {1_800_000_000 + number} +0000\n"
            f"data 1\nx\n{parent}M 100644 inline {path}\ndata {len(data)}\n{data}\n"
        )
        if number % 50 == 49:
            lines.append("checkpoint\n\n")
    async with following(catalog.root, "main") as one:
        process = await asyncio.create_subprocess_exec(
            "git", "fast-import", "--quiet", cwd=catalog.root, stdin=asyncio.subprocess.PIPE
        )
        await process.communicate("".join(lines).encode())
        assert process.returncode == 0
        await one.reaches(lambda: one.backend() == BACKEND % "999", "the last commit")
        assert len(one.published) < 100


@pytest.mark.heavy
async def test_ten_thousand_files_changed_at_once_end_in_one_catalog(tmp_path: Path) -> None:
    generate(tmp_path / "c", 10_000, 100)
    async with following(tmp_path / "c") as one:
        change(tmp_path / "c", 10_000, 100)

        def all_changed() -> bool:
            assert one.watcher.catalog is not None
            resources = one.watcher.catalog.desired["main"].resources
            apis = [r for key, r in resources.items() if key.kind == "api"]
            return len(apis) == 10_000 and all(b'"1.0.1"' in r.spec.raw for r in apis)

        await one.reaches(all_changed, "all files")
        assert not one.watcher.catalog.errors  # type: ignore[union-attr]


async def test_without_watches_files_are_polled_and_a_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("demo", BACKEND % "first")
    real = watchfiles.awatch

    def limited(*arguments: Any, **options: Any) -> Any:
        if not options.get("force_polling"):
            raise OSError(28, "No space left on device (fs.inotify.max_user_watches)")
        return real(*arguments, **options)

    monkeypatch.setattr(watchfiles, "awatch", limited)
    with caplog.at_level(logging.WARNING):
        async with following(catalog.root) as one:
            await one.reaches(lambda: "polled instead" in caplog.text, "the warning")
            catalog.api("demo", BACKEND % "second")
            await one.reaches(lambda: one.backend() == BACKEND % "second", "the edit")


async def test_a_root_that_is_swapped_by_a_symlink_is_followed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        CatalogFolder(tmp_path / name).api("demo", BACKEND % name)
    link = tmp_path / "current"
    link.symlink_to("a")
    async with following(link) as one:
        assert one.backend() == BACKEND % "a"
        (tmp_path / "next").symlink_to("b")
        (tmp_path / "next").replace(link)
        await one.reaches(lambda: one.backend() == BACKEND % "b", "the other folder")


async def test_a_file_that_is_written_in_pieces_ends_as_what_it_became(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    file = catalog.api("demo", BACKEND % "first")
    async with following(catalog.root) as one:
        text = file.read_text().replace("first", "second")
        with file.open("w") as half:
            for part in (text[:60], text[60:90], text[90:]):
                half.write(part)
                half.flush()
                await asyncio.sleep(0)
        await one.reaches(lambda: one.backend() == BACKEND % "second", "the whole file")
        assert one.watcher.catalog is not None
        assert not one.watcher.catalog.errors


async def test_readings_without_changes_publish_nothing_and_read_nothing(tmp_path: Path) -> None:
    catalog = repository(tmp_path / "c")
    one = Following(catalog.root, "main")
    first = await one.watcher.load()
    for _ in range(5):
        assert await one.watcher.load() is first
    assert len(one.published) == 1


async def test_a_reading_that_could_not_be_published_is_published_by_the_next_try(
    tmp_path: Path,
) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("demo", BACKEND % "first")
    async with following(catalog.root) as one:
        failures = 3
        publish = one.watcher.publish

        def fails_at_first(found: Catalog) -> None:
            nonlocal failures
            if failures:
                failures -= 1
                raise BrokenPipeError(32, "Broken pipe")
            publish(found)

        one.watcher.publish = fails_at_first
        catalog.api("demo", BACKEND % "second")
        await one.reaches(lambda: one.backend() == BACKEND % "second", "the second backend")
        assert failures == 0
        assert one.published[-1] == one.watcher.catalog
        catalog.api("demo", BACKEND % "third")
        await one.reaches(lambda: one.backend() == BACKEND % "third", "the third backend")


async def test_the_content_of_a_folder_has_a_hash_that_comes_back_with_it(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    one = Following(catalog.root, None)
    assert one.watcher.content() == ""
    found = []
    for backend in ("first", "second", "first"):
        catalog.api("demo", BACKEND % backend)
        await one.watcher.reload("a test")
        found.append(one.watcher.content())
    assert found[0] == found[2] != found[1]
    assert all(len(content) == 8 for content in found)


async def test_what_could_not_be_published_is_not_taken_for_known(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    one = Following(catalog.root, None)
    publish = one.watcher.publish

    def fails(_: Catalog) -> None:
        raise RuntimeError("a defect")

    failed: list[StoaGitopsError] = []
    one.watcher.publish, one.watcher.failed = fails, failed.append
    assert await one.watcher.reload("SIGHUP") is False
    assert one.watcher.catalog is None
    assert [error.reason for error in failed] == ["InternalError"]
    assert "RuntimeError" in (one.watcher.unreadable or "")
    one.watcher.publish = publish
    assert await one.watcher.reload("SIGHUP") is True
    assert one.watcher.unreadable is None
    assert len(one.published) == 1


async def test_a_defect_while_watching_does_not_end_the_watching(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("demo", BACKEND % "first")
    one, stop = Following(catalog.root, None), asyncio.Event()
    one.watcher.interval = 3600.0
    changes, defects = one.source.changes, [ValueError("a defect")]

    def stumbling(stop: asyncio.Event, *, poll: float) -> AsyncIterator[str]:
        if defects:
            raise defects.pop()
        return changes(stop, poll=poll)

    one.source.changes = stumbling  # type: ignore[method-assign]
    watching = asyncio.create_task(one.watcher.watch(stop))
    await one.reaches(lambda: one.watcher.catalog is not None, "the first reading")
    await one.reaches(lambda: not defects, "the defect")
    catalog.api("demo", BACKEND % "second")
    await one.reaches(lambda: one.backend() == BACKEND % "second", "the second backend")
    stop.set()
    await watching
