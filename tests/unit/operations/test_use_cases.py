"""Use cases called as a library: without a command line, without HTTP, by a named principal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stoa_gitops.catalog import open_source
from stoa_gitops.errors import CatalogInvalid, DigestMismatch, UnsafePlan, UsageError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import PruneBudget
from stoa_gitops.model.plan import Hold, Plan, PlanSet
from stoa_gitops.model.principal import Principal, PrincipalKind
from stoa_gitops.operations.apply import apply_plans, check_digest, check_guards
from stoa_gitops.operations.gateways import (
    choose_owner,
    forget_gateway,
    resume_gateway,
    suspend_gateway,
)
from stoa_gitops.operations.plan import plan_gateways, plan_revisions
from stoa_gitops.operations.prune import check_document_gone, former_gateway, without_objects
from stoa_gitops.operations.status import stored_gateway, stored_status
from stoa_gitops.operations.validate import check_selection, is_valid, read_catalog
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.reconcile.selection import EVERYTHING, Selection
from stoa_gitops.store import CycleEntry, Scope
from tests.e2e.catalogs import GATEWAY, CatalogFolder
from tests.unit.store.world import NOW

ANNA = Principal("anna@ops", PrincipalKind.LOCAL_USER)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    folder = CatalogFolder(tmp_path / "catalog")
    folder.api("shop", "http://127.0.0.1:9")
    source = open_source(str(folder.root), cache_dir=tmp_path / "cache")
    return read_catalog(source).catalog


def test_a_catalog_is_read_with_its_findings(catalog: Catalog) -> None:
    assert is_valid(catalog)
    assert [gateway.name for gateway in catalog.gateways] == ["local"]
    check_selection(catalog, Selection(frozenset({"local"}), tenant="acme"))
    for wrong in (Selection(frozenset({"x"})), Selection(environment="x"), Selection(tenant="x")):
        with pytest.raises(UsageError, match="there is: "):
            check_selection(catalog, wrong)


def test_a_revision_is_planned_against_another_without_a_gateway(catalog: Catalog) -> None:
    empty = without_objects(catalog, catalog.gateways[0])
    plans = plan_revisions(empty, catalog, EVERYTHING, NOW)
    assert [str(change.key) for change in plans.plans[0].changes] == ["api/acme/shop"]
    assert plan_revisions(catalog, catalog, EVERYTHING, NOW).is_empty


async def test_a_gateway_that_cannot_be_reached_is_planned_and_applied_as_unknown(
    catalog: Catalog, tmp_path: Path
) -> None:
    async with Workspace.open(tmp_path / "state", principal=ANNA) as workspace:
        prepared = await plan_gateways(workspace, catalog, EVERYTHING)
        assert not prepared.plans.is_complete
        reports = await apply_plans(workspace, prepared, ANNA)
    assert "not running here" in str(reports.reports[0].error)


async def test_who_suspends_resumes_and_forgets_stands_in_the_audit_trail(tmp_path: Path) -> None:
    async with Workspace.open(tmp_path / "state") as workspace:
        context = workspace.context
        await suspend_gateway(context, "edge", ANNA, "maintenance")
        await resume_gateway(context, "edge", replace(ANNA, subject="control from 192.0.2.7"))
        assert await forget_gateway(context, "edge", "default", ANNA) == 0
        entries = await context.store.list_audit("edge", limit=10)
    assert [(entry.actor, entry.action) for entry in entries] == [
        ("anna@ops", "forget"),
        ("control from 192.0.2.7", "resume"),
        ("anna@ops", "suspend"),
    ]


async def test_of_a_gateway_that_was_forgotten_history_alone_is_known(tmp_path: Path) -> None:
    scope = Scope("default", "edge", "http://edge")
    async with Workspace.open(tmp_path / "state") as workspace:
        context = workspace.context
        await context.store.record_cycle(scope, CycleEntry("anna", "main@1", "d", NOW))
        assert [one.name for one in (await stored_status(tmp_path / "state")).items] == ["edge"]
        await forget_gateway(context, "edge", "default", ANNA)
        assert (await stored_status(tmp_path / "state")).items == []
        assert len(await context.store.list_cycles("edge")) == 1


def test_a_plan_is_checked_against_its_reviewed_digest_and_its_guards() -> None:
    plans = PlanSet("main@1", (Plan("edge", "stoa", "main@1"),))
    check_digest(plans, plans.digest[:8].upper())
    with pytest.raises(DigestMismatch, match="not 00000000"):
        check_digest(plans, "00000000")
    check_guards(plans)
    held = replace(plans.plans[0], holds=(Hold("PruneBudget", "5 deletions, 1 allowed"),))
    with pytest.raises(UnsafePlan, match="refused: 5 deletions"):
        check_guards(replace(plans, plans=(held,)))


def test_only_a_gateway_whose_document_is_surely_gone_is_emptied(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="still in the catalog"):
        check_document_gone(catalog, "local")
    check_document_gone(catalog, "old")
    former = former_gateway(catalog, catalog, "local", "HEAD~1")
    assert former.prune == PruneBudget(None, None)
    with pytest.raises(UsageError, match="another catalog"):
        former_gateway(replace(catalog, owner="other"), catalog, "local", "HEAD~1")


def test_a_broken_catalog_does_not_say_that_a_document_is_gone(tmp_path: Path) -> None:
    folder = CatalogFolder(tmp_path / "catalog")
    folder.write("gateways/old.yaml", GATEWAY.replace("gatewayType", "gatewayTyp"))
    broken = read_catalog(open_source(str(folder.root), cache_dir=tmp_path / "cache")).catalog
    with pytest.raises(CatalogInvalid, match="fix it first"):
        check_document_gone(broken, "old")


@pytest.mark.parametrize(
    ("owners", "asked", "expected"),
    [(("a",), None, "a"), (("a", "b"), "b", "b")],
)
def test_the_owner_to_forget_is_the_only_one_or_the_named_one(
    owners: tuple[str, ...], asked: str | None, expected: str
) -> None:
    assert choose_owner("edge", owners, asked) == expected
    for wrong in ((), ("a", "b")):
        with pytest.raises(UsageError):
            choose_owner("edge", wrong, None)
    with pytest.raises(UsageError, match="owns nothing there"):
        choose_owner("edge", owners, "c")


async def test_a_status_without_a_store_makes_none(tmp_path: Path) -> None:
    status = await stored_status(tmp_path / "state")
    assert (status.source, status.well, status.items) == ("store", False, [])
    with pytest.raises(UsageError, match="nothing is known"):
        await stored_gateway(tmp_path / "state", "edge")
    assert not (tmp_path / "state").exists()
