"""Wrong input and failing machines: a clear message, the right exit code, no traceback."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.children import environment
from tests.e2e.catalogs import CatalogFolder
from tests.e2e.gateways import TOKEN, data_plane
from tests.e2e.running import command, run_command
from tests.e2e.test_gateways import ENV, catalog_for, where

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2


def without_rights() -> None:
    """Make file modes count for root, too, from the next program on that this child becomes."""
    if os.getuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "cannot drop a capability")


async def refused(*arguments: str, code: int, words: str) -> None:
    found, out, err = await run_command(*arguments)
    assert found == code, out + err
    assert words in out + err
    assert "Traceback" not in out + err


async def test_a_catalog_folder_that_is_not_there(tmp_path: Path) -> None:
    for name in ("validate", "plan"):
        await refused(name, "--catalog", str(tmp_path / "nowhere"), code=1, words="nowhere")


async def test_a_folder_that_is_no_repository_with_a_revision(tmp_path: Path) -> None:
    await refused(
        "validate", "--catalog", str(tmp_path), "--revision", "main", code=1, words="repository"
    )


async def test_a_branch_that_is_not_there_names_those_that_are_near(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.commit("first")
    await refused(
        "validate", "--catalog", str(catalog.root), "--revision", "mian", code=1, words="main"
    )


async def test_a_base_that_a_shallow_clone_lacks_says_what_to_set(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.commit("first")
    first = catalog.git("rev-parse", "HEAD")
    catalog.api("demo", "http://backend.example.org")
    catalog.commit("second")
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{catalog.root}", str(tmp_path / "shallow")],
        check=True,
    )
    where = ("--catalog", str(tmp_path / "shallow"), "--state", str(tmp_path / "s"))
    await refused("plan", *where, "--base", first, code=1, words="fetch-depth: 0")


async def test_two_revisions_are_compared_without_any_gateway(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("old", "http://backend.example.org")
    catalog.commit("first")
    catalog.api("new", "http://backend.example.org")
    (catalog.root / "tenants/acme/apis/old/api.yaml").unlink()
    catalog.commit("second")
    code, out, err = await run_command(
        "plan",
        "--catalog",
        str(catalog.root),
        "--revision",
        "main",
        "--base",
        "main~1",
        "--state",
        str(tmp_path / "never-made"),
        "--output",
        "markdown",
        "--detailed-exitcode",
    )
    assert (code, err) == (2, "")
    assert out.startswith("<!-- stoa-plan -->\n")
    assert "acme/new" in out
    assert "acme/old" in out


async def test_a_broken_catalog_stops_a_plan_unless_told_to_go_on(tmp_path: Path) -> None:
    async with data_plane() as gateway:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        catalog.api("good", "http://backend.example.org")
        catalog.write("tenants/acme/apis/bad/api.yaml", "kind: API\n\tspec: 1\n")
        code, _, err = await run_command("plan", *where(catalog), **ENV)
        assert code == 5
        assert "tenants/acme/apis/bad/api.yaml:2:" in err
        assert "--keep-going" in err
        code, out, err = await run_command("plan", *where(catalog), "--keep-going", **ENV)
        assert code == 0
        assert "acme/good" in out
        code, out, _ = await run_command("apply", *where(catalog), "--keep-going", "--yes", **ENV)
        assert code == 3
        assert "changed=1" in out
        code, out, _ = await run_command("validate", *where(catalog)[:2], "--output", "json")
        assert code == 5
        assert json.loads(out)["errors"] >= 1


async def test_a_route_on_a_path_of_the_gateway_itself_is_found_before_any_call(
    tmp_path: Path,
) -> None:
    async with data_plane() as gateway:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        catalog.api("good", "http://backend.example.org")
        routes = "  routes:\n    - {path: /admin/orders}\n"
        catalog.api("orders", "http://backend.example.org", routes)
        code, out, err = await run_command("validate", *where(catalog)[:2])
        assert code == 5
        words = "tenants/acme/apis/orders/api.yaml:8:14: error[route.reserved]"
        assert words in out + err
        code, out, _ = await run_command("plan", *where(catalog), "--keep-going", **ENV)
        assert code == 0
        assert "acme/good" in out
        assert "acme/orders" not in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--gateway", "nope"), "edge"),
        (("--tenant", "nope"), "acme"),
        (("--env", "nope"), "dev"),
    ],
)
async def test_a_filter_that_matches_nothing_names_what_there_is(
    tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    catalog = catalog_for(tmp_path / "c", edge="http://gateway.example.org")
    await refused("plan", *where(catalog), *flags, code=64, words=words)


async def test_flags_come_from_the_environment_too(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    code, out, _ = await run_command("validate", STOA_GITOPS_CATALOG=str(catalog.root))
    assert code == 0
    assert "is valid" in out


async def test_wrong_usage_exits_64() -> None:
    await refused("plan", "--no-such-flag", code=64, words="--no-such-flag")
    await refused("nonsense", code=64, words="nonsense")
    await refused("schema", "Nonsense", code=64, words="GatewayInstance")
    await refused("run", "--control-listen", "nowhere", code=64, words="HOST:PORT")
    await refused("run", "--poll", "soon", code=64, words="30s")
    await refused("adopt", "edge", "nonsense", code=64, words="api/acme/billing")


async def test_a_state_folder_without_rights_is_said(tmp_path: Path) -> None:
    async with data_plane() as gateway:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
    state = tmp_path / "state"
    state.mkdir(mode=0o500)
    done = subprocess.run(
        command("plan", "--catalog", str(catalog.root), "--state", str(state)),
        env=environment(**ENV),
        preexec_fn=without_rights,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "--state" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_document_without_rights_is_a_finding_and_the_rest_goes_on(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("closed", "http://backend.example.org").chmod(0)
    catalog.api("wrong", "http://backend.example.org", "  nonsense: 1\n")
    done = subprocess.run(
        command("validate", "--catalog", str(catalog.root)),
        env=environment(),
        preexec_fn=without_rights,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "closed/api.yaml" in done.stdout + done.stderr
    assert "permission" in (done.stdout + done.stderr).lower()
    assert "Traceback" not in done.stderr
    assert done.returncode in (1, 5)


@pytest.mark.heavy
async def test_a_full_disk_stores_nothing_by_halves(tmp_path: Path) -> None:
    async with data_plane() as gateway:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        for number in range(30):
            catalog.api(f"demo-{number}", "http://backend.example.org")
        assert (await run_command("plan", *where(catalog), **ENV))[0] == 0

        def small_files() -> None:
            # More than the shared index of the write-ahead log needs, less than 30 records in it.
            resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))

        done = await _run_limited(catalog, small_files)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "the disk is full" in done.stderr
        assert "Traceback" not in done.stderr
        code, out, err = await run_command("apply", *where(catalog), "--yes", **ENV)
        assert code == 0, out + err
        code, out, _ = await run_command("plan", *where(catalog), "--detailed-exitcode", **ENV)
        assert code == 0, out


async def _run_limited(catalog: CatalogFolder, limit: object) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "stoa_gitops", "apply", *where(catalog), "--yes"],
        env=environment(GATEWAY_TOKEN=TOKEN),
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
