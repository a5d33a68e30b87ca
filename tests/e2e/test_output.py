"""Commands whose stdout or stderr nobody reads, or cannot take what is written."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from pathlib import Path

import pytest

from tests.children import environment
from tests.e2e.catalogs import CatalogFolder, upstream
from tests.e2e.gateways import TOKEN, data_plane
from tests.e2e.running import DEADLINE, command, running
from tests.e2e.test_gateways import catalog_for, where

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


async def unread(*arguments: str, is_both: bool = False, **variables: str) -> tuple[int, str]:
    """Run a command whose reader is gone before it starts; return its exit code and stderr."""
    reader, writer = os.pipe()
    os.close(reader)
    process = await asyncio.create_subprocess_exec(
        *command(*arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=writer,
        stderr=writer if is_both else asyncio.subprocess.PIPE,
        env=environment(**variables),
    )
    os.close(writer)
    _, err = await asyncio.wait_for(process.communicate(), DEADLINE)
    return process.returncode or 0, (err or b"").decode()


async def full(*arguments: str, **variables: str) -> tuple[int, str]:
    """Run a command whose stdout is a full disk; return its exit code and stderr."""
    with FULL.open("wb") as stdout:
        process = await asyncio.create_subprocess_exec(
            *command(*arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
            env=environment(**variables),
        )
        _, err = await asyncio.wait_for(process.communicate(), DEADLINE)
    return process.returncode or 0, err.decode()


@pytest.mark.parametrize("is_both", [False, True])
async def test_an_invalid_catalog_is_5_whoever_reads_the_findings(
    tmp_path: Path, is_both: bool
) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    catalog.write("tenants/acme/tenant.yaml", "kind: [\n")
    for form in ("text", "json"):
        arguments = ("validate", "--catalog", str(catalog.root), "--output", form)
        code, err = await unread(*arguments, is_both=is_both)
        assert (code, err) == (5, "")
    code, _ = await unread("plan", *where(catalog), is_both=is_both)
    assert code == 5


@pytest.mark.heavy
async def test_a_gateway_that_is_down_is_1_whoever_reads_it(tmp_path: Path) -> None:
    catalog = catalog_for(tmp_path / "catalog", edge="http://127.0.0.1:9")
    for verb in (("plan",), ("apply", "--yes")):
        code, err = await unread(*verb, *where(catalog), GATEWAY_TOKEN=TOKEN)
        assert code == 1
        assert "Broken" not in err


async def test_plan_and_apply_do_their_work_whoever_reads_it(tmp_path: Path) -> None:
    async with data_plane() as gateway:
        catalog = catalog_for(tmp_path / "catalog", edge=gateway.base_url)
        catalog.api("demo", "http://backend.example.org")
        plan = ("plan", "--detailed-exitcode", *where(catalog))
        code, err = await unread(*plan, GATEWAY_TOKEN=TOKEN)
        assert (code, err) == (2, "")
        code, err = await unread("apply", "--yes", *where(catalog), GATEWAY_TOKEN=TOKEN)
        assert (code, err) == (0, "")
        code, _ = await unread(*plan, GATEWAY_TOKEN=TOKEN)
        assert code == 0


async def test_help_and_a_closed_stdout_are_no_failure(tmp_path: Path) -> None:
    code, err = await unread("plan", "--help")
    assert (code, err) == (0, "")
    catalog = CatalogFolder(tmp_path / "catalog")
    words = shlex.join(command("validate", "--catalog", str(catalog.root)))
    process = await asyncio.create_subprocess_shell(f"{words} >&- 2>&-", env=environment())
    assert await asyncio.wait_for(process.wait(), DEADLINE) == 0


@needs_full
@pytest.mark.parametrize("arguments", [("schema", "API"), ("--help",), ("completion", "bash")])
async def test_a_result_that_cannot_be_written_is_said_and_is_1(arguments: tuple[str, ...]) -> None:
    code, err = await full(*arguments)
    assert code == 1
    assert err.startswith("stoa-gitops: stdout cannot be written (No space left on device)")
    assert len(err.splitlines()) == 1


@pytest.mark.heavy
@needs_full
async def test_apply_changes_nothing_when_its_plan_cannot_be_written(tmp_path: Path) -> None:
    async with data_plane() as gateway:
        catalog = catalog_for(tmp_path / "catalog", edge=gateway.base_url)
        catalog.api("demo", "http://backend.example.org")
        code, err = await full("apply", "--yes", *where(catalog), GATEWAY_TOKEN=TOKEN)
        assert code == 1
        assert "stdout cannot be written" in err
        plan = ("plan", "--detailed-exitcode", *where(catalog))
        code, _ = await unread(*plan, GATEWAY_TOKEN=TOKEN)
        assert code == 2, "it is still to be applied"


@pytest.mark.heavy
@needs_full
async def test_run_goes_on_when_nothing_can_be_shown(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    number = os.open(FULL, os.O_WRONLY)
    async with upstream("one") as one, upstream("two") as two:
        catalog.api("demo", one)
        async with running(catalog.root, tmp_path / "state", stdout=number) as process:
            os.close(number)
            catalog.api("demo", two)
            await process.answers("/apis/acme/demo", lambda r: r.text == "two")
    assert process.process.returncode == 0
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    said = [line["message"] for line in lines if "cannot be shown" in line["message"]]
    assert len(said) == 1
    assert "No space left on device" in said[0]
