"""From an edit to a changed answer through the gateway, in a real process."""

from __future__ import annotations

import json
import re
import signal
import stat
from functools import partial
from pathlib import Path

import httpx

from tests.e2e.catalogs import MAY_BE_EMPTY, CatalogFolder, upstream
from tests.e2e.running import Running, run_command, running, until


async def test_an_edit_in_a_folder_changes_the_answer(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("one") as one, upstream("two") as two:
        catalog.api("demo", one)
        async with running(catalog.root, tmp_path / "state") as process:
            assert (await process.get("/apis/acme/demo/x")).text == "one"
            catalog.api("demo", two)
            await process.answers("/apis/acme/demo/x", lambda r: r.text == "two")
            (catalog.root / "tenants/acme/apis/demo/api.yaml").unlink()
            catalog.write("tenants/acme/tenant.yaml", MAY_BE_EMPTY)
            gone = await process.answers("/apis/acme/demo/x", lambda r: r.status_code == 404)
            assert gone.headers["content-type"].startswith("application/problem+json")


async def test_a_commit_changes_the_answer_and_uncommitted_edits_do_not(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("one") as one, upstream("two") as two:
        catalog.api("demo", one)
        catalog.commit("first")
        async with running(catalog.root, tmp_path / "state", "--revision", "main") as process:
            assert (await process.get("/apis/acme/demo")).text == "one"
            catalog.api("demo", two)
            catalog.api("second", two)
            assert (await process.get("/apis/acme/demo")).text == "one"
            catalog.commit("second")
            await process.answers("/apis/acme/demo", lambda r: r.text == "two")
            await process.answers("/apis/acme/second", lambda r: r.text == "two")


async def test_a_broken_document_leaves_what_is_live_and_the_rest_goes_on(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("one") as one, upstream("two") as two:
        catalog.api("broken", one)
        catalog.api("healthy", one)
        async with running(catalog.root, tmp_path / "state") as process:
            catalog.write("tenants/acme/apis/broken/api.yaml", "kind: API\nspec: [\n")
            catalog.api("healthy", two)
            await process.answers("/apis/acme/healthy", lambda r: r.text == "two")
            assert (await process.get("/apis/acme/broken")).text == "one"
        assert "tenants/acme/apis/broken/api.yaml:" in process.log.read_text()


async def test_a_second_start_on_a_broken_revision_keeps_what_was_live(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("one") as one:
        catalog.api("demo", one)
        async with running(catalog.root, tmp_path / "state") as process:
            assert (await process.get("/apis/acme/demo")).text == "one"
        catalog.write("tenants/acme/apis/demo/api.yaml", "kind: API\nspec: [\n")
        async with running(catalog.root, tmp_path / "state") as process:
            assert (await process.get("/apis/acme/demo")).text == "one"


async def _has_logged(process: Running, text: str) -> bool | None:
    return text in process.log.read_text() or None


async def test_a_catalog_yaml_that_is_gone_takes_nothing_with_it(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    document = (
        "apiVersion: gostoa.dev/v1alpha1\nkind: Catalog\nmetadata: {name: payments}\n"
        "spec: {tenants: {acme: {env: [SHARED_]}}}\n"
    )
    async with upstream("one") as one:
        file = catalog.write("catalog.yaml", document)
        auth = "auth: {in: header, name: X-Key, valueRef: {env: SHARED_KEY}}"
        catalog.api("demo", f'"{one}", {auth}')
        for state in ("live", "restarted"):
            async with running(catalog.root, tmp_path / "state", SHARED_KEY="k-1") as process:
                assert (await process.get("/apis/acme/demo/x")).text == "one", state
                file.unlink(missing_ok=True)
                await until(partial(_has_logged, process, "catalog.no-document"), state)
                assert (await process.get("/apis/acme/demo/x")).text == "one", state


async def test_plan_and_apply_beside_a_running_process_reach_its_gateway(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    other = CatalogFolder(tmp_path / "other")
    state = str(tmp_path / "state")
    async with upstream("one") as one:
        catalog.api("demo", one)
        other.api("demo", one)
        other.api("more", one)
        async with running(catalog.root, tmp_path / "state") as process:
            code, out, err = await run_command(
                "plan", "--catalog", str(other.root), "--state", state, "--detailed-exitcode"
            )
            assert (code, err) == (2, "")
            assert re.search(r"\+ api +acme/more +\S*tenants/acme/apis/more/api.yaml:1", out)
            code, out, err = await run_command(
                "apply", "--catalog", str(other.root), "--state", state, "--yes"
            )
            assert code == 0, out + err
            assert "local : ok=1 changed=1 unreachable=0 failed=0" in out
            assert (await process.get("/apis/acme/more")).text == "one"
            code, out, _ = await run_command(
                "plan", "--catalog", str(other.root), "--state", state, "--detailed-exitcode"
            )
            assert code == 0, out
            assert out.startswith("No changes. 1 gateway matches")


async def test_an_embedded_gateway_that_is_not_running_is_unreachable(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    catalog.api("demo", "http://backend.example.org")
    where = ("--catalog", str(catalog.root), "--state", str(tmp_path / "state"))
    code, out, _ = await run_command("plan", *where)
    assert code == 1
    assert "start `stoa-gitops run`" in out
    code, out, _ = await run_command("plan", *where, "--output", "json")
    document = json.loads(out)
    assert code == 1
    assert document["complete"] is False
    assert "changes" not in document["gateways"][0]
    code, _, _ = await run_command("apply", *where, "--yes")
    assert code == 1


async def test_the_process_ends_in_order_and_leaves_no_secrets_readable(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    state = tmp_path / "state"
    async with upstream("one") as one:
        catalog.api("demo", one)
        async with running(catalog.root, state) as process:
            assert stat.S_IMODE(state.stat().st_mode) == 0o700
            for file in state.iterdir():
                if file.is_file():
                    assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
            async with httpx.AsyncClient(timeout=30) as client:
                denied = await client.get(process.control + "/v1/status")
                assert denied.status_code == 401
                status = await client.get(
                    process.control + "/v1/status",
                    headers={"Authorization": f"Bearer {process.control_token}"},
                )
            assert status.json()["items"][0]["status"] == "ONLINE"
            assert process.admin_token not in process.log.read_text()
            process.process.send_signal(signal.SIGTERM)
            assert await process.process.wait() == 0
        assert not (state / "runtime.json").exists()


async def test_once_works_every_gateway_and_ends(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("one") as one:
        catalog.api("demo", one)
        code, out, err = await run_command(
            "run",
            "--once",
            "--catalog",
            str(catalog.root),
            "--state",
            str(tmp_path / "state"),
            "--control-listen",
            "127.0.0.1:0",
            "--gateway-listen",
            "127.0.0.1:0",
        )
    assert code == 0, err
    assert "local : ok=0 changed=1" in out


async def test_a_port_in_use_is_named_with_what_to_do(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    catalog.api("demo", "http://backend.example.org")
    async with running(catalog.root, tmp_path / "state") as process:
        taken = process.control.removeprefix("http://")
        code, _, err = await run_command(
            "run",
            "--once",
            "--catalog",
            str(catalog.root),
            "--state",
            str(tmp_path / "b"),
            "--control-listen",
            taken,
            "--gateway-listen",
            "127.0.0.1:0",
        )
    assert code == 1
    assert f"{taken} is in use" in err
    assert "--control-listen" in err


async def test_the_example_works_offline_and_without_any_key(tmp_path: Path) -> None:
    example = Path(__file__).resolve().parents[2] / "catalog-example"
    async with running(example, tmp_path / "state") as process:
        routes = await process.admin("/apis")
        paths = {route["path_prefix"] for route in routes if route["tenant_id"] == "demo"}
        assert len(paths) == 5

        async def all_answer() -> bool | None:
            answers = [await process.get(path) for path in sorted(paths)]
            return True if all(a.status_code in (200, 401) for a in answers) else None

        await until(all_answer, "all demo APIs to answer")
