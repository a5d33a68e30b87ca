"""`plan --out FILE` and `apply FILE`: what was reviewed is applied, or nothing is."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from stoa_gitops.catalog import open_source
from stoa_gitops.errors import DigestMismatch, UsageError
from stoa_gitops.operations.output_views import SavedPlanView
from stoa_gitops.operations.plan import PreparedSet, plan_gateways
from stoa_gitops.operations.saved_plan import check_program, check_unmoved, load_plan, save_plan
from stoa_gitops.operations.validate import read_catalog
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.reconcile.selection import EVERYTHING
from stoa_gitops.report.json_output import plan_document
from tests.e2e.catalogs import CatalogFolder, upstream
from tests.e2e.gateways import data_plane
from tests.e2e.running import run_command
from tests.e2e.test_gateways import ENV, catalog_for, where

SECRET = "a-key-that-nobody-may-see"
APPLICATION = (
    "apiVersion: gostoa.dev/v1alpha1\nkind: Application\nmetadata: {name: app}\nspec:\n"
    "  credentials: [{type: api_key, keyRef: {env: ACME_KEY}}]\n"
    "  subscriptions: [{api: demo}]\n"
)


async def test_a_saved_plan_is_applied_as_it_was_reviewed_or_not_at_all(tmp_path: Path) -> None:
    variables = {**ENV, "ACME_KEY": SECRET}
    file = tmp_path / "my plan.json"
    async with data_plane() as gateway, upstream("one") as one:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        catalog.api("demo", one)
        catalog.write("tenants/acme/applications/app.yaml", APPLICATION)
        planned = await run_command(
            "plan", *where(catalog), "--env", "dev", "--out", str(file), **variables
        )
        assert planned[0] == 0
        assert planned[1].endswith(f"Apply exactly this plan: stoa-gitops apply '{file}'\n")
        assert (planned[1] + planned[2]).count("Apply exactly this plan") == 1
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert SECRET not in file.read_text()
        state = ("--state", str(tmp_path / "state"))
        other = await run_command("apply", str(file), *state, "--env", "prod", **variables)
        assert other[0] == 64
        assert "is a plan for dev" in other[2]
        # Without --yes, --catalog and --env: the plan says what and where.
        code, out, err = await run_command("apply", str(file), *state, **variables)
        assert (code, "failed=0" in out) == (0, True), out + err
        assert (await gateway_apis(gateway.base_url)) == ["demo"]
        code, out, err = await run_command("apply", str(file), *state, **variables)
        assert code == 4
        assert "edge, or what the catalog says of it, is not as it was (no more create " in err
        assert "no more create api/acme/demo" in err
        assert "Nothing was applied" in err


async def gateway_apis(url: str) -> list[str]:
    import httpx

    from tests.e2e.gateways import TOKEN

    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        answer = await client.get(
            f"{url}/admin/apis", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10
        )
    return [api["name"].rsplit("/", 1)[-1] for api in answer.json()]


async def test_output_for_programs_leaves_how_a_saved_plan_is_applied_to_stderr(
    tmp_path: Path,
) -> None:
    file = tmp_path / "plan"
    async with data_plane() as gateway, upstream("one") as one:
        catalog = catalog_for(tmp_path / "c", edge=gateway.base_url)
        catalog.api("demo", one)
        for form in ("json", "jsonl", "markdown"):
            _, out, err = await run_command(
                "plan", *where(catalog), "--out", str(file), "--output", form, **ENV
            )
            assert "Apply exactly this plan" not in out
            assert err.endswith(f"Apply exactly this plan: stoa-gitops apply {file}\n")


async def test_a_plan_that_cannot_be_applied_is_not_saved(tmp_path: Path) -> None:
    catalog = catalog_for(tmp_path / "c", edge="http://127.0.0.1:9")
    file = tmp_path / "plan"
    for more, code, words in (
        (("--base", "HEAD"), 64, "leave out --base"),
        ((), 1, "is not written: a gateway could not be observed"),
    ):
        done = await run_command("plan", *where(catalog), "--out", str(file), *more, **ENV)
        assert done[0] == code
        assert words in done[2]
        assert not file.exists()


@pytest.fixture
async def saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[SavedPlanView, PreparedSet, Path]:
    """A saved plan of a gateway in the same process, with what it was made from."""
    monkeypatch.setenv("GATEWAY_TOKEN", ENV["GATEWAY_TOKEN"])
    async with data_plane() as gateway, Workspace.open(tmp_path / "state") as workspace:
        folder: CatalogFolder = catalog_for(tmp_path / "c", edge=gateway.base_url)
        folder.api("demo", "http://127.0.0.1:9")
        source = open_source(str(folder.root), cache_dir=tmp_path / "cache")
        catalog = read_catalog(source).catalog
        prepared = await plan_gateways(workspace, catalog, EVERYTHING)
    file = tmp_path / "plan"
    tree = plan_document(prepared.plans)
    save_plan(file, prepared, catalog, EVERYTHING, tree, location=str(folder.root), revision=None,
              keep_going=False)  # fmt: skip
    loaded = load_plan(file)
    check_program(loaded)
    check_unmoved(loaded, catalog, prepared)
    return loaded, prepared, file


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("catalog.owner", "other", "the catalog is default, and was other"),
        ("catalog.commit", "f" * 40, "the revision is working tree"),
        ("gateways.0.address", "http://old.example", "and was at http://old.example"),
        ("gateways.0.gateway_type", "kong", "edge is a stoa, and was a kong"),
        ("gateways.0.digest", "0" * 64, "edge, or what the catalog says of it, is not as it was."),
        ("gateways.0.name", "west", "west is no longer in the catalog"),
        ("gateways", [], "edge is in the catalog, and was not"),
        ("program", "0.0.1", "made by stoa-gitops 0.0.1"),
    ],
)
async def test_whatever_moved_is_said(
    field: str, value: object, words: str, saved: tuple[SavedPlanView, PreparedSet, Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    loaded, prepared, _ = saved
    document = json.loads(loaded.model_dump_json())
    *path, last = field.split(".")
    place = document
    for part in path:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[last] = value
    edited = SavedPlanView.model_validate(document)
    source = open_source(str(tmp_path / "c"), cache_dir=tmp_path / "cache")
    catalog = read_catalog(source).catalog
    unmoved = partial(check_unmoved, catalog=catalog, prepared=prepared)
    check: Callable[[SavedPlanView], None] = check_program if field == "program" else unmoved
    with pytest.raises(DigestMismatch) as refused:
        check(edited)
    assert words in str(refused.value)


async def test_an_edited_plan_and_another_file_are_refused(
    saved: tuple[SavedPlanView, PreparedSet, Path], tmp_path: Path
) -> None:
    *_, file = saved
    file.write_text(file.read_text().replace('"keep_going": false', '"keep_going": true'))
    with pytest.raises(DigestMismatch, match="was changed since it was written"):
        load_plan(file)
    for text in ("{}", "[" * 100_000, "\0", "plan"):
        file.write_text(text)
        with pytest.raises(UsageError, match="is no saved plan"):
            load_plan(file)
    with pytest.raises(UsageError, match="cannot be read"):
        load_plan(tmp_path / "nowhere")
