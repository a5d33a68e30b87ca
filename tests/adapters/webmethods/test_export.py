"""The export of an archive: a whole file, or an error and no file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stoa_gitops.adapter_sdk.contract import AdapterResult
from tests.adapters.front import Trouble
from tests.adapters.webmethods.double import WebMethodsDouble
from tests.adapters.webmethods.rig import webmethods_rig
from tests.adapters.webmethods.testbed import BASIC, Person
from tests.contract.rig import Rig


@asynccontextmanager
async def bed() -> AsyncIterator[tuple[Rig, Person]]:
    async with webmethods_rig(WebMethodsDouble("10.15"), "10.15") as (rig, person):
        await rig.driver.health()
        yield rig, person


async def exported(rig: Rig) -> tuple[AdapterResult, bytes]:
    target = io.BytesIO()
    result = await rig.driver.export_archive(target)
    return result, target.getvalue()


async def test_an_archive_of_everything_is_written_to_the_file() -> None:
    async with bed() as (rig, person):
        await rig.converge()
        result, raw = await exported(rig)
        assert result.success, result.error
        assert result.data is not None
        assert (result.data["file"], result.data["bytes"]) == ("application/zip", len(raw))
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            kinds = {name.partition("/")[0] for name in archive.namelist()}
        assert {"API", "Alias", "Application", "AdministratorSetting"} <= kinds
        assert len(kinds & {"APIGatewayAssets.acdl", "ExportReport.json"}) == 2
        assert "keys of applications" in result.warnings[0]
        # What one gateway exported another one takes.
        async with webmethods_rig(WebMethodsDouble("11"), "11") as (_, other):
            status, body = await other.archive(raw, overwrite="apis,aliases")
            assert status == 201
            assert any("API" in entry for entry in body["ArchiveResult"])
            assert person is not other


async def test_secrets_that_the_gateway_encrypted_are_told_of() -> None:
    async with bed() as (rig, person):
        await person.call("POST", "/alias", BASIC)
        result, raw = await exported(rig)
        assert any("PassmanData" in warning for warning in result.warnings)
        assert b"cGFzcw==" not in raw


async def test_a_large_archive_comes_in_pieces() -> None:
    async with bed() as (rig, person):
        noise = "".join(f"{number:x}" for number in range(400_000))
        await person.call("POST", "/alias", {"name": "n", "type": "simple", "value": noise})
        result, raw = await exported(rig)
        assert result.success, result.error
        assert result.data is not None
        assert result.data["bytes"] == len(raw) > 1 << 19


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"errorDetails": " no archive"}, "application/json in place of the file"),
        (200, "Sign in", "text/html in place of the file"),
        (400, {"errorDetails": " no"}, "refused it"),
        (403, "The license has expired", "licence has ended"),
        (500, {"errorDetails": None}, "failed"),
    ],
)
async def test_what_is_no_archive_is_an_error(status: int, body: Any, expected: str) -> None:
    async with bed() as (rig, person):
        person.double.faults.fail("GET */archive", status, body)
        result, raw = await exported(rig)
        assert not result.success
        assert expected in str(result.error)
        assert raw == b""


async def test_an_archive_that_is_cut_off_is_an_error() -> None:
    async with bed() as (rig, _):
        rig.fail(Trouble.TRUNCATED, "read")
        result, raw = await exported(rig)
        assert (result.success, raw) == (False, b"")


async def test_an_archive_without_its_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bed() as (rig, person):
        write = person.double.exports._zip

        def cut(export: Any) -> Any:
            response = write(export)
            response.body = response.body[:-30]
            return response

        monkeypatch.setattr(person.double.exports, "_zip", cut)
        result, _ = await exported(rig)
        assert (result.success, result.reason) == (False, "GatewayMalformed")
        assert "cut off" in str(result.error)


async def test_without_a_target_it_is_checked_and_dropped() -> None:
    async with bed() as (rig, _):
        result = await rig.adapter.export_archive()
        assert result.success, result.error
        assert result.data is not None
        assert result.data["entries"]
