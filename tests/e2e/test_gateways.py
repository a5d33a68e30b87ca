"""What people see when gateways are shared, down, slow, wrong, or have lost their state."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from stoa_gitops.fleet.keys import GatewayKeys
from tests.e2e.catalogs import CatalogFolder, upstream
from tests.e2e.gateways import TOKEN, Talk, data_plane, document, half, html, raw_server, silent
from tests.e2e.running import run_command

ENV = {"GATEWAY_TOKEN": TOKEN}


def catalog_for(root: Path, **gateways: str) -> CatalogFolder:
    """A catalog whose tenant targets these gateways."""
    catalog = CatalogFolder(root)
    (root / "gateways/local.yaml").unlink()
    for name, url in gateways.items():
        catalog.write(f"gateways/{name}.yaml", document(name, url))
    catalog.write(
        "tenants/acme/tenant.yaml",
        "apiVersion: gostoa.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\n"
        f"spec: {{displayName: Acme, gateways: [{', '.join(gateways)}]}}\n",
    )
    return catalog


def where(catalog: CatalogFolder, state: str = "state") -> tuple[str, ...]:
    return ("--catalog", str(catalog.root), "--state", str(catalog.root.parent / state))


async def test_apply_converges_and_the_second_plan_is_empty(tmp_path: Path) -> None:
    async with data_plane() as gateway, upstream("one") as one:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        catalog.api("demo", one)
        code, out, err = await run_command("apply", *where(catalog), "--yes", **ENV)
        assert code == 0, out + err
        assert "edge : ok=0 changed=1 unreachable=0 failed=0" in out
        async with httpx.AsyncClient(timeout=30) as client:
            assert (await client.get(f"{gateway.base_url}/apis/acme/demo")).text == "one"
        code, out, _ = await run_command("plan", *where(catalog), "--detailed-exitcode", **ENV)
        assert (code, out) == (0, "No changes. 1 gateway matches working tree.\n")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("talk", "words"),
    [(html, "baseUrl"), (half, "baseUrl"), (silent, "no response")],
    ids=["html", "half an answer", "silence"],
)
async def test_what_is_no_gateway_is_said_and_the_others_go_on(
    tmp_path: Path, talk: Talk, words: str
) -> None:
    async with data_plane() as gateway, upstream("one") as one, raw_server(talk) as broken:
        catalog = catalog_for(tmp_path / "c", broken=broken, edge=gateway.base_url)
        catalog.api("demo", one)
        code, out, err = await run_command("apply", *where(catalog), "--yes", **ENV)
        assert code == 3, out + err
        assert "edge   : ok=0 changed=1 unreachable=0" in out
        assert "broken : ok=0 changed=0 unreachable=1" in out
        assert words in out
        assert "Traceback" not in out + err
        code, out, _ = await run_command("plan", *where(catalog), "--detailed-exitcode", **ENV)
        assert code == 1, "an unreachable gateway goes over pending changes"
        assert "broken" in out


async def test_a_gateway_that_is_down_never_shows_as_empty(tmp_path: Path, address: str) -> None:
    catalog = catalog_for(tmp_path / "c", edge=f"http://{address}")
    catalog.api("demo", "http://backend.example.org")
    code, out, _ = await run_command("plan", *where(catalog), **ENV)
    assert code == 1
    assert "No changes" not in out
    assert "edge" in out
    code, out, _ = await run_command("apply", *where(catalog), "--yes", **ENV)
    assert code == 1


async def test_a_wrong_token_is_said_without_showing_it(tmp_path: Path) -> None:
    async with data_plane() as gateway:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        catalog.api("demo", "http://backend.example.org")
        code, out, err = await run_command(
            "plan", *where(catalog), GATEWAY_TOKEN="not-the-right-token"
        )
        assert code == 1
        assert "401" in out
        assert "not-the-right-token" not in out + err
        code, out, err = await run_command("plan", *where(catalog))
        assert code == 1
        assert "GATEWAY_TOKEN" in out


async def test_state_that_a_gateway_lost_is_given_back(tmp_path: Path) -> None:
    async with upstream("one") as one, data_plane() as gateway:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        catalog.api("demo", one)
        await run_command("apply", *where(catalog), "--yes", **ENV)
        async with httpx.AsyncClient(
            timeout=30, headers={"Authorization": f"Bearer {TOKEN}"}
        ) as client:
            routes = (await client.get(f"{gateway.base_url}/admin/apis")).json()
            await client.delete(f"{gateway.base_url}/admin/apis/{routes[0]['id']}")
        code, out, _ = await run_command("plan", *where(catalog), **ENV)
        assert code == 0
        assert "drift" in out
        code, out, _ = await run_command("apply", *where(catalog), "--yes", **ENV)
        assert code == 0
        assert "changed=1" in out


async def test_two_catalogs_on_one_gateway_never_touch_each_others_objects(tmp_path: Path) -> None:
    async with data_plane() as gateway, upstream("one") as one:
        first = catalog_for(tmp_path / "a" / "c", edge=gateway.base_url)
        second = catalog_for(tmp_path / "b" / "c", edge=gateway.base_url)
        for name, catalog in (("first", first), ("second", second)):
            catalog.write(
                "catalog.yaml",
                "apiVersion: gostoa.dev/v1alpha1\nkind: Catalog\n"
                f"metadata: {{name: {name}}}\nspec: {{}}\n",
            )
            catalog.api(name, one)
            code, out, err = await run_command("apply", *where(catalog), "--yes", **ENV)
            assert code == 0, out + err
        for catalog in (first, second):
            code, out, _ = await run_command("plan", *where(catalog), "--detailed-exitcode", **ENV)
            assert code == 0, out
        (first.root / "tenants/acme/apis/first/api.yaml").unlink()
        code, out, err = await run_command("apply", *where(first), "--yes", **ENV)
        assert code == 4, out
        assert "stoa-gitops apply --gateway edge --force" in err
        code, out, _ = await run_command("apply", *where(first), "--yes", "--force", **ENV)
        assert code == 0, out
        async with httpx.AsyncClient(timeout=30) as client:
            assert (await client.get(f"{gateway.base_url}/apis/acme/first")).status_code == 404
            assert (await client.get(f"{gateway.base_url}/apis/acme/second")).text == "one"


async def test_two_applies_at_once_end_well_for_the_gateway(tmp_path: Path) -> None:
    async with data_plane() as gateway, upstream("one") as one:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        for number in range(20):
            catalog.api(f"demo-{number}", one)
        results = await asyncio.gather(
            *(run_command("apply", *where(catalog), "--yes", **ENV) for _ in range(2))
        )
        assert 0 in [code for code, _, _ in results]
        for code, out, err in results:
            assert code in (0, 1, 3), out + err
            assert "Traceback" not in out + err
            assert code == 0 or "another process applied" in out
        code, out, _ = await run_command("plan", *where(catalog), "--detailed-exitcode", **ENV)
        assert code == 0, out


async def test_another_base_url_is_refused_until_forced(tmp_path: Path) -> None:
    async with data_plane() as one, data_plane() as two, upstream("one") as backend:
        catalog = catalog_for(tmp_path / "c", edge=one.base_url)
        catalog.api("demo", backend)
        await run_command("apply", *where(catalog), "--yes", **ENV)
        catalog.write("gateways/edge.yaml", document("edge", two.base_url))
        code, out, err = await run_command("apply", *where(catalog), "--yes", **ENV)
        assert code == 4
        assert one.base_url in out + err
        assert "--force" in out + err
        code, out, err = await run_command("apply", *where(catalog), "--yes", "--force", **ENV)
        assert code == 0, out + err


async def test_a_plan_over_the_prune_budget_is_refused_until_forced(tmp_path: Path) -> None:
    async with data_plane() as gateway, upstream("one") as one:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        files = [catalog.api(f"demo-{number}", one) for number in range(12)]
        await run_command("apply", *where(catalog), "--yes", **ENV)
        for file in files[:6]:
            file.unlink()
        code, out, err = await run_command("apply", *where(catalog), "--yes", **ENV)
        assert code == 4
        assert "would delete 6 of 12 managed objects" in out + err
        async with httpx.AsyncClient(timeout=30) as client:
            assert (await client.get(f"{gateway.base_url}/apis/acme/demo-0")).text == "one"
        code, out, _ = await run_command("apply", *where(catalog), "--yes", "--force", **ENV)
        assert code == 0, out


async def test_exactly_the_reviewed_plan_is_applied(tmp_path: Path) -> None:
    async with data_plane() as gateway, upstream("one") as one:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        catalog.api("demo", one)
        _, out, _ = await run_command("plan", *where(catalog), **ENV)
        digest = out.rpartition("--digest ")[2].strip()
        catalog.api("more", one)
        code, out, err = await run_command("apply", *where(catalog), "--digest", digest, **ENV)
        assert code == 4
        assert "something changed since it was reviewed" in err
        (catalog.root / "tenants/acme/apis/more/api.yaml").unlink()
        code, out, err = await run_command("apply", *where(catalog), "--digest", digest, **ENV)
        assert code == 0, out + err


async def test_apply_without_a_terminal_needs_consent(tmp_path: Path) -> None:
    async with data_plane() as gateway, upstream("one") as one:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        catalog.api("demo", one)
        code, _, err = await run_command("apply", *where(catalog), **ENV)
        assert code == 64
        assert "--yes" in err
        async with httpx.AsyncClient(timeout=30) as client:
            assert (await client.get(f"{gateway.base_url}/apis/acme/demo")).status_code == 404


async def test_one_bad_api_never_blocks_the_rest(tmp_path: Path) -> None:
    async with data_plane() as gateway, upstream("one") as one:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        catalog.api("good", one)
        # A private address is fine for the catalog; this gateway refuses it in its own words.
        catalog.api("refused", "http://10.1.2.3")
        code, out, _ = await run_command("apply", *where(catalog), "--yes", **ENV)
        assert code == 3
        assert "private" in out
        assert "+ api  acme/refused   tenants/acme/apis/refused/api.yaml:1:1\n" in out
        assert "edge : ok=0 changed=1 unreachable=0 failed=0 skipped=0 quarantined=1" in out
        async with httpx.AsyncClient(timeout=30) as client:
            assert (await client.get(f"{gateway.base_url}/apis/acme/good")).text == "one"


async def test_foreign_objects_are_adopted_by_name_or_written_down(tmp_path: Path) -> None:
    async with data_plane() as gateway, upstream("one") as one:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        async with httpx.AsyncClient(
            timeout=30, headers={"Authorization": f"Bearer {TOKEN}"}
        ) as client:
            route = {
                "id": "r1", "name": "legacy", "tenant_id": "acme", "path_prefix": "/legacy",
                "backend_url": one, "methods": [], "spec_hash": "", "activated": True,
            }  # fmt: skip
            assert (await client.post(f"{gateway.base_url}/admin/apis", json=route)).is_success
        code, out, err = await run_command(
            "adopt", "edge", "--write", str(catalog.root), *where(catalog), **ENV
        )
        assert code == 0, err
        assert "1 document for edge: 1 created" in err
        assert str(catalog.root / "tenants/acme/apis/legacy/api.yaml") in out.splitlines()
        code, out, _ = await run_command("plan", *where(catalog), **ENV)
        assert "stoa-gitops adopt edge api/acme/legacy" in out
        adopt = ("adopt", "edge", "api/acme/legacy", *where(catalog), "--yes")
        full = document("edge", gateway.base_url)
        catalog.write("gateways/edge.yaml", f"{full}  policy: observe-only\n")
        code, out, _ = await run_command(*adopt, **ENV)
        assert (code, "would be adopted, but the policy of edge is" in out) == (3, True)
        catalog.write("gateways/edge.yaml", full)
        code, out, err = await run_command(*adopt, **ENV)
        assert code == 0, out + err
        assert "Digest" not in out  # `apply --digest` would plan no adoption
        code, out, _ = await run_command("plan", *where(catalog), "--detailed-exitcode", **ENV)
        assert code == 0, out
        async with httpx.AsyncClient(timeout=30) as client:
            assert (await client.get(f"{gateway.base_url}/legacy")).text == "one"


async def test_a_new_key_stands_alone_on_stdout_and_is_bound_to_its_environment() -> None:
    code, out, err = await run_command("gateways", "new-key", "production")
    assert (code, out.count("\n")) == (0, 1)
    (key,) = GatewayKeys.parse(out)
    assert key.environment == "prod"
    assert out.strip() not in err
    assert out != (await run_command("gateways", "new-key", "production"))[1]


async def test_a_key_needs_an_environment_that_has_a_name() -> None:
    code, out, err = await run_command("gateways", "new-key", "///")
    assert (code, out) == (64, "")
    assert err == "stoa-gitops: '///': an environment has at least one letter or digit\n"
